"""What died beside what the ledger says of it, death by death: what was recovered, what was missed, what was never dead."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tests.faults.tally import Incident

from .churn import Turn, by_session


class Fate(StrEnum):
    """How a turn that died came to its end."""

    RECOVERED = "recovered"
    CLEARED = "cleared"
    """Well without a deed: its gateway or the person's next message ended it."""
    QUARANTINED = "quarantined"
    """Given up, and told so."""
    OPEN = "open"
    MISSED = "missed"
    """Never flagged, and never well."""


@dataclass(frozen=True)
class Case:
    """A turn and the incidents that were opened between its beginning and the session's next turn, oldest first."""

    turn: Turn
    incidents: tuple[Incident, ...]

    @property
    def fate(self) -> Fate:
        if not self.incidents:
            return Fate.CLEARED if self.turn.is_well else Fate.MISSED
        return Fate(str(self.incidents[-1]["outcome"]))

    @property
    def deeds(self) -> int:
        return sum(attempt["started_at"] is not None for one in self.incidents for attempt in one["attempts"])

    def again(self, kills: Sequence[int]) -> int:
        """Incidents past the first for which there is no reason: no gateway was killed between it and the one before."""
        instants = [opened_ms(one) for one in self.incidents]
        return sum(not any(first <= kill <= second for kill in kills) for first, second in itertools.pairwise(instants))


@dataclass(frozen=True)
class Balance:
    cases: Sequence[Case]
    kills: Sequence[int]

    @property
    def fates(self) -> Counter[Fate]:
        """One a death."""
        return Counter(case.fate for case in self.cases if case.turn.cause is not None)

    @property
    def losses(self) -> list[str]:
        return [*self._unsaved(), *self._unfounded()]

    def _unsaved(self) -> Iterator[str]:
        for case in self.cases:
            if case.turn.cause is not None and case.fate in (Fate.MISSED, Fate.OPEN):
                yield f"{case.turn.key} {case.turn.marker} died ({case.turn.cause}) and is {case.fate}"
            if unexplained := case.again(self.kills):
                yield f"{case.turn.key} {case.turn.marker} was flagged {unexplained} time(s) again for no reason"

    def _unfounded(self) -> Iterator[str]:
        for case in self.cases:
            if case.turn.cause is None and case.deeds:
                yield f"{case.turn.key} {case.turn.marker} did not die, and {case.deeds} deed(s) were done"

    @property
    def alarms(self) -> int:
        """Incidents of turns that did not die."""
        return sum(len(case.incidents) for case in self.cases if case.turn.cause is None)

    @property
    def cut_again(self) -> int:
        """Incidents past the first of a death: the run that recovered it was cut itself."""
        return sum(len(case.incidents) - 1 for case in self.cases if case.incidents)


def balance(turns: list[Turn], incidents: Sequence[Incident], kills: Sequence[int]) -> Balance:
    """Every incident belongs to the turn during which, or after which, it was opened."""
    cases = []
    for key, said in by_session(turns).items():
        begun = [turn.begun_at for turn in said]
        of_turn: list[list[Incident]] = [[] for _ in said]
        for incident in sorted((one for one in incidents if one["session"] == key), key=opened_ms):
            of_turn[max(0, bisect_right(begun, opened_ms(incident)) - 1)].append(incident)
        cases += [Case(turn, tuple(found)) for turn, found in zip(said, of_turn, strict=True)]
    return Balance(cases, kills)


def opened_ms(incident: Incident) -> int:
    return int(datetime.fromisoformat(str(incident["opened_at"])).timestamp() * 1000)
