"""Waiting on conditions. The only place of the harness that reads a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .failures import HarnessError, Hopeless

T = TypeVar("T")

LENIENCE = 3.0
"""Bounds are written for a quiet machine and are this much longer. On a busy one a gateway may call its event loop
degraded for minutes, in which the watchdog rightly does nothing; only a test that fails waits to the end."""


def monotonic() -> float:
    return time.monotonic()  # noqa: TID251 - the harness runs on the machine's own clock


def epoch_ms() -> int:
    return int(time.time() * 1000)  # noqa: TID251 - compared with the instants in a gateway's rows


def until(what: str, probe: Callable[[], T | None], *, within: float, every: float = 0.2) -> T:
    """Ask `probe` until it answers something true and return that; `LENIENCE` times past `within` seconds raise with its
    last answer.

    A `HarnessError` of the probe (the gateway is busy, a row is not there yet) counts as "not yet", unless `Hopeless`.
    """
    within *= LENIENCE
    limit = monotonic() + within
    while True:
        problem: HarnessError | None = None
        try:
            answer = probe()
            if answer:
                return answer
            last = repr(answer)
        except Hopeless:
            raise
        except HarnessError as raised:
            problem, last = raised, str(raised)
        if monotonic() >= limit:
            raise HarnessError(f"{what}: not within {within:g} s, last seen: {last[-2000:]}") from problem
        time.sleep(every)


def stays(what: str, probe: Callable[[], object], *, for_seconds: float, every: float = 0.5) -> None:
    """Raise as soon as `probe` answers something false within the given span."""
    limit = monotonic() + for_seconds
    while monotonic() < limit:
        if not probe():
            raise HarnessError(
                f"{what}: no longer so {for_seconds - (limit - monotonic()):.1f} s into {for_seconds:g} s"
            )
        time.sleep(every)
