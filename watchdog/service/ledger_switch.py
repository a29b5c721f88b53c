"""Which ledger a watch uses: the real one, or a spare while that one cannot be used.

The parts of a watch are given ``in_force`` once and use it like any ledger; only the watch switches, between two tries of
a pass, so that no try writes to both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from watchdog.service.ledger import Ledger


@dataclass(slots=True)
class LedgerSwitch:
    """``spare`` None: there is nothing to switch to."""

    real: Ledger
    spare: Ledger | None = None
    """Kept in memory: watching and telling go on with it while the real one cannot be used, and no deed is done."""
    problem: str | None = field(init=False, default=None)
    """Why the real ledger is out of use, or None."""
    in_force: Ledger = field(init=False)
    """Every use of it goes to the ledger that is in force at that moment."""

    def __post_init__(self) -> None:
        self.in_force = cast(Ledger, _InForce(self))  # all that it has it takes from a ``Ledger``

    @property
    def current(self) -> Ledger:
        return self.real if self.spare is None or self.problem is None else self.spare

    def fall_back(self, problem: str) -> bool:
        """Use the spare from now on, for ``problem`` of the real one. False: there is none, or it is in use already."""
        if self.spare is None or self.problem is not None:
            return False
        self.problem = problem
        return True

    def choose(self) -> None:
        """Use the real one if it can be written now, else the spare. Asked before each pass: a full disk is known, and told,
        before somebody is stuck on whose behalf nothing can be claimed."""
        if self.spare is not None:
            self.problem = None if self.real.is_writable() else self.real.problem or "The ledger cannot be written."


class _InForce:
    """Has no method of its own, or an operation of the ledger by that name would not reach it."""

    __slots__ = ("_switch",)

    def __init__(self, switch: LedgerSwitch) -> None:
        self._switch = switch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._switch.current, name)
