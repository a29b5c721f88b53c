"""What a replay found, session by session: what this configuration would have done beside what was done.

Equal in both columns: one line. Only sessions about which there is something to tell have a story.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watchdog.replay.gateway import SessionCourse
from watchdog.replay.player import Happening, Played
from watchdog.service.events import Event

_WORDS: Mapping[Event, str] = {
    Event.SESSION_SUSPECT: "suspect",
    Event.SESSION_STUCK: "stuck",
    Event.SESSION_CLEARED: "closed",
    Event.SESSION_LONG_RUNNING: "long running",
    Event.SESSION_UNKNOWN: "unknown",
    Event.SESSION_UNANSWERED: "unanswered",
    Event.SESSION_QUARANTINED: "quarantined",
    Event.SESSION_RELEASED: "released",
    Event.RECOVERY_HELD: "held",
    Event.RECOVERY_SUCCEEDED: "recovered",
    Event.RECOVERY_INEFFECTIVE: "no effect",
    Event.RECOVERY_REFUSED: "refused",
    Event.RECOVERY_INDETERMINATE: "answer lost",
    Event.FLEET_BREAKER_OPENED: "fleet breaker opened",
    Event.FLEET_BREAKER_CLOSED: "fleet breaker closed",
}
ASSUMPTIONS = {
    SessionCourse.ASSUMED_RECOVERED: "A deed that was not done at the time (or not then) is taken to have helped, until the "
    "recording shows another run of the session: what really would have followed, nobody knows.",
    SessionCourse.HELD_BACK: "A deed that was done at the time is left out: from then on the session is taken to have stayed as it "
    "was, until this configuration acts, too.",
}
"""What a story rests on where it left the recorded world."""


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of a story."""

    at: datetime
    what: str
    detail: str
    step: str | None = None
    blockers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """One session, or (``key`` None) the gateway as a whole."""

    key: str | None
    would: tuple[Line, ...]
    was: tuple[Line, ...]
    worlds: frozenset[SessionCourse]

    @property
    def differs(self) -> bool:
        return [(line.at, line.what, line.detail) for line in self.would] != [
            (line.at, line.what, line.detail) for line in self.was
        ]

    @property
    def assumptions(self) -> list[SessionCourse]:
        return [world for world in SessionCourse if world in self.worlds]

    def rows(self) -> list[tuple[datetime, str, str]]:
        """(when, would, was) in order of time; what is equal stands beside each other."""
        found: list[tuple[datetime, str, str]] = []
        for at in sorted({line.at for line in (*self.would, *self.was)}):
            left = [_text(line, is_would=True) for line in self.would if line.at == at]
            right = [_text(line, is_would=False) for line in self.was if line.at == at]
            for number in range(max(len(left), len(right))):
                one = left[number] if number < len(left) else ""
                other = right[number] if number < len(right) else ""
                found.append((at, one, other))
        return found


def stories(played: Played) -> list[Story]:
    """Every session with something to tell, the gateway first, those that differ before those that do not."""
    keys: dict[str | None, None] = {happening.session: None for happening in (*played.would, *played.was)}
    found = []
    for key in keys:
        would = tuple(line for one in played.would if one.session == key and (line := line_of(one)) is not None)
        was = tuple(line for one in played.was if one.session == key and (line := line_of(one)) is not None)
        if would or was:
            worlds = frozenset(played.worlds.get(key, set())) if key is not None else frozenset()
            found.append(Story(key, would, was, worlds))
    return sorted(found, key=lambda story: (story.key is not None, not story.differs, story.rows()[0][0]))


def line_of(one: Happening) -> Line | None:
    """What a person is told of an event; None: nothing."""
    reason, step = _field(one, "reason"), _field(one, "step") or None
    if one.name is Event.RECOVERY_STARTED:
        return Line(one.at, step or "deed", "", step)
    if one.name not in _WORDS:
        return None
    word = _WORDS[one.name]
    if one.name in (Event.RECOVERY_REFUSED, Event.RECOVERY_INDETERMINATE):
        return Line(one.at, word, "", step)  # a gateway's own words are not recorded
    if one.name is Event.RECOVERY_HELD:
        listed = one.fields.get("blockers")
        blockers = tuple(str(item) for item in listed) if isinstance(listed, list | tuple) else ()
        if blockers == ("notify_only",):
            return Line(one.at, "told", "the policy only tells", None)
        return Line(one.at, word, ", ".join(blockers), step, blockers)
    if one.name is Event.RECOVERY_SUCCEEDED:
        proof = "assumed" if one.is_assumed else _field(one, "verified_by")
        return Line(one.at, word, proof, step)
    if one.name is Event.SESSION_CLEARED:
        return Line(one.at, word, f"{_field(one, 'outcome')} ({reason})")
    if one.name in (Event.FLEET_BREAKER_OPENED, Event.FLEET_BREAKER_CLOSED):
        return Line(one.at, word, f"{one.fields.get('sessions')} sessions")
    return Line(one.at, word, reason, step)


def _field(one: Happening, name: str) -> str:
    value = one.fields.get(name)
    return value if isinstance(value, str) else ""


def _text(line: Line, *, is_would: bool) -> str:
    what = f"would {line.what}" if is_would and line.step == line.what else line.what
    return f"{what}: {line.detail}" if line.detail else what


def deeds(happenings: Sequence[Happening]) -> Counter[str]:
    """How many deeds of each step."""
    return Counter(_field(one, "step") for one in happenings if one.name is Event.RECOVERY_STARTED)


def facts(played: Played, found: Sequence[Story]) -> dict[str, Any]:
    """``replay --json``."""
    return {
        "gateway": played.head.gateway,
        "from": _iso(played.began_at),
        "to": _iso(played.ended_at),
        "passes": played.passes,
        "sessions_seen": len(played.sessions),
        "would": dict(deeds(played.would)),
        "was": dict(deeds(played.was)),
        "sessions": [
            {
                "key": story.key,
                "differs": story.differs,
                "would": [_line_facts(line) for line in story.would],
                "was": [_line_facts(line) for line in story.was],
                "assumptions": sorted(story.worlds),
            }
            for story in found
            if story.key is not None
        ],
        "gateway_wide": [
            {"would": [_line_facts(line) for line in story.would], "was": [_line_facts(line) for line in story.was]}
            for story in found
            if story.key is None
        ],
        "looks_lent": played.lent,
        "looks_unknown": played.unknown,
        "notes": list(played.notes),
    }


def _line_facts(line: Line) -> dict[str, Any]:
    return {
        "at": line.at.isoformat(),
        "what": line.what,
        "detail": line.detail,
        "step": line.step,
        "blockers": list(line.blockers),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
