"""``explain``: one session in plain words, for somebody who is woken at night.

First what is so and what comes next; then every signal, whether it says anything or not; then every value beside its
limit; then every guard: what would hold a deed now, and what would not.
"""

from __future__ import annotations

from typing import Any

from watchdog.cli.descriptions import VERDICT_STYLES, session_facts
from watchdog.cli.explanation import Explained
from watchdog.cli.phrases import ago
from watchdog.cli.screen import Line
from watchdog.core.evidence import OWNER_SIGNALS, Case
from watchdog.core.printable import shown_key
from watchdog.core.recovery import Attempt
from watchdog.core.spans import span_words
from watchdog.core.verdict import Verdict

_WHOSE_TIME = "Ages are the row's own here, so that nobody has to wait for an answer. A daemon counts from when it first saw this run."
_SPOKEN_STYLES = {"alive": "green", "gone": "red", "yes": "cyan", "no": "green", "cannot tell": "yellow", "-": "dim"}


def explanation_lines(it: Explained) -> list[Line]:
    """Lines for a person."""
    judgement, policy, facts = it.judged.judgement, it.judged.policy, it.found.facts
    ladder = " → ".join(step.value for step in policy.recovery.ladder)
    verdict = (judgement.verdict.value.replace("_", " "), VERDICT_STYLES[judgement.verdict])
    lines: list[Line] = [
        ((shown_key(it.judged.session.key), "bold"), f"  on {facts.name} (OpenClaw {facts.version})"),
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
    quiet = span_words(case.track.quiet_for(case.now))
    limit = span_words(it.judged.policy.thresholds.stuck_after)
    if judgement.verdict in (Verdict.SUSPECT, Verdict.STUCK):
        return f"marked running, but nothing works on it. {judgement.message} No progress for {quiet} (limit {limit})."
    return f"{judgement.message} Last progress {quiet} ago."


def _attempts(it: Explained) -> tuple[Attempt, ...]:
    return it.incident.attempts if it.incident is not None else ()


def _attempt_words(attempt: Attempt, case: Case) -> str:
    proof = attempt.verified_by or attempt.reason
    return f"{attempt.number}. {attempt.step.value} {ago(attempt.started_at, case)}: {attempt.state.value}" + (
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
