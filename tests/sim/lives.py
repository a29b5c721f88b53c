"""The watchdog's lives: a process that ends after its n-th effect, and the ledger that outlives it.

An effect is a committed change of the ledger or a request that does something. It is counted before and after, so a
process ends on either side of it. Probes of the ledger (``is_writable``) are left out, or every death would fall there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.effects import LEDGER_WRITES
from tests.fakes.notes import FakeNotes
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.ledger import Message


class Killed(BaseException):
    """The process ended here (kill -9). Not an ``Exception``: nothing in the product may take it for an error."""


@dataclass(slots=True)
class Life:
    """One process of the watchdog."""

    number: int
    effects_left: int | None = None
    """It ends at this many sides of effects from now; None: by no effect."""
    is_over: bool = False
    effects: int = 0

    def effect(self) -> None:
        """One side of an effect."""
        self.check()
        self.effects += 1
        if self.effects_left is not None:
            self.effects_left -= 1
            if self.effects_left <= 0:
                self.is_over = True
                raise Killed

    def check(self) -> None:
        """A dead process does nothing any more, whatever its ``finally`` blocks would like."""
        if self.is_over:
            raise Killed


class LivedLedger:
    """The real ledger as one life sees it: every change is an effect, and none comes through after its end."""

    def __init__(
        self, ledger: SqliteLedger, life: Life, note: Callable[[str, Sequence[Any], dict[str, Any]], None] | None = None
    ) -> None:
        self._ledger = ledger
        self._life = life
        self._note = note

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._ledger, name)
        if not callable(found):
            self._life.check()
            return found
        is_effect = name in LEDGER_WRITES

        def call(*args: Any, **named: Any) -> Any:
            if is_effect:
                self._life.effect()
            else:
                self._life.check()
            answer = found(*args, **named)
            if is_effect:
                if self._note is not None:
                    self._note(name, args, named)
                self._life.effect()
            return answer

        setattr(self, name, call)
        return call


@dataclass
class LivedNotes(FakeNotes):
    """The same of the handoff notes."""

    life: Life = field(kw_only=True)

    def save(self, incident: str, number: int, text: str) -> str:
        self.life.effect()
        path = super().save(incident, number, text)
        self.life.effect()
        return path


@dataclass(frozen=True, slots=True)
class Told:
    """A message as it was owed to a person."""

    at_ms: int
    message: Message
