"""Ways to break an answer, drawn from a seeded source. None of them makes another well-formed answer out of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

Json = dict[str, Any]
Path = tuple[str | int, ...]

_DEEP = "[" * 3000 + "]" * 3000
_TORN = "\x00\x01TORN"
ODD: tuple[Any, ...] = (
    None, "", _TORN, "\ud800", "x" * 5000, -1, -1.5, 1e300, -1e300, 10**25, 10**400, -(10**400), 253_402_300_798_000, [], {}, [None], [[]], {"a": 1}, {"": {}},
    1, 12345, 1_795_168_161,
)  # fmt: skip
"""Values of a wrong type or range for any field; the last three are spans or seconds where an instant is due."""
_SAID_OFTEN = ("hasActiveRun", "startedAt", "status", "updatedAt", "sessionId", "activeRunIds", "totalTokens", "counts")
_PLAUSIBLE: dict[str, Callable[[Any], bool]] = {
    # In these fields such a value would be well-formed, and a lie.
    "uptimeMs": lambda value: isinstance(value, int | float) and value >= 0,
    "key": lambda value: isinstance(value, str) and value != "",
    "version": lambda _: True,
    "ok": lambda _: True,
    "messages": lambda value: isinstance(value, list),
    "sessions": lambda value: value == [],
}


def paths_of(value: Any, at: Path = ()) -> Iterator[Path]:
    """Every place inside a JSON value."""
    items: Iterator[tuple[str | int, Any]]
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    else:
        return
    for name, inner in items:
        yield (*at, name)
        yield from paths_of(inner, (*at, name))


def _holder(value: Any, path: Path) -> Any:
    for name in path[:-1]:
        value = value[name]
    return value


@dataclass
class Corruptor:
    """Breaks some of what passes through it. ``kinds``: how often each way was taken."""

    rng: Random
    share: float = 0.5
    kinds: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(self.kinds.values())

    def frame(self, number: str, payload: Any) -> bytes:
        """The frame that answers ``number``, whole or broken."""
        sound = {"type": "res", "id": number, "ok": True, "payload": payload}
        if self.rng.random() >= self.share:
            return msgspec.json.encode(sound)
        if self.rng.random() < 0.75:
            return self._broken_inside(sound)
        return self._broken_outside(sound)

    def odd_clock(self, sound: float) -> Any:
        """A time as a gateway tells it at the sign-in, or nonsense."""
        if self.rng.random() >= self.share / 4:
            return sound
        self._note("clock")
        return self.rng.choice([None, -1.0, 0.0, 1.0, 1e300, -1e300, 12345.0])

    def _note(self, kind: str) -> None:
        self.kinds[kind] = self.kinds.get(kind, 0) + 1

    # ---------------------------------------------------------------- inside the payload

    def _broken_inside(self, sound: Json) -> bytes:
        broken: Json = json.loads(msgspec.json.encode(sound))
        for _ in range(self.rng.choice((1, 1, 1, 2, 5))):
            paths = list(paths_of(broken["payload"], ("payload",)))
            often = [path for path in paths if path[-1] in _SAID_OFTEN]
            if not paths:
                break
            self._break_at(broken, self.rng.choice(often if often and self.rng.random() < 0.5 else paths))
        return _encoded(broken)

    def _break_at(self, broken: Json, path: Path) -> None:
        holder, name = _holder(broken, path), path[-1]
        way = self.rng.random()
        if isinstance(holder, dict) and way < 0.3 and not _is_told_by_absence(path):
            self._note("field missing")
            del holder[name]
        elif isinstance(holder, list) and way < 0.2 and "messages" not in path:
            self._note("item twice")
            holder.append(deepcopy(holder[int(name)]))
        else:
            value = deepcopy(self.rng.choice(ODD))
            is_lie = _PLAUSIBLE.get(str(name))
            if (is_lie is not None and is_lie(value)) or _is_told_by_absence(path):
                return
            self._note("odd value")
            holder[name] = value

    # ---------------------------------------------------------------- the frame itself

    def _broken_outside(self, sound: Json) -> bytes:
        text = msgspec.json.encode(sound)
        ways: tuple[Callable[[bytes, Json], bytes], ...] = (
            self._torn, self._noise, self._deep, self._envelope, self._doubled, self._not_json,
        )  # fmt: skip
        way = self.rng.choice(ways)
        data = way(text, sound)
        if _reads_as_another(data, sound):
            return text
        self._note(f"frame {way.__name__.strip('_')}")
        return data

    def _torn(self, text: bytes, _: Json) -> bytes:
        return text[: self.rng.randrange(len(text))]

    def _noise(self, text: bytes, _: Json) -> bytes:
        noisy = bytearray(text)
        for _flip in range(self.rng.choice((1, 3, 20))):
            noisy[self.rng.randrange(len(noisy))] = self.rng.randrange(256)
        return bytes(noisy)

    def _deep(self, text: bytes, _: Json) -> bytes:
        return text.replace(b'"payload":', b'"deep":' + _DEEP.encode() + b',"payload":', 1)

    def _envelope(self, _: bytes, sound: Json) -> bytes:
        broken = dict(sound)
        name = self.rng.choice(("type", "id", "ok", "payload"))
        value = self.rng.choice((None, *ODD, "event", "req", "w999999"))
        if self.rng.random() < 0.3:
            del broken[name]
        else:
            broken[name] = value
        if self.rng.random() < 0.3:
            broken["error"] = self.rng.choice(ODD)
        return _encoded(broken)

    def _doubled(self, text: bytes, _: Json) -> bytes:
        return text + text

    def _not_json(self, _: bytes, __: Json) -> bytes:
        return self.rng.choice((b"", b"null", b"[]", b"NaN", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"{", b'"', b"<html>"))


def _is_told_by_absence(path: Path) -> bool:
    """Whether this field's absence, or another word in its place, is a well-formed statement of its own: the end of a
    transcript without its ``stopReason`` is one that was not stopped."""
    return "messages" in path and path[-1] in ("stopReason", "openclawAbort", "aborted", "content", "text", "model")


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()


def _reads_as_another(data: bytes, sound: Json) -> bool:
    """It is a readable answer all the same, with another payload: a lie, not a broken frame."""
    try:
        read = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(read, dict) or read.get("ok") is not True or read.get("id") != sound["id"]:
        return False
    return bool(read.get("type") == "res")
