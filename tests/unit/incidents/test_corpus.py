"""Every incident of the corpus, played through the real watch. ``WATCHDOG_CORPUS``: only cases whose name has one of
these words in it, separated by ``|`` (for the mutants)."""

from __future__ import annotations

import os

import pytest

from tests.incidents.cases import FOLDER, Case, families, files_with
from tests.incidents.player import Player

_WORDS = os.environ.get("WATCHDOG_CORPUS", "").split("|")
CASES = [
    case
    for family in families(paths=files_with(_WORDS))
    for case in family.cases
    if any(word in case.name for word in _WORDS)
]


def test_every_file_is_looked_into() -> None:
    assert files_with([""]) == sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
async def test_it_goes_as_it_should(case: Case, request: pytest.FixtureRequest) -> None:
    """``known_gap``: what the code gets wrong today; a mended gap fails here until its mark is taken out."""
    if case.known_gap is not None:
        request.node.add_marker(pytest.mark.xfail(reason=case.known_gap, strict=True))
    played = await Player(case).play()
    course = {name: played.course(name) for name in played.seen}
    assert played.problems == [], f"{case.story}\n{course}\n{played.states}"
