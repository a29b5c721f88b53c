"""A gateway and a log as a watch knows them, with a recorder that reads along.

Both answer, and raise, exactly what the ones inside do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from watchdog.core.model import GatewayFacts, Look, ReplyAddress, Session, Snapshot
from watchdog.core.policy import Step
from watchdog.replay.codec import error_data
from watchdog.replay.lines import Plain
from watchdog.replay.recorder import Recorder
from watchdog.service import errors
from watchdog.service.events import Event, Log
from watchdog.service.ports import Deed, Disconnect, Gateway, Receipt, Wants


@dataclass(slots=True)
class RecordedLog:
    """A ``Log`` that the recorder reads along."""

    inner: Log
    recorder: Recorder

    def event(self, name: Event, /, **fields: object) -> None:
        self.recorder.said(name, fields)
        self.inner.event(name, **fields)


@dataclass(slots=True)
class RecordedGateway:
    """A ``Gateway`` that has the recorder note every answer."""

    inner: Gateway
    recorder: Recorder
    _facts: GatewayFacts | None = field(default=None)

    @property
    def name(self) -> str:
        return self.inner.name

    @contextmanager
    def _noting(self, what: str, of_problem: Callable[[Plain], Any]) -> Iterator[None]:
        """Add to ``what`` what ``of_problem`` makes of an error's data."""
        try:
            yield
        except errors.GatewayError as problem:
            raised = problem
            self.recorder.add(what, lambda: of_problem(error_data(raised, self.recorder.scrub)))
            raise

    async def connect(self) -> GatewayFacts:
        try:
            facts = await self.inner.connect()
        except errors.GatewayError as problem:
            self.recorder.refused(problem)
            raise
        self.recorder.connected(facts, is_new=facts is not self._facts)
        self._facts = facts
        return facts

    def pop_disconnect(self) -> Disconnect | None:
        loss = self.inner.pop_disconnect()
        if loss is not None:
            self.recorder.lost(loss)
        return loss

    async def list_sessions(self, always_read: Collection[str] | None = None, *, sweep: bool = False) -> Snapshot:
        try:
            snapshot = await self.inner.list_sessions(always_read, sweep=sweep)
        except errors.GatewayError as problem:
            self.recorder.listing_failed(problem)
            raise
        self.recorder.listed(snapshot)
        return snapshot

    async def look(self, session: Session, wants: Wants) -> Look:
        try:
            look = await self.inner.look(session, wants)
        except errors.GatewayError as problem:
            self.recorder.looked(session, wants, problem)
            raise
        self.recorder.looked(session, wants, look)
        return look

    def step_problem(self, step: Step, session: Session) -> str | None:
        return self.inner.step_problem(step, session)

    def want(self, steps: frozenset[Step]) -> None:
        self.inner.want(steps)

    def missing_scope(self, step: Step) -> str | None:
        missing = self.inner.missing_scope(step)
        self.recorder.scope(step.value, missing)
        return missing

    def may_act_as_admin(self) -> bool:
        return self.inner.may_act_as_admin()

    async def prepare(
        self, step: Step, session: Session, *, route: ReplyAddress | None = None, is_as_owner: bool = False
    ) -> None:
        entry: Plain = {"step": step.value, "session": session.key}
        with self._noting("signed_in", lambda problem: {**entry, "error": problem}):
            await self.inner.prepare(step, session, route=route, is_as_owner=is_as_owner)

    async def perform(self, deed: Deed) -> Receipt:
        entry: Plain = {"step": deed.step.value, "session": deed.session.key}
        with self._noting("deeds", lambda problem: {**entry, "error": problem}):
            receipt = await self.inner.perform(deed)
        self.recorder.add("deeds", lambda: {**entry, "run": receipt.run_id})
        return receipt

    async def delivered(self, run_id: str) -> bool | None:
        with self._noting("delivered", lambda problem: [run_id, {"error": problem}]):
            delivered = await self.inner.delivered(run_id)
        self.recorder.add("delivered", lambda: [run_id, delivered])
        return delivered

    async def health_problem(self) -> str | None:
        with self._noting("health", lambda problem: {"error": problem}):
            problem = await self.inner.health_problem()
        self.recorder.add("health", lambda: self._scrubbed(problem))
        return problem

    async def close(self) -> None:
        await self.inner.close()

    def _scrubbed(self, text: str | None) -> str | None:
        return self.recorder.scrub(text) if text is not None else None


def recorded(gateway: Gateway, log: Log, recorder: Recorder | None) -> tuple[Gateway, Log]:
    """The gateway and the log to give to a watch whose passes are recorded; without a recorder, the same ones."""
    if recorder is None:
        return gateway, log
    return RecordedGateway(gateway, recorder), RecordedLog(log, recorder)
