"""The meter of tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from watchdog.service.null_meter import NullMeter


@dataclass
class CountingMeter(NullMeter):
    """Remembers what was counted, by name, of what the tests ask about."""

    counted: list[tuple[object, ...]] = field(default_factory=list)

    def gateway_up(self, gateway: str, *, is_up: bool) -> None:
        self.counted.append(("gateway_up", is_up))

    def attempt(self, gateway: str, step: str, state: str) -> None:
        self.counted.append(("attempt", step, state))

    def held(self, gateway: str, blocker: str) -> None:
        self.counted.append(("held", blocker))

    def detection_delay(self, seconds: float) -> None:
        self.counted.append(("delay", seconds))
