"""Every class of false positives has a unit table, a corpus case and guards; every guard names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.incidents.cases import families
from tests.mutants.guards import GUARDS, Guard
from tests.mutants.matrix import CLASSES, Line, lines

ROOT = Path(__file__).parents[3]
FAMILIES = families()
NAMES = [case.name for family in FAMILIES for case in family.cases]


@pytest.mark.parametrize("line", lines(FAMILIES), ids=lambda line: line.false_positive.name.replace(" ", "_"))
def test_nothing_is_missing(line: Line) -> None:
    assert line.lacks == []


def test_every_class_of_the_corpus_has_its_line() -> None:
    assert {one.corpus for one in CLASSES} == {family.cls for family in FAMILIES if family.is_false_positive}


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name.replace(" ", "_"))
def test_a_guard_is_where_it_says_and_its_tests_are_too(guard: Guard) -> None:
    assert (ROOT / guard.file).read_text().count(guard.before) == 1
    assert guard.before != guard.after
    assert guard.cases or guard.tests
    assert [word for word in guard.cases if not any(word in name for name in NAMES)] == []
    assert [test for test in guard.tests if not (ROOT / test).exists()] == []
    known = {name for one in CLASSES for name in one.against}
    assert guard.against in known or re.fullmatch(r"rule \d+", guard.against)


def test_no_two_guards_have_one_name() -> None:
    names = [guard.name for guard in GUARDS]
    assert len(set(names)) == len(names)
