"""Rules: first match wins, patterns are globs, and what is unknown matches no pattern."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.builders import KEY, running
from tests.fakes.clock import START
from watchdog.core.model import MalformedRow, SessionKind, Snapshot
from watchdog.core.policy import BACKGROUND_MATCHES, NATURES, Match, Policy, PolicyBook, Step


@pytest.mark.parametrize(
    ("match", "is_match"),
    [
        (Match(), True),
        (Match(key=("agent:main:irc:*",)), True),
        (Match(key=("agent:main:IRC:*",)), False),
        (Match(key=("x", "*alice")), True),
        (Match(key=()), False),
        (Match(kind=("direct",)), True),
        (Match(kind=("group", "cron")), False),
        (Match(agent=("main",)), False),
        (Match(channel=("irc",)), True),
        (Match(gateway=("home",)), True),
        (Match(gateway=("other",)), False),
        (Match(archived=False), True),
        (Match(archived=True), False),
        (Match(key=("*",), gateway=("other",)), False),
    ],
)
def test_matching(match: Match, is_match: bool) -> None:
    row = running(kind=SessionKind.DIRECT, channel="irc", agent_id=None)
    assert match.matches("home", row) is is_match


def test_the_first_match_wins() -> None:
    one, two = Policy("one", match=Match(key=("*alice",))), Policy("two")
    book = PolicyBook((one, two), default=Policy("last"))
    assert book.policy_for("home", running()) is one
    assert book.policy_for("home", running(key="agent:main:main")) is two
    assert PolicyBook((one,)).policy_for("home", running(key="x")).name == "default"


@pytest.mark.parametrize("kind", SessionKind)
def test_background_kinds_are_those_nobody_waits_for_in_a_chat(kind: SessionKind) -> None:
    is_told_only = any(match.matches("home", running(kind=kind)) for match in BACKGROUND_MATCHES)
    assert is_told_only is kind.is_background
    assert any(match.matches("home", running(kind=kind, is_archived=True)) for match in BACKGROUND_MATCHES)


WHOLE = Snapshot(START, START, (running(),), is_complete=True)


@pytest.mark.parametrize(
    ("snapshot", "key", "is_gone"),
    [
        (WHOLE, "agent:main:gone", True),
        (WHOLE, KEY, False),
        (replace(WHOLE, is_complete=False), "agent:main:gone", False),
        (replace(WHOLE, malformed=(MalformedRow(1, "x", "agent:main:gone"),)), "agent:main:gone", False),
        (replace(WHOLE, malformed=(MalformedRow(1, "x", None),)), "agent:main:gone", False),
        (replace(WHOLE, malformed=(MalformedRow(1, "x", "agent:main:b"),)), "agent:main:gone", True),
    ],
)
def test_only_a_whole_and_readable_list_says_that_a_session_is_gone(
    snapshot: Snapshot, key: str, is_gone: bool
) -> None:
    assert snapshot.lacks(key) is is_gone


def test_every_step_has_a_nature() -> None:
    assert set(NATURES) == set(Step)
