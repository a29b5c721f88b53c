"""What the site says of the program is complete, and so is the man page; Sphinx itself is ``make docs``'s affair."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer.core
import typer.main

from tests.site.reference import PAGES, configuration, events, exit_statuses, filled_meter, metrics
from watchdog.cli.app import app
from watchdog.config.schema import json_schema
from watchdog.service.events import Event
from watchdog.service.exits import Exit

REPOSITORY = Path(__file__).parents[3]


def _shown(table: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def test_every_setting_is_on_its_page() -> None:
    schema = json_schema()
    sections = [schema, *schema["$defs"].values(), *schema["$defs"]["NotifyTarget"]["anyOf"]]
    names = [name for section in sections for name in section.get("properties", ())]
    assert len(names) > 60
    assert set(_shown(configuration())) == set(names)


def test_every_event_and_every_metric_is_on_its_page() -> None:
    assert _shown(events()) == [event.value for event in Event]
    assert "| `session.stopped` | info | A person stopped what was left of a run. |" in events()
    exposed = re.findall(r"^# TYPE (\S+)", filled_meter().render().decode(), re.MULTILINE)
    assert _shown(metrics()) == exposed


def test_every_exit_status_is_on_its_page() -> None:
    """Those of the contract, and what each name says."""
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", exit_statuses(), re.MULTILINE))
    assert list(map(int, rows)) == [0, 1, 2, 3, 4, 65, 66, 69, 78, 141]
    assert sum(len(words.split("<br>")) for words in rows.values()) == len(Exit.__members__)
    assert "<br>`check`: something is stuck" in rows["2"]


def test_a_verb_ends_with_a_named_status() -> None:
    """``Leave`` takes no other, says mypy; a bare number would be on no page."""
    code = "\n".join(file.read_text("utf-8") for file in (REPOSITORY / "watchdog").rglob("*.py"))
    assert re.findall(r"(?:Leave|sys\.exit|typer\.Exit|exit_code =|exit_code\":)\(? ?\d.*", code) == []
    for name in Exit.__members__:
        assert re.search(rf"\bExit\.{name}\b", code) or name == "RUNS", f"no verb ends with {name}"


def test_the_helps_say_no_other_statuses() -> None:
    """A help has its own in a few words: for its verb, or for every verb, the page has each of them."""
    said = dict(re.findall(r"^\| (\d+) \| (.+) \|$", exit_statuses(), re.MULTILINE))
    root = typer.main.get_command(app)
    found = {path: _statuses(text) for path, text in _helps(root, "")}
    assert {verb for verb, numbers in found.items() if numbers} >= {"check", "recover", "doctor", "service status"}
    for verb, numbers in found.items():
        for number in numbers:
            assert not verb or number in ("0", "1", "69", "78") or f"`{verb}`" in said[number], f"{verb}: {number}"
            assert number in said, f"{verb}: {number}"


def _statuses(text: str) -> list[str]:
    """The numbers of its sentence about exit statuses."""
    sentence = re.search(r"Exit status\b.*?(?:\.\s|\.$|$)", text.replace("*", ""), re.DOTALL)
    return re.findall(r"\b\d+\b", sentence[0]) if sentence else []


def _helps(command: Any, path: str) -> list[tuple[str, str]]:
    found = [(path, f"{command.help or ''}\n{command.epilog or ''}")]
    if isinstance(command, typer.core.TyperGroup):
        context = typer.Context(command)
        for name in command.list_commands(context):
            found += _helps(command.get_command(context, name), f"{path} {name}".strip())
    return found


def test_a_page_is_filled_in_where_it_says_so() -> None:
    saying = {
        str(page.relative_to(REPOSITORY).with_suffix(""))
        for page in (REPOSITORY / "docs").rglob("*.md")
        if "\n<!-- generated -->\n" in page.read_text("utf-8")
    }
    assert saying == set(PAGES)


def test_the_man_page_has_every_verb_and_option() -> None:
    page = (REPOSITORY / "docs/openclaw-watchdog.1").read_text("utf-8").replace("\\-", "-")
    root = typer.main.get_command(app)
    assert [missing for missing in _wanted(root, "openclaw-watchdog") if missing not in page] == [], "make man"


def _wanted(command: Any, path: str) -> list[str]:
    found = [f"Usage: {path} ", *(name for one in command.params for name in one.opts if name.startswith("--"))]
    if isinstance(command, typer.core.TyperGroup):
        context = typer.Context(command)
        for name in command.list_commands(context):
            found += _wanted(command.get_command(context, name), f"{path} {name}")
    return found


def test_the_sites_environment_is_pinned_and_names_no_host() -> None:
    lines = (REPOSITORY / "docs/site/requirements.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    others = (REPOSITORY / "constraints.txt").read_text("utf-8").lower().splitlines()
    assert not {line.lower() for line in pins} & set(others)
