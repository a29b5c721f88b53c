"""Sessions, verdicts and explanations in words and as plain data."""

from __future__ import annotations

from typing import Any

from watchdog.core.evidence import Truth
from watchdog.core.policy import Mode
from watchdog.core.spans import span_words
from watchdog.core.verdict import Judgement, Verdict
from watchdog.service.inspecting import Inspection
from watchdog.service.observing import Judged
from watchdog.service.planning import Action, Decision, GatewayStanding, decide
from watchdog.service.ports import Gateway, Ledger

VERDICT_STYLES = {
    Verdict.HEALTHY: "green",
    Verdict.WAITING: "cyan",
    Verdict.LONG_RUNNING: "yellow",
    Verdict.SUSPECT: "yellow",
    Verdict.STUCK: "bold red",
    Verdict.UNKNOWN: "magenta",
}
_TRUTH_STYLES = {Truth.TRUE: "green", Truth.FALSE: "red", Truth.UNKNOWN: "dim"}


def session_facts(judged: Judged) -> dict[str, Any]:
    """One session for ``check --json``."""
    row, judgement = judged.session, judged.judgement
    return {
        "key": row.key,
        "session_id": row.session_id,
        "kind": row.kind.value,
        "status": row.status.value,
        "started_at": row.started_at.isoformat() if row.started_at is not None else None,
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        "message": judgement.message,
        "owner": {Truth.TRUE: "alive", Truth.FALSE: "gone", Truth.UNKNOWN: "unknown"}[judgement.owner],
        "unattended_seconds": round(judgement.unattended_for.total_seconds(), 1)
        if judgement.unattended_for is not None
        else None,
        "policy": judged.policy.name,
    }


def explanation_lines(
    found: Inspection, judged: Judged, gateway: Gateway, ledger: Ledger
) -> tuple[dict[str, Any], list[str]]:
    """``explain``: the document and the lines for a person (rich markup)."""
    judgement, policy, case = judged.judgement, judged.policy, judged.case
    decision = _would(found, judged, gateway, ledger)
    thresholds, recovery = policy.thresholds, policy.recovery
    row = judged.session
    quiet = case.track.quiet_for(case.now)
    lines = [
        f"[bold]{row.key}[/]  on {found.facts.name} (OpenClaw {found.facts.version})",
        f"  verdict   [{VERDICT_STYLES[judgement.verdict]}]{judgement.verdict.value}[/]  {judgement.message}",
        f"  row       {row.status.value}, started {_at(row.started_at)}, session {row.session_id or 'without id'}",
        f"  policy    {policy.name}: mode {recovery.mode.value}, ladder {' → '.join(recovery.ladder)}",
        "",
        "  [bold]signals[/]",
    ]
    lines += [
        f"    [{_TRUTH_STYLES[item.status]}]{item.status.value:<8}[/]{item.signal.value:<18} {item.message}"
        for item in judgement.evidence
    ] or ["    none were needed: the row itself says that nothing runs"]
    lines += [f"    [dim]could not look: {problem}[/]" for problem in case.look.problems]
    limits = [
        ("no progress for", span_words(quiet), f"stuck_after {span_words(thresholds.stuck_after)}"),
        (
            "no owner for",
            span_words(judgement.unattended_for) if judgement.unattended_for is not None else "-",
            f"confirm_for {span_words(thresholds.confirm_for)}",
        ),
        (
            "gateway up for",
            span_words(case.boot_age) if case.boot_age is not None else "unknown",
            f"startup_grace {span_words(thresholds.startup_grace)}",
        ),
    ]
    lines += ["", "  [bold]value beside limit[/]"]
    lines += [f"    {name:<18}{value:<12}{limit}" for name, value, limit in limits]
    if decision.blockers:
        lines += ["", "  [bold]in the way[/]"]
        lines += [f"    {blocker.name.value:<20} {blocker.message}" for blocker in decision.blockers]
    next_words = _next_words(judged, judgement, decision)
    lines += ["", f"  [bold]next[/]      {next_words}"]
    document = {
        **session_facts(judged),
        "gateway": found.facts.name,
        "version": found.facts.version,
        "ladder": [step.value for step in recovery.ladder],
        "mode": recovery.mode.value,
        "evidence": [
            {"signal": item.signal.value, "status": item.status.value, "reason": item.reason, "message": item.message}
            for item in judgement.evidence
        ],
        "looks_failed": list(case.look.problems),
        "thresholds": {
            "stuck_after_seconds": thresholds.stuck_after.total_seconds(),
            "confirm_for_seconds": thresholds.confirm_for.total_seconds(),
            "long_running_after_seconds": thresholds.long_running_after.total_seconds(),
            "startup_grace_seconds": thresholds.startup_grace.total_seconds(),
        },
        "quiet_seconds": round(quiet.total_seconds(), 1),
        "blockers": [{"name": item.name.value, "message": item.message} for item in decision.blockers],
        "next": next_words,
    }
    return document, lines


def _would(found: Inspection, judged: Judged, gateway: Gateway, ledger: Ledger) -> Decision:
    """What would be decided if it were stuck by now: blockers are worth knowing before the threshold, too."""
    as_stuck = Judged(
        judged.session,
        judged.case,
        Judgement(
            Verdict.STUCK,
            judged.judgement.reason,
            judged.judgement.message,
            judged.judgement.evidence,
            judged.judgement.owner,
            judged.judgement.unattended_for,
            None,
            judged.judgement.is_proven,
        ),
        judged.policy,
    )
    if judged.judgement.verdict not in (Verdict.STUCK, Verdict.SUSPECT):
        return Decision(judged, Action.NOTHING)
    incident = next((one for one in ledger.open_incidents(found.facts.name) if one.session == judged.session.key), None)
    here = GatewayStanding(
        now=judged.case.now,
        trust=found.trust,
        is_list_complete=found.snapshot.is_complete,
        is_ledger_writable=True,
        is_fleet_open=False,
    )
    return decide(as_stuck, incident, here, gateway, ledger)


def _next_words(judged: Judged, judgement: Judgement, decision: Decision) -> str:
    if judgement.verdict in (Verdict.HEALTHY, Verdict.WAITING):
        return "nothing: there is no reason to do anything"
    if judgement.verdict is Verdict.LONG_RUNNING:
        return "nothing: somebody works on it; a person is told that it takes long"
    if judgement.verdict is Verdict.UNKNOWN:
        return "nothing: what cannot be decided is told, not touched"
    step = decision.step.value if decision.step is not None else None
    if judged.policy.recovery.mode is Mode.OBSERVE:
        return "nothing: observe mode"
    if step is None:
        return "quarantine: every step of the ladder was tried"
    if step == "notify":
        return "a person is told; this policy touches nothing"
    if decision.blockers:
        return f"would {step}, once nothing is in the way any more"
    if judgement.changes_at is not None:
        return f"would {step} in {span_words(judgement.changes_at.since(judged.case.now))} if nothing moves"
    return f"would {step} now"


def _at(instant: Any) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%SZ}" if instant is not None else "at an unknown time"
