"""``python -m tests.mutants`` (``make mutants``): take out each guard in turn and run the tests that must notice.

Each guard is removed in a copy of the package; the tree itself is never touched. Words as arguments choose guards by name;
``--matrix`` shows what stands against each class of false positives; ``--record`` writes the figures of all of them into
docs/evidence.md.
Exits 1 on a survivor, and on a guard whose mark is gone or stands on something that cannot be taken out that way.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter

from rich.console import Console
from rich.table import Table

from tests.figures import record
from tests.incidents.cases import families
from tests.mutants.guards import GUARDS, Guard
from tests.mutants.marks import Mark, marks_under
from tests.mutants.matrix import lines
from tests.mutants.mutations import DROP, StaleGuardError, mutated
from tests.mutants.runner import Done, prepare, run_pytest

ROOT = Path(__file__).parents[2]
CORPUS = "tests/unit/incidents/test_corpus.py"
WORKERS = max(1, min(4, os.cpu_count() or 1))
PATIENCE, PATIENCE_FOR_ALL = 240, 1800
_IGNORED = shutil.ignore_patterns("__pycache__", "e2e", "*.pyc")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?)(?:::|\s|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant."""

    guard: Guard
    corpus: int = 0
    unit: int = 0
    trouble: str | None = None

    @property
    def is_caught(self) -> bool:
        return self.trouble is None and bool(self.corpus or self.unit)


def _copy() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    for name in ("watchdog", "openclaw_simulator", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=_IGNORED)
    for name in ("pyproject.toml", "config"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def _pytest(folder: Path, guard: Guard, *, patience: float = PATIENCE) -> Done:
    chosen = [CORPUS] if guard.cases else []
    # CI: hypothesis draws the same examples each time, and has no deadline that a busy machine would miss.
    env = {"WATCHDOG_CORPUS": "|".join(guard.cases), "CI": "true"}
    arguments = ["-q", "--tb=line", "-p", "no:cacheprovider", *chosen, *guard.tests]
    return run_pytest(folder, arguments, env, patience=patience)


def mutant_of(guard: Guard, marks: Sequence[Mark]) -> tuple[str, str]:
    """The file that the guard is in, and its text without it. Raises ``StaleGuardError``."""
    match [mark for mark in marks if mark.name == guard.name]:
        case [mark]:
            return mark.file, mutated((ROOT / mark.file).read_text(), mark.line, guard.mutation)
        case found:
            raise StaleGuardError(f"{len(found)} marks")


def _try(guard: Guard, marks: Sequence[Mark], folders: SimpleQueue[Path]) -> Result:
    try:
        name, mutant = mutant_of(guard, marks)
    except StaleGuardError as problem:
        return Result(guard, trouble=f"stale: {problem}")
    folder = folders.get()
    file = folder / name
    source = file.read_text()
    try:
        file.write_text(mutant)
        done = _pytest(folder, guard)
        if done.code is None:
            return Result(guard, trouble=f"no end within {PATIENCE} s")
        if done.code not in (0, 1):
            last = done.output.strip().splitlines()[-1:]
            return Result(guard, trouble=f"pytest ended with {done.code}: {''.join(last)}")
        failed = _FAILED.findall(done.output)
        corpus = sum(path == CORPUS for path in failed)
        return Result(guard, corpus, len(failed) - corpus)
    finally:
        file.write_text(source)
        folders.put(folder)


def main(words: Sequence[str]) -> int:
    if "--matrix" in words:
        return _show_matrix()
    is_recorded = list(words) == ["--record"]
    words = [] if is_recorded else words
    began = perf_counter()
    chosen = [guard for guard in GUARDS if not words or any(word in guard.name for word in words)]
    if not chosen:
        print(f"No guard is named so: {' '.join(words)}", file=sys.stderr)
        return 1
    marks = marks_under(ROOT)
    folders: SimpleQueue[Path] = SimpleQueue()
    prepare()
    made = [_copy() for _ in range(WORKERS)]
    try:
        for folder in made:
            folders.put(folder)
        trouble = _baseline(chosen, made[0])
        if trouble is not None:
            print(trouble, file=sys.stderr)
            return 1
        with ThreadPoolExecutor(WORKERS) as pool:
            results = []
            for result in pool.map(lambda guard: _try(guard, marks, folders), chosen):
                results.append(result)
                print(f"\r{len(results)} of {len(chosen)}", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
    code = _report(results, perf_counter() - began)
    if is_recorded and not code:
        record.save("mutants", guards=len(results), caught=sum(result.is_caught for result in results))
    return code


def _show_matrix() -> int:
    """Each class of false positives and what stands against it. Exits 1 where something is missing."""
    table = Table(title="classes of false positives, and what stands against them", title_style="bold")
    for heading in ("class", "unit tables", "corpus cases (that need a guard)", "guards taken out"):
        table.add_column(heading, overflow="fold")
    found = lines(families())
    for line in found:
        tables = ", ".join(Path(test).stem for test in line.unit_tests)
        cases = f"{len(line.cases)} ({len(line.guarded_cases)})"
        guards = ", ".join(guard.name for guard in line.guards)
        lacks = f"[bold red]{', '.join(line.lacks)} missing[/]" if line.lacks else guards
        table.add_row(line.false_positive.name, tables, cases, lacks)
    Console(width=None if sys.stdout.isatty() else 140, highlight=False).print(table)
    return 1 if any(line.lacks for line in found) else 0


def _baseline(chosen: Sequence[Guard], folder: Path) -> str | None:
    """The chosen tests pass as long as no guard is missing; otherwise every mutant would look caught."""
    cases = tuple(dict.fromkeys(word for guard in chosen for word in guard.cases))
    tests = tuple(dict.fromkeys(test for guard in chosen for test in guard.tests))
    whole = Guard("none", "", DROP, cases, tests)
    done = _pytest(folder, whole, patience=PATIENCE_FOR_ALL)
    if done.code is None:
        return f"The tests do not end within {PATIENCE_FOR_ALL} s with every guard in place."
    return None if done.code == 0 else f"The tests fail with every guard in place:\n{done.output[-3000:]}"


def _report(results: Sequence[Result], seconds: float) -> int:
    table = Table(title="guards taken out, one at a time", title_style="bold")
    for heading in ("guard", "against"):
        table.add_column(heading, overflow="fold")
    for heading in ("corpus", "unit"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for result in results:
        guard = result.guard
        state = "[green]caught[/]" if result.is_caught else f"[bold red]{result.trouble or 'SURVIVED'}[/]"
        corpus = str(result.corpus) if guard.cases else "-"
        table.add_row(guard.name, guard.against, corpus, str(result.unit) if guard.tests else "-", state)
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(table)
    caught = sum(result.is_caught for result in results)
    console.print(f"{caught} of {len(results)} caught, {seconds:.0f} s")
    return 0 if caught == len(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
