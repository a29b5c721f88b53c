"""Whose request, whose chat, whose rights, whose stop."""

from __future__ import annotations

from .kinds import CORE, GATEWAY, SERVICE, Guard

REQUESTER = (CORE + "test_requester.py",)
PEOPLE = (SERVICE + "test_people.py",)
BOTH = (*REQUESTER, *PEOPLE)
TRANSCRIPT = (GATEWAY + "test_transcript.py",)
_REQUESTER, _RESUME = "watchdog/core/requester.py", "watchdog/core/resume.py"
_PLANNING, _BLOCKERS = "watchdog/service/planning.py", "watchdog/core/blockers.py"

GUARDS = (
    Guard(
        "requester: several are nobody",
        "rule 14",
        _REQUESTER,
        "    if len(senders) > 1:\n",
        "    if False:\n",
        tests=BOTH,
    ),
    Guard(
        "requester: a client is no person",
        "rule 14",
        _REQUESTER,
        "    if sender.kind is SenderKind.OPERATOR:\n",
        "    if False:\n",
        tests=REQUESTER,
    ),
    Guard(
        "route: a private chat is its person's",
        "rule 14",
        _REQUESTER,
        "        if peer.is_person and not _names(sender.id, peer.chat):\n",
        "        if False:\n",
        tests=REQUESTER,
    ),
    Guard(
        "route: the row's address is the last writer's",
        "rule 14",
        _REQUESTER,
        "        and session.last_writer == sender.id\n",
        "",
        tests=BOTH,
    ),
    Guard(
        "route: a bare id is a chat for one Telegram bot alone",
        "rule 14",
        _REQUESTER,
        "only = accounts[0] if accounts is not None and len(accounts) == 1 else None",
        "only = accounts[0] if accounts else None",
        tests=REQUESTER,
    ),
    Guard(
        "resume: nobody proven, nothing sent",
        "rule 14",
        _RESUME,
        "    unclear = _unclear(requester)\n    if unclear is not None:\n",
        "    unclear = _unclear(requester)\n    if False:\n",
        tests=BOTH,
    ),
    Guard(
        "resume: rules by sender ask",
        "rule 15",
        _RESUME,
        "    if rights.has_own_rules:\n",
        "    if False:\n",
        tests=BOTH,
    ),
    Guard(
        "resume: unknown rights ask",
        "rule 15",
        _RESUME,
        "    if rights is None or rights.is_owner is None or rights.has_own_rules is None:\n        return Doubt.RIGHTS_UNKNOWN\n",
        "    if rights is None:\n        return None\n",
        tests=REQUESTER,
    ),
    Guard(
        "resume: admin for a proven owner alone",
        "rule 15",
        _RESUME,
        "is_as_owner=is_owner and has_admin",
        "is_as_owner=has_admin",
        tests=BOTH,
    ),
    Guard(
        "resume: perhaps stopped asks",
        "rule 16",
        _RESUME,
        "    if perhaps_stopped or (tail is not None and tail.kind is TailKind.STOPPED):\n",
        "    if False:\n",
        tests=BOTH,
    ),
    Guard(
        "fence: signed in for what is done",
        "rule 15",
        "watchdog/service/executor.py",
        "        if fresh.action is Action.RECOVER and not (is_same and fresh.route == decision.route):\n",
        "        if False:\n",
        tests=PEOPLE,
    ),
    Guard(
        "ask: once per interruption",
        "double recovery",
        _PLANNING,
        "    if is_asked:\n",
        "    if False:\n",
        tests=PEOPLE,
    ),
    Guard(
        "free: only on proof that somebody waits",
        "rule 15",
        _PLANNING,
        "        and judged.case.track.knocks >= KNOCKS\n",
        "",
        tests=PEOPLE,
    ),
    Guard(
        "free: once per run",
        "double recovery",
        _PLANNING,
        "is_deaf(judged) and not was_freed(attempts, run):\n",
        "is_deaf(judged):\n",
        tests=PEOPLE,
    ),
    Guard(
        "stop: the flag that turns is a person's",
        "rule 16",
        "watchdog/core/tracking.py",
        "        stopped_at=now if was_stopped else track.stopped_at,\n",
        "",
        tests=PEOPLE,
    ),
    Guard(
        "stop: not across a boot",
        "rule 16",
        "watchdog/core/tracking.py",
        "    was_stopped = is_same_life and track.aborted is False",
        "    was_stopped = track.aborted is False",
        tests=PEOPLE,
    ),
    Guard(
        "stop: kept over restarts",
        "rule 16",
        _BLOCKERS,
        "(standing.was_stopped or case.track.stopped_at is not None)",
        "(case.track.stopped_at is not None)",
        tests=PEOPLE,
    ),
    Guard(
        "channel: what cannot be heard is not said",
        "rule 18",
        _BLOCKERS,
        "    if standing.channel_problem is not None:\n",
        "    if False:\n",
        tests=(CORE + "test_blockers.py",),
    ),
    Guard(
        "spool: what the chat app brings again is not resumed",
        "double recovery",
        _BLOCKERS,
        "    if speaks_for_request and case.look.will_redeliver:\n",
        "    if False:\n",
        tests=PEOPLE,
    ),
    Guard(
        "outcome: not delivered is not recovered",
        "rule 18",
        "watchdog/service/incidents.py",
        "    return Outcome.UNDELIVERED if attempt.delivered is False else Outcome.RECOVERED\n",
        "    return Outcome.RECOVERED\n",
        tests=PEOPLE,
    ),
    Guard(
        "mark: no person writes one",
        "rule 14",
        "watchdog/gateway/transcript.py",
        "    return mark if is_merged or (sender.kind is not SenderKind.PERSON and sender.id in _OUR_CLIENTS) else None\n",
        "    return mark\n",
        tests=TRANSCRIPT,
    ),
)
