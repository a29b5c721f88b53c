"""Every incident of the corpus, played through the real watch."""

from __future__ import annotations

import pytest

from tests.incidents.cases import Case, families
from tests.incidents.player import Player

CASES = [case for family in families() for case in family.cases]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_it_goes_as_it_should(case: Case, request: pytest.FixtureRequest) -> None:
    """``known_gap``: what the code gets wrong today; a mended gap fails here until its mark is taken out."""
    if case.known_gap is not None:
        request.node.add_marker(pytest.mark.xfail(reason=case.known_gap, strict=True))
    played = await Player(case).play()
    course = {name: played.course(name) for name in played.seen}
    assert played.problems == [], f"{case.story}\n{course}\n{played.states}"
