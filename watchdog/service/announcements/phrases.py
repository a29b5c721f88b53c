"""The words messages are made of: spans and instants, deeds and reasons, keys and commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from watchdog import PROGRAM
from watchdog.core.policy import Step
from watchdog.core.printable import escaped, shown_key, visible
from watchdog.core.recovery import Attempt, AttemptState
from watchdog.service.ledger import Message, MessageKind

LONGEST_SENTENCE = 300
LONGEST_TITLE_KEY = 44
"""A phone shows about sixty characters of a title."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

STEP_NAMES = {
    Step.ASK: "Question",
    Step.FREE: "Freeing",
    Step.RESUME: "Resume",
    Step.NEW: "Fresh session",
    Step.RESET: "Reset",
    Step.RECOVER: "Gateway's recovery",
    Step.ABORT: "Stop",
    Step.NOTIFY: "Message",
}

DEEDS = {
    Step.ASK: "asking the person to send the request again",
    Step.FREE: "freeing its row for the messages that wait",
    Step.RESUME: "resuming it",
    Step.NEW: "starting a fresh session",
    Step.RESET: "resetting it",
    Step.RECOVER: "having the gateway recover it",
    Step.ABORT: "stopping its run",
    Step.NOTIFY: "telling you",
}

STEP_EFFECTS = {
    Step.ASK: "Nothing runs until they do; the conversation is kept.",
    Step.FREE: "Nothing is said in the chat; the conversation is kept.",
    Step.RESUME: "The conversation is kept.",
    Step.NEW: "It will not remember the conversation; the last request is saved first.",
    Step.RESET: "It will not remember the conversation; the last request is saved first.",
    Step.RECOVER: "The conversation is kept.",
    Step.ABORT: "The run ends; the conversation is kept.",
    Step.NOTIFY: "Nothing is touched.",
}

REASONS = {
    "NewRunDone": "a new run finished",
    "TurnAnswered": "its turn was answered, and the conversation has gone on since",
    "NewRunProgresses": "a new run is making progress",
    "RowCleared": "the session is free again",
    "RowTerminal": "its run has ended",
    "FreshRunStarted": "a fresh run started",
    "NewRunSilent": "a new run started and then fell silent",
    "NewRunFailed": "the new run failed",
    "NewRunKilled": "the new run was killed",
    "NewRunTimeout": "the new run timed out",
    "NotClaimed": "it was done elsewhere, or its incident was closed, so nothing was sent",
    "NothingChanged": "nothing changed",
    "LostWithGateway": "the gateway died before it began",
    "RunEnded": "its run has ended",
    "StillRunning": "the session is still marked running",
    "StillGivenUp": "the session still takes no messages",
    "SessionGone": "the session is no longer listed",
    "TerminalDeliverySent": "its answer was delivered",
    "Asked": "the message was sent",
    "AnswerLost": "its answer was lost",
    "PerhapsAsked": "whether the message was sent is not known, and it is not sent again",
    "RowFreed": "the session takes messages again",
    "PersonAnswered": "a message of theirs was answered since",
    "EndedInRow": "its run has ended",
}


def span(length: timedelta) -> str:
    """``90 seconds``, ``21 minutes``, ``1 hour 5 minutes``, ``3 days``; never more than two units."""
    seconds = int(length.total_seconds())
    if seconds < 1:
        return "a moment"
    if seconds < 120 and seconds != 60:
        return count(seconds, "second")
    minutes = seconds // 60
    if minutes < 60:
        return count(minutes, "minute")
    hours, minute = divmod(minutes, 60)
    if hours < 24:
        return _two(hours, "hour", minute, "minute")
    days, hour = divmod(hours, 24)
    return _two(days, "day", hour, "hour")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return count(large, large_unit) + (f" {count(small, small_unit)}" if small else "")


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def when(at: datetime, now: datetime) -> str:
    """``14:03 UTC`` today, ``13 Sep 14:03 UTC`` otherwise, with the year when it is another."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    clock = f"{at:%H:%M} UTC"
    if at.date() == now.date():
        return clock
    day = f"{at.day} {_MONTHS[at.month - 1]}"
    return f"{day} {clock}" if at.year == now.year else f"{day} {at.year} {clock}"


def lasting(since: datetime, now: datetime) -> str:
    """``for 21 minutes, since 13:42 UTC``."""
    length = now - since
    at = f"since {when(since, now)}"
    return f"for {span(length)}, {at}" if length >= timedelta(seconds=1) else at


def plain(text: str) -> str:
    """One line of what prints: names and errors are written by others."""
    return visible(" ".join(text.split()))


def key_words(key: str) -> str:
    """A session's key as it can be pasted back, calling nobody."""
    return shown_key(key, is_message=True)


def clip(text: str, limit: int = LONGEST_SENTENCE) -> str:
    flat = plain(text)
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def clause(sentence: str) -> str:
    """A sentence as it goes on after a colon: its first word small, unless the word is a name."""
    text = clip(sentence)
    first = text.partition(" ")[0]
    return text[:1].lower() + text[1:] if first[1:] == first[1:].lower() else text


def because(statement: str, explanation: str) -> str:
    """A statement and why it holds, in one sentence where that reads well."""
    if ": " in explanation or "; " in explanation:
        return f"{statement}. {sentence(explanation)}"
    return sentence(f"{statement}: {clause(explanation)}")


def sentence(text: str) -> str:
    """Words as a sentence: a capital first and a stop at the end."""
    flat = clip(text)
    return flat[:1].upper() + flat[1:] + ("" if not flat or flat[-1] in ".!?…" else ".")


def short_key(key: str) -> str:
    """A session key for a title: its middle left out where it is long, since both ends tell it apart."""
    flat = key_words(key)
    if len(flat) <= LONGEST_TITLE_KEY:
        return flat
    half = (LONGEST_TITLE_KEY - 1) // 2
    return f"{flat[:half]}…{flat[-half:]}"


def command(verb: str, *arguments: str, key: str | None = None) -> str:
    """A line to paste into a shell. ``key``: the session it is about."""
    keys = [escaped(key, is_message=True)] if key is not None else []
    return "  " + shlex.join([PROGRAM, verb, *keys, *arguments])


def commands(lines: Sequence[str]) -> list[str]:
    return ["", *lines] if lines else []


def reason_words(reason: str | None) -> str:
    """A CamelCase reason in words; anything else (the gateway's own sentence) as it is, without its full stop."""
    if not reason:
        return ""
    if ", " in reason and all(part in REASONS for part in reason.split(", ")):
        return " and ".join(REASONS[part] for part in reason.split(", "))
    if reason in REASONS:
        return REASONS[reason]
    if reason.isalnum() and not reason.isupper() and reason[:1].isupper():
        return " ".join(_CAMEL.findall(reason)).lower()
    return clip(reason).rstrip(".")


def tried(attempts: Sequence[Attempt], now: datetime) -> list[str]:
    """One line per attempt that was really begun."""
    return [_tried(attempt, now) for attempt in attempts if attempt.started_at is not None]


def _tried(attempt: Attempt, now: datetime) -> str:
    at = when(attempt.started_at, now) if attempt.started_at else "never"
    words = reason_words(attempt.reason)
    match attempt.state:
        case AttemptState.REFUSED:
            said = reason_words(attempt.verified_by or attempt.reason)
            outcome = f"refused{f' ({said})' if said else ''}"
        case AttemptState.INDETERMINATE | AttemptState.STARTED:
            outcome = "outcome unclear"
        case _:
            outcome = words or attempt.state.value
    return f"{attempt.number}. {DEEDS[attempt.step]}, {at}: {outcome}"


def write(
    kind: MessageKind,
    gateway: str,
    title: str,
    lines: Sequence[str],
    dedupe_key: str,
    session: str | None = None,
    incident: str | None = None,
) -> Message:
    return Message(kind, gateway, title, "\n".join(lines), dedupe_key, session, incident)
