"""A gateway that sees us come over a network lets nobody in until a person has approved the device (all four versions); on
its own machine some approve a device by themselves, the first time only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import ceil
from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from tests.unit.gateway.scene import ADMIN, LADDER, READ, SESSION, V96, V324, V414, V518, WRITE, scene_with
from tests.unit.gateway.server import Answer, Refused, Silent
from tests.unit.gateway.support import OURS, secret
from watchdog.core.policy import Step
from watchdog.gateway.capabilities import APPROVAL_CHECK
from watchdog.gateway.wire.protocol import SignInSecrets
from watchdog.gateway.wire.refusals import WireError, refusal
from watchdog.service import errors
from watchdog.service.ports import Wants

ALL = (READ, WRITE, ADMIN)
LITTLE_BY_LITTLE = timedelta(seconds=30)


@dataclass
class Doorkeeper:
    """Refuses devices until they are approved, as measured: one request waits for a device, and gathers scopes; before
    2026.9 it gets another id when it is asked for with other scopes than it has. It is forgotten five minutes after it was
    last asked for (source of all four)."""

    keeps_id: bool
    says_approved: bool
    approved: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    number: int = 0
    clock: ManualClock | None = None
    asked_at: float = 0.0
    reason: str | None = None
    """What it says instead of why it refuses; "": nothing."""
    says: set[str] = field(default_factory=set)
    """What it says is approved instead of what is."""
    approves_first: bool = False
    """A device that it does not know is approved with what it asks for (2026.3.28 to 4.2, on the gateway's own machine)."""

    @property
    def request_id(self) -> str:
        return f"request-{self.number}"

    def approve(self) -> None:
        self.approved |= self.waiting
        self.waiting = set()

    def __call__(self, params: dict[str, Any]) -> Answer:
        scopes = set(params["scopes"])
        if self.approves_first and not self.approved:
            self.approved = scopes
        if scopes <= self.approved:
            return None
        now = self.clock.now().monotonic if self.clock is not None else 0.0
        if now - self.asked_at > 300:
            self.waiting = set()
        self.asked_at = now
        if self.waiting != scopes and not (self.keeps_id and scopes <= self.waiting):
            self.number += 1
        self.waiting |= scopes
        details: dict[str, Any] = {
            "code": "PAIRING_REQUIRED",
            "requestId": self.request_id,
            "reason": self.reason if self.reason is not None else "scope-upgrade" if self.approved else "not-paired",
        }
        if self.says_approved and (
            self.approved or self.reason
        ):  # of every device it knows, whatever the reason (source)
            details["approvedScopes"] = sorted(self.says or self.approved)
        return Refused({"code": "NOT_PAIRED", "message": "pairing required", "details": details})


VERSIONS = pytest.mark.parametrize(
    ("version", "keeps_id", "says_approved"),
    [(V324, False, False), (V414, False, False), (V518, False, True), (V96, True, True)],
    ids=["3.24", "4.14", "5.18", "9.6"],
)


# ---------------------------------------------------------------- where nobody is asked the first time

V42: dict[str, Any] = {**V324, "version": "2026.4.2"}


def own_machine() -> Doorkeeper:
    return Doorkeeper(keeps_id=False, says_approved=False, approves_first=True)


@pytest.mark.parametrize("steps", [LADDER, frozenset[Step]()], ids=["who acts", "who looks"])
async def test_a_device_that_nobody_knows_asks_first_for_all_that_the_ladders_may_need(steps: frozenset[Step]) -> None:
    door = own_machine()
    async with scene_with(steps=steps, configured=LADDER, hello=door, **V42) as scene:
        assert door.approved == set(ALL)
        assert scene.link_scopes == [ALL, (READ,)], "and looks with the right to read"
        await scene.gateway.until_open(1)
        assert {scene.client.missing_scope(step) for step in LADDER} == {None}
        assert not door.waiting


async def test_who_observes_asks_for_reading_also_the_first_time() -> None:
    door = own_machine()
    async with scene_with(hello=door, **V42) as scene:
        await scene.client.close()
        await scene.client.connect()
        assert set(scene.link_scopes) == {(READ,)}
        assert (door.approved, door.waiting) == ({READ}, set())


async def test_who_only_looks_asks_for_more_once_and_leaves_a_known_device_what_it_has() -> None:
    door = own_machine()
    door.approved = {READ}
    async with scene_with(configured=LADDER, hello=door, **V42) as scene:
        waiting = door.number
        for _ in range(3):
            await scene.client.close()
            await scene.client.connect()
        assert (door.approved, door.number) == ({READ}, waiting)
        assert scene.link_scopes == [ALL] + 4 * [(READ,)]


async def test_a_device_that_was_approved_for_reading_first_is_told_of_one_request() -> None:
    door = own_machine()
    door.approved = {READ}
    async with scene_with(steps=LADDER, hello=door, **V42) as scene:
        (said,) = {(scene.client.missing_scope(step) or "").partition("devices approve ")[2][:9] for step in LADDER}
        assert said == door.request_id
        await scene.client.list_sessions()


async def test_a_gateway_that_is_replaced_by_such_a_release_is_asked_for_all_again() -> None:
    """2026.3.24 lets a device in without remembering it, and is updated while we watch."""
    async with scene_with(steps=LADDER, **V324) as scene:
        door = scene.gateway.hello = own_machine()
        await scene.client.close()
        await scene.client.connect()
        assert door.approved == set(ALL)
        assert scene.client.missing_scope(Step.NEW) is None


async def test_a_token_that_was_issued_for_reading_is_not_tried_for_more_before_we_read() -> None:
    """2026.3.24 calls it a wrong token then, and not one for less."""
    wrong = Refused({"code": "X", "message": "unauthorized", "details": {"code": "AUTH_TOKEN_MISMATCH"}})
    own_token = SignInSecrets(device_token=secret())
    async with scene_with(
        connect=False, steps=LADDER, hello=lambda params: None if params["scopes"] == [READ] else wrong, **V324
    ) as scene:
        scene.endpoint = replace(scene.endpoint, credentials=own_token)
        await scene.client.connect()
        assert scene.link_scopes[0] == (READ,)
        assert scene.client.missing_scope(Step.NEW) is not None


@pytest.mark.parametrize(
    "refusal_of_more",
    [
        {"code": "NOT_PAIRED", "message": "pairing required", "details": {"code": "PAIRING_REQUIRED"}},
        {"code": "X", "message": "scope mismatch", "details": {"code": "AUTH_SCOPE_MISMATCH"}},
        {"code": "NEW_CODE", "message": "not for everybody"},
    ],
    ids=["approval", "scopes", "unheard of"],
)
async def test_where_more_is_refused_and_reading_is_not_it_reads(refusal_of_more: dict[str, Any]) -> None:
    """No release is known to; a later one may."""

    def hello(params: dict[str, Any]) -> Answer:
        return None if params["scopes"] == [READ] else Refused(refusal_of_more)

    async with scene_with(steps=LADDER, hello=hello) as scene:
        await scene.client.list_sessions()
        assert scene.client.missing_scope(Step.RESUME) is not None
        for _ in range(5):
            await scene.client.connect()
        assert len(scene.link_scopes) <= 4, "and not in every pass"


async def test_a_gateway_that_starts_is_asked_for_all_when_it_is_up() -> None:
    """A sign-in for reading in its place would be the first one."""
    door, was_asked = own_machine(), 0

    def hello(params: dict[str, Any]) -> Answer:
        nonlocal was_asked
        was_asked += 1
        return Refused({"code": "UNAVAILABLE", "message": "not yet"}) if was_asked == 1 else door(params)

    async with scene_with(connect=False, steps=LADDER, hello=hello, **V42) as scene:
        with pytest.raises(errors.RequestRefused):
            await scene.client.connect()
        await scene.client.connect()
        assert door.approved == set(ALL)


# ---------------------------------------------------------------- where a person is


@VERSIONS
async def test_one_approval_is_enough_and_the_request_that_was_told_is_the_one_that_waits(
    version: dict[str, Any], keeps_id: bool, says_approved: bool
) -> None:
    door = Doorkeeper(keeps_id, says_approved)
    async with scene_with(connect=False, steps=LADDER, hello=door, **version) as scene:
        told: set[str] = set()
        for _ in range(4):
            with pytest.raises(errors.PairingRequired) as refused:
                await scene.client.connect()
            told.add(str(refused.value))
        (sentence,) = told
        assert refused.value.request == door.request_id
        assert f"`openclaw devices approve {door.request_id}` on the gateway's machine" in sentence
        assert door.waiting >= {READ, WRITE}
        door.approve()
        before = len(scene.link_scopes)
        await scene.client.connect()
        assert {scene.client.missing_scope(step) for step in LADDER} == {None}
        assert (READ,) in scene.link_scopes[before:], "it looks with the right to read and no more"


async def test_who_does_nothing_asks_for_the_right_to_read_and_no_more() -> None:
    door = Doorkeeper(keeps_id=False, says_approved=True)
    async with scene_with(connect=False, hello=door) as scene:
        for _ in range(3):
            with pytest.raises(errors.PairingRequired, match=r"request-1\b"):
                await scene.client.connect()
        assert set(scene.link_scopes) == {(READ,)}
        door.approve()
        await scene.client.connect()


@VERSIONS
async def test_who_may_read_only_watches_and_what_is_asked_for_more_is_said(
    version: dict[str, Any], keeps_id: bool, says_approved: bool
) -> None:
    door = Doorkeeper(keeps_id, says_approved, approved={READ})
    async with scene_with(steps=LADDER, hello=door, **version) as scene:
        for step in LADDER:
            assert f"devices approve {door.request_id}`" in (scene.client.missing_scope(step) or "")
        assert scene.client.awaited_approval is not None
        assert scene.client.awaited_approval.request == door.request_id
        door.approve()
        for _ in range(int(APPROVAL_CHECK / LITTLE_BY_LITTLE)):
            scene.clock.advance(LITTLE_BY_LITTLE.total_seconds())
            await scene.client.connect()
        assert {scene.client.missing_scope(step) for step in LADDER} == {None}, "without a new connection"
        assert scene.client.awaited_approval is None


async def test_until_it_is_approved_it_is_asked_for_rarely_and_under_the_same_id() -> None:
    door = Doorkeeper(keeps_id=False, says_approved=True, approved={READ})
    async with scene_with(steps=LADDER, hello=door, **V518) as scene:
        door.clock, door.asked_at = scene.clock, scene.clock.now().monotonic
        first, asked = door.request_id, len(scene.link_scopes)
        for _ in range(116):  # an hour of slow polls
            scene.clock.advance(31)
            await scene.client.connect()
        assert 10 < len(scene.link_scopes) - asked < 20
        assert set(scene.link_scopes[asked:]) == {ALL}
        assert door.request_id == first
        assert first in (scene.client.missing_scope(Step.NEW) or "")


@pytest.mark.parametrize("says_approved", [False, True])
async def test_what_is_approved_can_be_done_and_the_rest_is_asked_for(says_approved: bool) -> None:
    door = Doorkeeper(keeps_id=False, says_approved=says_approved, approved={READ, WRITE})
    async with scene_with(steps=LADDER, hello=door, **V518) as scene:
        assert scene.client.missing_scope(Step.RESUME) is None
        assert f"approve {door.request_id}`" in (scene.client.missing_scope(Step.NEW) or "")
        scene.clock.advance(APPROVAL_CHECK.total_seconds())
        await scene.client.connect()
        assert scene.client.missing_scope(Step.RESUME) is None
        assert scene.client.missing_scope(Step.NEW) is not None


@pytest.mark.parametrize("says_approved", [False, True])
async def test_a_part_that_was_approved_is_noticed(says_approved: bool) -> None:
    door = Doorkeeper(keeps_id=False, says_approved=says_approved, approved={READ})
    async with scene_with(steps=LADDER, hello=door, **V518) as scene:
        door.approved = {READ, WRITE}
        scene.clock.advance(APPROVAL_CHECK.total_seconds())
        await scene.client.connect()
        is_noticed = scene.client.missing_scope(Step.RESUME) is None
        assert is_noticed is says_approved, "asking in vain would rename the request, where the gateway does not say"
        await scene.client.close()
        await scene.client.connect()
        assert scene.client.missing_scope(Step.RESUME) is None
        assert scene.client.missing_scope(Step.NEW) is not None


@pytest.mark.parametrize("reason", ["", "role-upgrade", "metadata-upgrade", "not-paired", "scope-upgrade"])
@VERSIONS
async def test_whatever_the_reason_the_request_that_waits_is_not_renamed_at_every_poll(
    version: dict[str, Any], keeps_id: bool, says_approved: bool, reason: str
) -> None:
    """``role-upgrade``, say, after the device's token was revoked (source of 2026.4.14)."""
    known = set(ALL) if says_approved and reason.endswith("-upgrade") and reason != "scope-upgrade" else set()
    door = Doorkeeper(keeps_id, says_approved, reason=reason, says=known)
    async with scene_with(connect=False, steps=LADDER, hello=door, **version) as scene:
        numbers = set()
        for _ in range(10):
            with pytest.raises(errors.PairingRequired):
                await scene.client.connect()
            numbers.add(door.number)
        door.approve()
        await scene.client.connect()
        assert {scene.client.missing_scope(step) for step in LADDER} == {None}
    if (
        reason != "scope-upgrade" or says_approved
    ):  # a device that is known may be let in with READ alone: worth a sign-in
        assert len(numbers) == 1


async def test_a_token_that_covers_less_than_is_asked_for_does_not_keep_us_from_reading() -> None:
    """The gateway looks at the token before it looks at the device."""
    door = Doorkeeper(keeps_id=False, says_approved=False)
    narrow = Refused({"code": "X", "message": "scope mismatch", "details": {"code": "AUTH_SCOPE_MISMATCH"}})

    def hello(params: dict[str, Any]) -> Answer:
        return door(params) if params["scopes"] == [READ] else narrow

    async with scene_with(connect=False, steps=LADDER, hello=hello) as scene:
        with pytest.raises(errors.PairingRequired):
            await scene.client.connect()
        door.approve()
        await scene.client.connect()
        assert scene.client.missing_scope(Step.NEW) is not None


@VERSIONS
async def test_a_check_that_goes_wrong_leaves_what_was_granted(
    version: dict[str, Any], keeps_id: bool, says_approved: bool
) -> None:
    door = Doorkeeper(keeps_id, says_approved, approved={READ, WRITE})
    steps = frozenset({Step.RESUME, Step.RESET})
    async with scene_with(steps=steps, hello=door, **version) as scene:
        waiting = door.request_id
        assert scene.client.missing_scope(Step.RESUME) is None
        scene.gateway.hello = Refused(
            {"code": "UNAVAILABLE", "message": "x", "details": {"reason": "startup-sidecars"}}
        )
        for _ in range(3):
            scene.clock.advance(APPROVAL_CHECK.total_seconds())
            await scene.client.connect()
            assert scene.client.missing_scope(Step.RESUME) is None
            assert waiting in (scene.client.missing_scope(Step.RESET) or "")
        scene.gateway.hello = door
        scene.clock.advance(APPROVAL_CHECK.total_seconds())
        await scene.client.connect()
        assert door.request_id == waiting


async def test_a_gateway_that_starts_in_between_does_not_have_the_request_renamed() -> None:
    door = Doorkeeper(keeps_id=False, says_approved=False)
    starting = Refused({"code": "UNAVAILABLE", "message": "starting", "details": {"reason": "startup-sidecars"}})
    async with scene_with(connect=False, steps=LADDER, hello=door, **V414) as scene:
        with pytest.raises(errors.PairingRequired):
            await scene.client.connect()
        first = door.request_id
        scene.gateway.hello = starting
        with pytest.raises(errors.GatewayStarting):
            await scene.client.connect()
        scene.gateway.hello = door
        with pytest.raises(errors.PairingRequired, match=first):
            await scene.client.connect()


async def test_all_our_programs_have_the_same_request_wait() -> None:
    """`check` only reads, and asks for approval of what the daemon needs."""
    door = Doorkeeper(keeps_id=False, says_approved=False)
    async with (
        scene_with(connect=False, steps=LADDER, hello=door, **V414) as daemon,
        scene_with(connect=False, configured=LADDER, hello=door, **V414) as check,
    ):
        for scene in (daemon, check):
            with pytest.raises(errors.PairingRequired):
                await scene.client.connect()
        told = door.request_id
        for scene in (daemon, check) * 5:
            with pytest.raises(errors.PairingRequired, match=told):
                await scene.client.connect()
        door.approve()
        await check.client.connect()
        before = len(check.link_scopes)
        await check.client.close()
        await check.client.connect()
        assert set(check.link_scopes[before:]) == {(READ,)}, "once approved, it only reads"


@VERSIONS
async def test_other_steps_are_asked_for_without_a_new_connection(
    version: dict[str, Any], keeps_id: bool, says_approved: bool
) -> None:
    door = Doorkeeper(keeps_id, says_approved, approved={READ})
    async with scene_with(hello=door, **version) as scene:
        assert scene.client.missing_scope(Step.RESUME) is None, "nobody wants it"
        scene.client.want(LADDER)
        assert "not known yet" in (scene.client.missing_scope(Step.RESUME) or ""), "nothing is done before it is known"
        await scene.client.connect()
        assert f"approve {door.request_id}`" in (scene.client.missing_scope(Step.RESUME) or "")
        asked = len(scene.link_scopes)
        scene.client.want(LADDER)
        await scene.client.connect()
        assert len(scene.link_scopes) == asked, "the same ones are not asked for again"
        door.approved, door.waiting = set(), set()
        await scene.client.close()
        with pytest.raises(errors.PairingRequired):
            await scene.client.connect()
        assert WRITE in door.waiting, "and what a person is asked to approve is theirs"


async def test_whether_runs_live_is_asked_as_a_stranger_only_while_deeds_are_wanted() -> None:
    unauthorized = Refused({"code": "INVALID_REQUEST", "message": "unauthorized"})
    async with scene_with(answers={"sessions__abort": unauthorized}, **V414) as scene:
        for steps, said in ((frozenset[Step](), None), (LADDER, True), (frozenset[Step](), None)):
            scene.client.want(steps)
            await scene.client.connect()
            look = await scene.client.look(SESSION, Wants(abort_probe=True))
            assert look.abort_probe_unauthorized is said


async def test_no_answer_is_not_called_a_refusal() -> None:
    async with scene_with() as scene:
        scene.client._patience = 0.3
        scene.gateway.hello = Silent()
        scene.client.want(LADDER)
        await scene.client.connect()
        said = scene.client.missing_scope(Step.NEW) or ""
        assert "whether this sign-in may is not known. It could not be found out" in said
        assert "not granted" not in said


async def test_a_device_that_lost_its_approval_asks_anew() -> None:
    door = Doorkeeper(keeps_id=True, says_approved=True, approved=set(ALL))
    async with scene_with(steps=LADDER, hello=door) as scene:
        door.approved = set()
        await scene.client.close()
        for _ in range(2):
            with pytest.raises(errors.PairingRequired, match=r"wants this device approved"):
                await scene.client.connect()
        assert door.waiting == set(ALL)
        door.approved, door.waiting = {READ}, set()  # somebody gave it less than it asked for
        await scene.client.connect()
        assert "wants more scopes approved" in (scene.client.missing_scope(Step.NEW) or "")


async def test_an_unapproved_stranger_is_not_announced_at_every_look() -> None:
    """The probe's own device (3.24, 4.14) wants an approval of its own."""
    door = Doorkeeper(keeps_id=False, says_approved=False, approved=set(ALL))
    strangers = Doorkeeper(keeps_id=False, says_approved=False)

    def hello(params: dict[str, Any]) -> Answer:
        return (door if params["device"]["id"] == OURS.device_id else strangers)(params)

    unauthorized = Refused({"code": "INVALID_REQUEST", "message": "unauthorized"})
    async with scene_with(steps=LADDER, hello=hello, answers={"sessions__abort": unauthorized}, **V414) as scene:
        before = len(scene.link_scopes)
        for _ in range(20):
            look = await scene.client.look(SESSION, Wants(abort_probe=True))
            assert look.abort_probe_unauthorized is None
            assert "devices approve request-1`" in str(look.problems)
            scene.clock.advance(30)
        assert len(scene.link_scopes) - before == ceil(timedelta(minutes=10) / APPROVAL_CHECK)
        strangers.approve()
        scene.clock.advance(APPROVAL_CHECK.total_seconds())
        look = await scene.client.look(SESSION, Wants(abort_probe=True))
        assert look.abort_probe_unauthorized is True


# ---------------------------------------------------------------- the sentence


def _sentence(details: dict[str, Any], openclaw: str | None = None) -> str:
    error = WireError(code="NOT_PAIRED", message="pairing required", details={"code": "PAIRING_REQUIRED", **details})
    return str(refusal("home", "connect", error, openclaw=lambda: openclaw))


def test_the_command_is_the_one_of_that_gateway() -> None:
    inside = "podman exec openclaw-cell-acme node dist/index.js"
    assert f"run `{inside} devices approve 1-2` (or the newer id that `{inside} devices list` shows)." in _sentence(
        {"requestId": "1-2"}, inside
    )


@pytest.mark.parametrize("request_id", ["x; rm -rf ~", "--latest", "`id`", "", "a\nb", "7" * 65, 7, None])
def test_what_a_gateway_says_never_becomes_part_of_a_command(request_id: object) -> None:
    error = WireError(details={"code": "PAIRING_REQUIRED", "requestId": request_id})
    refused = refusal("home", "connect", error)
    assert isinstance(refused, errors.PairingRequired)
    assert refused.request is None
    said = _sentence({"requestId": request_id})
    assert said == (
        "home: the gateway wants this device approved first: run `openclaw devices list` and `openclaw devices approve` "
        "on the gateway's machine."
    )


@pytest.mark.parametrize("approved", [None, "operator.read", [7, None], {"a": 1}])
def test_what_it_says_of_approved_scopes_may_be_anything(approved: object) -> None:
    error = WireError(
        code="NOT_PAIRED",
        message="pairing required",
        details={"code": "PAIRING_REQUIRED", "reason": "scope-upgrade", "approvedScopes": approved},
    )
    wanted = refusal("home", "connect", error)
    assert isinstance(wanted, errors.PairingRequired)
    assert wanted.approved in (None, frozenset())
