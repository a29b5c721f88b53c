"""``.ci/run`` with a make that does nothing: what has its turn on which day, and that nothing which fails is green."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[3] / ".ci/run"
EVERY_DAY = [
    "make test", "make test-3.13 (part)", "make check", "make docs", "make sim", "make hostile", "make wheel", "make e2e"
]  # fmt: skip
TURNS = [
    "make test-3.12 (part)", "make test-lowest (part)", "make again", "make faults (killed)", "make container (part)"
]  # fmt: skip
HAS_POSTGRESQL = Path("/usr/lib/postgresql").exists()
MAKE = 'echo "$CI_DAY $*" >>asked; [ "$1" != "${FAILS-}" ]'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / ".ci").mkdir()
    shutil.copy(RUN, tmp_path / ".ci/run")
    # Nobody is root, so nothing is installed here.
    for name, text in {
        "bin/make": MAKE,
        "bin/id": "echo ${ACCOUNT:-1000}",
        ".ci/python": '[ "$1" != "${WITHOUT-}" ]',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def run(clone: Path, *arguments: str, day: int = 20_787, **more: str) -> tuple[int, dict[str, str]]:
    """Its exit code, and what its table says of each step."""
    environment = {**os.environ, "PATH": f"{clone / 'bin'}{os.pathsep}{os.environ['PATH']}", "CI_DAY": str(day), **more}
    done = subprocess.run(
        [clone / ".ci/run", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    table = re.findall(r"^((?:make|in all).*?) +(failed|skipped|\d+ min +\d+ s)$", done.stdout, re.MULTILINE)
    assert ("==> all green" in done.stdout) == (done.returncode == 0), done.stdout + done.stderr
    return done.returncode, {name: "done" if "min" in said else said for name, said in table}


@pytest.mark.parametrize("day", range(20_785, 20_790))
def test_each_day_has_its_turn(clone: Path, day: int) -> None:
    code, table = run(clone, day=day)
    turn = TURNS[day % len(TURNS)]
    assert (code, table.pop("in all")) == (0, "done")
    assert sorted(table) == sorted([*EVERY_DAY, turn])
    not_here = {"make container (part)", *({"make faults (killed)"} if not HAS_POSTGRESQL else ())}
    assert {name for name, said in table.items() if said == "skipped"} == not_here & {turn}
    assert {line.split()[0] for line in (clone / "asked").read_text().splitlines()} == {str(day)}, "one day for all"


def test_all_is_every_turn_and_each_python_whole(clone: Path) -> None:
    code, table = run(clone, "--all")
    assert code == 0
    for name in (*EVERY_DAY, *TURNS, "make test-newest"):
        assert name.removesuffix(" (part)").replace("(killed)", "(fleet)") in table
    assert "--ignore" not in (clone / "asked").read_text()


@pytest.mark.parametrize(
    ("day", "target"),
    [(20_785, "test-3.12"), (20_787, "again"), (20_786, "test-lowest"), (20_787, "e2e")],
)
def test_a_step_that_fails_ends_it_and_is_named(clone: Path, day: int, target: str) -> None:
    code, table = run(clone, day=day, FAILS=target)
    assert code
    (failed,) = (name for name, said in table.items() if said == "failed")
    assert failed.split()[1] == target
    assert (clone / "asked").read_text().splitlines()[-1].split()[1] == target, "nothing after it"


@pytest.mark.skipif(not HAS_POSTGRESQL, reason="as root it would install PostgreSQL")
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt-get here")
def test_root_makes_the_image_and_a_failure_of_it_is_one(clone: Path) -> None:
    assert run(clone, day=20_789, ACCOUNT="0")[1]["make container (part)"] == "done"
    assert run(clone, "--all", ACCOUNT="0")[1]["make container"] == "done"
    code, table = run(clone, "--all", ACCOUNT="0", FAILS="container")
    assert (bool(code), table["make container"]) == (True, "failed")


def test_a_python_that_is_not_here_is_skipped_and_said_so(clone: Path) -> None:
    code, table = run(clone, WITHOUT="3.13")
    assert (code, table["make test-3.13"]) == (0, "skipped")
