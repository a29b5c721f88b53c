"""What a gateway says unasked about its sessions: read, merged, and kept until the next poll. No I/O.

An event tells where to look and what to expect there, never what is so: every row that is judged comes from a list. Events
are no better than that: 2026.5.18 sends rows in the middle of a run that say ``done``, as before it (``phase: message``).
``sessions.changed`` carries fields of a row, merged as the protocol says (2026.9.6, docs/gateway/clients.md): a field that
is left out has not changed, null clears it, an array replaces what was there; the row nested in ``session`` is newer than
the fields beside it. Without a key it says that anything may have changed. ``agent`` says that something works on a session;
2026.5.18 and 2026.9.6 send it to every operator, subscribed or not (measured).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from watchdog.core.model import Session
from watchdog.gateway.decoding import Undecodable, decode
from watchdog.gateway.frames import Event
from watchdog.gateway.rows import Millis, instant, status_of

MOST_KEYS = 2000
"""Sessions remembered between two lists at most. When more change, the next poll looks as if nothing had been heard."""

_Unset = msgspec.UnsetType
_UNSET = msgspec.UNSET


class _Fields(msgspec.Struct):
    """The fields of a row that decide where it is listed, or that its verdict may rest on."""

    status: str | _Unset | None = _UNSET
    sessionId: str | _Unset | None = _UNSET  # noqa: N815
    startedAt: Millis | _Unset = _UNSET  # noqa: N815
    updatedAt: Millis | _Unset = _UNSET  # noqa: N815
    endedAt: Millis | _Unset = _UNSET  # noqa: N815
    hasActiveRun: bool | _Unset | None = _UNSET  # noqa: N815
    activeRunIds: list[str] | _Unset | None = _UNSET  # noqa: N815
    abortedLastRun: bool | _Unset | None = _UNSET  # noqa: N815
    lastRunId: str | _Unset | None = _UNSET  # noqa: N815
    archived: bool | _Unset | None = _UNSET
    pinned: bool | _Unset | None = _UNSET


class _Changed(_Fields):
    sessionKey: str | None = None  # noqa: N815
    key: str | None = None
    session: _Fields | None = None


class _Agent(msgspec.Struct):
    sessionKey: str | None = None  # noqa: N815


Delta = Mapping[str, Any]
"""Fields that an event names, under their names on the wire; None: cleared."""

_MEANING: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "status": ("status", status_of),
    "sessionId": ("session_id", lambda text: text or None),
    "startedAt": ("started_at", instant),
    "updatedAt": ("updated_at", instant),
    "endedAt": ("ended_at", instant),
    "hasActiveRun": ("has_active_run", lambda flag: flag),
    "activeRunIds": ("active_run_ids", lambda ids: None if ids is None else tuple(ids)),
    "abortedLastRun": ("aborted_last_run", lambda flag: flag),
    "lastRunId": ("last_run_id", lambda text: text),
    "archived": ("is_archived", bool),
    "pinned": ("is_pinned", bool),
}
"""Name on the wire -> name in a ``Session``, and what its value means there."""

_changed_decoder = msgspec.json.Decoder(_Changed)
_agent_decoder = msgspec.json.Decoder(_Agent)


def merge(row: Session, delta: Delta) -> Session:
    """The row as it is after a change: what the delta leaves out stays, None clears, an array replaces."""
    changed: dict[str, Any] = {}
    for wire, value in delta.items():
        name, meaning = _MEANING[wire]
        changed[name] = meaning(value)
    return replace(row, **changed)


@dataclass(frozen=True, slots=True)
class Told:
    """What events said between two polls."""

    changes: Mapping[str, Delta] = field(default_factory=dict)
    """By session key: what its row is said to have become."""
    worked_on: frozenset[str] = frozenset()
    """Sessions that something works on, or did; neither was a row at rest told of since, nor has it been asked for."""
    is_everything: bool = False
    """Nothing else changed, as far as events tell: they were listened to all the time, and none was lost or unclear."""
    is_every_run: bool = False
    """Whatever else changed, no other run began: what works on sessions was overheard all the time, and none of it was lost
    or unclear."""
    has_gap: bool = False
    """Events are known to be lost."""
    size_bytes: int = 0
    """What it cost to be told."""

    @property
    def ended(self) -> frozenset[str]:
        """Sessions whose row is said to be at rest."""
        return frozenset(
            key for key, delta in self.changes.items() if "status" in delta and status_of(delta["status"]).is_terminal
        )


NOTHING_HEARD = Told()


class Heard:
    """Takes events one by one; ``take`` hands out what has come since it was last asked, ``peek`` leaves it there."""

    def __init__(self) -> None:
        self._changes: dict[str, dict[str, Any]] = {}
        self._worked_on: set[str] = set()
        self._is_unclear = self._may_lack_runs = True
        self._has_gap = False
        self.malformed = 0
        """Events so far whose payload could not be read."""

    def hear(self, event: Event) -> None:
        """Note one event; those that do not concern sessions, or that cannot be read, change nothing."""
        try:
            if event.name == "sessions.changed":
                self._note_change(decode(_changed_decoder, event.payload))
            elif event.name == "agent":
                self._note_work(decode(_agent_decoder, event.payload).sessionKey)
        except Undecodable:
            self.malformed += 1
            self._is_unclear = self._may_lack_runs = True

    def miss(self) -> None:
        """Events were lost: nobody knows what they said."""
        self._has_gap = self._is_unclear = self._may_lack_runs = True

    def blur(self) -> None:
        """Whatever is said until the next ``take``, it is not everything. Runs are still told of, on the other link."""
        self._is_unclear = True

    def peek(self) -> Told:
        return Told(
            self._changes,
            frozenset(self._worked_on),
            is_everything=not self._is_unclear,
            is_every_run=not self._may_lack_runs,
            has_gap=self._has_gap,
        )

    def take(self) -> Told:
        told = self.peek()
        self._changes, self._worked_on = {}, set()
        self._is_unclear = self._may_lack_runs = self._has_gap = False
        return told

    def set_aside(self, keys: Collection[str]) -> None:
        """Forget what was told of work on these."""
        self._worked_on.difference_update(keys)

    def bring_back(self, keys: Collection[str]) -> None:
        for key in keys:
            self._note_work(key)

    def _note_change(self, said: _Changed) -> None:
        key = said.sessionKey or said.key
        if not key:
            self._is_unclear = True  # "anything may have changed"
            return
        if key not in self._changes and len(self._changes) >= MOST_KEYS:
            self._is_unclear = True
            return
        named = {**_named(said), **_named(said.session)}
        self._changes[key] = {**self._changes.get(key, {}), **named}
        if "status" in named and status_of(named["status"]).is_terminal:
            # So ends a turn of 2026.9.6. Where work goes on all the same (2026.5.18), the next event says it.
            self._worked_on.discard(key)

    def _note_work(self, key: str | None) -> None:
        if key and (key in self._worked_on or len(self._worked_on) < MOST_KEYS):
            self._worked_on.add(key)
        else:
            self._may_lack_runs = True  # on which session, or one too many


def _named(fields: _Fields | None) -> dict[str, Any]:
    if fields is None:
        return {}
    said = {name: getattr(fields, name) for name in _MEANING}
    return {name: value for name, value in said.items() if value is not _UNSET}
