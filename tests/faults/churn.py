"""People who write to the sessions of a real gateway for hours, one turn at a time each, and what became of every turn.

What a turn's end was is read off the model (the call was answered, or its client went away) and off the gateway's rows,
never off the watchdog; of that one it is only heard which sessions it has left to their persons. Nothing here grows with
the traffic but one small entry a turn.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random

from tests.e2e.harness.conditions import epoch_ms, monotonic, until
from tests.e2e.harness.daemon import Line, Watchdog
from tests.e2e.harness.failures import HarnessError, Hopeless, Refused
from tests.e2e.harness.provider import Answer, Call, Silence, Stream
from tests.e2e.harness.stores import stored_entry
from tests.e2e.harness.witness import Row
from tests.e2e.harness.world import World

from .stories import OURS

SESSIONS = 24
KEYS = [f"agent:main:soak-{number:02d}" for number in range(SESSIONS)]
DEADLY = 0.2
"""Share of runs that die."""
SLOW = 0.2
"""Share of runs that stream for a while."""
AT_ONCE = 8
"""Sessions that are written to side by side."""
FRESH_AFTER = 40
"""Turns after which a person begins a fresh session: transcripts that only grow make a gateway slow."""
PATIENCE = 60.0
"""Seconds until a turn that comes to no end is called dead (its row says ``running``) or never begun."""

_WORDS = re.compile(r"\[openclaw-watchdog [\w.-]+/\d+\]|TURN-\d+-")
_OURS_SAID = re.compile(r"^(?!>).*?(\[openclaw-watchdog [\w.-]+/\d+\])", re.MULTILINE)
"""A mark that was said, not quoted."""


@dataclass
class Heard:
    """What is kept of model calls that are over: how a person's turn ended, and how many turns each mark of ours made."""

    ends: dict[str, str] = field(default_factory=dict)
    """Outcome of the last call of each turn of a person, by marker."""
    turns: Counter[str] = field(default_factory=Counter)
    """Calls that answer to a mark of ours: it was said last."""
    said: Counter[str] = field(default_factory=Counter)
    """How often one conversation holds a mark of ours, where that is more than once."""
    calls: int = 0

    def note(self, call: Call) -> None:
        self.calls += 1
        words = _WORDS.findall(call.last_said)
        if words and words[-1].startswith(OURS):
            self.turns[words[-1]] += 1
        elif words:
            self.ends[words[-1]] = call.outcome
        shown = Counter(mark for text in call.texts("user") for mark in _OURS_SAID.findall(text))
        for mark, count in shown.items():
            if count > 1:
                self.said[mark] = max(self.said[mark], count)

    def turns_with(self, mark: str) -> int:
        return max(self.turns[mark], self.said[mark])


@dataclass
class Turn:
    """One message of a person, and what became of the run it began."""

    key: str
    marker: str
    begun_at: int
    """Epoch milliseconds, just before it was said. Until the session's next turn, its incidents are this turn's."""
    row_before: int
    """``startedAt`` of the row before: a row that still has it tells nothing of this turn."""
    since: float
    """Monotonic seconds."""
    is_doomed: bool = False
    cause: str | None = None
    """What the run died of."""
    is_well: bool = False
    """Seen after its death: its row runs no longer."""


@dataclass
class Churn:
    """Every turn that was begun, those that are going on, and those that died and are not well yet."""

    world: World
    watchdog: Watchdog
    rng: Random
    heard: Heard = field(default_factory=Heard)
    turns: list[Turn] = field(default_factory=list)
    busy: dict[str, Turn] = field(default_factory=dict)
    dead: dict[str, Turn] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    """Quarantined sessions, until somebody writes to them again."""
    answered: set[str] = field(default_factory=set)
    """Sessions of which the watchdog says that their request was answered before they died: nothing to resume, held until
    the person writes again."""
    kills: list[int] = field(default_factory=list)
    """Instants at which the gateway was killed, epoch milliseconds."""
    fresh: int = 0
    _since_fresh: Counter[str] = field(default_factory=Counter)
    _lines_read: int = 0

    def __post_init__(self) -> None:
        # Ours is said after the request it quotes: whatever that request's rule, the model answers us.
        self.world.provider.on(OURS, Answer())
        for key in KEYS:
            self.world.witness.create(key)

    def step(self) -> None:
        """Note what ended, begin something new somewhere."""
        rows = self.look()
        taken = set(self.busy) | (set(self.dead) - self.given_up - self.answered)
        free = [key for key in KEYS if key not in taken]
        if free and len(self.busy) < AT_ONCE:
            self._begin(self.rng.choice(free), rows)

    def look(self) -> dict[str, Row]:
        """Note what ended; the rows as they were a moment before. ``Hopeless`` when the watchdog is no more."""
        if not self.watchdog.is_running:
            raise Hopeless("the watchdog has ended by itself")
        rows = {str(row["key"]): row for row in self.world.witness.rows()}
        self.world.witness.events.clear()
        self._listen()
        lines = self.watchdog.lines[self._lines_read :]
        self._lines_read += len(lines)
        for line in lines:
            self._hear(line)
        for turn in list(self.busy.values()):
            self._judge(turn, rows.get(turn.key, {}))
        for turn in list(self.dead.values()):
            if rows.get(turn.key, {}).get("status") != "running":
                turn.is_well = True
                del self.dead[turn.key]
        return rows

    def turns_with(self, mark: str) -> int:
        """Calls that the turn of this mark made, up to now."""
        self._listen()
        return self.heard.turns_with(mark)

    def _listen(self) -> None:
        for call in self.world.provider.take_finished():
            self.heard.note(call)

    def _hear(self, line: Line) -> None:
        key = str(line.get("session"))
        if line.get("event") == "session.quarantined":
            self.given_up.add(key)
        elif line.get("event") == "recovery.held" and line.get("blockers") == ["work_finished"]:
            self.answered.add(key)

    def kill_gateway(self) -> None:
        """Everything that runs dies at once. What that is stands in the gateway's files."""
        self.world.kill()
        self.kills.append(epoch_ms())
        left = {key: stored_entry(self.world.gateway, key) for key in KEYS}
        self.world.start()
        if not any(left.values()):  # killed in the middle of writing that file
            left = {str(row["key"]): row for row in self.world.witness.rows()}
        for key, turn in list(self.busy.items()):
            if _is_running(turn, left.get(key, {})):
                self._died(turn, "gateway kill")
            else:
                self._let_go(turn)

    def drain(self, within: float) -> None:
        """Begin nothing any more but what only the person can end, until nothing runs but what was given up. Raises
        ``HarnessError`` with what is open."""
        open_ones: list[str] = []

        def is_over() -> bool:
            rows = self.look()
            running = {key for key, row in rows.items() if row.get("status") == "running"}
            for key in running & self.answered - set(self.busy):
                self._write(self._turn(key, rows))
            open_ones[:] = sorted((running - self.given_up) | set(self.busy))
            return not open_ones

        try:
            until("all sessions are at rest", is_over, within=within, every=1)
        except HarnessError as problem:
            raise HarnessError(f"{problem}; open: {', '.join(open_ones) or 'unknown'}") from problem

    @property
    def causes(self) -> Counter[str]:
        return Counter(turn.cause for turn in self.turns if turn.cause is not None)

    # ------------------------------------------------------------ one turn

    def _begin(self, key: str, rows: dict[str, Row]) -> None:
        if self._since_fresh[key] >= FRESH_AFTER and key not in self.dead:
            self.world.witness.reset(key)
            self._since_fresh[key] = 0
            self.fresh += 1
        turn, kind = self._turn(key, rows), self.rng.random()
        if kind < DEADLY:
            self.world.provider.on(turn.marker, Silence())
            turn.is_doomed = True
        elif kind < DEADLY + SLOW:
            self.world.provider.on(turn.marker, Stream(4))
        self._write(turn)
        self._since_fresh[key] += 1

    def _turn(self, key: str, rows: dict[str, Row]) -> Turn:
        return Turn(key, self.world.fresh_marker("TURN"), epoch_ms(), _started(rows.get(key, {})), monotonic())

    def _write(self, turn: Turn) -> None:
        """Say it. A gateway that does not answer may have heard it all the same."""
        self.dead.pop(turn.key, None)
        self.given_up.discard(turn.key)
        self.answered.discard(turn.key)
        self.turns.append(turn)
        self.busy[turn.key] = turn
        try:
            self.world.witness.send(turn.key, f"please list the bridges {turn.marker}")
        except Refused:
            self._let_go(turn)
            raise

    def _judge(self, turn: Turn, row: Row) -> None:
        if self.world.provider.open_calls(turn.marker):
            return
        end, is_late = self.heard.ends.get(turn.marker), monotonic() - turn.since > PATIENCE
        if not _is_running(turn, row):
            if is_late or (end is not None and _started(row) > turn.row_before):
                self._let_go(turn)
        elif end == "client gone":
            self._died(turn, "run limit" if turn.is_doomed else "cut")
        elif is_late:
            self._died(turn, "lost end" if end is not None else "no model call")

    def _died(self, turn: Turn, cause: str) -> None:
        turn.cause = cause
        self._let_go(turn)
        self.dead[turn.key] = turn

    def _let_go(self, turn: Turn) -> None:
        self.busy.pop(turn.key, None)
        self.heard.ends.pop(turn.marker, None)
        self.world.provider.forget(turn.marker)


def _started(row: Row) -> int:
    return int(row.get("startedAt") or 0)


def _is_running(turn: Turn, row: Row) -> bool:
    """Whether this row tells that this turn's run goes on."""
    return row.get("status") == "running" and _started(row) > turn.row_before


def by_session(turns: list[Turn]) -> dict[str, list[Turn]]:
    """Turns of each session, in the order in which they were begun."""
    found = defaultdict(list)
    for turn in turns:
        found[turn.key].append(turn)
    return dict(found)
