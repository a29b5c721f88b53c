"""Whatever the other side sends, reading it raises nothing."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.clock import START
from tests.unit.gateway.support import OURS
from watchdog.gateway.wire.protocol import (
    LARGEST_HELLO,
    MOST_BEFORE_HELLO,
    MOST_VALUES,
    Conversation,
    EventFrame,
    Handshake,
    Malformed,
    Response,
    SignInSecrets,
)
from watchdog.gateway.wire.refusals import WireError
from watchdog.service import errors

CHALLENGE = (
    '{"type":"event","event":"connect.challenge","payload":{"nonce":"f99f","ts":1795163416709,'
    '"capabilities":["model-catalog-snapshot"]}}'
)
UNAVAILABLE = (
    '{"type":"res","id":"w1","ok":false,"error":{"code":"UNAVAILABLE","message":"sessions.list unavailable during '
    'gateway restart","retryable":true,"retryAfterMs":1000,"details":{"method":"sessions.list","reason":'
    '"gateway-restarting","phase":"accepting"}}}'
)


def _asked(method: str = "health") -> Conversation:
    conversation = Conversation()
    number, _ = conversation.request(method, {})
    assert number == "w1"
    return conversation


def test_requests_are_numbered_and_complete() -> None:
    conversation = Conversation()
    first, text = conversation.request("sessions.list", {"limit": 5})
    second, _ = conversation.request("health", {})
    assert first != second
    assert json.loads(text) == {"type": "req", "id": first, "method": "sessions.list", "params": {"limit": 5}}


def test_an_answer_finds_its_request() -> None:
    answer = _asked().receive('{"type":"res","id":"w1","ok":true,"payload":{"a":1}}')
    assert isinstance(answer, Response)
    assert (answer.id, answer.error) == ("w1", None)
    assert answer.payload is not None
    assert bytes(answer.payload) == b'{"a":1}'
    assert answer.size == len('{"type":"res","id":"w1","ok":true,"payload":{"a":1}}')


def test_it_is_told_which_answers_were_repaired() -> None:
    repaired: list[str] = []
    conversation = Conversation(repaired.append)
    for method in ("health", "chat.history", "status"):
        conversation.request(method, {})
    half = r'"half \ud83d"'
    assert isinstance(conversation.receive('{"type":"res","id":"w1","ok":true,"payload":"whole"}'), Response)
    assert repaired == []
    answer = conversation.receive(f'{{"type":"res","id":"w2","ok":true,"payload":{half}}}')
    assert isinstance(answer, Response)
    assert answer.payload is not None
    assert msgspec.json.decode(answer.payload) == "half �"
    assert isinstance(conversation.receive(f'{{"type":"event","event":"tick","payload":{half}}}'), EventFrame)
    assert conversation.receive(f'{{"type":"res","id":"w9","ok":true,"payload":{half}}}') is None
    assert isinstance(conversation.receive(f'{{"type":"res","id":"w3","ok":true,"payload":{half}'), Malformed)
    assert repaired == ["chat.history"]


def test_answers_may_come_in_any_order() -> None:
    conversation = _asked()
    conversation.request("status", {})
    later = conversation.receive('{"type":"res","id":"w2","ok":true}')
    earlier = conversation.receive('{"type":"res","id":"w1","ok":true}')
    assert isinstance(later, Response)
    assert isinstance(earlier, Response)
    assert (later.id, earlier.id) == ("w2", "w1")


def test_agent_alone_answers_twice() -> None:
    accepted, ended = '{"status":"accepted"}', '{"status":"ok"}'
    for method, both in (("agent", [accepted, ended]), ("chat.send", [accepted])):
        conversation = _asked(method)
        said: list[str] = []
        for payload in (accepted, ended, ended):
            answer = conversation.receive(f'{{"type":"res","id":"w1","ok":true,"payload":{payload}}}')
            if isinstance(answer, Response) and answer.payload is not None:
                said.append(bytes(answer.payload).decode())
        assert said == both


def test_a_refused_agent_answers_once() -> None:
    conversation = _asked("agent")
    assert isinstance(conversation.receive('{"type":"res","id":"w1","ok":false}'), Response)
    assert conversation.receive('{"type":"res","id":"w1","ok":true}') is None


def test_an_answer_nobody_waits_for_any_more_is_dropped() -> None:
    conversation = _asked()
    conversation.forget("w1")
    conversation.forget("never asked")
    assert conversation.receive('{"type":"res","id":"w1","ok":true}') is None


def test_a_refusal_carries_the_gateways_words() -> None:
    answer = _asked("sessions.list").receive(UNAVAILABLE)
    assert isinstance(answer, Response)
    assert answer.payload is None
    assert answer.error is not None
    assert (answer.error.code, answer.error.retryable, answer.error.retry_after_ms) == ("UNAVAILABLE", True, 1000)
    assert answer.error.detail("reason") == "gateway-restarting"
    assert answer.error.detail("nothing") is None


@pytest.mark.parametrize("rest", ["", ',"ok":false', ',"ok":null', ',"ok":null,"payload":{}'])
def test_only_ok_true_is_ok(rest: str) -> None:
    answer = _asked().receive(f'{{"type":"res","id":"w1"{rest}}}')
    assert isinstance(answer, Response)
    assert answer.payload is None
    assert answer.error == WireError(code="UNKNOWN", message="refused without a reason")


@pytest.mark.parametrize("details", [None, "text", 5, [1], {"reason": 7}])
def test_details_of_any_shape_are_survived(details: object) -> None:
    assert WireError(details=details).detail("reason") is None


def test_events() -> None:
    event = Conversation().receive(CHALLENGE)
    assert isinstance(event, EventFrame)
    assert event.name == "connect.challenge"
    assert msgspec.json.decode(event.payload)["nonce"] == "f99f"


@pytest.mark.parametrize("number", ["7.0", '"one"', "1e999", "null"])
def test_how_a_gateway_numbers_what_it_says_is_of_no_account(number: str) -> None:
    assert isinstance(Conversation().receive(f'{{"type":"event","event":"tick","seq":{number}}}'), EventFrame)


def test_what_it_says_outlives_the_buffer_it_came_in() -> None:
    data = bytearray(b'{"type":"event","event":"tick","payload":{"ts":1}}')
    event = Conversation().receive(bytes(data))
    data[:] = b"x" * len(data)
    assert isinstance(event, EventFrame)
    assert bytes(event.payload) == b'{"ts":1}'


@pytest.mark.parametrize(
    "data",
    [
        "",
        "nonsense",
        "[]",
        "null",
        "7",
        '"text"',
        "{}",
        '{"type":7}',
        '{"type":"event"}',
        '{"type":"event","event":""}',
        '{"type":"req","id":"1","method":"x"}',
        '{"type":"res","id":"w1","error":"text"}',
        '{"type":"res","id":"w1","error":{"code":5}}',
        '{"type":"event","event":"\ud800"',
        b"\xff\xfe",
        b'{"type":"event","event":"\xff"',
        "," * (MOST_VALUES + 1),
        b'{"type":"res","id":"w1","ok":true,"payload":[' + b"0," * MOST_VALUES + b"0]}",
        b'{"type":"res","id":"w1","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        '{"type":"res","id":"w1"',
    ],
)
def test_what_cannot_be_read_is_reported_without_its_content(data: str | bytes) -> None:
    answer = _asked().receive(data)
    assert isinstance(answer, Malformed)
    assert len(answer.reason) < 100


@pytest.mark.parametrize("data", ["garbage", b"\xff\xfe", '{"payload":{},"id":"w1"'])
def test_what_cannot_be_read_answers_the_only_request_that_waits(data: str | bytes) -> None:
    answer = _asked().receive(data)
    assert isinstance(answer, Malformed)
    assert answer.answers == "w1"
    two = _asked()
    two.request("status", {})
    answer = two.receive(data)
    assert isinstance(answer, Malformed)
    assert (answer.answers, answer.answers_nothing) == (None, False), "it may be the answer to either"


@pytest.mark.parametrize("data", ['{"type":"hello-ok"}', '{"type":"res","id":"w9","ok":true}', '{"type":"res"}'])
def test_what_concerns_nobody_is_nothing(data: str) -> None:
    assert _asked().receive(data) is None


# ---------------------------------------------------------------- fuzz

FUZZ_CASES = 100_000
SEED = 20261120
_WORDS = ("type", "res", "event", "req", "id", "w1", "ok", "payload", "error", "code", "details", "seq", "retryAfterMs")


def _is_sound(answer: object) -> bool:
    if isinstance(answer, Response):
        return (answer.payload is None) is (answer.error is not None)
    return answer is None or isinstance(answer, EventFrame | Malformed)


def _mutated(rng: Random, seeds: list[bytes]) -> bytes:
    """A real frame with some bytes changed, cut out, doubled or joined with another frame's."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 4)):
        at, kind = rng.randrange(len(data) + 1), rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at : at + rng.randint(1, 12)]
        elif kind == 2:
            data[at:at] = rng.choice(_WORDS).encode()
        elif kind == 3:
            data[at:at] = rng.choice((b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"1e999", b"-1", b"\\ud800"))
        elif kind == 4:
            data[at:at] = data[at : at + rng.randint(1, 30)]
        else:
            data[at:] = rng.choice(seeds)[at:]
    return bytes(data)


def test_a_hundred_thousand_broken_frames() -> None:
    rng = Random(SEED)
    seeds = [
        CHALLENGE.encode(),
        UNAVAILABLE.encode(),
        b'{"type":"res","id":"w1","ok":true,"payload":{"sessions":[{"key":"k","startedAt":1.5}],"hasMore":false}}',
        b'{"type":"event","event":"tick","payload":{"ts":1},"seq":12}',
        b'{"type":"event","event":"shutdown","payload":{"reason":"gateway restarting","restartExpectedMs":1500}}',
    ]
    seen: dict[str, int] = {}
    for _ in range(FUZZ_CASES):
        data = _mutated(rng, seeds)
        answer = _asked().receive(data)
        assert _is_sound(answer), data
        seen[type(answer).__name__] = seen.get(type(answer).__name__, 0) + 1
    assert set(seen) == {"Response", "EventFrame", "Malformed", "NoneType"}, "every way through is reached"


@given(data=st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_and_any_text(data: bytes | str) -> None:
    assert _is_sound(_asked().receive(data))


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS) | st.text(max_size=4), inner),
    max_leaves=12,
)


@given(
    frame=st.fixed_dictionaries(
        {"type": st.sampled_from(["res", "event", "req", "x"])},
        optional={
            "id": st.just("w1") | documents,
            "ok": documents,
            "payload": documents,
            "error": documents,
            "event": st.just("tick") | documents,
            "seq": documents,
        },
    )
)
def test_any_document_in_the_shape_of_a_frame(frame: dict[str, Any]) -> None:
    assert _is_sound(_asked().receive(json.dumps(frame)))


# ---------------------------------------------------------------- the sign-in

TICK = '{"type":"event","event":"tick"}'
HELLO = '{"type":"res","id":"w1","ok":true,"payload":{"server":{"version":"2026.9.6"}}}'


def _handshake(*before: str) -> Handshake:
    """One that has taken these frames."""
    handshake = Handshake("home", Conversation(), ("operator.read",), SignInSecrets(), OURS, lambda: None)
    for frame in before:
        handshake.receive(frame, START)
    return handshake


def test_a_sign_in_answers_one_challenge_and_is_open_with_the_hello() -> None:
    handshake = _handshake()
    assert handshake.receive(HELLO, START) is None, "nothing was asked"
    text = handshake.receive(CHALLENGE, START)
    assert text is not None
    assert json.loads(text)["method"] == "connect"
    assert handshake.receive(CHALLENGE, START) is None, "it is answered once"
    assert (handshake.hello, handshake.clock_ms) == (None, 1795163416709)
    assert handshake.receive(HELLO, START) is None
    assert handshake.hello is not None
    assert handshake.hello.server.version == "2026.9.6"


def test_what_nobody_reads_of_a_hello_may_have_any_shape() -> None:
    odd = {
        "type": 1,
        "protocol": "4",
        "server": {"version": "2026.9.6", "connId": 7},
        "auth": {"role": [], "scopes": []},
    }
    handshake = _handshake(CHALLENGE, json.dumps({"type": "res", "id": "w1", "ok": True, "payload": odd}))
    assert handshake.hello is not None
    assert handshake.hello.server.version == "2026.9.6"


@pytest.mark.parametrize("before", [(), (*(TICK,) * (MOST_BEFORE_HELLO - 1), CHALLENGE)], ids=["challenge", "hello"])
def test_a_sign_in_passes_over_so_many_frames_for_each_answer(before: tuple[str, ...]) -> None:
    handshake = _handshake(*before, *(TICK,) * (MOST_BEFORE_HELLO - 1))
    with pytest.raises(errors.NotAGateway, match="other things"):
        handshake.receive(TICK, START)


@pytest.mark.parametrize("before", [(), (CHALLENGE,)], ids=["challenge", "hello"])
def test_a_frame_of_a_sign_in_has_its_size(before: tuple[str, ...]) -> None:
    _handshake(*before).receive(TICK + " " * (LARGEST_HELLO - len(TICK)), START)
    with pytest.raises(errors.NotAGateway, match="bytes"):
        _handshake(*before).receive(TICK + " " * (LARGEST_HELLO - len(TICK) + 1), START)
