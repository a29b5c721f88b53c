"""Was anything lost? Counted at the mock model, at the webhook and in the ledger; never asked of the watchdog's opinion."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.e2e.harness.conditions import until
from tests.e2e.harness.daemon import Watchdog
from tests.e2e.harness.failures import HarnessError

from .webhook import Webhook

UNSETTLED = {"planned", "started", "indeterminate"}
ENDINGS = {"recovered", "cleared", "quarantined"}
Incident = dict[str, Any]


class Model(Protocol):
    """Who knows what reached the model."""

    def turns_with(self, mark: str) -> int:
        """Calls that the turn of this mark made."""
        ...


def mark_of(incident: Incident, attempt: dict[str, Any]) -> str:
    """As it stands in the turn that the attempt sends."""
    return f"[openclaw-watchdog {incident['id']}/{attempt['number']}]"


@dataclass
class Reckoning:
    """What the ledger, the model and the webhook say when the dust has settled."""

    incidents: Sequence[Incident]
    hook: Webhook | None
    provider: Model | None = None
    losses: list[str] = field(default_factory=list)

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return [attempt for incident in self.incidents for attempt in incident["attempts"]]

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(str(incident["outcome"]) for incident in self.incidents)

    def turns(self) -> Counter[str]:
        """Model calls by the mark of the attempt that asked for them."""
        if self.provider is None:
            return Counter()
        marks = [mark_of(incident, attempt) for incident in self.incidents for attempt in incident["attempts"]]
        return Counter({mark: found for mark in marks if (found := self.provider.turns_with(mark))})

    def sentence(self) -> str:
        told = Counter(self.hook.kinds()) if self.hook is not None else Counter[str]()
        words = [f"{len(self.incidents)} incident(s): {_counts(self.outcomes)}"]
        words.append(f"{len(self.attempts)} attempt(s)")
        if self.provider is not None:
            words[-1] += f", {sum(self.turns().values())} model call(s) of theirs"
        if told:
            words.append(f"told: {_counts(told)}")
        return "; ".join(words)

    # ------------------------------------------------------------ what must hold

    def require(self, keys: Iterable[str], *outcomes: str) -> Reckoning:
        """Each of these sessions ended in one of these ways."""
        ended = {str(incident["session"]): str(incident["outcome"]) for incident in reversed(self.incidents)}
        for key in keys:
            if ended.get(key) not in outcomes:
                self.losses.append(f"{key}: {ended.get(key, 'never flagged')} instead of {' or '.join(outcomes)}")
        return self

    def settle(self) -> Reckoning:
        """Nothing is left open, nothing was sent twice, everybody was told of every beginning and end."""
        open_ones = [i["session"] for i in self.incidents if i["outcome"] not in ENDINGS]
        self.losses += [f"{key} is left open" for key in open_ones]
        self.losses += [f"an attempt is left {a['state']}" for a in self.attempts if a["state"] in UNSETTLED]
        self.losses += [f"{mark} made {count} turns" for mark, count in self.turns().items() if count > 1]
        if self.hook is not None:
            self.losses += self._untold(self.hook)
        return self

    def _untold(self, hook: Webhook) -> list[str]:
        ids = hook.ids()
        found = []
        for incident in self.incidents:
            ending = "quarantined" if incident["outcome"] == "quarantined" else "closed"
            found += [
                f"{incident['session']}: nobody was told that it {what}"
                for what in ("opened", ending)
                if not ids[f"{incident['id']}:{what}"]
            ]
        return found


def reckon(watchdog: Watchdog, hook: Webhook | None, provider: Model | None = None, *, within: float = 30) -> Reckoning:
    """Wait for what is still owed (messages go out beside the passes), then count."""
    last = Reckoning([], hook, provider)

    def is_calm() -> bool:
        nonlocal last
        last = Reckoning(watchdog.history(), hook, provider).settle()
        return not last.losses

    with contextlib.suppress(HarnessError):  # what is missing stands in its losses
        until("everything is settled and told", is_calm, within=within, every=0.5)
    return last


def _counts(found: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(found.items())) or "none"
