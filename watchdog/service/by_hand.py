"""Deeds by hand, as the daemon knows of them: another process does them, and only the ledger knows of both.

Which attempts are some person's stands in the audit trail before they are claimed. What became of them is counted from there, too.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable

from watchdog.core.recovery import Attempt
from watchdog.service.errors import LedgerError
from watchdog.service.ledger import Ledger
from watchdog.service.null_meter import NullMeter
from watchdog.service.ports import Clock

RECOVER = "recover"
"""What lines of the audit trail are about that say what was asked for by hand, and as which attempt it is done."""
ATTEMPT = "attempt"
"""What such a line of the audit trail is about."""
_LINE = re.compile(r"gateway (.+): (\w+) (\w+)", re.DOTALL)


class TrailMeter(NullMeter):
    """A verb's meter: writes each state that an attempt reaches into the audit trail, as ``who``."""

    def __init__(self, ledger: Ledger, clock: Clock, who: str) -> None:
        self._ledger = ledger
        self._clock = clock
        self._who = who

    def attempt(self, gateway: str, step: str, state: str) -> None:
        """Never raises: what cannot be counted is done all the same."""
        with contextlib.suppress(LedgerError):
            self._ledger.audit(self._clock.now().wall, self._who, ATTEMPT, f"gateway {gateway}: {step} {state}")


def counted(detail: str) -> tuple[str, str, str] | None:
    """Gateway, step and state of such a line; None: it is none."""
    found = _LINE.fullmatch(detail)
    return (found[1], found[2], found[3]) if found else None


def note_sender(ledger: Ledger, attempt: Attempt, who: str) -> None:
    """Whose attempt it is: before it is claimed, so that it stands there from the first moment in which it is in flight."""
    ledger.audit(attempt.planned_at, who, RECOVER, _sender_line(attempt))


def sent_by_hand(ledger: Ledger, attempts: Iterable[Attempt]) -> frozenset[int]:
    """The ids of those of them that a person's verb has sent, or is about to send. Asked after they were read."""
    known = list(attempts)
    if not known:
        return frozenset()
    trail = ledger.audit_trail(since=min(one.planned_at for one in known), limit=_LINES_READ)
    lines = {line.detail for line in trail if line.what == RECOVER}
    return frozenset(one.id for one in known if _sender_line(one) in lines)


_LINES_READ = 1000
"""Far more than are written while an attempt is verified."""


def _sender_line(attempt: Attempt) -> str:
    return f"attempt {attempt.number} of incident {attempt.incident}: {attempt.step.value} by hand"
