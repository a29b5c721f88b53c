"""Ledgers in memory that end with whoever holds them: nobody takes leave of a test's world."""

from __future__ import annotations

import weakref

from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.ports import Clock


def memory_ledger(clock: Clock) -> SqliteLedger:
    """Closed when nobody has it any more. What ``clock`` holds must not have it, or that is when the process ends."""
    ledger = SqliteLedger.in_memory(wall=lambda: clock.now().wall)
    weakref.finalize(ledger, ledger._file.close)
    return ledger
