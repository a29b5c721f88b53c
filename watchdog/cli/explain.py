"""``explain``: one session in plain words, for somebody who is woken at night.

First what is so and what comes next; then every signal, whether it says anything or not; then every value beside its
limit; then every guard: what would hold a deed now, and what would not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, assert_never

from watchdog.cli.descriptions import VERDICT_STYLES, session_facts
from watchdog.cli.phrases import ENDINGS, LOCKS, LONGEST, ago, pending, spoken, until
from watchdog.cli.screen import Line
from watchdog.core.address import chat_of
from watchdog.core.blockers import Blocker, BlockerName, SessionContext, hold_reasons
from watchdog.core.evidence import OWNER_SIGNALS, Case, Signal, Truth
from watchdog.core.model import FlagWorth, Status, TailKind
from watchdog.core.policy import Mode, Step
from watchdog.core.printable import shown_key, shown_name
from watchdog.core.recovery import Attempt
from watchdog.core.spans import span_words
from watchdog.core.verdict import Verdict
from watchdog.service.announcements.phrases import RESULTS, clause, count, reason_words
from watchdog.service.fleet_breaker import fleet_is_suspicious
from watchdog.service.ledger import Incident, Ledger
from watchdog.service.observer import Judged, is_tracked
from watchdog.service.one_shot import Inspection
from watchdog.service.plan import PassContext, StepPlan, is_stalled_but_owned, limits_of, plan_step, standing_of
from watchdog.service.ports import Gateway

_WHOSE_TIME = "Ages are the row's own here, so that nobody has to wait for an answer. A daemon counts from when it first saw this run."
_SPOKEN_STYLES = {"alive": "green", "gone": "red", "yes": "cyan", "no": "green", "cannot tell": "yellow", "-": "dim"}


@dataclass(frozen=True, slots=True)
class GuardLine:
    """One guard as it stands now. ``holds`` None: nobody looked, because nothing asks for it."""

    name: BlockerName
    holds: bool | None
    words: str


@dataclass(frozen=True, slots=True)
class Explained:
    """Everything about one session, put together."""

    found: Inspection
    judged: Judged
    incident: Incident | None
    plan: StepPlan
    standing: SessionContext
    blockers: tuple[Blocker, ...]
    health: str | None

    @classmethod
    def of(cls, found: Inspection, judged: Judged, gateway: Gateway, ledger: Ledger, health: str | None) -> Explained:
        """Put together what the look found, what the ledger holds and what ``health`` said."""
        name = found.facts.name
        row = judged.session
        incident = next((one for one in ledger.open_incidents(name) if one.session == row.key), None)
        is_abort = judged.judgement.verdict is Verdict.LONG_RUNNING and is_stalled_but_owned(judged)
        as_stuck = judged if is_abort else _as_stuck(judged)
        here = PassContext(
            now=judged.case.now,
            trust=found.trust,
            is_list_complete=found.snapshot.is_complete,
            is_ledger_writable=ledger.problem is None,
            is_fleet_open=fleet_is_suspicious(found.judged, found.observer.book.default.recovery),
            gateway_problem=health,
        )
        plan = plan_step(as_stuck, incident, here, gateway)
        step = plan.step
        standing = standing_of(judged, incident, here, gateway, ledger, plan)
        case = replace(judged.case, boot_age=found.trust.boot_age(judged.case.now))
        blockers: tuple[Blocker, ...] = ()
        if step is not None and step is not Step.NOTIFY:
            blockers = hold_reasons(
                case, judged.policy.thresholds, limits_of(judged), step, standing, is_proven=judged.judgement.is_proven
            )
        return cls(found, replace(judged, case=case), incident, plan, standing, blockers, health)

    @property
    def step(self) -> Step | None:
        return self.plan.step

    @property
    def case(self) -> Case:
        return self.judged.case

    @property
    def is_running(self) -> bool:
        """Marked as going on, or shut by its gateway: what is judged by signals."""
        return is_tracked(self.judged.session)

    # ---------------------------------------------------------------- what comes next

    def next_words(self) -> str:
        """What would happen next, and when."""
        judgement, policy = self.judged.judgement, self.judged.policy
        verdict, due = judgement.verdict, judgement.changes_at
        soon = span_words(due.since(self.case.now)) if due is not None else None
        if not self.is_running:
            return "nothing: no run is marked as going on"
        if verdict is Verdict.WAITING:
            return "nothing, as long as that is so" + (f"; told as unclear in {soon}" if soon is not None else "")
        if verdict is Verdict.UNKNOWN:
            return "a person is told; what cannot be decided is not touched"
        if verdict is Verdict.LONG_RUNNING and not is_stalled_but_owned(self.judged):
            is_alive = judgement.owner is Truth.TRUE
            why = "something works on it" if is_alive else "its gateway may still go on with it by itself"
            return f"a person is told that it takes long; it is not touched, because {why}"
        if verdict is Verdict.HEALTHY and judgement.owner is Truth.TRUE:
            wait = span_words(max(policy.thresholds.stuck_after, policy.thresholds.confirm_for))
            return (
                f"nothing while it shows a sign of life; told as long-running in {soon} if it goes on. "
                f"If it lost its owner now: {self._deed(f'{wait} later if nothing moves')}"
            )
        if verdict is Verdict.HEALTHY:
            return f"nothing yet; told as unknown in {soon} if nothing moves, and not touched"
        return self._deed(f"in {soon} if nothing moves" if verdict is Verdict.SUSPECT else "now", is_due=True)

    def _deed(self, when: str, *, is_due: bool = False) -> str:
        step = self.step
        if self.plan.awaits_person:
            return "nothing: the one who asked was asked to send it again; their next message is what it waits for"
        others = [blocker for blocker in self.blockers if blocker.name is not BlockerName.OBSERVE_MODE]
        holding = [until(blocker, self.case.now.monotonic) for blocker in others] if is_due else []
        if step is None:
            return f"quarantine and a message {when}: every step of the ladder was tried"
        if step is Step.NOTIFY:
            return f"a person is told {when}; policy {self.judged.policy.name} touches nothing"
        moment = "as soon as nothing holds it" if holding and when == "now" else when
        would = f"would {step.value} {moment}{self._manner(step) if is_due else ''}"
        if self.judged.policy.recovery.mode is Mode.OBSERVE:
            return f"nothing: observe mode (else {would})"
        if any(blocker.name is BlockerName.SESSION_BUDGET for blocker in self.blockers):
            return f"quarantine and a message {when}: the session's budget is used up"
        return f"{would}; held by {', '.join(holding)}" if holding else would

    def _manner(self, step: Step) -> str:
        """What the resumed turn will say."""
        if step.loses_context:
            return " (the context is lost; a handoff note is saved first)"
        manner = self.plan.manner.rstrip(".")
        return f" ({manner[:1].lower()}{manner[1:]})" if manner else ""

    def requester_facts(self) -> dict[str, object] | None:
        """The same for machines; None: no run is marked as going on, so nobody was looked up."""
        if not self.is_running or self.case.look.tail is None:
            return None
        requester, route = self.plan.requester, self.plan.requester.route
        sender, rights = requester.sender, requester.rights
        place = {"channel": route.channel, "thread": chat_of(route)[1], "account": route.account_id} if route else None
        return {
            "kind": requester.kind.value,
            "id": sender.id if sender is not None else None,
            "reason": requester.message,
            "route": place,
            "is_owner": rights.is_owner if rights is not None else None,
            "has_own_rules": rights.has_own_rules if rights is not None else None,
        }

    def requester_words(self) -> list[tuple[str, str]]:
        """Who asked, where an answer goes, and why. Names and words stay out of it."""
        requester = self.plan.requester
        who = requester.sender.id if requester.sender is not None and requester.sender.id is not None else None
        found = [("requester", f"{requester.kind.value}{f' {who}' if who else ''}: {clause(requester.message)}")]
        if requester.route is not None:
            chat, thread = chat_of(requester.route)
            account = f", account {requester.route.account_id}" if requester.route.account_id else ""
            found.append(
                ("route", f"{requester.route.channel} {chat}{f', thread {thread}' if thread else ''}{account}")
            )
        else:
            found.append(("route", "none proven: nothing is delivered and nothing is quoted"))
        rights = requester.rights
        if rights is not None:
            said = [
                "the gateway's owner" if rights.is_owner else "not the gateway's owner",
                "rules by sender may apply" if rights.has_own_rules else "no rules by sender apply",
            ]
            found.append(("rights", ", ".join(said)))
        return found

    # ---------------------------------------------------------------- signals

    def signals(self) -> list[tuple[Signal, str, str]]:
        """(signal, what it says, why), every one there is."""
        said = {item.signal: item for item in self.judged.judgement.evidence}
        return [
            (signal, *(spoken(said[signal]) if signal in said else ("-", self._silence(signal)))) for signal in Signal
        ]

    def _silence(self, signal: Signal) -> str:
        case, look, facts = self.case, self.case.look, self.found.facts
        worth, tail = facts.capabilities, self.case.look.tail
        if not self.is_running:
            return "not needed: no run is marked as going on"
        unseen = "the transcript was not read: other signals suffice" if not look.problems else "could not be read"
        elsewhere = facts.state_dir is None
        match signal:
            case Signal.ACTIVE_RUN_FLAG:
                return f"{facts.version} has no such flag" if worth.active_run_flag is FlagWorth.ABSENT else "not said"
            case Signal.ACTIVE_RUN_IDS:
                return "none are listed, which proves nothing"
            case Signal.RUN_IN_FLIGHT:
                return "the history shows none, which proves nothing" if tail is not None else unseen
            case Signal.SESSION_LOCK if look.lock is not None and self.case.session.is_run_by_a_program:
                return f"{LOCKS[look.lock.lock]}, which proves nothing of a run that another program does"
            case Signal.SESSION_LOCK if look.lock is not None:
                return f"{LOCKS[look.lock.lock]}, which proves nothing on {facts.version}"
            case Signal.SESSION_LOCK:
                return (
                    "the gateway's files are not on this machine"
                    if elsewhere
                    else f"{facts.version} holds none for its runs"
                )
            case Signal.ABORT_PROBE:
                return "not asked here" if worth.has_abort_probe else f"not asked: {facts.version} might end the run"
            case Signal.BOOT_ORPHAN:
                return f"it started after the gateway did ({ago(facts.booted_at, case)})"
            case Signal.NOTHING_RUNS:
                return "was not counted" if worth.has_preflight else f"{facts.version} does not count its work"
            case Signal.ALIAS:
                return "no other key with the same session is alive"
            case Signal.GIVEN_UP:
                return "no: its gateway has not given it up after a restart"
            case Signal.USER_STOPPED:
                if tail is not None and tail.kind is TailKind.STOPPED:
                    return "it was stopped; who writes to it since is refused, and is to be let in"
                return f"no: the transcript {ENDINGS[tail.kind]}" if tail is not None else unseen
            case Signal.GATEWAY_RECOVERING:
                return "no: its own recovery after the boot is over" if worth.boot_recovery else "it does not do that"
            case Signal.APPROVAL_PENDING:
                return pending(look.pending_approvals, "operator.approvals")
            case Signal.QUESTION_PENDING:
                return pending(look.pending_questions, "operator.questions")
            case Signal.CHILDREN_RUNNING:
                return f"no: {len(case.relatives)} sub-sessions, none at work" if case.relatives else "it has none"
            case Signal.COMPACTING:
                return "no" if tail is not None else unseen
            case Signal.PLACED_ELSEWHERE:
                return "no: it runs on this gateway"
            case _:
                assert_never(signal)

    # ---------------------------------------------------------------- guards

    def guards(self) -> list[GuardLine]:
        """Every guard: those that hold first."""
        holding = {blocker.name: blocker for blocker in self.blockers}
        found = []
        for name in BlockerName:
            if name is BlockerName.LEASE:
                continue  # only the daemon that watches it knows, right before a deed
            needs_look = name in _FROM_TRANSCRIPT
            if needs_look and self.case.look.tail is None and not self.case.look.problems and not self._is_case:
                found.append(GuardLine(name, None, "the transcript is read for suspects only"))
            elif name is BlockerName.SCOPE_MISSING and name not in holding:
                found.append(GuardLine(name, None, self._clear(name)))
            elif self.why_unguarded is not None:
                found.append(GuardLine(name, None, self.why_unguarded))
            elif name in holding:
                found.append(
                    GuardLine(name, True, until(holding[name], self.case.now.monotonic, holding[name].message))
                )
            else:
                found.append(GuardLine(name, False, self._clear(name)))
        return sorted(found, key=lambda guard: not guard.holds)

    @property
    def why_unguarded(self) -> str | None:
        """Why no guard is asked at all, or None."""
        if self.step is Step.NOTIFY:
            return f"policy {self.judged.policy.name} only tells: there is no deed to hold"
        return "every step of the ladder was tried: there is no deed to hold" if self.step is None else None

    @property
    def _is_case(self) -> bool:
        return self.judged.judgement.verdict in (Verdict.SUSPECT, Verdict.STUCK)

    def _clear(self, name: BlockerName) -> str:
        case, standing, policy = self.case, self.standing, self.judged.policy
        recovery, thresholds, tail = limits_of(self.judged), policy.thresholds, self.case.look.tail
        running = [one for one in self.found.judged if one.session.status is Status.RUNNING]
        unproven = [one for one in running if one.judgement.verdict is Verdict.STUCK and not one.judgement.is_proven]
        breaker = self.found.observer.book.default.recovery.fleet_breaker  # whatever the policy: it is the gateway's
        match name:
            case BlockerName.OBSERVE_MODE:
                return f"mode is {recovery.mode.value}"
            case BlockerName.PAUSED:
                return "nobody paused it"
            case BlockerName.DEEDS_WINDOW:
                window = recovery.deeds_between
                return f"deeds_between is {window.words}" if window is not None else "deeds are done at any hour"
            case BlockerName.STARTUP_GRACE:
                age = case.boot_age
                up = f"up for {span_words(age)}" if age is not None else "up for an unknown time"
                return f"{up}, limit {span_words(thresholds.startup_grace)}"
            case BlockerName.GATEWAY_UNTRUSTED:
                latency = self.found.snapshot.latency.total_seconds() * 1000
                return f"it answered in {latency:.0f} ms (limit 5000 ms) and does not call itself degraded"
            case BlockerName.INCOMPLETE_LIST:
                return f"the list is whole ({count(len(self.found.snapshot.sessions), 'session')})"
            case BlockerName.RECENTLY_TOUCHED:
                return f"the row did not move while we looked, limit {span_words(thresholds.confirm_for)}"
            case BlockerName.SESSION_LOCKED:
                return LOCKS[case.look.lock.lock] if case.look.lock is not None else "no lock to respect"
            case BlockerName.AMBIGUOUS_SESSION:
                return "no other key has this session id"
            case BlockerName.NO_SESSION_ID:
                return "it has a session id"
            case BlockerName.WORK_FINISHED | BlockerName.TRANSCRIPT_UNKNOWN:
                return f"the transcript {ENDINGS[tail.kind]}" if tail is not None else "was not read"
            case BlockerName.WAITING_UNKNOWN:
                return "nothing that was asked about approvals and questions went unanswered"
            case BlockerName.FOREIGN_DEED:
                return "no other watchdog's turn of the last 15m is in the transcript"
            case BlockerName.PENDING_INPUT:
                return "no message is waiting to be taken up"
            case BlockerName.REQUESTER_UNKNOWN:
                return clause(self.plan.requester.message)
            case BlockerName.STOPPED_BY_PERSON:
                return "nobody was seen to stop it"
            case BlockerName.CHANNEL_DOWN:
                return "the chat app is asked right before a deed that speaks through it"
            case BlockerName.GATEWAY_RECOVERING:
                return "no message of this chat waits in a spool"
            case BlockerName.COOL_DOWN:
                tried = standing.attempts_in_incident
                return f"over, after {count(tried, 'attempt')}" if tried else "nothing was tried yet"
            case BlockerName.SESSION_BUDGET:
                return f"{standing.session_charges} of {recovery.budget.attempts} used in {span_words(recovery.budget.per)}"
            case BlockerName.GATEWAY_BUDGET:
                spent = recovery.gateway_budget
                return f"{standing.gateway_charges} of {spent.attempts} used in {span_words(spent.per)}"
            case BlockerName.QUARANTINED:
                return "not quarantined"
            case BlockerName.CONCURRENCY:
                return f"{standing.in_flight_on_gateway} of {recovery.max_concurrent} deeds in flight"
            case BlockerName.FLEET_BREAKER if standing.is_fleet_open:
                return "it holds those without a proof of their own, and this one has a proof"
            case BlockerName.FLEET_BREAKER:
                return (
                    f"{len(unproven)} of {len(running)} running ones stuck without a proof, limit {breaker.sessions} "
                    f"and {breaker.share:.0%}"
                )
            case BlockerName.STEP_UNAVAILABLE:
                return f"`{self.step.value if self.step is not None else ''}` works on {self.found.facts.version}"
            case BlockerName.LEDGER_UNAVAILABLE:
                return "the ledger can be used"
            case BlockerName.IN_FLIGHT:
                return "no attempt on it is being verified"
            case BlockerName.HISTORY_LOST:
                return "nothing is missing from the ledger"
            case BlockerName.SCOPE_MISSING | BlockerName.LEASE:
                return "looked at by `doctor` and the daemon; explain only signs in to read"
            case _:
                assert_never(name)

    # ---------------------------------------------------------------- values

    def values(self) -> list[tuple[str, str, str]]:
        """(what, value, limit)."""
        case, thresholds = self.case, self.judged.policy.thresholds
        unattended = case.track.unattended_for(case.now)
        age = case.boot_age
        rows = []
        if self.is_running:
            rows += [
                ("no progress for", span_words(case.track.quiet_for(case.now)), "stuck_after", thresholds.stuck_after),
                (
                    "no owner for",
                    span_words(unattended) if unattended is not None else "it may have one",
                    "confirm_for",
                    thresholds.confirm_for,
                ),
                (
                    "marked running for",
                    span_words(case.now.since(case.track.first_seen)),
                    "long_running_after",
                    thresholds.long_running_after,
                ),
            ]
        rows.append(
            (
                "gateway up for",
                span_words(age) if age is not None else "unknown",
                "startup_grace",
                thresholds.startup_grace,
            )
        )
        return [(name, value, f"{limit} {span_words(span)}") for name, value, limit, span in rows]

    def row_facts(self) -> list[tuple[str, str]]:
        """What else the gateway says of it, as far as it says anything."""
        row, look, case = self.judged.session, self.case.look, self.case
        found = [
            ("status", f"{row.status.value}, started {ago(row.started_at, case)}, moved {ago(row.updated_at, case)}")
        ]
        if self.is_running and look.tail is not None:
            found += self.requester_words()
        if look.tail is not None:
            found.append(("transcript", f"{ENDINGS[look.tail.kind]} ({ago(look.tail.at, case)})"))
        if look.lock is not None:
            found.append(("lock", LOCKS[look.lock.lock] + (f" (pid {look.lock.pid})" if look.lock.pid else "")))
        if look.cron_run_ended is not None:
            found.append(("scheduler", f"its log says that this run has ended ({look.cron_run_ended})"))
        if row.restart_recovery_status is not None:
            found.append(("own recovery", f"the gateway says: {row.restart_recovery_status}"))
        if row.aborted_last_run:
            found.append(("last run", "marked as cut by a restart or a stop"))
        if row.last_run_error:
            text = " ".join(row.last_run_error.split())
            found.append(("last error", text if len(text) <= LONGEST else f"{text[:LONGEST]}…"))
        if row.parent_key is not None:
            found.append(("parent", shown_key(row.parent_key)))
        busy = [one.key for one in case.relatives if one.status in (Status.RUNNING, Status.QUEUED)]
        if case.relatives:
            listed = f": {', '.join(map(shown_key, busy[:3]))}{' …' if len(busy) > 3 else ''}" if busy else ""
            found.append(("children", f"{len(case.relatives)} sub-sessions, {len(busy)} running{listed}"))
        if case.aliases:
            found.append(("same session", ", ".join(shown_key(other.key) for other in case.aliases)))
        return found


def _as_stuck(judged: Judged) -> Judged:
    """Which step would come if it were stuck by now: worth knowing before the threshold, too."""
    return replace(judged, judgement=replace(judged.judgement, verdict=Verdict.STUCK, changes_at=None))


_FROM_TRANSCRIPT = frozenset(
    {
        BlockerName.WORK_FINISHED,
        BlockerName.TRANSCRIPT_UNKNOWN,
        BlockerName.FOREIGN_DEED,
        BlockerName.PENDING_INPUT,
    }
)


def explanation_lines(it: Explained) -> list[Line]:
    """Lines for a person."""
    judgement, policy, facts = it.judged.judgement, it.judged.policy, it.found.facts
    ladder = " → ".join(step.value for step in policy.recovery.ladder)
    verdict = (judgement.verdict.value.replace("_", " "), VERDICT_STYLES[judgement.verdict])
    lines: list[Line] = [
        (
            (shown_key(it.judged.session.key), "bold"),
            (shown_name(it.judged.session.name), "dim"),
            f"  on {facts.name} (OpenClaw {facts.version})",
        ),
        ("  ", verdict, f": {_verdict_words(it)}"),
        ("  ", ("next", "bold"), f": {it.next_words()}"),
        (),
        *((f"  {name:<14}{text}",) for name, text in it.row_facts()),
        (f"  {'policy':<14}{policy.name}: mode {policy.recovery.mode.value}, ladder {ladder}",),
        *((f"  {'tried':<14}{_attempt_words(attempt, it.case)}",) for attempt in _attempts(it)),
    ]
    for title, wanted in (("does anything work on it?", True), ("has it a good reason to sit still?", False)):
        lines += [(), ("  ", (title, "bold"))]
        if not it.is_running:
            lines.append((("    not asked: no run is marked as going on", "dim"),))
            continue
        for signal, says, why in it.signals():
            if (signal in OWNER_SIGNALS) is wanted:
                rest = f"{signal.value:<18} {why}"
                style = _SPOKEN_STYLES[says]
                lines.append(("    ", (f"{says:<12}", style), (rest, style if says == "-" else "")))
    lines += [((f"    could not look: {problem}", "yellow"),) for problem in it.case.look.problems]
    lines += [(), ("  ", ("value beside limit", "bold"))]
    lines += [(f"    {name:<20}{value:<18}{limit}",) for name, value, limit in it.values()]
    lines += [(), ("  ", ("what would hold a deed now", "bold"))]
    if it.why_unguarded is not None:
        lines.append(((f"    {it.why_unguarded}", "dim"),))
    for guard in it.guards() if it.why_unguarded is None else ():
        word = {True: "HOLDS", False: "clear", None: "-"}[guard.holds]
        text = f"    {word:<8}{guard.name.value:<20} {guard.words}"
        lines.append(((text, "bold red" if guard.holds else "dim"),))
    if it.judged.judgement.verdict in (Verdict.SUSPECT, Verdict.STUCK):
        lines += [(), ((f"  {_WHOSE_TIME}", "dim"),)]
    return lines


def _verdict_words(it: Explained) -> str:
    judgement, case = it.judged.judgement, it.case
    if not it.is_running:
        return judgement.message
    if it.judged.session.is_tombstone and judgement.verdict in (Verdict.SUSPECT, Verdict.STUCK):
        return f"it takes no message any more. {judgement.message}"
    quiet = span_words(case.track.quiet_for(case.now))
    limit = span_words(it.judged.policy.thresholds.stuck_after)
    if judgement.verdict in (Verdict.SUSPECT, Verdict.STUCK):
        return f"marked running, but nothing works on it. {judgement.message} No progress for {quiet} (limit {limit})."
    return f"{judgement.message} Last progress {quiet} ago."


def _attempts(it: Explained) -> tuple[Attempt, ...]:
    return it.incident.attempts if it.incident is not None else ()


def _attempt_words(attempt: Attempt, case: Case) -> str:
    proof = reason_words(attempt.verified_by or attempt.reason)
    return f"{attempt.number}. {attempt.step.value} {ago(attempt.started_at, case)}: {RESULTS[attempt.state]}" + (
        f" ({proof})" if proof else ""
    )


def explanation_facts(it: Explained) -> dict[str, Any]:
    """``explain --json``."""
    policy, thresholds = it.judged.policy, it.judged.policy.thresholds
    return {
        **session_facts(it.judged),
        "gateway": it.found.facts.name,
        "version": it.found.facts.version,
        "ladder": [step.value for step in policy.recovery.ladder],
        "mode": policy.recovery.mode.value,
        "facts": dict(it.row_facts()),
        "requester": it.requester_facts(),
        "evidence": [
            {"signal": item.signal.value, "status": item.status.value, "reason": item.reason, "message": item.message}
            for item in it.judged.judgement.evidence
        ],
        "signals": [{"signal": signal.value, "says": says, "message": why} for signal, says, why in it.signals()],
        "looks_failed": list(it.case.look.problems),
        "thresholds": {
            "stuck_after_seconds": thresholds.stuck_after.total_seconds(),
            "confirm_for_seconds": thresholds.confirm_for.total_seconds(),
            "long_running_after_seconds": thresholds.long_running_after.total_seconds(),
            "startup_grace_seconds": thresholds.startup_grace.total_seconds(),
        },
        "quiet_seconds": round(it.case.track.quiet_for(it.case.now).total_seconds(), 1),
        "step": it.step.value if it.step is not None else None,
        "blockers": [{"name": blocker.name.value, "message": blocker.message} for blocker in it.blockers]
        if it.judged.judgement.verdict in (Verdict.SUSPECT, Verdict.STUCK)
        else [],
        "guards": [{"name": guard.name.value, "holds": guard.holds, "message": guard.words} for guard in it.guards()],
        "next": it.next_words(),
    }
