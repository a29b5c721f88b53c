"""The page has a word for everything that the program may say of it."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

from watchdog.core.model import GatewayPhase
from watchdog.core.policy import Step
from watchdog.core.recovery import AttemptState
from watchdog.service.ledger import Outcome
from watchdog.status import page

WORDS = (Path(page.__file__).parent / "words.js").read_text("utf-8")


@pytest.mark.parametrize(
    ("table", "said"),
    [("STEPS", Step), ("OUTCOMES", Outcome), ("ENDINGS", AttemptState), ("PHASES", GatewayPhase)],
)
def test_every_value_has_a_word(table: str, said: type[StrEnum]) -> None:
    found = re.search(rf"const {table} = {{ (.*) }};", WORDS)
    assert found is not None
    assert {one.value for one in said} <= set(re.findall(r"(\w+): \"", found[1]))


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_counted_in_the_week_and_has_a_colour(outcome: Outcome) -> None:
    folder = Path(page.__file__).parent
    counted = re.search(r"const COUNTED = \[(.*)\];", (folder / "timeline.js").read_text("utf-8"))
    assert counted is not None
    style = (folder / "page.css").read_text("utf-8")
    assert f'"{outcome.value}"' in counted[1]
    assert f".badge.{outcome.value}" in style
    assert f".bar.{outcome.value} rect" in style
