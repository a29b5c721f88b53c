"""What a session's key says."""

from __future__ import annotations

import pytest

from watchdog.core.model import SessionKind
from watchdog.core.session_key import Peer, agent_of, channel_of, cron_job_of, kind_of, names_its_chat, peer_of


@pytest.mark.parametrize(
    ("key", "agent"),
    [("agent:ops:main", "ops"), ("agent:ops", None), ("agent::main", None), ("global", None), ("", None)],
)
def test_the_agent_of_a_key(key: str, agent: str | None) -> None:
    assert agent_of(key) == agent


def test_the_main_session_is_the_one_the_gateway_names() -> None:
    assert kind_of("agent:ops:home", "agent:ops:home", None, None, is_subagent=False) is SessionKind.MAIN


@pytest.mark.parametrize(
    ("key", "job"),
    [
        ("agent:main:cron:job-1", "job-1"),
        ("agent:work:cron:job-1:run:0b1c", "job-1"),
        ("agent:main:cron:", None),
        ("agent:main:cron", None),
        ("agent:main:main", None),
        ("cron:job-1", None),
        ("", None),
    ],
)
def test_the_job_of_a_key(key: str, job: str | None) -> None:
    assert cron_job_of(key) == job


@pytest.mark.parametrize(
    "key", ["agent:main:main", "agent:main:lost", "agent:main:cron:nightly", "agent:main:subagent:x", "global", ""]
)
def test_keys_that_name_no_chat(key: str) -> None:
    assert peer_of(key) is None


def test_keys_that_name_one() -> None:
    assert peer_of("agent:main:telegram:work:direct:1001") == Peer("telegram", "1001", True, "work")
    assert peer_of("agent:main:telegram:group:-1:topic:3") == Peer("telegram", "-1", False, None, "3")
    assert peer_of("agent:main:main:thread:1001:77") == Peer("telegram", "1001", True, None, "77")


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("agent:main:telegram:direct:1001", True),
        ("agent:main:main:thread:1001:77", False),
        ("agent:main:slack:channel:c1:thread:7", False),
        ("agent:main:main", False),
    ],
)
def test_a_key_with_a_thread_does_not_name_its_chat(key: str, names: bool) -> None:
    assert names_its_chat(key) is names


@pytest.mark.parametrize(
    ("key", "channel"),
    [("agent:main:irc:direct:alice", "irc"), ("irc:group:#g1", "irc"), ("agent:main:main", None), ("", None)],
)
def test_the_channel_of_a_key(key: str, channel: str | None) -> None:
    assert channel_of(key) == channel
