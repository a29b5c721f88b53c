"""The scoreboard: ``python -m tests.incidents`` (``make corpus``). ``python -m tests.incidents WORD ...`` shows the course of
every case whose name contains one of the words. ``--record`` writes the figures into docs/evidence.md.

Exits 1 below the bar: every session that must not be touched untouched, at least 95 % of the recoverable ones recovered
with the right first step.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from tests.figures import record
from tests.incidents.cases import Case, Family, Right, families
from tests.incidents.player import Played, clock, play

RIGHT_FIRST_STEP = 0.95


def main(words: Sequence[str]) -> int:
    found = families()
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    is_recorded = list(words) == ["--record"]
    if words and not is_recorded:
        return _show(console, [case for family in found for case in family.cases if _named(case, words)])
    played = {case.name: play(case) for family in found for case in family.cases}
    console.print(_board(found, played))
    for one in played.values():
        if one.problems:
            gap = f"\n    known: {one.case.known_gap}" if one.case.known_gap else ""
            console.print(f"[red]✗[/] {one.case.name}: {'; '.join(one.problems)}{gap}", soft_wrap=True, markup=True)
    code = _verdict(console, list(played.values()))
    if is_recorded and not code:
        record.save("corpus", **figures(found), **_won(played.values()))
    return code


def figures(found: Iterable[Family]) -> dict[str, int]:
    """How many cases there are, and what is to become of their sessions."""
    cases = [case for family in found for case in family.cases]
    recoverable = sum(case.right is Right.RECOVER for case in cases)
    return {"cases": len(cases), "recoverable": recoverable, "untouchable": len(cases) - recoverable}


def _won(played: Iterable[Played]) -> dict[str, int]:
    won = [one.case.right is Right.RECOVER for one in played if one.is_won]
    return {"recovered": sum(won), "untouched": len(won) - sum(won)}


def _named(case: Case, words: Sequence[str]) -> bool:
    return any(word in case.name for word in words)


def _board(found: Sequence[Family], played: dict[str, Played]) -> Table:
    table = Table(title="incident corpus", title_style="bold")
    table.add_column("class")
    table.add_column("what it is", overflow="fold")
    for heading in ("recovered, right first step", "told, untouched", "left alone", "whole course"):
        table.add_column(heading, justify="right")
    is_second_half = False
    for family in sorted(found, key=lambda one: (one.is_false_positive, _place(one.cls))):
        if family.is_false_positive and not is_second_half:
            table.add_section()
            is_second_half = True
        mine = [played[case.name] for case in family.cases]
        cells = [_share(mine, right) for right in Right]
        table.add_row(family.cls, family.title, *cells, _count(sum(one.is_as_expected for one in mine), len(mine)))
    table.add_section()
    everything = list(played.values())
    cells = [_share(everything, right) for right in Right]
    whole = _count(sum(one.is_as_expected for one in everything), len(everything))
    table.add_row("all", f"{sum(one.passes for one in everything):,} passes", *cells, whole, style="bold")
    return table


def _place(cls: str) -> tuple[int, str]:
    return (int(cls[1:]), "") if cls[1:].isdigit() else (99, cls)


def _share(played: Sequence[Played], right: Right) -> str:
    mine = [one for one in played if one.case.right is right]
    return _count(sum(one.is_won for one in mine), len(mine)) if mine else ""


def _count(good: int, of: int) -> str:
    return f"[{'green' if good == of else 'red'}]{good}/{of}[/]"


def _verdict(console: Console, played: Sequence[Played]) -> int:
    recoverable = [one for one in played if one.case.right is Right.RECOVER]
    others = [one for one in played if one.case.right is not Right.RECOVER]
    touched = [one for one in others if not one.is_won]
    right = sum(one.is_won for one in recoverable)
    is_good = not touched and right >= RIGHT_FIRST_STEP * len(recoverable)
    console.print(
        f"{len(others) - len(touched)} of {len(others)} that must not be touched were left untouched (bar: all); "
        f"{right} of {len(recoverable)} recoverable ones got the right first step "
        f"({100 * right / max(1, len(recoverable)):.1f} %, bar: 95 %): "
        f"[bold {'green' if is_good else 'red'}]{'above' if is_good else 'BELOW'} the bar[/]",
        soft_wrap=True,
    )
    return 0 if is_good else 1


def _show(console: Console, cases: Sequence[Case]) -> int:
    for case in cases:
        one = play(case)
        console.print(f"\n[bold]{case.name}[/] ({case.version}, #{', #'.join(case.issues)}): {case.story}", markup=True)
        for name in one.seen:
            console.print(f"  {name}", markup=False)
            for line in one.course(name):
                console.print(f"    {line}", markup=False)
            for state in one.states.get(name, ()):
                console.print(f"    attempt {state}", markup=False)
        told = ", ".join(f"{clock(told.t)} {told.kind.value} {told.session or ''}".strip() for told in one.told)
        console.print(f"  told: {told or 'nothing'}", markup=False, soft_wrap=True)
        for problem in one.problems:
            console.print(f"  ✗ {problem}", style="red", markup=False, soft_wrap=True)
    return 0 if all(play_.is_as_expected for play_ in map(play, cases)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
