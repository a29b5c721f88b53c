"""What became of deeds by hand, for the daemon's counters: another process did them, and only the ledger knows of both."""

from __future__ import annotations

import contextlib
import re

from watchdog.service.errors import LedgerError
from watchdog.service.ledger import Ledger
from watchdog.service.null_meter import NullMeter
from watchdog.service.ports import Clock

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
