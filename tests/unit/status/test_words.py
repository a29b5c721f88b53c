"""One word for everything that the program may say, and the same one wherever it says it."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, ConsoleDimensions

from tests.unit.status.support import NOW, full_document
from watchdog.cli.render import top_frame
from watchdog.core.model import GatewayPhase
from watchdog.core.policy import Step
from watchdog.core.recovery import AttemptState
from watchdog.core.spans import span_words
from watchdog.core.verdict import Verdict
from watchdog.service.ledger import Outcome
from watchdog.status import page

FOLDER = Path(page.__file__).parent
PACKAGE = FOLDER.parent.parent


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("STEPS", Step),
        ("OUTCOMES", Outcome),
        ("ENDINGS", AttemptState),
        ("PHASES", GatewayPhase),
        ("VERDICTS", Verdict),
    ],
)
def test_every_value_has_a_word_on_the_page(table: str, said: type[StrEnum]) -> None:
    assert {one.value for one in said} <= set(map(str, page.TABLES[table]))
    sent = page.page_html().decode()
    found = re.search(rf"const {table} = (.*);", sent)
    assert found is not None
    assert json.loads(found[1]) == page.TABLES[table]
    assert sent.count(f"const {table} =") == 1, "the page has no words of its own beside them"


@pytest.mark.parametrize("outcome", Outcome)
def test_top_says_outcomes_as_the_page_does(outcome: Outcome) -> None:
    document: dict[str, Any] = dict(full_document())
    document["incidents"] = [{**document["incidents"][0], "outcome": outcome.value}]
    assert page.TABLES["OUTCOMES"][outcome] in _top(document).partition("incidents")[2]


@pytest.mark.parametrize("state", AttemptState)
def test_top_says_how_a_deed_went_as_the_page_does(state: AttemptState) -> None:
    document: dict[str, Any] = dict(full_document())
    attempt = {**document["deeds"][0]["attempt"], "state": state.value, "words": ""}
    document["deeds"] = [{**document["deeds"][0], "attempt": attempt}]
    assert page.TABLES["ENDINGS"][state] in _top(document).partition("last deeds")[2]


def _top(document: dict[str, Any]) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(top_frame(document, NOW.wall, ConsoleDimensions(160, 100), is_once=True))
    return console.export_text()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize(
    ("file", "line"),
    [(None, "openclaw-watchdog check"), ("/srv/my dogs.yaml", "openclaw-watchdog check --config '/srv/my dogs.yaml'")],
)
def test_a_command_on_the_page_names_the_configuration_that_it_would_not_find(file: str | None, line: str) -> None:
    shown = json.dumps({**full_document(), "config_file": file})
    program = (
        f"const state = {shown};\n{(FOLDER / 'words.js').read_text('utf-8')}\nconsole.log(typed('check').join(' '));"
    )
    done = subprocess.run(["node"], input=program, capture_output=True, text=True, check=True)
    assert done.stdout == f"{line}\n"


def test_no_command_on_the_page_is_written_out() -> None:
    for script in FOLDER.glob("*.js"):
        assert "openclaw-watchdog " not in script.read_text("utf-8"), "`typed` writes it, with its configuration"


SPANS = [0, 1, 59, 60, 61, 90, 3599, 3600, 3660, 86399, 86400, 47 * 3600 + 59 * 60, 48 * 3600, 49 * 3600, 90 * 86400]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_page_says_spans_as_everything_else_does() -> None:
    program = (FOLDER / "words.js").read_text("utf-8") + (
        f"\nconsole.log(JSON.stringify({json.dumps([-5, *SPANS])}.map((seconds) => span(seconds * 1000))));"
    )
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [span_words(timedelta(seconds=seconds)) for seconds in [-5, *SPANS]]


@pytest.mark.parametrize(("table", "said"), [("ENDINGS", AttemptState), ("OUTCOMES", Outcome)])
def test_the_glossary_has_the_same_words(table: str, said: type[StrEnum]) -> None:
    text = (PACKAGE.parent / "docs" / "glossary.md").read_text("utf-8")
    for one in said:
        assert f"| {one.value} | {page.TABLES[table][one.value]} | " in text


def test_nothing_else_puts_a_span_into_words() -> None:
    """Bar ``config.durations``, which writes what the configuration reads back, and one place on the page."""
    makers = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"divmod\([^)]*\b60\)", path.read_text("utf-8"))
    ]
    assert makers == ["core/spans.py"]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_counted_in_the_week_and_has_a_colour(outcome: Outcome) -> None:
    counted = re.search(r"const COUNTED = \[(.*)\];", (FOLDER / "timeline.js").read_text("utf-8"))
    assert counted is not None
    style = (FOLDER / "page.css").read_text("utf-8")
    assert f'"{outcome.value}"' in counted[1]
    assert f".badge.{outcome.value}" in style
    assert f".bar.{outcome.value} rect" in style
