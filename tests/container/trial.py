"""What each way of running the two has to show: a run that a kill of the gateway's container cut is recovered, by itself."""

from __future__ import annotations

import re

from tests.e2e.harness.conditions import monotonic, until
from tests.e2e.harness.provider import Provider, Silence
from tests.e2e.harness.stores import stored_entry
from tests.e2e.harness.stuck import CRON_KEY
from tests.e2e.harness.witness import Row, Witness

from .pod import Line, Pair

APPROVE = re.compile(r"`openclaw devices approve ([0-9a-f-]+)` on the gateway's machine")


class Clock:
    """How long each step took, as a row of the table."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []
        self._since = monotonic()

    def took(self, typed: str, ends_with: str) -> None:
        now = monotonic()
        self.rows.append({"typed": typed, "took_s": round(now - self._since, 1), "ends": ends_with})
        self._since = now

    def forget(self) -> None:
        """What came since is no part of the path."""
        self._since = monotonic()


def turn(pair: Pair, operator: Witness, provider: Provider, text: str, status: str) -> Row:
    """Say it, and wait until the row says so, on disk too, where a kill -9 leaves it."""
    operator.send(CRON_KEY, text)
    provider.await_call(text, within=120)

    def row() -> Row | None:
        found, stored = operator.row(CRON_KEY), stored_entry(pair.gateway, CRON_KEY)
        is_said = any(text in str(message.get("content")) for message in operator.history(CRON_KEY))
        return found if is_said and found.get("status") == stored.get("status") == status else None

    return until(f"the turn {text!r} is {status}", row, within=120)


def leave_stuck(pair: Pair, provider: Provider) -> Row:
    """A session with a turn that ended well and one that the model does not answer; its row."""
    with pair.gateway.operator() as operator:
        operator.create(CRON_KEY)
        turn(pair, operator, provider, "WARMUP-1", "done")
        provider.on("TASK-2", Silence())
        return turn(pair, operator, provider, "TASK-2", "running")


def is_recovered(pair: Pair, provider: Provider, clock: Clock, left: Row) -> Line:
    """The gateway's container is killed and started again: nobody does anything else."""
    connected = len(pair.lines("gateway.connected"))
    pair.crash()
    provider.forget("TASK-2")
    pair.wait_for("gateway.disconnected")
    assert pair.is_healthy(), "a gateway that is down is no illness of the watchdog"
    clock.forget()
    pair.bring_back()
    pair.wait_for("gateway.connected", count=connected + 1, within=240)
    clock.took("the gateway's container is killed, and started again", "`gateway.connected`, by itself")
    done = pair.wait_for("recovery.succeeded", session=CRON_KEY, within=240)
    clock.took("(nothing)", f"`recovery.succeeded`, `{done['step']}`, with the thresholds of a trial")
    (call,) = provider.calls_showing(f"[openclaw-watchdog {done['incident']}/1]")
    assert call.shows("TASK-2"), "the model sees what it was asked before it died"
    with pair.gateway.operator() as operator:
        assert operator.row(CRON_KEY)["sessionId"] == left["sessionId"]
    assert CRON_KEY in pair.verb("history")
    return done
