"""Trust."""

from __future__ import annotations

from .kinds import BOOTS, GATEWAY, TRUST, Guard

GUARDS: tuple[Guard, ...] = (
    Guard(
        "clocks apart start over",
        "host sleep or clock jump",
        "watchdog/service/trust.py",
        "        if abs(wall - monotonic) > CLOCK_GAP:\n",
        "        if False:\n",
        ("148898-orphan-after", "our-clock-set-back"),
        TRUST,
    ),
    Guard(
        "a stopped process starts over",
        "host sleep or clock jump",
        "watchdog/service/trust.py",
        "        if monotonic > self.stall_after:\n",
        "        if False:\n",
        ("148898-we-were-stopped",),
        TRUST,
    ),
    Guard(
        "spans forgotten after a gap",
        "host sleep or clock jump",
        "watchdog/service/watch.py",
        "            self.observer.forget_spans(now)\n",
        "",
        ("148898",),
    ),
    Guard(
        "a start is no later than the gateway's lock file",
        "host sleep or clock jump",
        "watchdog/gateway/boots.py",
        "        if reading.lock_created_at is not None and booted - reading.lock_created_at > NOISE:\n",
        "        if False:\n",
        ("first-look-after-a-sleep",),
        BOOTS,
    ),
    Guard(
        "a start is no later than it was before",
        "host sleep or clock jump",
        "watchdog/gateway/boots.py",
        "        elif self._before is not None:\n",
        "        elif False:\n",
        ("reconnect-after-a-sleep",),
        BOOTS,
    ),
    Guard(
        "an uptime that began anew is another start",
        "host sleep or clock jump",
        "watchdog/gateway/boots.py",
        "        return uptime < reached - NOISE\n",
        "        return False\n",
        ("restart-after-a-sleep",),
        BOOTS,
    ),
    Guard(
        "slow answers are not believed",
        "event-loop stall",
        "watchdog/service/trust.py",
        "        if latency > SLOW_ANSWER:\n",
        "        if False:\n",
        ("107415-swap", "slow-answers"),
        TRUST,
    ),
    Guard(
        "two fast answers in a row",
        "event-loop stall",
        "watchdog/service/trust.py",
        "FAST_IN_A_ROW = 2\n",
        "FAST_IN_A_ROW = 1\n",
        ("one-fast-answer", "slow-answers"),
        TRUST,
    ),
    Guard(
        "degraded event loop",
        "event-loop stall",
        "watchdog/gateway/client.py",
        'if isinstance(loop, dict) and loop.get("degraded") is True:',
        "if False:",
        ("107415-degraded",),
        (GATEWAY + "test_client.py",),
    ),
)
