"""One websocket to one gateway, over real sockets on loopback: sign-in, endings told apart, answers lost."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.fakes.clock import START
from tests.unit.gateway.links import SOON, is_clean, linked, refused_by
from tests.unit.gateway.server import CHALLENGE_TS, Answer, Closed, Raw, Refused, Silent, WireGateway, running
from tests.unit.gateway.support import OURS, PASSWORD, TOKEN, secret
from watchdog import __version__
from watchdog.gateway.wire.connection import FRAME_BURST, FRAMES_A_SECOND, Allowance, Link
from watchdog.gateway.wire.dial import MAX_FRAME
from watchdog.gateway.wire.protocol import MOST_VALUES, SignInSecrets
from watchdog.gateway.wire.refusals import WireError
from watchdog.service import errors
from watchdog.service.secret import Secret

from .test_refusals import SIGN_IN, Expected

DEEP = '{"type":"res","id":"{id}","ok":true,"payload":' + "[" * 100_000 + "]" * 100_000 + "}"

# ---------------------------------------------------------------- signing in


async def test_who_answers_is_looked_at_before_anything_secret_is_sent() -> None:
    gateway = WireGateway()
    ends: list[tuple[tuple[str, int], tuple[str, int]]] = []

    def of_another(ours: tuple[str, int], theirs: tuple[str, int]) -> str | None:
        ends.append((ours, theirs))
        raise errors.ForeignListener("home: uid 7 answers there.")

    async with running(gateway):
        refused = await refused_by(gateway.url, check_peer=of_another)
        assert type(refused) is errors.ForeignListener
        ((ours, theirs),) = ends
        assert theirs == ("127.0.0.1", gateway.port)
        assert (ours[0], ours[1] != gateway.port) == ("127.0.0.1", True)
    assert gateway.sign_ins == []
    async with linked(gateway, check_peer=lambda _ours, _theirs: "not seen") as link:
        assert link.unchecked_peer == "not seen"
    assert len(gateway.sign_ins) == 1


async def test_the_sign_in_says_who_we_are_and_proves_it() -> None:
    gateway = WireGateway()
    async with linked(gateway) as link:
        assert link.is_open
        assert link.end is None
        (params,) = gateway.sign_ins
    assert (params["minProtocol"], params["maxProtocol"]) == (3, 4)
    assert (params["role"], params["scopes"], params["caps"]) == ("operator", ["operator.read"], [])
    assert params["auth"] == {"token": TOKEN}
    assert (params["client"]["id"], params["client"]["mode"]) == ("gateway-client", "backend")
    assert params["client"]["version"] == __version__
    device = params["device"]
    raw_key = base64.urlsafe_b64decode(device["publicKey"] + "==")
    assert device["id"] == hashlib.sha256(raw_key).hexdigest() == OURS.device_id
    assert (device["signedAt"], device["nonce"]) == (CHALLENGE_TS, "nonce-1")
    text = "|".join(
        [
            "v3",
            device["id"],
            "gateway-client",
            "backend",
            "operator",
            "operator.read",
            str(CHALLENGE_TS),
            TOKEN,
            "nonce-1",
            params["client"]["platform"],
            "",
        ]
    )
    signature = base64.urlsafe_b64decode(device["signature"] + "==")
    Ed25519PublicKey.from_public_bytes(raw_key).verify(signature, text.encode())


async def test_what_the_hello_says() -> None:
    async with linked(WireGateway()) as link:
        assert (link.hello.server.version, link.hello.server.boot_id) == ("2026.9.6", "boot-1")
        assert link.hello.snapshot.session_defaults.main_session_key == "agent:main:main"
        assert link.clock_ms == CHALLENGE_TS


async def test_protocol_3_without_an_auth_part() -> None:
    async with linked(WireGateway(version="2026.3.24", boot_id=None)) as link:
        assert (link.hello.server.version, link.hello.auth, link.hello.server.boot_id) == ("2026.3.24", None, None)


@pytest.mark.parametrize(
    ("credentials", "auth", "signed"),
    [
        (SignInSecrets(token=Secret("shared"), device_token=Secret("device")), {"token": "shared"}, "shared"),
        (SignInSecrets(device_token=Secret("device")), {"token": "device"}, "device"),
        (SignInSecrets(password=Secret(PASSWORD)), {"password": PASSWORD}, ""),
        (SignInSecrets(), {}, ""),
    ],
    ids=["token", "device token", "password", "nothing"],
)
async def test_what_we_sign_in_with(credentials: SignInSecrets, auth: dict[str, str], signed: str) -> None:
    gateway = WireGateway()
    async with linked(gateway, credentials=credentials):
        (params,) = gateway.sign_ins
    assert params["auth"] == auth
    device = params["device"]
    text = (
        f"v3|{device['id']}|gateway-client|backend|operator|operator.read|{CHALLENGE_TS}|{signed}|nonce-1"
        f"|{params['client']['platform']}|"
    )
    assert device["signature"] == OURS.sign(text)


async def test_with_other_scopes() -> None:
    gateway = WireGateway()
    async with linked(gateway, scopes=("operator.read", "operator.write")):
        (params,) = gateway.sign_ins
    assert params["scopes"] == ["operator.read", "operator.write"]


async def test_a_challenge_without_a_time_is_signed_with_ours() -> None:
    gateway = WireGateway(challenge={"nonce": "n"})
    async with linked(gateway) as link:
        assert link.clock_ms is None
        assert gateway.sign_ins[0]["device"]["signedAt"] == int(START.wall.timestamp() * 1000)


async def test_chatter_before_the_challenge_the_hello_and_an_answer_disturbs_nobody() -> None:
    chatter = (
        '{"type":"event","event":"tick","payload":{"ts":1}}',
        '{"type":"event","event":"presence","payload":{}}',
        '{"type":"res","id":"w99","ok":true,"payload":{"other":true}}',
    )
    gateway = WireGateway(chatter=chatter, answers={"health": {"ok": True}})
    async with linked(gateway) as link:
        assert link.hello.server.version == "2026.9.6"
        assert msgspec.json.decode(await link.call("health")) == {"ok": True}


@pytest.mark.parametrize(("wire", "expected"), SIGN_IN.values(), ids=SIGN_IN)
async def test_every_refused_sign_in(wire: WireError, expected: Expected) -> None:
    error = {"code": wire.code, "message": wire.message, "details": wire.details}
    error |= {"retryable": wire.retryable, "retryAfterMs": wire.retry_after_ms}
    async with running(WireGateway(hello=Refused(error))) as gateway:
        refused = await refused_by(gateway.url)
    kind, words = expected
    assert type(refused) is kind
    assert words in str(refused)


# ---------------------------------------------------------------- not getting in


@pytest.mark.parametrize(
    "gateway", [WireGateway(challenge=Silent()), WireGateway(hello=Silent())], ids=["silent", "no hello"]
)
async def test_a_handshake_that_never_ends(gateway: WireGateway) -> None:
    async with running(gateway):
        refused = await refused_by(gateway.url, patience=SOON)
        await gateway.until_open(0)
    assert type(refused) is errors.GatewayUnresponsive


def _what_it_says(value: WireGateway | type[errors.GatewayError]) -> str:
    """The same in every process, as running in parallel needs it."""
    return f"{value.challenge}, {value.hello}" if isinstance(value, WireGateway) else value.__name__


@pytest.mark.parametrize(
    ("gateway", "kind"),
    [
        (WireGateway(challenge=Raw("hello?")), errors.NotAGateway),
        (WireGateway(challenge=Raw(b"\xff\xfe")), errors.NotAGateway),
        (
            WireGateway(challenge=Raw(b'{"type":"event","event":"connect.challenge","payload":"\xff"}')),
            errors.NotAGateway,
        ),
        (WireGateway(challenge=Raw(DEEP)), errors.NotAGateway),
        (WireGateway(challenge={"nonce": 5}), errors.NotAGateway),
        (WireGateway(challenge={}), errors.NotAGateway),
        (WireGateway(challenge=Closed(1013, "starting")), errors.GatewayStarting),
        (WireGateway(challenge=Closed(1012, "service restart")), errors.GatewayDraining),
        (WireGateway(challenge=Closed(1008, "policy")), errors.GatewayClosed),
        (WireGateway(challenge=Closed(None)), errors.GatewayClosed),
        (WireGateway(hello=Raw('{"type":"res","id":"{id}","ok":true,"payload":[]}')), errors.NotAGateway),
        (WireGateway(hello=Raw('{"type":"res","id":"{id}","ok":true,"payload":{"server":5}}')), errors.NotAGateway),
        (WireGateway(hello=Raw(b'{"type":"res","id":"w1","ok":true,"payload":["\xd6\xff"]}')), errors.NotAGateway),
        (WireGateway(hello=Raw(DEEP)), errors.NotAGateway),
        (WireGateway(hello=Raw(b"x" * (MAX_FRAME + 1))), errors.NotAGateway),
        (WireGateway(hello=Raw('{"type":"res","id":"{id}","ok":false}')), errors.RequestRefused),
        (WireGateway(hello=Closed(1013)), errors.GatewayStarting),
        (WireGateway(hello=Closed(None)), errors.GatewayClosed),
    ],
    ids=_what_it_says,
)
async def test_a_sign_in_that_goes_wrong(gateway: WireGateway, kind: type[errors.GatewayError]) -> None:
    async with running(gateway):
        assert type(await refused_by(gateway.url)) is kind
        await gateway.until_open(0)


async def test_a_gateway_that_repeats_the_token_in_no_known_place() -> None:
    """Our own sentences carry no secret; a refusal's words are only quoted where nothing typed fits."""
    for name, (wire, _) in SIGN_IN.items():
        if name == "client id":
            continue
        error = {"code": wire.code, "message": f"{wire.message} {TOKEN}", "details": wire.details}
        async with running(WireGateway(hello=Refused(error))) as gateway:
            await refused_by(gateway.url)


# ---------------------------------------------------------------- how a connection ends


async def _ended(link: Link) -> errors.GatewayError:
    assert link._reader is not None
    await asyncio.wait({link._reader}, timeout=5)
    assert not link.is_open
    assert link.end is not None
    is_clean(link.end)
    return link.end


@pytest.mark.parametrize(
    ("how", "kind", "code"),
    [
        (Closed(1012, "service restart"), errors.GatewayDraining, None),
        (Closed(1012, "service restart", shutdown=True), errors.GatewayDraining, None),
        (Closed(None, shutdown=True), errors.GatewayDraining, None),
        (Closed(1000, shutdown=True), errors.GatewayDraining, None),
        (Closed(None), errors.GatewayClosed, 1006),
        (Closed(1013), errors.GatewayStarting, None),
        (Closed(1008, "slow consumer"), errors.GatewayClosed, 1008),
        (Closed(1000), errors.GatewayClosed, 1000),
        (Closed(1011, "internal error"), errors.GatewayClosed, 1011),
    ],
    ids=str,
)
async def test_endings_are_told_apart(how: Closed, kind: type[errors.GatewayError], code: int | None) -> None:
    gateway = WireGateway()
    async with linked(gateway) as link:
        await gateway.end(how)
        end = await _ended(link)
        assert link.ended_at == START
    assert type(end) is kind
    if code is not None:
        assert isinstance(end, errors.GatewayClosed)
        assert end.code == code
        assert how.reason in str(end)


async def test_closing_it_ourselves() -> None:
    gateway = WireGateway()
    async with linked(gateway) as link:
        await link.close()
        await link.close()
        assert isinstance(link.end, errors.GatewayClosed)
        with pytest.raises(errors.GatewayClosed):
            await link.call("health")
        await gateway.until_open(0)
    assert gateway.asked == []


# ---------------------------------------------------------------- asking


async def test_a_request_and_its_answer() -> None:
    gateway = WireGateway(answers={"health": {"ok": True}})
    async with linked(gateway) as link:
        assert msgspec.json.decode(await link.call("health", {"x": 1})) == {"ok": True}
        before = link.bytes_received
        await link.call("health")
        assert link.bytes_received > before
    assert [one.params for one in gateway.asked] == [{"x": 1}, {}]


async def test_a_refusal_is_typed() -> None:
    error = {"code": "INVALID_REQUEST", "message": "unknown method: nosuch.method"}
    async with linked(WireGateway(answers={"nosuch.method": Refused(error)})) as link:
        with pytest.raises(errors.UnknownMethod):
            await link.call("nosuch.method")
        assert link.is_open


async def test_a_page_larger_than_the_librarys_default_limit() -> None:
    rows = [{"key": f"k{number}", "filler": "x" * 2000} for number in range(2000)]
    async with linked(WireGateway(answers={"sessions.list": {"sessions": rows}})) as link:
        payload = await link.call("sessions.list")
    assert len(bytes(payload)) > 4_000_000


LOST: dict[str, Answer] = {
    "killed": Closed(None),
    "restarted": Closed(1012, shutdown=True),
    "closed": Closed(1000),
    "silent": Silent(),
    "garbage instead": Raw("garbage"),
    "more than is taken": Raw(b"x" * (MAX_FRAME + 1)),
    "without a bottom": Raw(DEEP),
    "half an answer": Raw('{"type":"res","id":"{id}","ok":tr'),
}


@pytest.mark.parametrize("answer", LOST.values(), ids=LOST)
async def test_an_answer_that_never_comes_leaves_the_outcome_unknown(answer: Answer) -> None:
    gateway = WireGateway(answers={"chat.send": answer})
    async with linked(gateway) as link:
        with pytest.raises(errors.OutcomeUnknown) as lost:
            await link.call("chat.send", {"message": "go on"}, patience=SOON if not isinstance(answer, Closed) else 5)
        is_clean(lost.value)
    assert len(gateway.asked) == 1, "asked once, whatever happened"


# ---------------------------------------------------------------- answers that cannot be read


UNREADABLE: dict[str, str | bytes] = {
    "cut": '{"type":"res","id":"{id}","ok":tr',
    "garbage, and nothing else is waited for": "garbage",
    "bytes": b'\xff{"type":"res"',
    "without a bottom": DEEP,
    "spaced": '\n{ "type" : "res" , "id" : "{id}" , "ok" : tr',
    "of another shape": '{"type":"res","id":"{id}","ok":true,"error":7}',
    "millions of values": '{"type":"res","id":"{id}","ok":true,"payload":[' + "0," * (MOST_VALUES + 1) + "0]}",
}


@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE)
async def test_an_answer_that_cannot_be_read_is_said_at_once_and_no_silence(answer: str | bytes) -> None:
    gateway = WireGateway(answers={"chat.history": Raw(answer), "health": {"ok": True}})
    async with linked(gateway) as link:
        with pytest.raises(errors.AnswerUnreadable, match=r"home: chat\.history was answered with a frame") as failed:
            await link.call("chat.history", patience=60)
        assert isinstance(failed.value, errors.OutcomeUnknown), "a deed may have been done"
        assert link.is_open
        assert bytes(await link.call("health")) == b'{"ok": true}', "it harms nothing else"


async def test_half_an_emoji_in_any_field_is_no_reason_to_refuse_an_answer() -> None:
    sent = '{"type":"res","id":"{id}","ok":true,"payload":{"text":"half \\ud83d"}}'
    async with linked(WireGateway(answers={"chat.history": Raw(sent)})) as link:
        assert bytes(await link.call("chat.history")) == '{"text":"half �"}'.encode()


async def test_text_that_is_no_text_does_not_end_the_connection() -> None:
    """websockets would close it with 1007."""

    async def as_text(connection: Any) -> None:
        await connection.send(b'{"type":"event","event":"odd","payload":"\xed\xa0\xbd"}', text=True)

    gateway = WireGateway(answers={"health": {"ok": True}})
    async with linked(gateway) as link:
        await as_text(gateway._sockets[0])
        await link.call("health")
        assert link.is_open


async def test_an_event_that_cannot_be_read_is_nobodys_answer() -> None:
    gateway = WireGateway(answers={"health": {"ok": True}})
    async with linked(gateway) as link:
        gateway.chatter = ('{"type":"event","event":"x","payload":tr', '{"type":"res","id":"w99","ok":tr')
        assert bytes(await link.call("health")) == b'{"ok": true}'


async def test_what_may_have_been_anybodys_answer_is_remembered_until_they_time_out() -> None:
    gateway = WireGateway(answers={"chat.send": Silent(), "health": Silent(), "later": Silent()})
    async with linked(gateway) as link:
        calls = [asyncio.create_task(link.call(method, patience=SOON)) for method in ("chat.send", "health")]
        await gateway.until_asked(2)
        await gateway.say("garbage")
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(end) for end in ends] == [errors.AnswerUnreadable] * 2
        with pytest.raises(errors.OutcomeUnknown) as later:
            await link.call("later", patience=SOON)
    assert type(later.value) is errors.OutcomeUnknown, "nothing has come since it was asked"


async def test_a_frame_that_is_too_large_is_no_crash() -> None:
    gateway = WireGateway(answers={"sessions.list": Raw(b"x" * (MAX_FRAME + 1)), "health": Silent()})
    async with linked(gateway) as link:
        other = asyncio.create_task(link.call("health"))
        await gateway.until_asked(1)
        with pytest.raises(errors.AnswerUnreadable, match=r"sessions\.list") as failed:
            await link.call("sessions.list")
        assert failed.value.ends_connection
        assert type((await asyncio.gather(other, return_exceptions=True))[0]) is errors.AnswerUnreadable
        assert isinstance(link.end, errors.AnswerUnreadable), "not GatewayClosed 1006, which a crash is"


# ---------------------------------------------------------------- ends


async def test_why_it_was_lost_is_chained() -> None:
    async with linked(WireGateway(answers={"chat.send": Closed(1012)})) as link:
        with pytest.raises(errors.OutcomeUnknown) as lost:
            await link.call("chat.send")
    assert isinstance(lost.value.__cause__, errors.GatewayDraining)


async def test_all_that_wait_when_it_ends_learn_it() -> None:
    gateway = WireGateway(answers={"chat.send": Silent(), "health": Silent()})
    async with linked(gateway) as link:
        calls = [asyncio.create_task(link.call(method)) for method in ("chat.send", "health")]
        await gateway.until_asked(2)
        await gateway.end(Closed(None))
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ends] == [errors.OutcomeUnknown, errors.OutcomeUnknown]


async def test_after_the_end_nothing_is_sent_and_that_is_said() -> None:
    """Not ``OutcomeUnknown``: this request surely never left."""
    gateway = WireGateway(answers={"chat.send": {"status": "started"}})
    async with linked(gateway) as link:
        await gateway.end(Closed(None))
        await _ended(link)
        with pytest.raises(errors.GatewayClosed):
            await link.call("chat.send")
    assert gateway.asked == []


async def test_a_connection_that_breaks_while_we_write_leaves_the_outcome_unknown() -> None:
    """The other side may have read it all before it went away."""
    gateway = WireGateway(answers={"chat.send": {"status": "started"}})
    async with linked(gateway) as link:
        link._socket.transport.abort()
        assert link.is_open, "we do not know it yet"
        with pytest.raises(errors.OutcomeUnknown):
            await link.call("chat.send", {"message": "x" * 100})
        assert not link.is_open


async def test_an_answer_that_comes_too_late_disturbs_nobody() -> None:
    gateway = WireGateway(answers={"slow": Silent(), "health": {"ok": True}})
    async with linked(gateway) as link:
        with pytest.raises(errors.OutcomeUnknown):
            await link.call("slow", patience=SOON)
        for number in ("w1", "w2"):
            await gateway.say(f'{{"type":"res","id":"{number}","ok":true,"payload":{{"late":true}}}}')
        assert msgspec.json.decode(await link.call("health")) == {"ok": True}


ACCEPTED = '{"type":"res","id":"{id}","ok":true,"payload":{"status":"accepted","runId":"r1"}}'
ENDED = '{"type":"res","id":"w2","ok":true,"payload":{"status":"ok","result":{"deliverySucceeded":true}}}'


async def test_the_two_answers_of_agent() -> None:
    gateway = WireGateway(answers={"agent": Raw(ACCEPTED), "health": {"ok": True}})
    async with linked(gateway) as link:
        assert msgspec.json.decode(await link.call("agent"))["status"] == "accepted"
        assert link.final is not None
        assert not link.final.done()
        assert msgspec.json.decode(await link.call("health")) == {"ok": True}
        assert not link.final.done(), "another request's answer is not its"
        await gateway.say(ENDED)
        assert msgspec.json.decode(await link.final)["status"] == "ok"


async def test_a_second_answer_right_behind_the_first_is_not_lost() -> None:
    gateway = WireGateway(answers={"agent": Silent()})
    async with linked(gateway) as link:
        call = asyncio.create_task(link.call("agent"))
        await gateway.until_asked(1)
        for frame in (ACCEPTED.replace("{id}", "w2"), ENDED):
            link._take(link._conversation.receive(frame))  # both lay in the socket
        assert msgspec.json.decode(await call)["status"] == "accepted"
        assert link.final is not None
        assert link.final.done()
        assert msgspec.json.decode(await link.final)["status"] == "ok"


async def test_a_turn_that_ended_badly_says_so_in_its_second_answer() -> None:
    gateway = WireGateway(answers={"agent": Raw(ACCEPTED)})
    async with linked(gateway) as link:
        await link.call("agent")
        assert link.final is not None
        await gateway.say('{"type":"res","id":"w2","ok":false,"error":{"code":"X","message":"ended badly"}}')
        with pytest.raises(errors.RequestRefused, match="ended badly"):
            await link.final


async def test_a_connection_that_ends_before_the_second_answer() -> None:
    gateway = WireGateway(answers={"agent": Raw(ACCEPTED)})
    async with linked(gateway) as link:
        await link.call("agent")
        assert link.final is not None
        await gateway.end(Closed(None))
        with pytest.raises(errors.OutcomeUnknown):
            await link.final


@pytest.mark.parametrize("answer", [Refused({"code": "X", "message": "no"}), Silent(), Closed(None)], ids=str)
async def test_a_turn_that_was_not_taken_has_no_second_answer(answer: Answer) -> None:
    async with linked(WireGateway(answers={"agent": answer})) as link:
        with pytest.raises(errors.GatewayError):
            await link.call("agent", patience=SOON if isinstance(answer, Silent) else 5)
        assert link.final is None


async def test_no_other_request_has_a_second_answer() -> None:
    async with linked(WireGateway(answers={"chat.send": {"status": "started"}})) as link:
        await link.call("chat.send")
        assert link.final is None


# ---------------------------------------------------------------- what else arrives


async def test_what_a_gateway_says_unasked_disturbs_no_request() -> None:
    gateway = WireGateway(answers={"health": {"ok": True}})
    async with linked(gateway) as link:
        for seq in (1, 2, 5, 6):
            await gateway.say({"type": "event", "event": "agent", "payload": {}, "seq": seq})
        await gateway.say({"type": "event", "event": "sessions.changed", "payload": 7, "seq": "one"})
        assert bytes(await link.call("health")) == b'{"ok": true}'
        assert link.is_open


# ---------------------------------------------------------------- secrets


def test_nothing_shows_a_secret() -> None:
    credentials = SignInSecrets(token=secret(), password=Secret(PASSWORD), device_token=secret())
    shown = f"{credentials} {credentials!r} {OURS!r}"
    assert TOKEN not in shown
    assert PASSWORD not in shown


# ---------------------------------------------------------------- floods


def test_a_flood_is_held_back_and_an_ordinary_link_is_not() -> None:
    now, taken = 1000.0, 0
    allowance = Allowance(now)
    while now < 1060.0:
        wait = allowance.spend(now)
        taken += 1
        now += wait or 0.0001  # as fast as this machine can
    assert taken <= FRAME_BURST + 61 * FRAMES_A_SECOND
    assert taken >= 60 * FRAMES_A_SECOND, "it goes on, however slowly"
    ordinary = Allowance(now)
    assert not any(ordinary.spend(now + second / 50) for second in range(5000)), "50 frames a second are no flood"


async def test_who_floods_us_is_read_slowly() -> None:
    gateway = WireGateway(answers={"health": {"ok": True}})
    async with linked(gateway) as link:
        began = asyncio.get_running_loop().time()
        for number in range(FRAME_BURST + FRAMES_A_SECOND):
            await gateway.say({"type": "event", "event": "tick", "seq": number + 1})
        await link.call("health")
        took = asyncio.get_running_loop().time() - began
        assert took > 0.75, "a second, less what was saved up on the way"
