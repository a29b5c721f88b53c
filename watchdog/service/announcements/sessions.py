"""Messages about one session: an incident from opened to closed, and runs that are merely long or unclear."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from watchdog.core.blockers import Blocker, BlockerName
from watchdog.core.evidence import ANSWER_UNHEARD
from watchdog.core.policy import Budget, Step
from watchdog.core.recovery import TURN_ANSWERED, Attempt, AttemptState, awaits_person, took_it_up, was_never_sent
from watchdog.core.spans import span_words
from watchdog.core.tracking import RunIdentity
from watchdog.service.announcements.phrases import (
    DEEDS,
    RESULTS,
    STEP_EFFECTS,
    STEP_NAMES,
    because,
    clip,
    command,
    commands,
    count,
    key_words,
    lasting,
    plain,
    reason_words,
    sentence,
    short_key,
    tried,
    when,
    write,
)
from watchdog.service.ledger import Incident, Message, MessageKind, Outcome, Quarantine


def stuck(
    incident: Incident,
    *,
    now: datetime,
    unattended_for: timedelta,
    explanation: str,
    next_step: Step | None,
    blockers: Sequence[Blocker] = (),
) -> Message:
    """The opened message. ``explanation`` is the judgement's sentence; ``next_step`` NOTIFY: its policy only tells; None: no
    step fits. With ``blockers`` it also says why nothing is done yet."""
    lines = [
        f"{_who(incident)} has been stuck {lasting(now - unattended_for, now)}.",
        because("It is marked running, but nothing works on it", explanation),
        *_unheard(incident),
        "",
        *_plan(next_step, blockers, now),
    ]
    if next_step in (None, Step.NOTIFY):
        lines += ["Look at it first; then act by hand, if it should go on:"]
        lines += commands([command("explain", key=incident.session, gateway=incident.gateway), _by_hand(incident)])
        return _about(incident, MessageKind.STUCK, f"Stuck: {_name(incident)}", lines, "opened", step=next_step)
    if [held.name for held in blockers] == [BlockerName.DEEDS_WINDOW]:
        lines += ["", "It is done by itself then, if it is still stuck. By hand it can be done now:"]
        verbs = ("explain", "recover")
        lines += commands([command(verb, key=incident.session, gateway=incident.gateway) for verb in verbs])
        return _about(incident, MessageKind.STUCK, f"Stuck: {_name(incident)}", lines, "opened", step=next_step)
    return _about(incident, MessageKind.STUCK, f"Stuck: {_name(incident)}", lines, "opened", "explain", step=next_step)


_PASSING = (BlockerName.CONCURRENCY, BlockerName.GATEWAY_BUDGET, BlockerName.COOL_DOWN)
"""What holds a deed that comes by itself, in its turn."""


def given_up(
    incident: Incident,
    *,
    now: datetime,
    explanation: str,
    next_step: Step | None,
    blockers: Sequence[Blocker] = (),
    has_chat: bool,
) -> Message:
    """The opened message of a tombstone. ``has_chat``: somebody may write to it from a chat app, so only a reset lets its people in
    again; the others may go on elsewhere with what was said."""
    way_out = (
        "It stays so until it is reset, which forgets the conversation and keeps every chat that leads to it; on 2026.9.6 /new or "
        "/reset typed there does the same. Do not use `sessions.recover` on it: that cuts such a chat off."
        if has_chat
        else "It stays so until it is recovered, which goes on under a new key with all that was said, or reset, which forgets it. "
        "Do not recover it if anybody writes to it from a chat: that cuts them off."
    )
    lines = [f"{_who(incident)} takes no message any more.", sentence(explanation), ""]
    comes_by_itself = next_step is not None and all(held.name in _PASSING for held in blockers)
    if next_step is None:
        lines += [f"Nothing is done by itself. {way_out}"]
    elif comes_by_itself:
        lines += _plan(next_step, blockers, now)
    else:
        lines += [*_plan(next_step, blockers, now), "", way_out]
    by_hand = [
        command("recover", "--step", "reset" if has_chat else "recover", key=incident.session, gateway=incident.gateway)
    ]
    body = [
        *lines,
        *commands(
            [command("explain", key=incident.session, gateway=incident.gateway), *([] if comes_by_itself else by_hand)]
        ),
    ]
    title = f"Takes no messages: {_name(incident)}"
    key = f"{incident.id}:given_up"
    return write(MessageKind.STUCK, incident.gateway, title, body, key, incident.session, incident.id, step=next_step)


def did_not_help(
    incident: Incident,
    attempt: Attempt,
    *,
    now: datetime,
    next_step: Step | None,
    blockers: Sequence[Blocker] = (),
    stuck_at: datetime | None = None,
    no_more: str | None = None,
    successor: str | None = None,
) -> Message:
    """An attempt ended, and a later look shows that it did not help.

    What follows is said as far as it is known now: ``next_step`` (None: none is left; NOTIFY: nothing more is done), what
    holds it, and ``stuck_at``, before which the session does not count as stuck again. ``no_more``: why nothing follows, as a
    clause. ``successor``: the key under which the conversation is kept now, where that is another one: nothing follows here."""
    if successor is not None:
        no_more = f"the conversation is kept as {key_words(successor)} now"
    done = f"{DEEDS[attempt.step]} at {when(attempt.started_at or now, now)} {RESULTS[AttemptState.INEFFECTIVE]}"
    words = reason_words(attempt.reason)
    lines = [sentence(f"{done}{f': {words}' if words else ''}"), _found(incident, now), ""]
    waits = [held.until.wall for held in blockers if held.name is BlockerName.COOL_DOWN and held.until is not None]
    at = max([*waits, *([stuck_at] if stuck_at is not None else [])], default=None)
    if no_more is not None:
        lines += [f"No further step follows: {no_more}."]
    elif next_step is None:
        lines += ["No step is left to try."]
    elif next_step is Step.NOTIFY:
        lines += ["Nothing more is done; it is up to you."]
    elif len(blockers) > len(waits):
        lines += _plan(next_step, blockers, now)
    else:
        moment = f", at {when(at, now)} if nothing moves until then" if at is not None else ""
        lines += [f"Next{moment}: {DEEDS[next_step]}. {STEP_EFFECTS[next_step]}"]
    heading = f"{STEP_NAMES[attempt.step]} {RESULTS[AttemptState.INEFFECTIVE]}: {_name(incident)}"
    key = f"attempt:{attempt.number}:{attempt.state.value}"
    return _about(incident, MessageKind.INEFFECTIVE, heading, lines, key, "explain", step=attempt.step)


def perhaps_asked(incident: Incident, attempt: Attempt, *, now: datetime) -> Message:
    """Nobody knows what became of an ``ask``: it is never asked again, so a person may be waiting who heard nothing."""
    lines = [
        f"Whether the person was asked to send the request again at {when(attempt.started_at or now, now)} is not known.",
        _found(incident, now),
        "",
        "They are not asked again. Look into the chat; nothing more is done until somebody writes there.",
    ]
    heading = f"Perhaps not asked: {_name(incident)}"
    return _about(incident, MessageKind.INEFFECTIVE, heading, lines, f"attempt:{attempt.number}:unclear", "explain")


def never_sent(incident: Incident, *, now: datetime) -> Message:
    """Its deeds do not come about: none has left for the gateway, and the next is tried as if there had been none."""
    unsent = [one for one in incident.attempts if was_never_sent(one)]
    lines = [
        f"What would help {_who(incident)} could not be sent {count(len(unsent), 'time')}.",
        _found(incident, now),
        "",
        "Tried:",
        *tried(incident.attempts, now),
        "",
        "It is tried again, and costs no attempt. This is not said again. Whether the gateway is well:",
    ]
    heading = f"Not sent: {_name(incident)}"
    return _about(incident, MessageKind.INEFFECTIVE, heading, lines, "never-sent", "explain", step=_last_step(incident))


def quarantined(incident: Incident, *, now: datetime, why: str, budget: Budget | None = None) -> Message:
    """Hands off from now on. ``why`` is a sentence; ``budget`` is given when it is what ran out, and says it better."""
    if budget is not None and "used up" in why:
        why = f"All {count(budget.attempts, 'attempt')} allowed per {span_words(budget.per)} are used up."
    lines = [_found(incident, now), f"The watchdog has given up on it and put it in quarantine. {sentence(why)}"]
    attempts = tried(incident.attempts, now)
    if attempts:
        lines += ["", "Tried:", *attempts]
    lines += [
        "",
        "Nothing more is done to it until you release it, a message to it is answered, or a new session replaces it.",
        "Once released, it is tried again from the first step on.",
    ]
    title = f"Needs you: {_name(incident)}"
    return _about(
        incident, MessageKind.QUARANTINED, title, lines, "quarantined", "explain", "release", step=_last_step(incident)
    )


def recovered(
    incident: Incident, attempt: Attempt, *, now: datetime, note_path: str | None = None, successor: str | None = None
) -> Message:
    """The closed message after a deed proven to work. ``note_path``: the handoff note of a step that lost context. ``successor``: the
    key under which it goes on, where that is another one."""
    words = reason_words(attempt.verified_by or attempt.reason)
    lines = [
        f"{_who(incident)} works again, {_after(incident, now)}.",
        f"What helped: {DEEDS[attempt.step]} (attempt {attempt.number}) at {when(attempt.started_at or now, now)}"
        + (f"; {words}." if words else "."),
    ]
    if attempt.step.loses_context:
        lines += [
            "",
            "It does not remember the conversation before.",
            "A request that had no answer was not carried out: whoever asked must ask again.",
        ]
        # guard: message: whether the person was told is said
        if attempt.address is not None and attempt.delivered is None:
            lines += ["Whether they were told so in their chat is not known."]
        lines += [f"The last request is kept in {plain(note_path)}"] if note_path else []
    elif successor is not None:
        lines += ["", f"It goes on as {key_words(successor)}; the old key is archived and takes no messages."]
    elif not _unheard(incident):
        lines += ["", "Nothing is left to do."]
    if unheard := _unheard(incident, is_kept=not attempt.step.loses_context):
        lines += ["", *unheard]
    return _about(incident, MessageKind.RECOVERED, f"Recovered: {_name(incident)}", lines, "closed", step=attempt.step)


def undelivered(incident: Incident, attempt: Attempt, *, now: datetime, note_path: str | None = None) -> Message:
    """The closed message after a turn that was answered, or a fresh start, of which the person did not hear."""
    is_fresh = attempt.step.loses_context
    what = (
        "works again, but the person was not told"
        if is_fresh
        else "was answered, but the answer did not reach the person"
    )
    lines = [
        f"{_who(incident)} {what}.",
        sentence(
            f"{DEEDS[attempt.step]} at {when(attempt.started_at or now, now)}: the gateway says that its chat app refused it"
        ),
        "",
        "It does not remember the conversation before. A request that had no answer was not carried out: whoever asked must ask again."
        if is_fresh
        else "It is not sent again. The answer stands in the conversation.",
        "See whether the person has blocked the bot.",
        *([f"The last request is kept in {plain(note_path)}"] if is_fresh and note_path else []),
    ]
    return _about(
        incident,
        MessageKind.INEFFECTIVE,
        f"Not delivered: {_name(incident)}",
        lines,
        "closed",
        "explain",
        step=attempt.step,
    )


def ended(incident: Incident, *, now: datetime) -> Message:
    """The closed message after a run was aborted, as a policy or an operator asked for."""
    lines = [
        f"The run of {_who(incident)} was stopped, {_after(incident, now)}.",
        "What it was doing is not finished, and nobody was told in the chat. A new message to it starts a new run.",
    ]
    return _about(
        incident,
        MessageKind.CLEARED,
        f"Stopped: {_name(incident)}",
        lines,
        "closed",
        "explain",
        step=_last_step(incident),
    )


def failed(incident: Incident, *, now: datetime) -> Message:
    """The closed message of a session that runs no more and whose request was not answered."""
    lines = [
        f"{_who(incident)} is no longer marked running, {_after(incident, now)}, but its last run failed.",
        "Nothing shows that the request was answered. A new message to it starts a new run."
        if not _unheard(incident)
        else "Nothing shows that anybody was answered since. A new message to it starts a new run.",
        *_unheard(incident),
        *["", "Tried:", *tried(incident.attempts, now)],
    ]
    return _about(
        incident,
        MessageKind.INEFFECTIVE,
        f"Failed: {_name(incident)}",
        lines,
        "closed",
        "explain",
        step=_last_step(incident),
    )


def cleared(
    incident: Incident, *, now: datetime, successor: str | None = None, is_archived_tombstone: bool = False
) -> Message:
    """The closed message of an incident that ended without a deed proven to be the cause. ``successor``: as in ``did_not_help``.
    ``is_archived_tombstone``: ``Session.is_archived_tombstone``."""
    lines = [f"{_who(incident)} is no longer stuck, {_after(incident, now)}."]
    if is_archived_tombstone:
        lines = [f"{_who(incident)} was archived, {_after(incident, now)}; it still takes no messages."]
    if successor is not None:
        lines = [
            f"{_who(incident)} is no longer stuck, {_after(incident, now)}; its conversation is kept as {key_words(successor)} now."
        ]
    attempts, took_up = tried(incident.attempts, now), took_it_up(incident.attempts)
    if took_up is not None:
        lines += [
            sentence(f"{DEEDS[took_up.step]} at {when(took_up.started_at or now, now)} took its request up again"),
            "The turn ended to wait for its subagents, and there is no answer yet. How it stands:",
        ]
        return _about(
            incident, MessageKind.CLEARED, f"Goes on: {_name(incident)}", lines, "closed", "explain", step=took_up.step
        )
    if attempts:
        lines += ["None of these attempts is proven to be the cause:", *attempts]
    else:
        lines += ["The watchdog did nothing to it."]
    lines += _unheard(incident)
    lines += ["Whether somebody still waits for an answer is not known. How it stands:"]
    return _about(incident, MessageKind.CLEARED, f"Cleared: {_name(incident)}", lines, "closed", "explain")


def closed(
    incident: Incident,
    outcome: Outcome,
    *,
    now: datetime,
    note_path: str | None = None,
    successor: str | None = None,
    is_archived_tombstone: bool = False,
) -> Message:
    """The closed message for how it ended; RECOVERED by the last attempt that was successful, or is known by now to have been."""
    proven = [
        attempt
        for attempt in incident.attempts
        if attempt.state is AttemptState.SUCCEEDED or attempt.verified_by == TURN_ANSWERED
    ]
    unheard = [attempt for attempt in incident.attempts if attempt.delivered is False]
    if outcome is Outcome.UNDELIVERED and unheard:
        return undelivered(incident, unheard[-1], now=now, note_path=note_path)
    if outcome is Outcome.ENDED:
        return ended(incident, now=now)
    if outcome is Outcome.FAILED:
        return failed(incident, now=now)
    if outcome is Outcome.RECOVERED and proven:
        return recovered(incident, proven[-1], now=now, note_path=note_path, successor=successor)
    return cleared(incident, now=now, successor=successor, is_archived_tombstone=is_archived_tombstone)


# ---------------------------------------------------------------- said again


def still_open(incident: Incident, *, now: datetime, every: timedelta, target: str, dedupe_key: str) -> Message:
    """The reminder of an open incident."""
    lines = [f"{_found(incident, now)} It is still open."]
    attempts = tried(incident.attempts, now)
    if awaits_person(incident.attempts):
        lines += ["It waits for its person to write again; nothing more is done until then."]
    lines += ["", "Tried:", *attempts] if attempts else ["Nothing was done to it yet."]
    lines += ["", *_reminds(every), "To see what holds it, or to end these reminders:"]
    about = [
        command("explain", key=incident.session, gateway=incident.gateway),
        command("ack", incident.id, gateway=incident.gateway),
    ]
    title, body = f"Still open: {_name(incident)}", [*lines, *commands(about)]
    return write(
        MessageKind.STUCK, incident.gateway, title, body, dedupe_key, incident.session, incident.id, target=target
    )


def still_quarantined(
    entry: Quarantine, incident: Incident | None, *, now: datetime, every: timedelta, target: str, dedupe_key: str
) -> Message:
    """The reminder of a quarantine. ``incident``: the one that ended in it, where it is known."""
    lines = [
        f"{key_words(entry.session)} on {entry.gateway} has been in quarantine {lasting(entry.since, now)}.",
        sentence(entry.reason),
    ]
    attempts = tried(incident.attempts, now) if incident is not None else []
    if attempts:
        lines += ["", "Tried:", *attempts]
    lines += [
        "",
        "Nothing is done to it until you release it, a message to it is answered, or a new session replaces it.",
        *_reminds(every),
        "To look at it, to have it tried again, or to end these reminders:",
    ]
    about = [command(verb, key=entry.session, gateway=entry.gateway) for verb in ("explain", "release")]
    known = [entry.incident] if entry.incident is not None else []
    about += [command("ack", *known, key=None if known else entry.session, gateway=entry.gateway)]
    title, body = f"Still needs you: {short_key(entry.session)} on {entry.gateway}", [*lines, *commands(about)]
    return write(
        MessageKind.QUARANTINED,
        entry.gateway,
        title,
        body,
        dedupe_key,
        entry.session,
        entry.incident,
        target=target,
    )


def _reminds(every: timedelta) -> list[str]:
    return [f"You are told again every {span_words(every)}, until it is over or you acknowledge it."]


# ---------------------------------------------------------------- runs without an incident


def long_running(
    gateway: str,
    session: str,
    run: RunIdentity,
    *,
    now: datetime,
    running_for: timedelta,
    explanation: str,
    is_alive: bool,
) -> Message:
    """Alive but long, or (``is_alive`` False) long in the gateway's own hands: reported, not touched. Once per run."""
    if is_alive:
        lines = [
            f"{key_words(session)} on {gateway} has been working {lasting(now - running_for, now)}.",
            because("It is alive, so it is left alone", explanation),
            "",
            "If it should not take this long, look at it or stop it:",
            *commands(
                [
                    command("explain", key=session, gateway=gateway),
                    command("recover", "--step", "abort", key=session, gateway=gateway),
                ]
            ),
        ]
        title = f"Long run: {short_key(session)} on {gateway}"
    else:
        lines = [
            f"{key_words(session)} on {gateway} has been waiting for its gateway {lasting(now - running_for, now)}.",
            because("Its gateway may still recover it by itself, so it is left alone", explanation),
            "",
            "It is judged anew once the gateway is done with it or gives up. What it waits for:",
            *commands([command("explain", key=session, gateway=gateway)]),
        ]
        title = f"Long wait: {short_key(session)} on {gateway}"
    key = f"long_running:{_run(gateway, session, run)}"
    return write(MessageKind.LONG_RUNNING, gateway, title, lines, key, session)


def unknown(
    gateway: str, session: str, run: RunIdentity, *, now: datetime, quiet_for: timedelta, explanation: str
) -> Message:
    """No sign of progress, and nothing can tell whether it lives. Once per run."""
    lines = [
        f"{key_words(session)} on {gateway} has shown no progress {lasting(now - quiet_for, now)}.",
        "Nothing was done, because we cannot tell whether it is alive.",
        sentence(explanation),
        "",
        "What each signal says, and what would make this gateway say more:",
        *commands([command("explain", key=session, gateway=gateway), command("doctor", gateway=gateway)]),
    ]
    title = f"Cannot tell: {short_key(session)} on {gateway}"
    key = f"unknown:{_run(gateway, session, run)}"
    return write(MessageKind.UNKNOWN, gateway, title, lines, key, session)


def unknown_status(gateway: str, session: str, word: str) -> Message:
    """A row's status is a word that we do not know. Once per word and gateway: ``session`` is the first that has it."""
    lines = [
        f"{key_words(session)} on {gateway} has the status “{plain(word)}”, which this watchdog does not know.",
        "Sessions with it are neither judged nor touched; this message comes once.",
        "",
        "Perhaps the gateway is newer than this watchdog: see whether there is an update.",
        *commands([command("explain", key=session, gateway=gateway), command("doctor", gateway=gateway)]),
    ]
    title = f"Unknown status “{plain(word)}” on {gateway}"
    return write(MessageKind.UNKNOWN, gateway, title, lines, f"unknown_status:{gateway}:{word}", session)


def unanswered(
    gateway: str,
    session: str,
    run: RunIdentity,
    *,
    now: datetime,
    ended_at: datetime,
    explanation: str,
    has_waited: bool = False,
) -> Message:
    """A run that was watched has ended, and somebody has no answer. Once per run, and once more (``has_waited``) where it was to go
    on after its subagents and does not."""
    lines = [
        f"{key_words(session)} on {gateway} has not been running {lasting(ended_at, now)}, and somebody has no answer.",
        sentence(explanation),
        "",
        "Nothing was done, and nothing will be: what has ended is not started again here.",
        "A new message to it starts a new run, so whoever asked can ask again. What is known of it:",
        *commands([command("explain", key=session, gateway=gateway)]),
    ]
    title = f"Unanswered: {short_key(session)} on {gateway}"
    key = f"unanswered:{_run(gateway, session, run)}{':waited' if has_waited else ''}"
    return write(MessageKind.UNANSWERED, gateway, title, lines, key, session)


# ---------------------------------------------------------------- pieces


def _who(incident: Incident) -> str:
    return f"{key_words(incident.session)} on {incident.gateway}"


def _name(incident: Incident) -> str:
    return f"{short_key(incident.session)} on {incident.gateway}"


def _unheard(incident: Incident, *, is_kept: bool = True) -> list[str]:
    """Of an answer that did not reach its person: said when it is found and again at the end, since no deed of ours delivers it.
    Else nothing. ``is_kept``: the session goes on with the conversation in which it stands."""
    if incident.verdict_reason != ANSWER_UNHEARD:
        return []
    where = "the conversation" if is_kept else "the conversation before, and in the note of it"
    return [
        "Its last request was answered, but as far as is known the answer did not reach the person.",
        f"They heard “something went wrong” instead; the answer stands in {where}.",
    ]


def _found(incident: Incident, now: datetime) -> str:
    # ``opened_at`` is when the verdict fell, not when the run died: "found" is all it proves.
    return f"{_who(incident)} was found stuck at {when(incident.opened_at, now)}, {span_words(now - incident.opened_at)} ago."


def _after(incident: Incident, now: datetime) -> str:
    end = incident.closed_at or now
    return f"{span_words(end - incident.opened_at)} after it was found stuck at {when(incident.opened_at, now)}"


def _plan(step: Step | None, blockers: Sequence[Blocker], now: datetime) -> list[str]:
    if step is None:
        return ["No step of its ladder is left that fits it."]
    if step is Step.NOTIFY:
        return ["Its policy is to tell you and touch nothing."]
    if not blockers:
        return [f"Now: {DEEDS[step]}. {STEP_EFFECTS[step]} You will hear whether it worked."]
    lines = [f"Next would be {DEEDS[step]}, but that is held back:"]
    for blocker in blockers:
        until = f" (until {when(blocker.until.wall, now)})" if blocker.until is not None else ""
        lines.append(f"- {clip(blocker.message).rstrip('.')}{until}.")
    return lines


def _by_hand(incident: Incident) -> str:
    return command("recover", "--step", "resume", key=incident.session, gateway=incident.gateway)


def _run(gateway: str, session: str, run: RunIdentity) -> str:
    started = run.started_at.isoformat() if run.started_at else "-"
    return f"{gateway}:{session}:{run.session_id or '-'}:{started}"


def _last_step(incident: Incident) -> Step | None:
    """The one that was tried last."""
    begun = [attempt.step for attempt in incident.attempts if attempt.started_at is not None]
    return begun[-1] if begun else None


def _about(
    incident: Incident,
    kind: MessageKind,
    title: str,
    lines: Sequence[str],
    key: str,
    *verbs: str,
    step: Step | None = None,
) -> Message:
    about = [command(verb, key=incident.session, gateway=incident.gateway) for verb in verbs]
    body = [*lines, *commands(about)]
    return write(kind, incident.gateway, title, body, f"{incident.id}:{key}", incident.session, incident.id, step=step)
