"""Which ledger a watch uses: the real one, or a spare while that one cannot be used.

The parts of a watch are given ``in_force`` once and use it like any ledger; only the watch switches, between two tries of
a pass, so that no try writes to both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from watchdog.service.errors import LedgerError
from watchdog.service.ledger import GIVE_UP_AFTER, Ledger

PROOF_LASTS = timedelta(seconds=30)
"""How long a write that ended well, of whichever watch, is taken for proof that the next one will: a thousand gateways need no
thousand durable writes to find that out. No deed relies on it: its claim is a write of its own."""

_REAL = "the ledger"
"""The target to which the spare one owes its messages."""


@dataclass(slots=True)
class LedgerSwitch:
    """``spare`` None: there is nothing to switch to."""

    real: Ledger
    spare: Ledger | None = None
    """Kept in memory: watching and telling go on with it while the real one cannot be used, and no deed is done."""
    is_writable: bool = field(init=False, default=True)
    """The real ledger could be written when this pass began, or up to ``PROOF_LASTS`` before. Where it could not, nothing is done in it."""
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
        self.is_writable = False
        self.real.told_of_loss()  # the runner says what the problem is
        return True

    def choose(self, at: datetime) -> None:
        """Before each pass: use the spare once the real one cannot be written for the second pass in a row, and the real one as
        soon as it can. So a full disk is known, and told, before somebody is stuck on whose behalf nothing can be claimed."""
        was_writable, self.is_writable = self.is_writable, self.real.is_writable(PROOF_LASTS)
        if self.is_writable and self.problem is not None:
            self._carry_over(at)
        elif not self.is_writable and not was_writable and self.problem is None:
            self.fall_back(self.real.problem or "The ledger cannot be written.")

    def _carry_over(self, at: datetime) -> None:
        assert self.spare is not None
        try:
            carry_over(self.spare, self.real, at)
        except LedgerError as problem:
            self.is_writable = False
            self.problem = str(problem)
            # Nobody else would tell: it may be another file since, and this is what the page and the log say of it.
            self.real.told_of_loss()
        else:
            self.problem = None


def carry_over(spare: Ledger, real: Ledger, at: datetime) -> None:
    """What was to be told meanwhile is told now, but for what belongs to an incident, which is opened anew, and what is too old.
    Raises ``LedgerError``: the rest stays in the spare."""
    while owed := spare.due_messages(_REAL, at):
        for one in owed:
            # guard: shares: what was to be told long ago is no news
            if one.message.incident is None and at - one.created_at < GIVE_UP_AFTER:
                real.owe([one.message], one.created_at)
            spare.mark_delivered(one.id, _REAL, at)


class _InForce:
    """Must define no methods: they would shadow the ledger operation of that name."""

    __slots__ = ("_switch",)

    def __init__(self, switch: LedgerSwitch) -> None:
        self._switch = switch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._switch.current, name)
