"""One gateway as the service sees it (``service.ports.Gateway``), over one connection per privilege level.

- The *watching* link asks for ``operator.read`` and is kept open: every poll goes over it. It cannot do harm.
- A *deed* link with exactly the scopes of the configured steps is opened for one deed and closed again.
- A *probe* link, signed by a second device with ``operator.write`` alone, asks early gateways (3.24, 4.14) whether a
  live web-started run refuses a stranger's abort. It is never opened on a version where that would kill the run, and kept
  as long as the watching link.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from watchdog.core.model import GatewayFacts, Look, ReplyAddress, Session, Snapshot
from watchdog.core.policy import Step
from watchdog.gateway.capabilities import (
    FIRST_LISTING_IN_PAGES,
    FIRST_QUIET_AT_SIGN_IN,
    WRITE,
    Version,
    parse_version,
    scopes_for,
    step_problem_of,
)
from watchdog.gateway.recovery.channels import channel_problem
from watchdog.gateway.recovery.deeds import Deeds
from watchdog.gateway.recovery.scopes import Grants
from watchdog.gateway.recovery.sign_in import SignIn
from watchdog.gateway.sessions.abort_probe import AbortProbe
from watchdog.gateway.sessions.clock_step import ClockReading
from watchdog.gateway.sessions.inspect import Inspector
from watchdog.gateway.sessions.poll import SessionPoller
from watchdog.gateway.wire.answers import Call, decoded
from watchdog.gateway.wire.boot_time import Boots, boot_reading
from watchdog.gateway.wire.connection import Link, Links
from watchdog.gateway.wire.dial import Dial
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.hello import facts_of
from watchdog.gateway.wire.identity import DeviceIdentity
from watchdog.gateway.wire.timestamps import instant
from watchdog.service import descriptors, errors
from watchdog.service.ports import Clock, Deed, Disconnect, Host, Receipt, Wants
from watchdog.service.redaction import Secrets


@dataclass(slots=True)
class Connected:
    """All that is true as long as one connection lives, and no longer: made whole at the sign-in, dropped whole."""

    endpoint: Endpoint
    link: Link
    """The watching one."""
    facts: GatewayFacts
    version: Version | None
    poller: SessionPoller
    inspector: Inspector
    is_loss_noted: bool = False
    """That the link ended, if it did not end by us."""


class GatewayClient:
    """See the module's docstring. Not safe for concurrent use by several tasks; one watch owns one client.

    ``steps``: what deeds may be; none: it only looks. ``configured``: what a device asks for that the gateway does not know;
    None: the same. ``secrets``: what no error repeats, though the gateway says it. ``on_let_in``: is told the url where this device was let in that was not known to be. ``on_repair``: is told each method once whose answer held text that had to be repaired.
    """

    def __init__(
        self,
        name: str,
        endpoint: Callable[[], Endpoint],
        *,
        device: DeviceIdentity,
        probe_device: DeviceIdentity,
        clock: Clock,
        host: Host,
        steps: frozenset[Step] = frozenset(),
        configured: frozenset[Step] | None = None,
        patience: float = 15.0,
        on_device_token: Callable[[str, tuple[str, ...], str], None] | None = None,
        on_let_in: Callable[[str], None] | None = None,
        on_repair: Callable[[str], None] | None = None,
        dial: Dial | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._name = name
        self._find = endpoint
        self._clock = clock
        self._host = host
        self._patience = patience
        self._on_let_in = on_let_in
        self._secrets = secrets if secrets is not None else Secrets()
        self._links = Links(name, device, clock, dial, on_device_token, on_repair, self._secrets)
        self._sign_in = SignIn(Grants(name, steps, self._open, clock), steps if configured is None else configured)
        self._deeds = Deeds(self._open, clock)
        self._probe = AbortProbe(lambda: self._open((WRITE,), device=probe_device), clock, patience)
        self._timed_out: dict[str, str] = {}
        self.boots = Boots()
        self._connected: Connected | None = None
        self._loss: Disconnect | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def unchecked_peer(self) -> str | None:
        """Why nobody looked up whose the gateway's port is; None: it was looked up, or there is no connection."""
        return self._connected.link.unchecked_peer if self._connected is not None else None

    @property
    def awaited_approval(self) -> errors.PairingRequired | None:
        """What a person is to approve before the steps can be done, though we were let in to look; None: nothing."""
        return self._sign_in.grants.awaited

    @property
    def _version(self) -> Version | None:
        """The gateway's; None also where there is no connection."""
        return self._connected.version if self._connected is not None else None

    def _required(self) -> Connected:
        if self._connected is None:
            raise errors.GatewayClosed(f"{self._name}: not connected.")
        return self._connected

    # ---------------------------------------------------------------- connecting

    async def connect(self) -> GatewayFacts:
        try:
            return await self._connect()
        except Exception as problem:
            if not isinstance(problem, errors.OutOfDescriptors) and descriptors.is_shortage(problem):
                # A configuration, a token or a lock that could not be read says nothing about the gateway either.
                raise errors.OutOfDescriptors(f"{self._name}: {descriptors.shortage()}.") from problem
            raise

    async def _connect(self) -> GatewayFacts:
        # Its end may go unsaid: who was told of a suspension signs in anew, and hears how it stands.
        if self._connected is not None and self._connected.link.is_open and not self._connected.link.is_suspending:
            await self._sign_in.grants.check_again()
            return self._connected.facts
        await self.close()
        endpoint = self._find()
        link = await self._sign_in.watch(
            partial(self._open, endpoint=endpoint),
            is_known=endpoint.is_known,
            has_own_token=endpoint.credentials.device_token is not None,
        )
        if not endpoint.is_known and self._on_let_in is not None:
            self._on_let_in(endpoint.url)
        try:
            connected = self._connected = self._begun(endpoint, link)
        except BaseException:
            await link.close()
            raise
        await self._sign_in.grants.check(connected.version)
        return connected.facts

    def _begun(self, endpoint: Endpoint, link: Link) -> Connected:
        """What the sign-in said, and those who look over this connection."""
        now, wall = self._clock.now(), instant(link.clock_ms)
        clock_base = ClockReading(float(link.clock_ms), now) if wall is not None and link.clock_ms else None
        reading = boot_reading(link.hello, link.clock_ms, now, lock_created_at=endpoint.lock_created_at)
        facts = facts_of(
            self._name,
            link.hello,
            booted_at=self.boots.booted_at(reading),
            state_dir=endpoint.state_dir,
            process=self.boots.processes,
            clock_skew=wall - now.wall if wall is not None else None,
            at=now,
        )
        version = parse_version(facts.version)
        inspector = Inspector(
            facts,
            version,
            self._call,
            self._clock,
            self._host,
            endpoint.gateway_pid,
            self._wanted_probe(),
            self._as_admin,
            self._timed_out,
        )
        poller = SessionPoller(
            self._fetch_page,
            self._clock,
            main_key=facts.main_session_key,
            counts_pages=version is not None and version >= FIRST_LISTING_IN_PAGES,
            clock_base=clock_base,
        )
        return Connected(endpoint, link, facts, version, poller, inspector)

    def _wanted_probe(self) -> AbortProbe | None:
        return self._probe if self._sign_in.grants.steps else None

    def pop_disconnect(self) -> Disconnect | None:
        self._note_loss()
        loss, self._loss = self._loss, None
        return loss

    async def close(self) -> None:
        self._note_loss()
        connected, self._connected = self._connected, None
        if connected is not None:
            await connected.link.close()
        await self._deeds.close()
        await self._probe.close()

    def _note_loss(self) -> None:
        connected = self._connected
        if connected is not None and connected.link.end is not None and not connected.is_loss_noted:
            connected.is_loss_noted = True
            self._loss = Disconnect(connected.link.end, connected.link.ended_at or self._clock.now())

    async def _open(
        self, scopes: tuple[str, ...], *, endpoint: Endpoint | None = None, device: DeviceIdentity | None = None
    ) -> Link:
        """``endpoint`` None: where we are connected to, or would be."""
        if endpoint is None:
            endpoint = self._connected.endpoint if self._connected is not None else self._find()
        return await self._links.open(endpoint, scopes, device=device, patience=min(self._patience, 10.0))

    def want(self, steps: frozenset[Step]) -> None:
        if self._sign_in.want(steps) and self._connected is not None:
            self._connected.inspector.probe = self._wanted_probe()

    def missing_scope(self, step: Step) -> str | None:
        return self._sign_in.grants.missing_for(step)

    # ---------------------------------------------------------------- looking

    async def list_sessions(self, always_read: Collection[str] | None = None, *, sweep: bool = False) -> Snapshot:
        connected = self._required()
        connected.inspector.forget_waiting()
        if always_read is None:
            return await connected.poller.whole()
        return await (connected.poller.whole(is_hurried=False) if sweep else connected.poller.incremental(always_read))

    async def _fetch_page(self, params: dict[str, Any]) -> msgspec.Raw:
        try:
            return await self._call("sessions.list", params, patience=max(self._patience, 30.0))
        except errors.RequestRefused as refused:
            said = f"{self._name}: the gateway refuses its list of sessions: {refused.code}: {refused.detail}"
            raise errors.ListRefused(said) from refused

    async def look(self, session: Session, wants: Wants) -> Look:
        inspector = self._required().inspector
        try:
            return await inspector.look(session, wants)
        # guard: wire: a look that cannot be used leaves one session unknown
        except (ArithmeticError, RecursionError, ValueError) as problem:
            # Numbers that cannot be reckoned with, depths that nobody goes to: this session is not known, the others are.
            why = f"what was answered cannot be used ({type(problem).__name__})"
            return Look(is_waiting_unread=True, problems=(why,))

    def _as_admin(self) -> contextlib.AbstractAsyncContextManager[Call] | None:
        """A short connection with the scopes of the configured steps; None where they were not granted admin, or where
        another sign-in disturbs."""
        version = self._version
        if version is None or version < FIRST_QUIET_AT_SIGN_IN:
            return None
        return self._signed_in_as_admin() if self._sign_in.grants.has_admin() else None  # guard: lists read as admin

    @contextlib.asynccontextmanager
    async def _signed_in_as_admin(self) -> AsyncIterator[Call]:
        link = await self._open(scopes_for(self._sign_in.grants.steps, self._version))
        try:
            yield lambda method, params: link.call(method, params, patience=self._patience)
        finally:
            await link.close()

    async def health_problem(self) -> str | None:
        try:
            answer = decoded(await self._call("health", {}), object, "health")
        except errors.AnswerUnreadable as problem:
            return f"The gateway's health cannot be read ({problem}), so nothing is done."
        loop = answer.get("eventLoop") if isinstance(answer, dict) else None
        if isinstance(loop, dict) and loop.get("degraded") is True:  # guard: degraded event loop
            return f"The gateway says its event loop is degraded{_figures(loop)}; it may be too slow to tell the truth."
        return None

    # ---------------------------------------------------------------- doing

    def step_problem(self, step: Step, session: Session) -> str | None:
        if self._connected is None:
            return "There is no connection to the gateway."
        return step_problem_of(self._connected.facts.methods, step, session)

    def may_act_as_admin(self) -> bool:
        return self._sign_in.grants.has_admin()

    async def prepare(
        self, step: Step, session: Session, *, route: ReplyAddress | None = None, is_as_owner: bool = False
    ) -> None:
        await self._deeds.forget_prepared()
        version = self._required().version
        if route is not None:
            problem = await channel_problem(route, self._call, self._secrets)
            if problem is not None:
                raise errors.ChannelDown(f"{self._name}: {problem}")
        await self._deeds.prepare(step, session, version, route=route, is_as_owner=is_as_owner)

    async def perform(self, deed: Deed) -> Receipt:
        if not self._deeds.is_prepared_for(deed):
            await self.prepare(deed.step, deed.session, route=deed.route, is_as_owner=deed.is_as_owner)
        return await self._deeds.perform(deed, self._version, patience=self._patience)

    async def delivered(self, run_id: str) -> bool | None:
        may_write = bool(self._sign_in.grants.steps)
        return await self._deeds.delivered(run_id, self._version, patience=self._patience, may_write=may_write)

    async def _call(self, method: str, params: dict[str, Any], *, patience: float | None = None) -> msgspec.Raw:
        """A look on the watching link: no answer means that the gateway does not respond, nothing worse; one that cannot be
        read (``AnswerUnreadable``) harms this look alone."""
        link = self._required().link
        try:
            answer = await link.call(method, params, patience=patience or self._patience)
        except errors.AnswerUnreadable:
            self.boots.note_answer(self._clock.now())
            raise
        except errors.OutcomeUnknown as lost:
            if link.end is not None:
                raise link.end from lost
            await self.close()
            raise errors.GatewayUnresponsive(
                f"{self._name}: connected, but {method} is not answered; the gateway hangs or is overloaded."
            ) from lost
        self.boots.note_answer(self._clock.now())
        return answer


def _figures(loop: dict[str, Any]) -> str:
    """`` (delay 4200 ms, 98 % busy)``: what ``health`` says beside it (5.18 and later), or nothing."""
    delay, busy = loop.get("delayP99Ms"), loop.get("utilization")
    found = [f"delay {delay:.0f} ms"] if isinstance(delay, int | float) and abs(delay) < 1e9 else []
    found += [f"{busy:.0%} busy"] if isinstance(busy, int | float) and abs(busy) < 1e9 else []
    return f" ({', '.join(found)})" if found else ""
