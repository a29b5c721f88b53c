"""The words for single facts of an explanation: how a transcript ends, who holds a lock, what a signal says, how long ago."""

from __future__ import annotations

from datetime import datetime, timedelta

from watchdog.core.blockers import Blocker
from watchdog.core.evidence import OWNER_SIGNALS, Case, Evidence, Truth
from watchdog.core.model import Lock, TailKind
from watchdog.core.spans import span_words

LONGEST = 160
"""Letters of a run's error that are shown."""
ENDINGS = {
    TailKind.EMPTY: "is empty",
    TailKind.REQUEST: "ends with a request that nobody answered",
    TailKind.TOOL_RESULT: "ends with a tool's result that nobody took up",
    TailKind.TOOL_CALL: "ends with a tool call that has no result",
    TailKind.ANSWERED: "ends with a finished answer",
    TailKind.STOPPED: "ends with a run that was stopped",
    TailKind.TIMED_OUT: "ends with a run that hit its time limit",
    TailKind.COMPACTION: "ends with a compaction",
    TailKind.OTHER: "ends with something else",
}
LOCKS = {
    Lock.NONE: "no lock file",
    Lock.HELD_BY_GATEWAY: "the gateway holds the lock",
    Lock.HELD_BY_OTHER: "another live process holds the lock",
    Lock.OWNER_GONE: "a lock file whose process is gone",
    Lock.UNREADABLE: "a lock file that cannot be read",
}


def spoken(item: Evidence) -> tuple[str, str]:
    if item.status is Truth.UNKNOWN:
        return "cannot tell", item.message
    if item.signal in OWNER_SIGNALS:
        return ("alive" if item.status is Truth.TRUE else "gone"), item.message
    return ("yes" if item.status is Truth.TRUE else "no"), item.message


def pending(count: int | None, scope: str) -> str:
    return f"not looked up (needs {scope}, and is asked about suspects only)" if count is None else "none is waiting"


def until(blocker: Blocker, now: float, words: str | None = None) -> str:
    text = words or blocker.name.value
    left = timedelta(seconds=blocker.until.monotonic - now) if blocker.until is not None else None
    return f"{text} (ends in {span_words(left)})" if left is not None and left > timedelta(0) else text


def ago(at: datetime | None, case: Case) -> str:
    """How long before the look that was, in words."""
    if at is None:
        return "at an unknown time"
    return f"{span_words(max(case.now.wall - at, timedelta(0)))} ago"
