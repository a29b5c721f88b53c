"""Lines of a recording back into passes. See ``replay.lines`` for the format.

A file is read as far as it is whole: a last line that a crash, or a daemon that is writing it right now, left unfinished
is passed over, and behind a line that cannot be read everything up to the next whole line is. Each is said in ``notes``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from watchdog.core.model import GatewayFacts, MalformedRow, Moment, Session
from watchdog.core.policy import Step
from watchdog.core.recovery import Attempt
from watchdog.replay.codec import Unreadable, error_of, instant, look_of, session_of, value_of, wants_of
from watchdog.replay.lines import FORMAT, MARK, patched
from watchdog.replay.passes import Done, Listing, Looked, OperatorSwitches, Pass, Past, PauseSpan, Said
from watchdog.service import errors
from watchdog.service.errors import WatchdogError
from watchdog.service.ledger import Outcome
from watchdog.service.ports import Disconnect

LONGEST_LINE = 64 * 1024 * 1024
Data = Mapping[str, Any]


class NotARecording(WatchdogError):
    """The file is not a recording, is a newer one, or holds no pass that can be read."""


@dataclass(slots=True)
class ReadingNotes:
    """What could not be read, in sentences."""

    lines: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        if text not in self.lines:
            self.lines.append(text)


@dataclass(frozen=True, slots=True)
class Head:
    gateway: str
    life: str
    poll_every: timedelta


@dataclass(slots=True)
class _State:
    """What the lines so far have told."""

    facts: GatewayFacts | None = None
    rows: dict[str, Session] = field(default_factory=dict)
    sessions: tuple[Session, ...] = ()
    looks: dict[str, tuple[Looked, ...]] = field(default_factory=dict)
    listed_looks: dict[str, tuple[Looked, ...]] = field(default_factory=dict)
    """Those of the last pass that listed."""
    operator: OperatorSwitches = OperatorSwitches()


@dataclass(slots=True)
class Recording:
    """The recordings of one gateway, oldest first. Iterate it as often as needed; it is read afresh each time."""

    paths: Sequence[Path]
    notes: ReadingNotes = field(default_factory=ReadingNotes)

    def head(self) -> Head:
        """Whose recording it is. Raises ``NotARecording`` and ``OSError``."""
        found = [_first_head(path) for path in self.paths]
        return found[-1]

    def passes(self) -> Iterator[Pass]:
        for path in self.paths:
            yield from _passes(path, self.notes)


def _first_head(path: Path) -> Head:
    with path.open("rb") as stream:
        line = stream.readline(LONGEST_LINE)
    head = _head_of(_parsed(line), path)
    if head is None:
        raise NotARecording(
            f"{path} is not a recording of openclaw-watchdog (those lie in recordings/ of its state_dir)."
        )
    return head


def _head_of(data: object, path: Path) -> Head | None:
    if not isinstance(data, Mapping) or MARK not in data:
        return None
    version = data[MARK]
    if isinstance(version, int) and version > FORMAT:
        program = str(data.get("program", ""))[:20]
        raise NotARecording(
            f"{path} was written by a newer openclaw-watchdog ({program}, recording format {version}; this one reads "
            f"{FORMAT}): replay it with that version."
        )
    try:
        every = instant(data.get("poll_every")) - instant(0)
    except Unreadable:
        return None
    gateway, life = data.get("gateway"), data.get("life")
    if version != FORMAT or not isinstance(gateway, str) or not isinstance(life, str) or every <= timedelta(0):
        return None
    return Head(gateway, life, every)


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _passes(path: Path, notes: ReadingNotes) -> Iterator[Pass]:
    head: Head | None = None
    state: _State | None = None
    expected = 0
    with path.open("rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), 1):
            data = _parsed(line)
            if not line.endswith(b"\n"):
                notes.add(f"{path.name}: the last line is not finished (a crash, or it is being written) and left out.")
                return
            if not line.strip():
                continue
            if (begun := _head_of(data, path)) is not None:
                head, state = begun, None
                continue
            try:
                if head is None or not isinstance(data, dict):
                    raise Unreadable("not a pass")
                if data.get("whole") is True:
                    state = _State()
                elif state is None or data.get("n") != expected:
                    raise Unreadable("the passes before it are missing")
                expected = _number(data.get("n")) + 1
                found = _read(data, head, state)
            except (Unreadable, RecursionError) as problem:
                if state is not None or not isinstance(data, dict):
                    notes.add(
                        f"{path.name}: line {number} cannot be read ({problem}); everything up to the next whole pass is "
                        "left out."
                    )
                state = None
                continue
            yield found


# ---------------------------------------------------------------- one line


def _read(data: Data, head: Head, state: _State) -> Pass:
    at = _list(data.get("at"))
    if len(at) != 2 or isinstance(at[0], bool) or not isinstance(at[0], int | float):
        raise Unreadable("it does not say when it was")
    began = Moment(float(at[0]), instant(at[1]))
    if not abs(began.monotonic) < 1e12:
        raise Unreadable("it does not say when it was")
    if "facts" in data:
        state.facts = value_of(GatewayFacts, data["facts"])
    lists = tuple(_listing(item, began, state) for item in _list(data.get("lists", [])))
    if "looks" in data:
        answered = next((one.answered_at for one in lists), began)
        changed = {key: _looks(items, answered) for key, items in _object(data["looks"]).items()}
        state.looks = patched(state.looks, changed)
    looks = state.looks
    if not lists and "still" in data:
        # Earlier versions left a list out where it would have said what the last one said, and looked at nothing.
        lists = (Listing(began, began, state.sessions, is_sweep=False, slowest=_seconds(data["still"])),)
        looks = state.listed_looks
    state.listed_looks = looks
    if "ledger" in data:
        state.operator = _operator(_object(data["ledger"]))
    loss = data.get("loss")
    return Pass(
        life=head.life,
        began=began,
        facts=state.facts,
        connected_at=_later(began, data["new"]) if "new" in data else None,
        refused=error_of(data["refused"]) if "refused" in data else None,
        loss=_loss(_object(loss)) if loss is not None else None,
        lists=lists,
        looks=looks,
        health=tuple(_health(item) for item in _list(data.get("health", []))),
        signed_in=tuple(_done(item) for item in _list(data.get("signed_in", []))),
        deeds=tuple(_done(item) for item in _list(data.get("deeds", []))),
        delivered=_delivered(_list(data.get("delivered", []))),
        scopes={_step(one[0]): _text_or_none(one[1]) for one in _pairs(data.get("scope", []))},
        operator=state.operator,
        is_ledger_writable=data.get("unwritable") is not True,
        past=tuple(_past(_object(item)) for item in _list(data.get("past", []))),
        said=tuple(Said(_text(one[0]), _object(one[1])) for one in _pairs(data.get("said", []))),
    )


def _listing(item: object, began: Moment, state: _State) -> Listing:
    data = _object(item)
    if "error" in data:
        return Listing(began, began, error=error_of(data["error"]))
    times = _list(data.get("t"))
    if len(times) != 2:
        raise Unreadable("a list does not say when it was")
    if "rows" in data:
        for key, row in _object(data["rows"]).items():
            if row is None:
                state.rows.pop(key, None)
            else:
                state.rows[key] = session_of(key, row)
        state.sessions = tuple(state.rows.values())
    return Listing(
        asked_at=_later(began, times[0]),
        answered_at=_later(began, times[1]),
        sessions=state.sessions,
        is_complete=data.get("part") is not True,
        malformed=tuple(value_of(MalformedRow, row) for row in _list(data.get("bad", []))),
        has_stepped=data.get("stepped") is True,
        is_sweep=data.get("glance") is not True,
        slowest=_seconds(data.get("took")),
    )


def _looks(items: object, at: Moment) -> tuple[Looked, ...] | None:
    return tuple(_looked(item, at) for item in _list(items)) if items is not None else None


def _looked(item: object, at: Moment) -> Looked:
    pair = _list(item)
    if len(pair) != 2:
        raise Unreadable("a look is not one")
    data = _object(pair[1])
    if "error" in data:
        return Looked(wants_of(pair[0]), None, error_of(data["error"]))
    return Looked(wants_of(pair[0]), look_of(data, at))


def _loss(data: Data) -> Disconnect:
    at = _list(data.get("at"))
    if len(at) != 2 or isinstance(at[0], bool) or not isinstance(at[0], int | float):
        raise Unreadable("the end of a connection has no time")
    return Disconnect(error_of(data.get("error")), Moment(float(at[0]), instant(at[1])))


def _health(item: object) -> str | errors.GatewayError | None:
    return error_of(item["error"]) if isinstance(item, Mapping) and "error" in item else _text_or_none(item)


def _done(item: object) -> Done:
    data = _object(item)
    error = error_of(data["error"]) if "error" in data else None
    return Done(_step(data.get("step")), _text(data.get("session")), _text_or_none(data.get("run")), error)


def _delivered(items: list[Any]) -> dict[str, bool | None]:
    return {_text(run): answer if isinstance(answer, bool) else None for run, answer in _pairs(items)}


def _operator(data: Data) -> OperatorSwitches:
    pauses = []
    for item in _list(data.get("pauses", [])):
        since, until, gateway, session = _tuple(item, 4)
        pauses.append(PauseSpan(instant(since), _when(until), _text_or_none(gateway), _text_or_none(session)))
    held = []
    for item in _list(data.get("quarantined", [])):
        session, session_id, since = _tuple(item, 3)
        held.append((_text(session), _text_or_none(session_id), instant(since)))
    return OperatorSwitches(_when(data.get("lost_at")), tuple(pauses), tuple(held))


def _past(data: Data) -> Past:
    attempts = [
        value_of(Attempt, {**_object(item), "id": 0, "incident": "", "idempotency_key": ""})
        for item in _list(data.get("attempts", []))
    ]
    try:
        outcome = Outcome(_text(data.get("outcome")))
    except ValueError:
        raise Unreadable("an incident ended in no known way") from None
    return Past(
        _text(data.get("id")),
        _text(data.get("session")),
        _text_or_none(data.get("session_id")),
        instant(data.get("opened_at")),
        _when(data.get("closed_at")),
        _text(data.get("reason")),
        outcome,
        tuple(attempts),
    )


# ---------------------------------------------------------------- shapes


def _seconds(said: object) -> timedelta | None:
    return timedelta(seconds=said) if isinstance(said, int | float) and 0 <= said < 3600 else None


def _later(began: Moment, microseconds: object) -> Moment:
    return began.plus(instant(microseconds) - instant(0))


def _when(value: object) -> datetime | None:
    return instant(value) if value is not None else None


def _step(value: object) -> Step:
    try:
        return Step(_text(value))
    except ValueError:
        raise Unreadable("there is no such step") from None


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unreadable("a number is missing")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Unreadable("a text is missing")
    return value


def _text_or_none(value: object) -> str | None:
    return _text(value) if value is not None else None


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable("something is not an object")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise Unreadable("something is not a list")
    return value


def _tuple(value: object, length: int) -> list[Any]:
    items = _list(value)
    if len(items) != length:
        raise Unreadable("a list has another length")
    return items


def _pairs(value: object) -> list[list[Any]]:
    return [_tuple(item, 2) for item in _list(value)]
