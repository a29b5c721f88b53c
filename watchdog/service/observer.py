"""From a snapshot to judgements: track every running session, look closer at suspects, judge.

The looks are bought dearly: lock files and one ``preflight`` a pass are cheap; transcripts and probes are asked for
suspects only, and only from ``confirm_for`` before the moment they could be called stuck.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from watchdog.core.evidence import Case
from watchdog.core.model import (
    FlagWorth,
    GatewayFacts,
    Lock,
    LockWorth,
    Look,
    Moment,
    Preflight,
    Session,
    SessionKind,
    Snapshot,
    Status,
)
from watchdog.core.owner_signals import is_older_than_boot
from watchdog.core.policy import Policy, PolicyBook, Step
from watchdog.core.tracking import MARKS_WITHIN, RunIdentity, Track, forget_spans, observe
from watchdog.core.verdict import Judgement, Verdict, assess, judge
from watchdog.service.gateway_trust import Trust
from watchdog.service.ports import Gateway, Wants


@dataclass(frozen=True, slots=True)
class Judged:
    """One session after one pass: everything a decision, a log line or an explanation needs."""

    session: Session
    case: Case
    judgement: Judgement
    policy: Policy


class Observer:
    """Tracks of one gateway's running sessions. ``believes_rows``: take the rows' own times as ages (``check`` and
    ``explain`` look once and never act; the daemon believes only what it saw itself)."""

    def __init__(self, gateway: Gateway, book: PolicyBook, trust: Trust, *, believes_rows: bool = False) -> None:
        self._gateway = gateway
        self.book = book
        self._trust = trust
        self._believes_rows = believes_rows
        self.tracks: dict[str, Track] = {}
        self.ended: dict[str, Track] = {}
        """Of runs whose rows say ``running`` no more, until somebody takes them out."""
        self.relatives: Mapping[str, Sequence[Session]] = {}
        """Subagent rows of each session, as of the last pass."""
        self._unattended: dict[str, RunIdentity] = {}
        """Runs found stuck in the last pass: nobody waits for a child among them."""
        self._tombstones: dict[str, tuple[Session, Look]] = {}
        """What a look at each showed, as long as its row says what it said then; only what does not pass."""
        self._rest: dict[str, Judged] = {}
        self._rest_by: tuple[PolicyBook, GatewayFacts] | None = None

    def forget_spans(self, now: Moment) -> None:
        self.tracks = {key: forget_spans(track, now) for key, track in self.tracks.items()}

    async def judge_all(self, snapshot: Snapshot, facts: GatewayFacts) -> list[Judged]:
        """Judge every session of a snapshot, running ones with all the looks they deserve."""
        now = snapshot.answered_at
        aliases, relatives = _relations(snapshot)
        self.relatives = relatives
        running = [row for row in snapshot.sessions if row.status is Status.RUNNING]
        if snapshot.is_complete:
            alive = {row.key for row in snapshot.sessions if is_tracked(row)}
            self.ended |= {key: track for key, track in self.tracks.items() if key not in alive}
            self.tracks = {key: track for key, track in self.tracks.items() if key in alive}
            self._tombstones = {key: seen for key, seen in self._tombstones.items() if key in alive}
        preflight = await self._preflight(running, facts)
        busy = {row.key for row in running if not self._is_dead(row, facts)} if snapshot.is_complete else None
        judged: dict[str, Judged] = {}
        is_same = self._rest_by is not None and self._rest_by[0] is self.book and self._rest_by[1] is facts
        rest = self._rest if is_same else {}
        self._rest, self._rest_by = {}, (self.book, facts)
        for row in sorted(snapshot.sessions, key=_children_first):
            if not is_tracked(row):
                if (track := self.tracks.pop(row.key, None)) is not None:
                    self.ended[row.key] = track
                known = rest.get(row.key)
                # The same value, or an equal one: nothing in it has changed since an earlier poll.
                if known is None or (known.session is not row and known.session != row):
                    known = self._at_rest(row, self.book.policy_for(facts.name, row), facts, now)
                self._rest[row.key] = known
                judged[row.key] = known
                continue
            is_old = row.key in snapshot.carried and not row.is_tombstone  # in a tombstone nothing changes unseen
            if is_old:  # guard: a running row of an earlier poll is not judged
                self._unattended.pop(row.key, None)
                continue  # what runs is judged by what was seen now, never by what was seen then
            policy = self.book.policy_for(facts.name, row)
            look = await (
                self._look_at_tombstone(row, policy, now)
                if row.is_tombstone
                else self._look(row, policy, facts, preflight, now)
            )
            current = judged[row.key] = self._judge_running(
                row,
                look,
                policy,
                facts,
                now,
                tuple(aliases.get(row.key, ())),
                self._living(relatives.get(row.key, ())),
                is_alone=busy is not None and busy <= {row.key},  # guard: a lane is free only when nothing else runs
            )
            self.tracks[row.key] = current.case.track
            if current.judgement.verdict is Verdict.STUCK:
                self._unattended[row.key] = current.case.track.identity
            else:
                self._unattended.pop(row.key, None)
        return [judged[row.key] for row in snapshot.sessions if row.key in judged]

    def rejudge(self, row: Session, look: Look, policy: Policy, facts: GatewayFacts, snapshot: Snapshot) -> Judged:
        """Judge a fresh sight of one session for the fence; the tracks stay as they are."""
        aliases, relatives = _relations(snapshot)
        return self._judge_running(
            row,
            look,
            policy,
            facts,
            snapshot.answered_at,
            tuple(aliases.get(row.key, ())),
            self._living(relatives.get(row.key, ())),
        )

    # ---------------------------------------------------------------- inside

    def _living(self, relatives: Sequence[Session]) -> tuple[Session, ...]:
        """Without those found stuck in this pass: a child that died with its row running holds no parent (#71252)."""
        return tuple(row for row in relatives if self._unattended.get(row.key) != RunIdentity.of(row))

    def _is_dead(self, row: Session, facts: GatewayFacts) -> bool:
        """Its run holds no lane: it ended with an earlier process, or was found stuck in the last pass."""
        if row.has_active_run or row.active_run_ids:
            return False
        if facts.capabilities.row_survives_stop and row.has_end_though_running:
            return True
        is_orphan = is_older_than_boot(row, facts) and not self._trust.clock_stepped
        return is_orphan or self._unattended.get(row.key) == RunIdentity.of(row)

    def _may_be_marked(self, row: Session, facts: GatewayFacts, now: Moment) -> bool:
        """A run of an earlier life, and the gateway looks for those just now."""
        age = self._trust.boot_age(now) if facts.capabilities.marks_late else None
        return age is not None and age < MARKS_WITHIN and is_older_than_boot(row, facts)

    def _at_rest(self, row: Session, policy: Policy, facts: GatewayFacts, now: Moment) -> Judged:
        case = Case(now, facts, row, observe(None, row, None, now))
        return Judged(row, case, judge(case, policy.thresholds, ()), policy)

    def _judge_running(
        self,
        row: Session,
        look: Look,
        policy: Policy,
        facts: GatewayFacts,
        now: Moment,
        aliases: tuple[Session, ...],
        relatives: tuple[Session, ...],
        *,
        is_alone: bool | None = None,
    ) -> Judged:
        fingerprint = look.tail.fingerprint if look.tail is not None else None
        self._trust.note_preflight(look.preflight)
        case = Case(
            now=now,
            facts=facts,
            session=row,
            track=observe(
                self.tracks.get(row.key),
                row,
                fingerprint,
                now,
                boot=_boot_of(facts),
                is_alone=is_alone,
                believes_row=self._believes_rows,  # guard: own ages only
                may_be_marked=self._may_be_marked(row, facts, now),
            ),
            look=look,
            relatives=relatives,
            aliases=aliases,
            boot_age=self._trust.boot_age(now),
            boot_seen_age=self._trust.boot_seen_age(now),
            has_named_recovery=self._trust.has_named_recovery,
            recovery_unnamed_since=self._trust.recovery_unnamed_since,
            recovery_window=min(policy.thresholds.startup_grace, timedelta(minutes=5)),
            cut_at=self._trust.cut_at,
            gateway_clock_stepped=self._trust.clock_stepped,
        )
        case, judgement = assess(case, policy.thresholds)
        return Judged(row, case, judgement, policy)

    async def _preflight(self, running: list[Session], facts: GatewayFacts) -> Preflight | None:
        """Once a pass, and only when some running row has no proof of life in itself."""
        if not facts.capabilities.has_preflight or all(row.has_active_run for row in running):
            return None
        look = await self._gateway.look(running[0], Wants(preflight=True))
        return look.preflight

    async def _look(
        self, row: Session, policy: Policy, facts: GatewayFacts, preflight: Preflight | None, now: Moment
    ) -> Look:
        has_locks = facts.state_dir is not None and facts.capabilities.active_run_flag is not FlagWorth.TRUSTED
        look = await self._gateway.look(row, Wants(lock=True)) if has_locks else Look()
        # Asked after the list in which the row was running: whatever it counts, it counts this run too if it lives.
        if preflight is not None:
            look = replace(look, preflight=preflight)
        if self._may_be_aborted(row, policy):
            closer = await self._gateway.look(row, Wants(tail=True, people=True, pending=True))
            return replace(closer, lock=look.lock, preflight=look.preflight)
        if row.has_active_run or not self._is_near_due(row, policy, now):
            return look
        needs_probe = facts.capabilities.has_abort_probe and (look.lock is None or look.lock.lock is Lock.UNREADABLE)
        if look.lock is not None and look.lock.lock is Lock.HELD_BY_GATEWAY:
            return look
        closer = await self._gateway.look(row, Wants(tail=True, people=True, abort_probe=needs_probe, pending=True))
        return replace(closer, lock=look.lock, preflight=look.preflight)

    async def _look_at_tombstone(self, row: Session, policy: Policy, now: Moment) -> Look:
        """Nothing is written to it any more: one look lasts as long as its row stays the same, if it found nothing that may pass.
        The fence looks again."""
        known = self._tombstones.get(row.key)
        if known is not None and known[0] == row:
            return known[1]
        track = self.tracks.get(row.key)
        is_due = track is not None and now.since(track.first_seen) >= policy.thresholds.confirm_for
        if not is_due and not self._believes_rows:
            return Look()
        look = await self._gateway.look(row, Wants(tail=True, people=True, pending=True))
        if not _may_pass(look):
            self._tombstones[row.key] = (row, look)
        return look

    def _may_be_aborted(self, row: Session, policy: Policy) -> bool:
        """A policy asks for ``abort``: then the transcript is watched all the time, because silence that nobody
        watched is no silence."""
        return Step.ABORT in policy.recovery.ladder and row.key in self.tracks

    def _is_near_due(self, row: Session, policy: Policy, now: Moment) -> bool:
        if self._believes_rows:
            return True
        track = self.tracks.get(row.key)
        if track is None or track.identity.started_at != row.started_at or track.identity.session_id != row.session_id:
            return policy.thresholds.stuck_after <= policy.thresholds.confirm_for
        wait = policy.thresholds.stuck_after - policy.thresholds.confirm_for
        return track.quiet_for(now) >= wait


def _may_pass(look: Look) -> bool:
    """It shows, or could not read, something that changes while the row stays the same."""
    tail = look.tail
    return (
        tail is None
        or bool(tail.has_pending_input or tail.has_run_in_flight)
        or bool(look.pending_approvals or look.pending_questions)
        or look.is_waiting_unread
        or look.will_redeliver
        or bool(look.problems)
    )


def is_tracked(row: Session) -> bool:
    """It is watched over time: what runs, and what its gateway has given up."""
    return row.status is Status.RUNNING or row.is_tombstone


def _boot_of(facts: GatewayFacts) -> str:
    """Names the gateway's present life, restarts inside the process included where the gateway tells of them."""
    return f"{facts.process}/{facts.boot_id or ''}"


def look_wants(facts: GatewayFacts) -> Wants:
    """Everything worth looking up right before a deed."""
    return Wants(
        tail=True,
        people=True,
        lock=facts.state_dir is not None and facts.capabilities.active_run_flag is not FlagWorth.TRUSTED,
        preflight=facts.capabilities.has_preflight,
        abort_probe=facts.capabilities.has_abort_probe
        and facts.capabilities.lock is not LockWorth.SAYS_NOTHING
        and facts.state_dir is None,
        pending=True,
    )


def _children_first(row: Session) -> bool:
    """Sorts before its parent whoever a parent may be waiting for."""
    return row.kind not in (SessionKind.SUBAGENT, SessionKind.ACP)


def _relations(snapshot: Snapshot) -> tuple[dict[str, list[Session]], dict[str, list[Session]]]:
    """(rows with the same session id, subagent rows of a session), by key."""
    by_id: defaultdict[str, list[Session]] = defaultdict(list)
    by_key = {row.key: row for row in snapshot.sessions}
    relatives: defaultdict[str, list[Session]] = defaultdict(list)
    for row in snapshot.sessions:
        if row.session_id is not None:
            by_id[row.session_id].append(row)
        # guard: children by spawnedBy
        if row.parent_key is not None and row.kind in (SessionKind.SUBAGENT, SessionKind.ACP):
            relatives[row.parent_key].append(row)
        if row.child_keys:
            # 2026.9.6 lists every session ever made through the main one as its child: only spawned kinds are waited for.
            relatives[row.key] += [
                by_key[child]
                for child in row.child_keys
                if child in by_key and by_key[child].kind in (SessionKind.SUBAGENT, SessionKind.ACP)
            ]
    # Newer versions say it from both ends: one child is one, however often it is named.
    once = {key: list({row.key: row for row in rows}.values()) for key, rows in relatives.items()}
    aliases = {
        row.key: [other for other in rows if other.key != row.key]
        for rows in by_id.values()
        for row in rows
        if len(rows) > 1
    }
    return aliases, once
