"""Which requests carry out a step on which version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from watchdog.core.model import ReplyAddress, Session, SessionKind, Status
from watchdog.core.policy import Step
from watchdog.gateway.capabilities import Version
from watchdog.gateway.deeds import Request, needs_cli, requests_for
from watchdog.service.ports import Deed

V324, V414, V518, V96 = (2026, 3, 24), (2026, 4, 14), (2026, 5, 18), (2026, 9, 6)
VERSIONS: list[Version | None] = [V324, V414, V518, V96, None]
IRC = ReplyAddress("irc", "channel:#g1", "default")
GROUP = Session("agent:main:irc:group:#g1", Status.RUNNING, "sid-1", SessionKind.GROUP, reply_address=IRC)
MAIN = Session("agent:main:main", Status.RUNNING, "sid-1", SessionKind.MAIN, reply_address=IRC)
WEB = Session("agent:main:web", Status.RUNNING, "sid-1")


def _deed(step: Step, session: Session = GROUP, **changes: Any) -> Deed:
    made = Deed(step, session, "ocw-i1-1", message="go on", notice="fresh start", reply_address=session.reply_address)
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("version", "method"),
    [(V324, "chat.send"), (V414, "chat.send"), (V518, "chat.send"), (V96, "agent"), (None, "chat.send")],
)
def test_resume_goes_to_the_chat_app_with_one_stable_key(version: Version | None, method: str) -> None:
    params: dict[str, object] = {
        "sessionKey": GROUP.key,
        "message": "go on",
        "idempotencyKey": "ocw-i1-1",
        "deliver": True,
    }
    if method == "agent":
        params["bestEffortDeliver"] = True  # else the turn is refused while the chat app is down (2026.9.6)
    assert requests_for(_deed(Step.RESUME), version) == (Request(method, params),)


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_chat_app_nothing_is_delivered(version: Version | None) -> None:
    (request,) = requests_for(_deed(Step.RESUME, WEB), version)
    assert "deliver" not in request.params


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


@pytest.mark.parametrize(
    ("version", "first"),
    [
        (
            V324,
            Request(
                "chat.send",
                {"sessionKey": GROUP.key, "message": "/new", "idempotencyKey": "ocw-i1-1", "deliver": True},
            ),
        ),
        (V414, Request("sessions.reset", {"key": GROUP.key, "reason": "new"})),
        (V518, Request("sessions.reset", {"key": GROUP.key, "reason": "new"})),
        (V96, Request("sessions.reset", {"key": GROUP.key, "reason": "new", "expectedSessionId": "sid-1"})),
        (None, Request("sessions.reset", {"key": GROUP.key, "reason": "new"})),
    ],
)
def test_new_keeps_the_address_and_tells_the_person(version: Version | None, first: Request) -> None:
    assert requests_for(_deed(Step.NEW), version) == (first, TOLD)


@pytest.mark.parametrize("version", VERSIONS)
def test_reset(version: Version | None) -> None:
    reset, told = requests_for(_deed(Step.RESET), version)
    assert (reset.method, reset.params["key"], reset.params["reason"]) == ("sessions.reset", GROUP.key, "reset")
    assert told == TOLD


def test_the_address_is_used_exactly_as_the_row_says_it() -> None:
    address = ReplyAddress("telegram", "-100:7", None, "12")
    deed = _deed(Step.NEW, replace(GROUP, reply_address=address))
    params = requests_for(deed, V96)[1].params
    assert (params["to"], params["threadId"], "accountId" in params) == ("-100:7", "12", False)


@pytest.mark.parametrize("deed", [_deed(Step.NEW, WEB), _deed(Step.NEW, notice=None)])
def test_nobody_to_tell_or_nothing_to_say(deed: Deed) -> None:
    assert len(requests_for(deed, V96)) == 1


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
def test_what_ruins_addresses_or_speaks_into_the_void_is_never_used(
    step: Step, session: Session, version: Version | None
) -> None:
    sent = requests_for(_deed(step, session), version)
    assert "sessions.send" not in [request.method for request in sent]
    assert "sessions.steer" not in [request.method for request in sent]
    assert [request.is_telling for request in sent[:1]] == [False]
    said_new = [request for request in sent if request.params.get("message") == "/new"]
    assert not said_new or version == V324, "later versions ignore it, or leave the row running"


@pytest.mark.parametrize(
    ("step", "session", "version", "is_cli"),
    [
        (Step.RESUME, MAIN, V324, True),
        (Step.RESUME, MAIN, V414, True),
        (Step.RESUME, MAIN, V518, True),
        (Step.RESUME, MAIN, V96, False),
        (Step.RESUME, MAIN, None, True),
        (Step.RESUME, GROUP, V324, False),
        (Step.RESUME, replace(MAIN, reply_address=None), V324, False),
        (Step.NEW, MAIN, V324, True),
        (Step.NEW, MAIN, V414, False),
        (Step.NEW, MAIN, V518, False),
        (Step.RESET, MAIN, V324, False),
        (Step.RECOVER, MAIN, V96, False),
    ],
)
def test_as_which_client(step: Step, session: Session, version: Version | None, is_cli: bool) -> None:
    assert needs_cli(step, session, version) is is_cli
