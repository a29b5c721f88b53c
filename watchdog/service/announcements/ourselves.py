"""Messages about the watchdog itself: its ledger, a test, and many messages as one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from watchdog.core.spans import span_words
from watchdog.service.announcements.phrases import because, command, commands, count, plain, when, write
from watchdog.service.ledger import Message, MessageKind


def ledger_unavailable(path: str, *, since: datetime, problem: str) -> Message:
    """Deeds stop, watching and telling go on. Once per failure; it cannot go through the outbox, which is in the ledger."""
    lines = [
        because(f"The watchdog's ledger has not been writable since {when(since, since)}", problem),
        "No session is recovered meanwhile: without it a step could be done twice. All are still watched.",
        "",
        f"The file is {plain(path)}",
        "Deeds are possible again as soon as it can be written; nothing need be restarted.",
        *commands([command("doctor")]),
    ]
    title = "No recoveries: the ledger cannot be written"
    return write(MessageKind.LEDGER, "", title, lines, f"ledger:down:{since.isoformat()}")


def ledger_restored(*, since: datetime, now: datetime) -> Message:
    lines = [
        f"The watchdog's ledger can be written again, after {span_words(now - since)}.",
        "Stuck sessions can be recovered again, where nothing else holds that. Nothing is left to do.",
    ]
    return write(MessageKind.LEDGER, "", "The ledger can be written again", lines, f"ledger:up:{since.isoformat()}")


def ledger_lost(where: str, *, lost_at: datetime, now: datetime) -> Message:
    """The new ledger itself owes it: once for each loss, also when the daemon is started again."""
    known = (
        f"The watchdog's ledger was found gone or replaced at {when(lost_at, now)}; a new one is in use. What was tried before "
        "is forgotten, wholly or in part, and so are pauses, quarantines and acknowledgements."
    )
    meanwhile = (
        "Watching and telling go on. Every recovery is held until the window of the session's budget has passed (72h unless set "
        "otherwise), or until you accept the loss with the command below. Before that, pause again what is to stay paused."
    )
    lines = [
        known,
        "",
        meanwhile,
        "",
        f"The ledger is {plain(where)}.",
        *commands([command("release", "--lost-history")]),
    ]
    return write(MessageKind.LEDGER, "", "The ledger's history is lost", lines, f"ledger:lost:{lost_at.isoformat()}")


def trial(*, now: datetime, host: str, version: str) -> Message:
    """What ``notify test`` sends."""
    lines = [
        f"This is a test, sent by openclaw-watchdog {version} on {host} at {when(now, now)}.",
        "Nothing is wrong. This is where you will hear of stuck sessions and of what was done about them.",
        *commands([command("status")]),
    ]
    return write(MessageKind.TEST, "", "Test from openclaw-watchdog", lines, f"test:{now.isoformat()}")


# ---------------------------------------------------------------- digest

GRAVEST_FIRST: dict[MessageKind, str] = {
    MessageKind.LEDGER: "ledger",
    MessageKind.QUARANTINED: "quarantined",
    MessageKind.FLEET_BREAKER: "fleet hold",
    MessageKind.GATEWAY_DOWN: "gateway down",
    MessageKind.STUCK: "stuck",
    MessageKind.UNANSWERED: "unanswered",
    MessageKind.INEFFECTIVE: "not helped yet",
    MessageKind.UNKNOWN: "unclear",
    MessageKind.LONG_RUNNING: "long-running",
    MessageKind.GATEWAY_UP: "gateway back",
    MessageKind.RECOVERED: "recovered",
    MessageKind.CLEARED: "cleared",
    MessageKind.TEST: "test",
}
_SAID_AGAIN = {MessageKind.STUCK: "still open", MessageKind.QUARANTINED: "still quarantined"}
"""What is counted as a reminder, apart from what is new."""
DIGEST_LINES = 25
_ENDS = re.compile(r":(up|down|storm|settled|fleet_opened|fleet_closed):")


def digest(messages: Sequence[Message]) -> Message:
    """Many messages, oldest first, as one: where each matter stands now, gravest first. Its kind is the gravest one's, and it is a
    reminder where it holds nothing else."""
    latest = {_matter(message): message for message in messages}
    order = list(GRAVEST_FIRST)
    standing = sorted(latest.values(), key=lambda message: (order.index(message.kind), message.is_reminder))
    words = Counter(map(_counted_as, standing))
    more = len(standing) - DIGEST_LINES
    gateways = {message.gateway for message in standing}
    only = gateways.pop() or None if len(gateways) == 1 else None
    lines = [
        f"{count(len(messages), 'message')} came due together. Where things stand, gravest first:",
        "",
        *(f"- {message.title}" for message in standing[:DIGEST_LINES]),
        *([f"- and {more} more"] if more > 0 else []),
        *commands([command("status", gateway=only), command("history", gateway=only)]),
    ]
    return write(
        standing[0].kind,
        only or "",
        "Several at once: " + ", ".join(f"{number} {said}" for said, number in words.items()),
        lines,
        "digest:" + sha256("\n".join(message.dedupe_key for message in messages).encode()).hexdigest()[:16],
        target=messages[0].target if all(message.is_reminder for message in messages) else None,
    )


def _counted_as(message: Message) -> str:
    return (
        _SAID_AGAIN.get(message.kind, GRAVEST_FIRST[message.kind])
        if message.is_reminder
        else GRAVEST_FIRST[message.kind]
    )


def _matter(message: Message) -> str:
    """What a message is about: its incident, or an outage, a hold, a storm of restarts in both its directions."""
    return message.incident or _ENDS.sub(":", message.dedupe_key)
