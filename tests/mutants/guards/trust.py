"""Trust."""

from __future__ import annotations

from tests.mutants.mutations import DROP, NEVER, value

from .kinds import BOOTS, GATEWAY, HARMLESS, TRUST, Guard

GUARDS: tuple[Guard, ...] = (
    Guard(
        "clocks apart start over",
        "host sleep or clock jump",
        NEVER,
        ("148898-orphan-after", "our-clock-set-back"),
        TRUST,
    ),
    Guard("a stopped process starts over", "host sleep or clock jump", NEVER, ("148898-we-were-stopped",), TRUST),
    Guard("spans forgotten after a gap", "host sleep or clock jump", DROP, ("148898",)),
    Guard(
        "a start is no later than the gateway's lock file",
        "host sleep or clock jump",
        NEVER,
        ("first-look-after-a-sleep",),
        BOOTS,
    ),
    Guard(
        "a start is no later than it was before", "host sleep or clock jump", NEVER, ("reconnect-after-a-sleep",), BOOTS
    ),
    Guard(
        "an uptime that began anew is another start",
        "host sleep or clock jump",
        value("False"),
        ("restart-after-a-sleep",),
        BOOTS,
    ),
    Guard("the recovery of a life that is over", "rule 18", DROP, tests=TRUST),
    Guard("slow answers are not believed", "event-loop stall", NEVER, ("107415-swap", "slow-answers"), TRUST),
    Guard("two fast answers in a row", "event-loop stall", value("1"), ("one-fast-answer", "slow-answers"), TRUST),
    Guard("degraded event loop", "event-loop stall", NEVER, ("107415-degraded",), (GATEWAY + "test_client.py",)),
    Guard(
        "another process only by its uptime",
        "host sleep or clock jump",
        value("abs(after.booted_at - before.booted_at) <= BOOT_TOLERANCE"),
        tests=TRUST,
    ),
    Guard("a clock that differs from ours", "host sleep or clock jump", value("False"), tests=TRUST),
    Guard("a life known for longer than the deed took it in", "host sleep or clock jump", DROP, tests=HARMLESS),
)
