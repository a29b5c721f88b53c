"""The words for what happens: outcomes, endings, verdicts, states of a gateway, deeds and reasons; instants, keys, commands.

One table for each, in messages, on the page, in ``top``, ``status``, ``history`` and ``explain``. The log and JSON keep the
values themselves. Spans are ``core.spans.span_words`` everywhere.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from watchdog import PROGRAM
from watchdog.core.model import GatewayPhase
from watchdog.core.policy import Step
from watchdog.core.printable import escaped, shown_key, visible
from watchdog.core.recovery import Attempt, AttemptState
from watchdog.core.spans import span_words
from watchdog.core.verdict import Verdict
from watchdog.service.ledger import Message, MessageKind, Outcome

LONGEST_SENTENCE = 300
LONGEST_TITLE_KEY = 44
"""A phone shows about sixty characters of a title."""

_COMMAND = f"  {PROGRAM} "
"""How the line of a command begins."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

OUTCOMES: Mapping[str, str] = {
    Outcome.OPEN: "open",
    Outcome.RECOVERED: "recovered",
    Outcome.UNDELIVERED: "not delivered",
    Outcome.ENDED: "stopped",
    Outcome.FAILED: "failed",
    Outcome.CLEARED: "cleared",
    Outcome.QUARANTINED: "quarantined",
}
"""How an incident ended."""

RESULTS: Mapping[str, str] = {
    AttemptState.PLANNED: "planned",
    AttemptState.STARTED: "under way",
    AttemptState.INDETERMINATE: "unclear",
    AttemptState.SUCCEEDED: "worked",
    AttemptState.INEFFECTIVE: "did not help",
    AttemptState.REFUSED: "refused",
    AttemptState.ABANDONED: "given up",
}
"""How an attempt ended, or stands."""

VERDICTS: Mapping[str, str] = {
    Verdict.STUCK: "stuck",
    Verdict.UNKNOWN: "unclear",
    Verdict.SUSPECT: "suspect",
    Verdict.LONG_RUNNING: "long-running",
    Verdict.WAITING: "waiting",
    Verdict.HEALTHY: "healthy",
}

PHASES: Mapping[str, str] = {
    GatewayPhase.CONNECTED: "connected",
    GatewayPhase.STARTING: "starting",
    GatewayPhase.DRAINING: "shutting down",
    GatewayPhase.SUSPENDED: "suspended",
    GatewayPhase.UNRESPONSIVE: "does not answer",
    GatewayPhase.DOWN: "down",
    GatewayPhase.REFUSED: "refuses us",
    GatewayPhase.UNUSABLE: "refuses its list",
    GatewayPhase.UNKNOWN: "not watched",
}
"""What state a gateway is in."""

STEP_NAMES: Mapping[str, str] = {
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
    "GatewayClosed": "never sent: the connection ended",
    "GatewayDraining": "never sent: the gateway was shutting down",
    "GatewayStarting": "never sent: the gateway was starting",
    "GatewaySuspended": "never sent: the gateway was suspended",
    "GatewayUnreachable": "never sent: the gateway could not be reached",
    "OutOfDescriptors": "never sent: the watchdog had no file descriptor left",
    "SentTooLate": "never sent: it came too late after its claim",
    "GatewayUnresponsive": "never sent: the gateway did not answer",
    "NewRunDone": "a new run finished",
    "TurnAnswered": "its turn was answered, and the conversation has gone on since",
    "TurnWaits": "its turn ended to wait for its subagents",
    "NewRunProgresses": "a new run is making progress",
    "RowCleared": "the session is free again",
    "RowTerminal": "its run has ended",
    "FreshRunStarted": "a fresh run started",
    "NewRunSilent": "a new run started and then fell silent",
    "NewRunFailed": "the new run failed",
    "AnotherRunDone": "another run has ended well; perhaps this was never sent",
    "OlderRun": "the session shows a run from before this one",
    "AnotherSession": "another session stands in its place",
    "NewRunUnanswered": "the gateway calls the run done, and nothing was answered",
    "NewRunKilled": "the new run was killed",
    "NewRunTimeout": "the new run timed out",
    "NotClaimed": "it was done elsewhere, or its incident was closed, so nothing was sent",
    "NeverClaimed": "the ledger could not be written then, so nothing was sent",
    "NothingChanged": "nothing changed",
    "LostWithGateway": "the gateway died before it began",
    "RunEnded": "its run has ended",
    "StillRunning": "the session is still marked running",
    "StillGivenUp": "the session still takes no messages",
    "NothingProven": "the session says a word of itself that this watchdog does not know",
    "NothingRan": "no run of it is seen since",
    "SessionGone": "the session is no longer listed",
    "TerminalDeliverySent": "its answer was delivered",
    "Asked": "the message was sent",
    "AnswerLost": "its answer was lost",
    "PerhapsAsked": "whether the message was sent is not known, and it is not sent again",
    "RowFreed": "the session takes messages again",
    "PersonAnswered": "a message of theirs was answered since",
    "AnswerUnheard": "its last request was answered, and the answer did not reach the person as far as is known",
    "EndedInRow": "its run has ended",
}


def gateway_is(phase: str) -> str:
    """``is down``, ``does not answer``: goes on from the gateway's name."""
    words = PHASES.get(phase, phase)
    return words if words.startswith(("does", "refuses")) else f"is {words}"


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
    """``for 21m, since 13:42 UTC``."""
    length = now - since
    at = f"since {when(since, now)}"
    return f"for {span_words(length)}, {at}" if length >= timedelta(seconds=1) else at


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
    """Words as a sentence: a capital first, but for a name such as ``sessions.list``, and a stop at the end."""
    flat = clip(text)
    begin = flat if "." in flat.partition(" ")[0].rstrip(".") else flat[:1].upper() + flat[1:]
    return begin + ("" if not flat or flat[-1] in ".!?…" else ".")


def short_key(key: str) -> str:
    """A session key for a title: its middle left out where it is long, since both ends tell it apart."""
    flat = key_words(key)
    if len(flat) <= LONGEST_TITLE_KEY:
        return flat
    half = (LONGEST_TITLE_KEY - 1) // 2
    return f"{flat[:half]}…{flat[-half:]}"


def command(verb: str, *arguments: str, key: str | None = None, gateway: str | None = None) -> str:
    """A line to paste into a shell. ``key``: the session it is about, which another gateway may have, too."""
    keys = [escaped(key, is_message=True)] if key is not None else []
    place = ["--gateway", gateway] if gateway is not None else []
    return _COMMAND + shlex.join([verb, *keys, *arguments, *place])


ONLY_OBSERVES = "This watchdog only observes: nothing is ever done."


def as_observing(body: str) -> str:
    """A message of a daemon under ``run --observe``: its last line says so, unless one before it does (what holds a step)."""
    if any(line.removeprefix("- ") == ONLY_OBSERVES for line in body.split("\n")):
        return body
    return f"{body}\n\n{ONLY_OBSERVES}"


def with_host(body: str, host: str) -> str:
    """A message that says on which machine its commands are to be typed: gateways of several may have the same name."""
    return f"{body}\n\nFrom {PROGRAM} on {plain(host)}."


def with_config(body: str, file: Path | None) -> str:
    """Every command of a message, told which configuration it is about, where it would not find that one by itself."""
    if file is None:
        return body
    option = f" {shlex.join(['--config', str(file)])}"
    # Only a command begins so: what others wrote never begins a line.
    return "\n".join(f"{line}{option}" if line.startswith(_COMMAND) else line for line in body.split("\n"))


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
    # Of a refused one the gateway's own words tell more than our name for it.
    words = reason_words((attempt.verified_by if attempt.state is AttemptState.REFUSED else None) or attempt.reason)
    return f"{attempt.number}. {DEEDS[attempt.step]}, {at}: {RESULTS[attempt.state]}{f' ({words})' if words else ''}"


def write(
    kind: MessageKind,
    gateway: str,
    title: str,
    lines: Sequence[str],
    dedupe_key: str,
    session: str | None = None,
    incident: str | None = None,
    target: str | None = None,
    step: Step | None = None,
) -> Message:
    return Message(kind, gateway, title, "\n".join(lines), dedupe_key, session, incident, target, step)
