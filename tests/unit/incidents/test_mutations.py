"""A mark means one statement or operand, and each way to take a guard out changes that and nothing else."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from tests.mutants.marks import marks_in
from tests.mutants.mutations import ALWAYS, DROP, NEVER, Mutation, StaleGuardError, mutated, swap, value

LIMIT = """\
LIMIT = 3


def held(one: int, other: int) -> int | None:
    {}
"""


def _without(statement: str, mutation: Mutation) -> str:
    """The body of ``held`` after the change, on one line."""
    source = LIMIT.format(dedent(statement).strip().replace("\n", "\n    "))
    [(_, line)] = marks_in(source)
    function = ast.parse(mutated(source, line, mutation)).body[-1]
    assert isinstance(function, ast.FunctionDef)
    return "; ".join(ast.unparse(function.body[-1]).split("\n    "))


@pytest.mark.parametrize(
    ("statement", "mutation", "left"),
    [
        ("if one:  # guard: a\n    return 1", NEVER, "if False:; return 1"),
        ("if one:  # guard: a\n    return 1", ALWAYS, "if True:; return 1"),
        ("if one:  # guard: a\n    return 1", DROP, "pass"),
        ("if one:  # guard: a\n    return 1", value("not other"), "if not other:; return 1"),
        ("# guard: a\nreturn one if other else None", ALWAYS, "return one if True else None"),
        ("found = [n for n in (one, other) if n]  # guard: a", NEVER, "found = [n for n in (one, other) if False]"),
        ("return one > LIMIT  # guard: a", value("None"), "return None"),
        ("return one > LIMIT  # guard: a", swap("LIMIT", "2 * LIMIT"), "return one > 2 * LIMIT"),
        ("for n in (one, other):  # guard: a\n    print(n)", value("()"), "for n in ():; print(n)"),
        ("return (\n    one  # guard: a\n    or other\n)", DROP, "return other"),
        ("return (\n    one\n    # guard: a\n    or other\n    or 7\n)", DROP, "return one or 7"),
        ("return (\n    one\n    # guard: a\n    and max(\n        one, other\n    ) > 2\n)", DROP, "return one"),
        ("print(\n    one,\n    sep='',  # guard: a\n)", DROP, "print(one)"),
        ("print(\n    one,\n    sep='',  # guard: a\n)", value("' '"), "print(one, sep=' ')"),
    ],
)
def test_what_is_marked_and_nothing_else(statement: str, mutation: Mutation, left: str) -> None:
    assert _without(statement, mutation) == left


def test_an_exception_is_not_caught() -> None:
    source = "try:\n    go()\nexcept KeyError:  # guard: a\n    pass\n"
    assert "except ZeroDivisionError:" in mutated(source, 3, value("ZeroDivisionError"))


@pytest.mark.parametrize(
    ("statement", "mutation"),
    [
        ("return one  # guard: a", NEVER),
        ("return one if (1 if other else 0) else None  # guard: a", NEVER),
        ("pass  # guard: a", value("None")),
        ("return one  # guard: a", swap("LIMIT", "4")),
        ("return one + one  # guard: a", swap("one", "other")),
        ("return one  # guard: a", value("renamed")),
    ],
)
def test_what_is_marked_must_be_what_the_mutation_is_for(statement: str, mutation: Mutation) -> None:
    with pytest.raises(StaleGuardError):
        _without(statement, mutation)


def test_several_guards_of_one_statement() -> None:
    source = "if one:\n    # guard: a\n    # why it is so\n\n    # guard: b, and more\n    return 1  # guard: c\n"
    assert [*marks_in(source)] == [("a", 6), ("b, and more", 6), ("c", 6)]


def test_a_mark_in_a_text_is_none() -> None:
    assert [*marks_in('TEXT = "# guard: a"\n')] == []
