"""Two sign-ins, one process or two: sure before anybody is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from watchdog.core.model import ProcessSigns
from watchdog.core.same_process import START_APART, is_same_process, must_agree

EARLY = ProcessSigns("2026.3.24", None, "box 10.0.0.7", "/root/.openclaw/openclaw.json", "/root/.openclaw", 1000.0)
LATE = ProcessSigns("2026.9.6", "boot-1", None, None, None, 1000.0)


def test_a_boot_id_decides_alone() -> None:
    assert is_same_process(LATE, replace(LATE, began=5.0), share_session=False)
    assert not is_same_process(LATE, replace(LATE, boot_id="boot-2"), share_session=True)
    assert not is_same_process(LATE, replace(LATE, boot_id=None), share_session=True)


def test_an_earlier_version_is_known_by_all_it_says_together() -> None:
    assert is_same_process(EARLY, replace(EARLY, began=1000.0 + START_APART), share_session=True)


def test_paths_and_start_alone_are_those_of_any_container() -> None:
    assert not is_same_process(EARLY, EARLY, share_session=False)


@pytest.mark.parametrize(
    "other",
    [
        replace(EARLY, version="2026.3.25"),
        replace(EARLY, host="box 10.0.0.8"),
        replace(EARLY, host=None),
        replace(EARLY, config_path="/srv/openclaw.json"),
        replace(EARLY, state_dir="/srv"),
        replace(EARLY, began=1000.0 + START_APART + 0.001),
        replace(EARLY, began=1000.0 - START_APART - 0.001),
        replace(EARLY, began=None),
    ],
)
def test_one_difference_is_another_gateway(other: ProcessSigns) -> None:
    """A copy of a machine has its sessions, and its paths."""
    assert not is_same_process(EARLY, other, share_session=True)
    assert not is_same_process(other, EARLY, share_session=True)


def test_what_is_told_to_admins_only_is_not_missed() -> None:
    """2026.5.18 tells paths to admins only."""
    reader = replace(EARLY, config_path=None, state_dir=None)
    assert is_same_process(EARLY, reader, share_session=True)


def test_who_could_be_one_process_is_compared() -> None:
    """And never more of them than have to be: there may be thousands."""
    same = [(LATE, replace(LATE, began=5.0)), (EARLY, replace(EARLY, config_path=None, state_dir=None))]
    assert all(is_same_process(*pair, share_session=True) for pair in same)
    assert all(must_agree(one) == must_agree(other) for one, other in same)
    assert len({must_agree(replace(LATE, boot_id=f"boot-{number}")) for number in range(3000)}) == 3000
    assert len({must_agree(replace(EARLY, host=f"box 10.0.0.{number}")) for number in range(200)}) == 200
