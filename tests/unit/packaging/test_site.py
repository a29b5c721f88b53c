"""What the site says of the program is complete, and so is the man page; Sphinx itself is ``make docs``'s affair."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer.core
import typer.main

from tests.site.reference import PAGES, configuration, events, filled_meter, metrics
from watchdog.cli.app import app
from watchdog.config.schema import json_schema
from watchdog.service.events import Event

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


def test_every_exit_status_of_the_code_is_in_the_table() -> None:
    table = (REPOSITORY / "docs/operating.md").read_text("utf-8").partition("| exit status | means |")[2]
    shown = {
        int(one) for cell in re.findall(r"^\| ([\d /]+) \|", table, re.MULTILINE) for one in re.findall(r"\d+", cell)
    }
    code = "\n".join(file.read_text("utf-8") for file in (REPOSITORY / "watchdog/cli").glob("*.py"))
    named = re.findall(
        r"^(?:EX_[A-Z]+|NOT_RUNNING|STOPPED, NOT_INSTALLED) = ([\d, ]+)$|Leave\((\d)\)", code, re.MULTILINE
    )
    left_with = {int(one) for pair in named for one in re.findall(r"\d+", " ".join(pair))}
    assert left_with >= {0, 1, 3, 4, 65, 66, 69, 78}
    assert left_with | {2} == shown


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
