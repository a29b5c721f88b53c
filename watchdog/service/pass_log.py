"""What a pass says and measures: in the log when it is news, to a person when it is due, in the metrics every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from watchdog.core.blockers import BlockerName
from watchdog.core.evidence import Truth
from watchdog.core.model import GatewayPhase, Snapshot, Status
from watchdog.core.policy import Step
from watchdog.core.tracking import RunIdentity
from watchdog.core.verdict import UNKNOWN_STATUS, Verdict
from watchdog.service import announcements
from watchdog.service.events import Event, Log
from watchdog.service.ledger import Ledger
from watchdog.service.observer import Judged
from watchdog.service.pass_report import PassReport
from watchdog.service.plan import Decision
from watchdog.service.ports import Clock, Meter


@dataclass(slots=True)
class Reporter:
    """Speaks of one gateway. Remembers what it has said, so that nothing is logged twice while nothing changes."""

    gateway: str
    ledger: Ledger
    clock: Clock
    log: Log
    meter: Meter
    _said: dict[tuple[str, str], object] = field(init=False, default_factory=dict)
    _told: dict[str, tuple[RunIdentity, frozenset[tuple[Verdict, str]]]] = field(init=False, default_factory=dict)
    _cycle_line: object = field(init=False, default=None)
    _malformed: frozenset[tuple[str | None, str]] = field(init=False, default=frozenset())

    def held(self, decision: Decision) -> None:
        """A hold is logged when its set of blockers changes, and metered every time."""
        names = decision.blocker_names
        if decision.step is Step.NOTIFY:
            names = ["notify_only"]
        elif decision.incident is None:
            names = [BlockerName.QUARANTINED.value]
        for name in names:
            self.meter.held(self.gateway, name)
        row, incident = decision.judged.session, decision.incident
        if not self._is_news("held", row.key, tuple(names)):
            return
        self.log.event(
            Event.RECOVERY_HELD,
            gateway=self.gateway,
            session=row.key,
            session_id=row.session_id,
            incident=incident.id if incident is not None else None,
            step=decision.step.value if decision.step is not None else None,
            blockers=names,
            reason="; ".join(blocker.message for blocker in decision.blockers) or "the policy only tells",
        )

    def verdicts(self, judged: Sequence[Judged]) -> None:
        """What is suspect, long-running or unknown now: logged when that is new, the last two owed to a person."""
        events = {
            Verdict.SUSPECT: Event.SESSION_SUSPECT,
            Verdict.LONG_RUNNING: Event.SESSION_LONG_RUNNING,
            Verdict.UNKNOWN: Event.SESSION_UNKNOWN,
        }
        now = self.clock.now().wall
        being_verified = {incident.session for incident, _ in self.ledger.attempts_in_flight(self.gateway)}
        for item in judged:
            verdict, row = item.judgement.verdict, item.session
            if item.judgement.reason == UNKNOWN_STATUS:
                if self._is_news("status", row.key, row.unknown_status):
                    self._owe_unknown_status(item, now)
                continue
            if not self._is_news("verdict", row.key, (verdict, item.judgement.reason, item.case.track.identity)):
                continue
            is_glimpse = verdict is Verdict.SUSPECT and item.case.track.owner_gone_polls < 2
            if is_glimpse or row.key in being_verified:
                # A terminal write may still be on its way (2026.9.6); one sight of it is not worth a line.
                self._said.pop(("verdict", row.key), None)
                continue
            if verdict in events and self._is_first(item):
                self.log.event(
                    events[verdict],
                    gateway=self.gateway,
                    session=row.key,
                    session_id=row.session_id,
                    reason=item.judgement.reason,
                )
            self._owe_verdict(item, now)
        present = {item.session.key for item in judged}
        self._said = {key: value for key, value in self._said.items() if key[1] in present}
        self._told = {key: value for key, value in self._told.items() if key in present}

    def _owe_unknown_status(self, item: Judged, now: datetime) -> None:
        """Each word once on each gateway, whoever has it: a newer release may give it to all of them."""
        row = item.session
        message = announcements.unknown_status(self.gateway, row.key, row.unknown_status or "?")
        if self.ledger.owe([message], now):
            self.log.event(
                Event.SESSION_UNKNOWN,
                gateway=self.gateway,
                session=row.key,
                session_id=row.session_id,
                reason=item.judgement.reason,
            )

    def _is_first(self, item: Judged) -> bool:
        """This run was not called so before. A verdict that comes and goes (2026.5.18: a lock that is there and gone every 4 s)
        is worth one line."""
        run, said = item.case.track.identity, (item.judgement.verdict, item.judgement.reason)
        of, before = self._told.get(item.session.key, (run, frozenset()))
        before = before if of == run else frozenset()
        self._told[item.session.key] = (run, before | {said})
        return said not in before

    def _owe_verdict(self, item: Judged, now: datetime) -> None:
        track, judgement = item.case.track, item.judgement
        if judgement.verdict is Verdict.LONG_RUNNING:
            is_alive = judgement.owner is Truth.TRUE
            since = track.first_seen if is_alive else track.owner_gone_since or item.case.now
            message = announcements.long_running(
                self.gateway,
                item.session.key,
                track.identity,
                now=now,
                running_for=item.case.now.since(since),
                explanation=judgement.message,
                is_alive=is_alive,
            )
        elif judgement.verdict is Verdict.UNKNOWN:
            message = announcements.unknown(
                self.gateway,
                item.session.key,
                track.identity,
                now=now,
                quiet_for=track.quiet_for(item.case.now),
                explanation=judgement.message,
            )
        else:
            return
        self.ledger.owe([message], now)

    def cycle(self, report: PassReport) -> None:
        """The canonical line of a pass, written when it differs from the one before: silent while nothing changes."""
        if not report.is_good:
            self._cycle_line = None
            return
        counts = {verdict: number for verdict, number in report.verdicts().items() if number}
        running = sum(item.session.status is Status.RUNNING for item in report.judged)
        line = (len(report.judged), running, tuple(counts.items()), report.is_complete, report.malformed)
        if line == self._cycle_line:
            return
        self._cycle_line = line
        self.log.event(
            Event.CYCLE_FINISHED,
            gateway=self.gateway,
            sessions=len(report.judged),
            running=running,
            **counts,
            complete=report.is_complete,
            poll_ms=round(report.latency.total_seconds() * 1000, 1),
        )

    def malformed(self, snapshot: Snapshot) -> None:
        """Rows and pages that cannot be read are logged when something else is the matter than before, wherever it stands."""
        seen = {(row.key, row.reason): row for row in snapshot.malformed}
        news = [row for what, row in seen.items() if what not in self._malformed]
        if news:
            what = (
                "malformed row(s) left out of the list"
                if snapshot.is_complete
                else "part(s) of the list cannot be read"
            )
            self.log.event(
                Event.GATEWAY_UNHEALTHY,
                gateway=self.gateway,
                reason=f"{len(snapshot.malformed)} {what}; the first: {news[0].reason}",
                session=news[0].key,
            )
        self._malformed = frozenset(seen)

    def _is_news(self, what: str, key: str, value: object) -> bool:
        if self._said.get((what, key)) == value:
            return False
        self._said[what, key] = value
        return True

    def measure(self, report: PassReport) -> None:
        """The numbers of this pass, for the metrics."""
        if report.phase is not GatewayPhase.UNKNOWN:
            self.meter.gateway_up(self.gateway, is_up=report.is_good)
        if not report.is_good:
            return
        self.meter.polled(self.gateway, report.latency.total_seconds(), report.size_bytes)
        self.meter.sessions(self.gateway, report.verdicts())
        self.meter.incidents_open(self.gateway, len(self.ledger.open_incidents(self.gateway)))
        self.meter.quarantined(self.gateway, len(self.ledger.quarantines(self.gateway)))
