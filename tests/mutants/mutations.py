"""The ways to take a guard out: each changes what is marked in the syntax tree, whatever its names are and its layout."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What happens to what is marked."""

    DROP = "drop"
    NEVER = "never"
    ALWAYS = "always"
    VALUE = "value"
    SWAP = "swap"


@dataclass(frozen=True, slots=True)
class Mutation:
    """One of the five below."""

    kind: Kind
    after: str = ""
    before: str = ""


DROP = Mutation(Kind.DROP)
"""Not there: the statement, or the operand of ``and`` and ``or``, the argument, the element of a list."""
NEVER = Mutation(Kind.NEVER)
"""The one condition (of ``if``, of ``a if b else c``, of a comprehension) is False."""
ALWAYS = Mutation(Kind.ALWAYS)
"""That condition is True."""


def value(expression: str) -> Mutation:
    """What the statement assigns, returns, tests, goes over or catches is ``expression``."""
    return Mutation(Kind.VALUE, expression)


def swap(before: str, after: str) -> Mutation:
    """The one expression ``before`` in what is marked is ``after``: a limit, a constant."""
    return Mutation(Kind.SWAP, after, before)


class StaleGuardError(Exception):
    """What is marked is not what the mutation is for."""


def mutated(source: str, line: int, mutation: Mutation) -> str:
    """``source`` with what begins on ``line`` changed. Comments and layout are lost."""
    tree = ast.parse(source)
    found = _marked(tree, line)
    _check_names(tree, line, mutation.after)
    match mutation.kind:
        case Kind.DROP:
            target = found
        case Kind.NEVER | Kind.ALWAYS:
            target = _only(_conditions(found), "condition", found)
        case Kind.VALUE:
            target = _value(found)
        case Kind.SWAP:
            wanted = ast.dump(_expression(mutation.before))
            same = [node for node in ast.walk(found) if isinstance(node, ast.expr) and ast.dump(node) == wanted]
            target = _only(same, mutation.before, found)
    _Change(target, _substitute(target, mutation)).visit(tree)
    return ast.unparse(tree) + "\n"


def _substitute(target: ast.AST, mutation: Mutation) -> ast.AST | None:
    match mutation.kind:
        case Kind.DROP:
            return ast.Pass() if isinstance(target, ast.stmt) else None
        case Kind.NEVER | Kind.ALWAYS:
            return ast.Constant(mutation.kind is Kind.ALWAYS)
        case Kind.VALUE | Kind.SWAP:
            return _expression(mutation.after)


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _marked(tree: ast.Module, line: int) -> ast.AST:
    """The statement that begins on the line; without one, the largest expression or argument that does."""
    here = [node for node in ast.walk(tree) if getattr(node, "lineno", None) == line]
    for node in here:  # from the outside in
        if isinstance(node, ast.stmt | ast.ExceptHandler):
            return node
    # A chain that begins here and goes on below is more than the operand which is meant.
    parts = [node for node in here if not (isinstance(node, ast.BoolOp) and node.end_lineno != line)]
    if not parts:
        raise StaleGuardError(f"nothing begins on line {line}")
    return parts[0]


def _conditions(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.If | ast.While):
        yield node.test
        return
    for inner in ast.walk(node):
        if isinstance(inner, ast.IfExp):
            yield inner.test
        elif isinstance(inner, ast.comprehension):
            yield from inner.ifs


def _value(node: ast.AST) -> ast.expr:
    found: ast.AST | None = node
    match node:
        case ast.Assign() | ast.AnnAssign() | ast.Return() | ast.keyword():
            found = node.value
        case ast.For():
            found = node.iter
        case ast.If():
            found = node.test
        case ast.ExceptHandler():
            found = node.type
        case _:
            pass
    if not isinstance(found, ast.expr):
        raise StaleGuardError(f"no value in {_shown(node)}")
    return found


def _only(found: Iterable[ast.expr], what: str, where: ast.AST) -> ast.expr:
    all_of_them = [*found]
    if len(all_of_them) != 1:
        raise StaleGuardError(f"{len(all_of_them)} times {what} in {_shown(where)}")
    return all_of_them[0]


def _shown(node: ast.AST) -> str:
    return ast.unparse(node).partition("\n")[0]


def _check_names(tree: ast.Module, line: int, after: str) -> None:
    """A mutant that fails for a name which is no more would look caught."""
    if not after:
        return
    expression = _expression(after)
    known = {*dir(builtins), *_names(expression, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.lineno <= line <= (node.end_lineno or 0):
            known |= _names(node)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            known.add(node.name)
        else:
            known |= _names(node)
    unknown = _names(expression) - known
    if unknown:
        raise StaleGuardError(f"no {', '.join(sorted(unknown))} where {after} would stand")


def _names(tree: ast.AST, context: type[ast.expr_context] = ast.expr_context) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ctx) if isinstance(ctx, context):
                names.add(name)
            case ast.arg(arg=name):
                names.add(name)
            case ast.alias(name=name, asname=alias):
                names.add(alias or name)
            case _:
                pass
    return names


class _Change(ast.NodeTransformer):
    """Puts one node, or nothing, in the place of another."""

    def __init__(self, target: ast.AST, substitute: ast.AST | None) -> None:
        self._target, self._substitute = target, substitute

    def visit(self, node: ast.AST) -> ast.AST | None:
        if node is self._target:
            return self._substitute
        self.generic_visit(node)
        return node.values[0] if isinstance(node, ast.BoolOp) and len(node.values) == 1 else node
