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
from typing import Any

import msgspec

from watchdog.core.model import GatewayFacts, Look, ReplyAddress, Session, Snapshot
from watchdog.core.policy import Step
from watchdog.gateway.capabilities import (
    ADMIN,
    FIRST_LISTING_IN_PAGES,
    FIRST_QUIET_AT_SIGN_IN,
    FIRST_WAIT_SAYING_DELIVERED,
    READ,
    WRITE,
    Version,
    parse_version,
    scopes_for,
    step_problem_of,
)
from watchdog.gateway.recovery.channels import channel_problem
from watchdog.gateway.recovery.delivery_reports import DeliveryReports
from watchdog.gateway.recovery.scopes import Grants
from watchdog.gateway.recovery.send import send
from watchdog.gateway.sessions.abort_probe import AbortProbe
from watchdog.gateway.sessions.clock_step import ClockReading
from watchdog.gateway.sessions.inspect import Inspector
from watchdog.gateway.sessions.pending import Ask
from watchdog.gateway.sessions.poll import SessionPoller
from watchdog.gateway.wire.answers import decoded
from watchdog.gateway.wire.boot_time import Boots
from watchdog.gateway.wire.connection import Introduction, Link
from watchdog.gateway.wire.dial import Dial
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.handshake import boot_reading, facts_of
from watchdog.gateway.wire.identity import DeviceIdentity
from watchdog.gateway.wire.timestamps import instant
from watchdog.service import descriptors, errors
from watchdog.service.ports import Clock, Deed, Disconnect, Host, Receipt, Wants

SIGN_IN_SETTLES = 2.0
"""Seconds between signing in and a deed whose answer has to reach a chat app, before ``FIRST_QUIET_AT_SIGN_IN``."""


_Prepared = tuple[Step, str, ReplyAddress | None, bool]
"""What a connection was signed in for: step, session, route, as owner or not."""


class _Delivery(msgspec.Struct):
    status: str | None = None


class _WaitAnswer(msgspec.Struct, rename="camel"):
    status: str | None = None
    terminal_delivery: _Delivery | None = None


class GatewayClient:
    """See the module's docstring. Not safe for concurrent use by several tasks; one watch owns one client.

    ``steps``: what deeds may be; none: it only looks. ``configured``: what a person is asked to approve at once; None: the
    same. ``on_repair``: is told each method once whose answer held text that had to be repaired.
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
        on_repair: Callable[[str], None] | None = None,
        dial: Dial | None = None,
    ) -> None:
        self._name = name
        self._find = endpoint
        self._device = device
        self._clock = clock
        self._host = host
        self._steps = steps
        self._configured = steps if configured is None else configured
        self._patience = patience
        self._on_device_token = on_device_token
        self._on_repair = on_repair
        self._repaired: set[str] = set()
        self._dial = dial
        self._endpoint: Endpoint | None = None
        self._link: Link | None = None
        self._facts: GatewayFacts | None = None
        self._version: Version | None = None
        self._clock_base: ClockReading | None = None
        self._poller: SessionPoller | None = None
        self._inspector: Inspector | None = None
        self._grants = Grants(name, steps, self._open, clock)
        self._may_not_read = False  # it was refused, and has not been let in since
        self._probe = AbortProbe(lambda: self._open((WRITE,), device=probe_device), clock, patience)
        self._timed_out: dict[str, str] = {}
        self._boots = Boots()
        self._loss: Disconnect | None = None
        self._lost_link: Link | None = None
        self._prepared: tuple[_Prepared, Link] | None = None
        self._reports = DeliveryReports(clock)

    @property
    def name(self) -> str:
        return self._name

    @property
    def unchecked_peer(self) -> str | None:
        """Why nobody looked up whose the gateway's port is; None: it was looked up, or there is no connection."""
        return self._link.unchecked_peer if self._link is not None else None

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
        if self._link is not None and self._link.is_open and self._facts is not None:
            await self._grants.check_again()
            return self._facts
        await self.close()
        self._endpoint = self._find()
        link = await self._sign_in()
        self._link = link
        self._facts = self._read_facts(link, self._endpoint)
        self._version = parse_version(self._facts.version)
        self._inspector = Inspector(
            self._facts,
            self._version,
            self._ask,
            self._clock,
            self._host,
            self._endpoint.gateway_pid,
            self._probe if self._steps else None,
            self._as_admin,
            self._timed_out,
        )
        self._poller = SessionPoller(
            self._ask_for_rows,
            self._clock,
            main_key=self._facts.main_session_key,
            counts_pages=self._counts_pages,
            clock_base=self._clock_base,
        )
        await self._grants.check(self._version)
        if self._facts.capabilities.row_survives_stop:
            await self._inspector.read_run_limit()
        return self._facts

    async def _sign_in(self) -> Link:
        """The link that looks.

        A device that was never approved asks for all that the configured steps may need, and for the same each time: then
        one approval is enough, and the request a person was told of is the one that waits. Measured on 2026.3.24 to 5.18: a
        sign-in with other scopes than the waiting request's replaces it, under another id.
        """
        was_refused = self._may_not_read
        if not was_refused:
            try:
                return await self._open((READ,))
            except errors.PairingRequired:
                if not self._configured:
                    raise
                self._may_not_read = True
        try:
            link = await self._open(scopes_for(self._configured, self._version))
        except errors.PairingRequired as wanted:
            if not was_refused or not wanted.may_allow((READ,)):
                raise
        except errors.ScopeRefused:
            if not was_refused:
                raise
        else:
            await link.close()
        link = await self._open((READ,))
        self._may_not_read = False
        return link

    def pop_disconnect(self) -> Disconnect | None:
        self._note_loss()
        loss, self._loss = self._loss, None
        return loss

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._note_loss(link)
            await link.close()
        await self._close_prepared()
        await self._reports.close()
        await self._probe.close()

    def _note_loss(self, link: Link | None = None) -> None:
        ended = link or self._link
        if ended is not None and ended.end is not None and ended is not self._lost_link:
            self._lost_link = ended
            self._loss = Disconnect(ended.end, ended.ended_at or self._clock.now())

    async def _open(self, scopes: tuple[str, ...], *, device: DeviceIdentity | None = None) -> Link:
        endpoint = self._endpoint or self._find()
        link = await Link.open(
            self._name,
            endpoint.url,
            introduction=Introduction(scopes),
            credentials=endpoint.credentials,
            device=device or self._device,
            clock=self._clock,
            patience=min(self._patience, 10.0),
            insecure=endpoint.insecure,
            dial=self._dial,
            check_peer=endpoint.check_peer,
            openclaw=endpoint.openclaw,
            on_repair=self._note_repair,
        )
        issued = link.hello.auth.device_token if link.hello.auth is not None else None
        if issued and device is None and self._on_device_token is not None:
            self._on_device_token(endpoint.url, scopes, issued)
        return link

    def _note_repair(self, method: str) -> None:
        """Once for each method: a text that was cut badly stays as it is, and is read again every time."""
        if method not in self._repaired and self._on_repair is not None:
            self._on_repair(method)
        self._repaired.add(method)

    def _read_facts(self, link: Link, endpoint: Endpoint) -> GatewayFacts:
        now, wall = self._clock.now(), instant(link.clock_ms)
        self._clock_base = ClockReading(float(link.clock_ms), now) if wall is not None and link.clock_ms else None
        reading = boot_reading(link.hello, link.clock_ms, now, lock_created_at=endpoint.lock_created_at)
        return facts_of(
            self._name,
            link.hello,
            booted_at=self._boots.booted_at(reading),
            state_dir=endpoint.state_dir,
            process=self._boots.processes,
            clock_skew=wall - now.wall if wall is not None else None,
            at=now,
        )

    def want(self, steps: frozenset[Step], configured: frozenset[Step]) -> None:
        self._configured = configured
        if steps == self._steps:
            return
        self._steps = steps
        self._grants.want(steps)
        if self._inspector is not None:
            self._inspector.probe = self._probe if steps else None

    def missing_scope(self, step: Step) -> str | None:
        return self._grants.missing_for(step)

    # ---------------------------------------------------------------- looking

    async def list_sessions(self, always_read: Collection[str] | None = None, *, sweep: bool = False) -> Snapshot:
        if self._poller is None:
            raise errors.GatewayClosed(f"{self._name}: not connected.")
        if self._inspector is not None:
            self._inspector.forget_waiting()
        if always_read is None:
            return await self._poller.whole()
        return await (self._poller.whole(is_hurried=False) if sweep else self._poller.incremental(always_read))

    async def _ask_for_rows(self, params: dict[str, Any]) -> msgspec.Raw:
        return await self._ask("sessions.list", params, patience=max(self._patience, 30.0))

    @property
    def _counts_pages(self) -> bool:
        return self._version is not None and self._version >= FIRST_LISTING_IN_PAGES

    async def look(self, session: Session, wants: Wants) -> Look:
        if self._inspector is None:
            raise errors.GatewayClosed(f"{self._name}: not connected.")
        try:
            return await self._inspector.look(session, wants)
        # guard: wire: a look that cannot be used leaves one session unknown
        except (ArithmeticError, RecursionError, ValueError) as problem:
            # Numbers that cannot be reckoned with, depths that nobody goes to: this session is not known, the others are.
            why = f"what was answered cannot be used ({type(problem).__name__})"
            return Look(is_waiting_unread=True, problems=(why,))

    def _as_admin(self) -> contextlib.AbstractAsyncContextManager[Ask] | None:
        """A short connection with the scopes of the configured steps; None where they were not granted admin, or where
        another sign-in disturbs."""
        if self._version is None or self._version < FIRST_QUIET_AT_SIGN_IN:
            return None
        return self._asking_as_admin() if self._grants.has_admin() else None  # guard: lists read as admin

    @contextlib.asynccontextmanager
    async def _asking_as_admin(self) -> AsyncIterator[Ask]:
        link = await self._open(scopes_for(self._steps, self._version))
        try:
            yield lambda method, params: link.call(method, params, patience=self._patience)
        finally:
            await link.close()

    async def health_problem(self) -> str | None:
        try:
            answer = decoded(await self._ask("health", {}), object, "health")
        except errors.AnswerUnreadable as problem:
            return f"The gateway's health cannot be read ({problem}), so nothing is done."
        loop = answer.get("eventLoop") if isinstance(answer, dict) else None
        if isinstance(loop, dict) and loop.get("degraded") is True:  # guard: degraded event loop
            return f"The gateway says its event loop is degraded{_figures(loop)}; it may be too slow to tell the truth."
        return None

    # ---------------------------------------------------------------- doing

    def step_problem(self, step: Step, session: Session) -> str | None:
        return step_problem_of(self._facts.methods if self._facts is not None else frozenset(), step, session)

    def may_act_as_admin(self) -> bool:
        return self._grants.has_admin()

    async def prepare(
        self, step: Step, session: Session, *, route: ReplyAddress | None = None, is_as_owner: bool = False
    ) -> None:
        await self._close_prepared()
        if route is not None:
            problem = await channel_problem(route, self._ask)
            if problem is not None:
                raise errors.ChannelDown(f"{self._name}: {problem}")
        scopes = scopes_for(frozenset({step}), self._version)
        if step is Step.RESUME:
            # A turn over a connection with admin has the owner's rights, whoever asked (measured on 3.24, 5.18 and 9.6).
            scopes = (READ, WRITE, ADMIN) if is_as_owner else (READ, WRITE)
        link = await self._open(scopes)
        self._prepared = ((step, session.key, route, is_as_owner), link)
        if route is not None and (self._version is None or self._version < FIRST_QUIET_AT_SIGN_IN):
            await self._clock.sleep(SIGN_IN_SETTLES)

    async def perform(self, deed: Deed) -> Receipt:
        wanted = (deed.step, deed.session.key, deed.route, deed.is_as_owner)
        if self._prepared is None or self._prepared[0] != wanted:
            await self.prepare(deed.step, deed.session, route=deed.route, is_as_owner=deed.is_as_owner)
        assert self._prepared is not None
        link, is_kept = self._prepared[1], False
        try:
            receipt = await send(link, deed, self._version, clock=self._clock, patience=self._patience)
            if deed.step is Step.RESUME and deed.route is not None and receipt.run_id is not None:
                self._prepared, is_kept = None, await self._reports.keep(receipt.run_id, link)
            return receipt
        finally:
            if not is_kept:
                await link.close()
            await self._close_prepared()

    async def _close_prepared(self) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            await prepared[1].close()

    async def delivered(self, run_id: str) -> bool | None:
        said = await self._reports.delivered(run_id)
        if said is not None or not self._steps or self._version is None or self._version < FIRST_WAIT_SAYING_DELIVERED:
            return said  # with no steps we only watch, and agent.wait needs operator.write
        try:
            link = await self._open((READ, WRITE))
        except errors.GatewayError:
            return None
        try:
            payload = await link.call("agent.wait", {"runId": run_id, "timeoutMs": 1000}, patience=self._patience)
            answer = decoded(payload, _WaitAnswer, "agent.wait")
        except errors.GatewayError:
            return None
        finally:
            await link.close()
        return answer.terminal_delivery.status == "sent" if answer.terminal_delivery is not None else None

    async def _ask(self, method: str, params: dict[str, Any], *, patience: float | None = None) -> msgspec.Raw:
        """A look on the watching link: no answer means that the gateway does not respond, nothing worse; one that cannot be
        read (``AnswerUnreadable``) harms this look alone."""
        if self._link is None:
            raise errors.GatewayClosed(f"{self._name}: not connected.")
        try:
            answer = await self._link.call(method, params, patience=patience or self._patience)
        except errors.AnswerUnreadable:
            self._boots.note_answer(self._clock.now())
            raise
        except errors.OutcomeUnknown as lost:
            if self._link.end is not None:
                raise self._link.end from lost
            await self.close()
            raise errors.GatewayUnresponsive(
                f"{self._name}: connected, but {method} is not answered; the gateway hangs or is overloaded."
            ) from lost
        self._boots.note_answer(self._clock.now())
        return answer


def _figures(loop: dict[str, Any]) -> str:
    """`` (delay 4200 ms, 98 % busy)``: what ``health`` says beside it (5.18 and later), or nothing."""
    delay, busy = loop.get("delayP99Ms"), loop.get("utilization")
    found = [f"delay {delay:.0f} ms"] if isinstance(delay, int | float) and abs(delay) < 1e9 else []
    found += [f"{busy:.0%} busy"] if isinstance(busy, int | float) and abs(busy) < 1e9 else []
    return f" ({', '.join(found)})" if found else ""
