"""Every class of false positives has a unit table, a corpus case and guards; every guard has one mark in the product, can be
taken out there, and names tests that exist."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.incidents.cases import families
from tests.mutants.__main__ import mutant_of
from tests.mutants.guards import GUARDS, Guard
from tests.mutants.marks import marks_under
from tests.mutants.matrix import CLASSES, Line, lines

ROOT = Path(__file__).parents[3]
FAMILIES = families()
MARKS = marks_under(ROOT)
NAMES = [case.name for family in FAMILIES for case in family.cases]


@pytest.mark.parametrize("line", lines(FAMILIES), ids=lambda line: line.false_positive.name.replace(" ", "_"))
def test_nothing_is_missing(line: Line) -> None:
    assert line.lacks == []


def test_every_class_of_the_corpus_has_its_line() -> None:
    assert {one.corpus for one in CLASSES} == {family.cls for family in FAMILIES if family.is_false_positive}


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name.replace(" ", "_"))
def test_a_guard_can_be_taken_out_and_its_tests_are_there(guard: Guard) -> None:
    file, mutant = mutant_of(guard, MARKS)
    tree = ast.parse(mutant)
    assert ast.dump(tree) != ast.dump(ast.parse((ROOT / file).read_text()))
    compile(tree, file, "exec")
    assert guard.cases or guard.tests
    assert [word for word in guard.cases if not any(word in name for name in NAMES)] == []
    assert [test for test in guard.tests if not (ROOT / test).exists()] == []
    known = {name for one in CLASSES for name in one.against}
    assert guard.against in known or re.fullmatch(r"rule \d+", guard.against)


def test_every_mark_has_its_guard_and_every_guard_one_mark() -> None:
    names = Counter(guard.name for guard in GUARDS)
    assert Counter(mark.name for mark in MARKS) == names
    assert set(names.values()) == {1}


def test_what_takes_the_place_of_a_guard_names_what_there_is() -> None:
    """A mutant that fails for an attribute which was renamed would look caught (``mutated`` sees to the other names)."""
    product = {word for file in (ROOT / "watchdog").rglob("*.py") for word in re.findall(r"\w+", file.read_text())}
    used = {word for guard in GUARDS for word in re.findall(r"\.([a-z_]\w*)", guard.mutation.after)}
    assert used <= product
