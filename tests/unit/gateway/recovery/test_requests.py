"""Which requests carry out a step on which version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from watchdog.core.model import ReplyAddress, Session, SessionKind, Status
from watchdog.core.policy import Step
from watchdog.gateway.capabilities import Version
from watchdog.gateway.recovery.requests import Request, requests_for
from watchdog.service.ports import Deed

V324, V414, V518, V96 = (2026, 3, 24), (2026, 4, 14), (2026, 5, 18), (2026, 9, 6)
VERSIONS: list[Version | None] = [V324, V414, V518, V96, None]
BEFORE_AGENT: list[Version | None] = [V324, V414, V518, None]
IRC = ReplyAddress("irc", "channel:#g1", "default")
GROUP = Session("agent:main:irc:group:#g1", Status.RUNNING, "sid-1", SessionKind.GROUP, reply_address=IRC)
MAIN = Session("agent:main:main", Status.RUNNING, "sid-1", SessionKind.MAIN, reply_address=IRC)
WEB = Session("agent:main:web", Status.RUNNING, "sid-1")
ALICE = ReplyAddress("telegram", "telegram:1001", "second", "12")
PLACE = {"channel": "telegram", "to": "telegram:1001", "accountId": "second", "threadId": "12"}


def _deed(step: Step, session: Session = GROUP, **changes: Any) -> Deed:
    made = Deed(step, session, "ocw-i1-1", message="go on", notice="fresh start", route=session.reply_address)
    return replace(made, **changes)


# ---------------------------------------------------------------- resume


@pytest.mark.parametrize("version", BEFORE_AGENT)
def test_up_to_518_a_chats_own_session_is_resumed_by_chat_send(version: Version | None) -> None:
    params = {"sessionKey": GROUP.key, "message": "go on", "idempotencyKey": "ocw-i1-1", "deliver": True}
    assert requests_for(_deed(Step.RESUME), version) == (Request("chat.send", params),)


@pytest.mark.parametrize(
    ("version", "session", "route"),
    [
        (V96, GROUP, IRC),
        # The row leads to whoever wrote last.
        *((version, replace(GROUP, reply_address=None), IRC) for version in VERSIONS),
        *((version, replace(GROUP, reply_address=ALICE), IRC) for version in VERSIONS),
        # No chat is named by the key, so `chat.send` would deliver to nobody, or to whoever wrote last.
        *((version, MAIN, IRC) for version in VERSIONS),
        (V324, replace(MAIN, key="agent:main:main:thread:1001:12", reply_address=IRC), IRC),
        # Another topic of the same chat is another place.
        (V324, replace(GROUP, reply_address=replace(IRC, thread_id="7")), IRC),
    ],
)
def test_elsewhere_the_route_is_named_with_everything_of_it(
    version: Version | None, session: Session, route: ReplyAddress
) -> None:
    (request,) = requests_for(_deed(Step.RESUME, session, route=route), version)
    assert request == Request(
        "agent",
        {
            "sessionKey": session.key,
            "message": "go on",
            "idempotencyKey": "ocw-i1-1",
            "deliver": True,
            "bestEffortDeliver": True,  # else the turn is refused while the chat app is down (2026.9.6)
            "channel": "irc",
            "to": "channel:#g1",
            "accountId": "default",
        },
    ), "no thread where the route has none: 5.18 and 9.6 would keep it"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_route_is_named_with_its_account_and_thread(version: Version | None) -> None:
    (request,) = requests_for(_deed(Step.RESUME, MAIN, route=ALICE), version)
    assert request.method == "agent"
    assert request.params.items() >= PLACE.items()


STALE = ReplyAddress("telegram", "telegram:1003", "default", "77")
"""The row's: it leads to who wrote last, and names the topic of somebody who wrote before (2026.5.18)."""


@pytest.mark.parametrize(
    ("version", "row", "thread"),
    [
        ((2026, 5, 18), STALE, "0"),
        ((2026, 3, 24), STALE, None),
        ((2026, 9, 6), STALE, None),
        (None, STALE, None),
        ((2026, 5, 18), replace(STALE, thread_id=None), None),
        ((2026, 5, 18), replace(STALE, to="telegram:1001"), None),  # another chat's thread is not added
        ((2026, 5, 18), None, None),
    ],
)
def test_518_is_told_that_an_answer_belongs_in_no_topic(
    version: Version | None, row: ReplyAddress | None, thread: str | None
) -> None:
    deed = _deed(Step.RESUME, replace(MAIN, reply_address=row), route=replace(STALE, thread_id=None))
    (request,) = requests_for(deed, version)
    assert request.method == "agent"
    assert request.params.get("threadId") == thread


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("session", [GROUP, MAIN, WEB])
def test_without_a_proven_chat_nothing_is_delivered(session: Session, version: Version | None) -> None:
    """Also where the row leads somewhere: that is the last writer's chat."""
    (request,) = requests_for(_deed(Step.RESUME, session, route=None), version)
    assert request.method == ("agent" if version == V96 else "chat.send")
    assert set(request.params) == {"sessionKey", "message", "idempotencyKey"}


# ---------------------------------------------------------------- ask and free


@pytest.mark.parametrize("version", VERSIONS)
def test_ask_says_its_words_literally_in_the_requesters_chat(version: Version | None) -> None:
    (request,) = requests_for(_deed(Step.ASK, MAIN, route=ALICE), version)
    said = {"message": "go on", "idempotencyKey": "ocw-i1-1", "sessionKey": MAIN.key}
    assert request == Request("send", PLACE | said)


def test_ask_without_a_chat_is_refused() -> None:
    with pytest.raises(ValueError, match="chat"):
        requests_for(_deed(Step.ASK, MAIN, route=None), V96)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("route", [None, ALICE])
def test_free_is_one_message_into_the_void(route: ReplyAddress | None, version: Version | None) -> None:
    (request,) = requests_for(_deed(Step.FREE, MAIN, route=route), version)
    assert request == Request("sessions.send", {"key": MAIN.key, "message": "go on", "idempotencyKey": "ocw-i1-1"}), (
        "it names no chat"
    )


# ---------------------------------------------------------------- new and reset


TOLD = Request(
    "send",
    {
        "to": "channel:#g1",
        "channel": "irc",
        "message": "fresh start",
        "idempotencyKey": "ocw-i1-1-notice",
        "sessionKey": GROUP.key,
        "accountId": "default",
    },
    is_telling=True,
)


@pytest.mark.parametrize(("step", "reason"), [(Step.NEW, "new"), (Step.RESET, "reset")])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_fresh_session_keeps_the_address_and_tells_the_requester_once(
    version: Version | None, step: Step, reason: str
) -> None:
    fence = {"expectedSessionId": "sid-1"} if version == V96 else {}
    reset = Request("sessions.reset", {"key": GROUP.key, "reason": reason, **fence})
    assert requests_for(_deed(step), version) == (reset, TOLD)


@pytest.mark.parametrize(("version", "is_fenced"), [((2026, 9, 4), False), ((2026, 9, 5), True)])
def test_a_reset_names_the_session_where_that_is_understood(version: Version, is_fenced: bool) -> None:
    """2026.9.4 refuses the whole request: ``unexpected property 'expectedSessionId'``."""
    assert ("expectedSessionId" in requests_for(_deed(Step.NEW), version)[0].params) is is_fenced


def test_the_route_is_used_exactly_as_it_is_spelt() -> None:
    address = ReplyAddress("telegram", "-100:7", None, "12")
    params = requests_for(_deed(Step.NEW, route=address), V96)[1].params
    assert (params["to"], params["threadId"], "accountId" in params) == ("-100:7", "12", False)


@pytest.mark.parametrize(
    "deed",
    [
        _deed(Step.NEW, WEB),
        _deed(Step.NEW, notice=None),
        _deed(Step.NEW, route=None),  # the row leads to the last writer, who asked for nothing
    ],
)
def test_nobody_to_tell_or_nothing_to_say(deed: Deed) -> None:
    assert len(requests_for(deed, V96)) == 1


# ---------------------------------------------------------------- the rest


@pytest.mark.parametrize("version", VERSIONS)
def test_recover_and_abort(version: Version | None) -> None:
    assert requests_for(_deed(Step.RECOVER), version) == (Request("sessions.recover", {"key": GROUP.key}),)
    assert requests_for(_deed(Step.ABORT), version) == (Request("sessions.abort", {"key": GROUP.key}),)


def test_notify_asks_nothing_of_a_gateway() -> None:
    with pytest.raises(ValueError, match="notify"):
        requests_for(_deed(Step.NOTIFY), V96)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("step", [step for step in Step if step is not Step.NOTIFY])
@pytest.mark.parametrize("session", [GROUP, MAIN, WEB])
def test_what_ruins_addresses_or_runs_a_model_for_nothing_is_never_used(
    step: Step, session: Session, version: Version | None
) -> None:
    route = session.reply_address or (IRC if step is Step.ASK else None)
    sent = requests_for(_deed(step, session, route=route), version)
    assert ("sessions.send" in [request.method for request in sent]) is (step is Step.FREE)
    assert "sessions.steer" not in [request.method for request in sent]
    assert [request.is_telling for request in sent[:1]] == [False]
    assert "/new" not in [request.params.get("message") for request in sent], "it is answered by a paid model call"
    for request in sent:
        assert not [name for name in request.params if name.startswith("origin")], "it rewrites the row's address"
