"""No figure in docs/evidence.md, README.md or the tables between marks is typed by hand: measured ones come from the records,
bounds from the code."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer.core
import typer.main

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.scenarios import Expected, demo_world
from tests.figures import record
from tests.figures.document import BLOCK, TEMPLATE, Records, blocks, document, filled
from tests.incidents.__main__ import figures
from tests.incidents.cases import families
from watchdog.cli.app import app
from watchdog.core.policy import Recovery, Thresholds

README = Path(__file__).parents[3] / "README.md"
E2E = Path(__file__).parents[2] / "e2e"
RECORDS = record.load()
HOUR, MINUTE = 3600, 60


def _typed(text: str) -> list[str]:
    """Numbers in prose: without commands and code, links, versions, numbered lists, and what is filled in."""
    for what in (
        r"^```.*?^```", r"`[^`\n]*`", r"\{[^}]*\}", r"\]\([^)]*\)", r"\bv?\d+(\.\d+)+\b", r"^\d+\. ", r"\bp99\b",
        r"exit status \d",
    ):  # fmt: skip
        text = re.sub(what, "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\d[\d,]*[^|\n]{0,20}", text)


def test_the_document_says_what_the_records_hold() -> None:
    assert record.DOCUMENT.read_text("utf-8") == document(RECORDS), "run `make figures`"


@pytest.mark.parametrize("path", record.FILLED, ids=lambda path: path.stem)
def test_the_tables_between_marks_say_what_the_records_hold(path: Path) -> None:
    text = path.read_text("utf-8")
    assert filled(text, RECORDS) == text, "run `make figures`"
    outside = re.sub(r"\b(90 seconds|\d+\.\d+\.\d+)", "", BLOCK.sub("", text))
    took = [
        line
        for line in outside.splitlines()
        if re.search(r"\| (took|\d+(\.\d+)? (s|min))\b|\d (s|seconds|minutes) after", line)
    ]
    assert took == [], "a time is measured and recorded, or left out"


@pytest.mark.parametrize(
    "path", sorted((record.DOCUMENT.parent / "decisions").glob("0*.md")), ids=lambda path: path.stem
)
def test_a_decision_types_no_measured_figure(path: Path) -> None:
    """It links to where that is recorded. A bound that was chosen says so."""
    assert _measured(path.read_text("utf-8")) == []


def _measured(text: str) -> list[str]:
    """Lines with what only a measurement can say: a time in ms, a size, a share, what of a core."""
    found = re.compile(r"\d (ms|µs|KiB|MiB|MB|GB|%)(?!\w)|of one core")
    bound = re.compile(r"\b(at most|more than|at least)\b")
    return [line for line in BLOCK.sub("", text).splitlines() if found.search(line) and not bound.search(line)]


def test_a_measured_figure_in_a_decision_is_noticed() -> None:
    assert _measured("took 21 ms, no more\na request of at most 50 ms\n5.6 % of them\n") == [
        "took 21 ms, no more",
        "5.6 % of them",
    ]


def test_each_real_scene_that_is_named_is_a_test() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", TEMPLATE.read_text("utf-8"))
    assert len(named) > 1
    for file, test in named:
        assert f"\ndef {test}(" in (E2E / file).read_text("utf-8"), f"{file}::{test} is gone"


def test_every_table_stands_in_one_document() -> None:
    named = [found["name"] for path in record.FILLED for found in BLOCK.finditer(path.read_text("utf-8"))]
    assert sorted(named) == sorted(blocks(RECORDS))


def test_a_table_that_nobody_makes_is_noticed() -> None:
    with pytest.raises(KeyError, match="nobody"):
        filled("<!-- figures: nobody -->\n<!-- end of figures -->\n", RECORDS)


def test_no_figure_is_typed_into_its_words() -> None:
    assert _typed(TEMPLATE.read_text("utf-8")) == [], "a figure is measured and recorded, or left out"


def test_typed_figures_are_noticed() -> None:
    text = "1. In `make sim HOURS=200` {sim[deeds]:,} deeds\n2. of 2026.9.6 ([seen](a1.md)), 1,374 faults\n"
    assert _typed(text) == ["1,374 faults"]


def _everything(records: Records) -> str:
    return "\n".join([document(records), *blocks(records).values()])


@pytest.mark.parametrize("name", RECORDS)
def test_every_record_is_told_with_its_date(name: str) -> None:
    """In a table or a sentence; what nobody tells need not be kept."""
    parts = [RECORDS[name], *RECORDS[name].get("rows", ())]
    later = {**RECORDS[name], "measured": "2099-12-31"}
    if any("measured" in part for part in parts[1:]):
        later["rows"] = [{**row, "measured": "2099-12-31"} for row in later["rows"]]
    assert "2099-12-31" in _everything({**RECORDS, name: later})
    with pytest.raises(KeyError, match=name):
        _everything({other: kept for other, kept in RECORDS.items() if other != name})


def test_the_corpus_is_as_large_as_the_document_says() -> None:
    assert not record.differs("corpus", **figures(families())), "run `make corpus ARGS=--record`"


def test_the_readme_has_the_bounds_of_the_code_and_no_measured_figure() -> None:
    text = README.read_text("utf-8")
    thresholds, budget = Thresholds(), Recovery().budget
    stuck_after = f"{thresholds.stuck_after.total_seconds() / MINUTE:.0f} minutes"
    window = f"{budget.per.total_seconds() / HOUR:.0f} hours"
    assert budget.attempts == 3
    assert f"`stuck_after` ({stuck_after})" in text
    assert f"Three attempts in {window}" in text
    assert _typed(text.replace(stuck_after, "").replace(window, "")) == []


def test_the_demo_has_as_many_sessions_as_the_readme_says() -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, typer.core.TyperGroup)
    (version,) = (option.default for option in root.commands["demo"].params if option.name == "version")
    cases = demo_world(datetime(2026, 11, 20, 12, tzinfo=UTC), PROFILES[str(version)]).cases
    stuck = sum(case.expected is Expected.RECOVERED for case in cases)
    assert f"{stuck} stuck and {len(cases) - stuck} other sessions" in README.read_text("utf-8")
