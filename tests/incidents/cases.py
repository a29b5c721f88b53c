"""A case as written in the YAML files, checked for shape: an unknown field or a wrong type names its case.

Spans (``-3h``, ``18h10m``) count from the case's beginning. In a row every field that ends in ``At`` may be such a span, or
``now`` in a change; ``absent`` takes a field out of the row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML

FOLDER = Path(__file__).parent

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_SPAN = re.compile(r"(-?)((?:\d+(?:\.\d+)?[dhms])+)")


def span(value: str | int | float) -> float:
    """``-1h30m`` in seconds; a bare number is seconds already."""
    if not isinstance(value, str):
        return float(value)
    match = _SPAN.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is not a span such as 90s, 20m, 1h30m, -3d")
    total = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)([dhms])", match[2]))
    return -total if match[1] else total


class Right(StrEnum):
    """What a watchdog owes this session."""

    RECOVER = "recover"
    TELL = "tell"
    """Must not be touched; a person must be told."""
    LEAVE = "leave"
    """Must not be touched, and nobody needs to hear of it."""


class See(StrEnum):
    """What a pass decided about one session."""

    NOTHING = "nothing"
    HOLD = "hold"
    RECOVER = "recover"
    NOTIFY = "notify"
    """Stuck, and the policy only tells."""
    LONG = "long"
    """Alive for long: a person is told, nothing is touched."""
    UNKNOWN = "unknown"
    """Quiet for long, and nothing here can tell: a person is told, nothing is touched."""
    QUARANTINE = "quarantine"
    VERIFYING = "verifying"
    AWAY = "away"
    """The gateway itself could not be asked."""


class Expect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the expected course. ``recover`` means: exactly one deed of this step in the window; everything else
    holds for every pass in it. Deeds that no line expects are always wrong."""

    see: See
    why: str
    since: str | int = msgspec.field(default=0, name="from")
    to: str | int | None = None
    session: str | None = None
    step: str | None = None
    blockers: tuple[str, ...] = ()
    method: str | None = None
    """The request that carries the deed on the wire."""
    asks: bool | None = None
    """The resumed turn asks the person instead of going on with the work."""


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens at one instant. ``when: prepare``: between the decision and the last look before the deed."""

    at: str | int | None = None
    when: str | None = None
    note: str | None = None
    rows: dict[str, dict[str, Any] | None] = {}
    """Fields to change by session; null: the row is gone; a new name: a new row."""
    transcript: dict[str, Any] = {}
    """The whole transcript from here on; ``none``: ``chat.history`` fails."""
    says: dict[str, list[Any]] = {}
    """Entries added to the transcript."""
    locks: dict[str, str] = {}
    in_flight: dict[str, bool] = {}
    queued_inputs: dict[str, int] = {}
    """How many messages wait to be taken up (``chat.history``: ``pendingInputs``, 2026.9.x)."""
    pending_states: dict[str, tuple[str, ...]] = {}
    """The same list by the state of each of its items (``queued``, ``interrupted``, ``cancelled``); replaces what it held."""
    running: dict[str, int] | None = None
    """``gateway.restart.preflight`` counts."""
    recovering: bool | None = None
    """It names the gateway's own restart recovery among what is active (2026.8 and later)."""
    approvals: tuple[str, ...] | None = None
    questions: tuple[str, ...] | None = None
    cron_log: dict[str, str] = {}
    """Cron sessions whose run the scheduler writes down as ended now, and how (``ok``, ``error``)."""
    latency: str | int | None = None
    event_loop_degraded: bool | None = None
    truncated: bool | None = None
    malformed: tuple[str, ...] | None = None
    """Rows that cannot be read, as they come over the wire."""
    restart: str | None = None
    """``in_process``, ``process`` (orderly) or ``crash``."""
    away: str | int = "10s"
    drops: bool = False
    """The connection breaks; the gateway goes on."""
    channels_stopped: str | None = None
    """The gateway runs no chat app any more and gives this as ``lastError``; their probe says ok. Empty: it runs them."""
    phase: str | None = None
    """``up``, ``down``, ``starting``, ``draining``, ``hung``, ``suspended`` (9.6: it lets us in and refuses every request),
    ``drifted`` (9.6: the same for good, but for preflight, until its database is mended)."""
    gateway_clock: str | int | None = None
    """The gateway's wall clock is set by this much."""
    our_clock: str | int | None = None
    """Our wall clock is set by this much."""
    host_sleeps: str | int | None = None
    """The host is suspended for so long: the wall clock goes on, the monotonic one does not."""
    we_stop: str | int | None = None
    """Our process is stopped for so long: both clocks go on."""


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One incident as a timeline."""

    id: str
    issues: tuple[str, ...]
    right: Right
    version: str
    story: str
    rows: dict[str, dict[str, Any]]
    expect: tuple[Expect, ...]
    until: str | int
    config: str = ""
    """The watchdog's own configuration, as in its file."""
    booted: str | int = "-3d"
    asleep_before: str | int | None = None
    """How long the host slept between the gateway's start and our first look."""
    boot_id: str | None = None
    methods_without: tuple[str, ...] = ()
    granted: tuple[str, ...] = ("operator.read", "operator.write", "operator.admin")
    is_local: bool = True
    """The gateway is on our machine, so that lock files can be seen."""
    run_limit: str | int | None = None
    """``agents.defaults.timeoutSeconds`` of its configuration."""
    fallback: str | None = None
    """The model that its configuration names for when the first one fails."""
    clock_ahead: str | int = 0
    gateway: Change = Change()
    """The gateway's state at the beginning."""
    play: tuple[Change, ...] = ()
    deeds: dict[str, tuple[Any, ...]] = {}
    """How the gateway takes each step, in order; the last one repeats. Default: it helps."""
    not_told: tuple[str, ...] = ()
    """Kinds of message that nobody must get."""
    known_gap: str | None = None
    """What the code gets wrong here, and why; the case counts as lost until it is mended."""
    tries_first: bool = False
    """Only trying shows that nothing helps: the gentle deeds are expected, and then a person is told."""
    cls: str = msgspec.field(default="", name="class")

    @property
    def name(self) -> str:
        return f"{self.cls}-{self.id}"

    def lasts(self) -> float:
        return span(self.until)


@dataclass(frozen=True, slots=True)
class Family:
    """One file: a class and its cases."""

    cls: str
    title: str
    cases: tuple[Case, ...]

    @property
    def is_false_positive(self) -> bool:
        return not re.fullmatch(r"T\d+", self.cls)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    cls: str = msgspec.field(name="class")
    title: str
    cases: list[dict[str, Any]]


def read_family(path: Path) -> Family:
    """The cases of one file. Raises ``ValueError`` with file and case for anything that is not as it must be."""
    document = YAML(typ="safe", pure=True).load(path.read_text())
    try:
        file = msgspec.convert(document, _File)
    except msgspec.ValidationError as problem:
        raise ValueError(f"{path.name}: {problem}") from problem
    cases = []
    for entry in file.cases:
        try:
            case = msgspec.convert({"class": file.cls, **entry}, Case)
            _check(case)
        except ValueError as problem:
            raise ValueError(f"{path.name}: {entry.get('id', '?')}: {problem}") from problem
        cases.append(case)
    return Family(file.cls, file.title, tuple(cases))


def _check(case: Case) -> None:
    for line in case.expect:
        span(line.since)
        if line.to is not None:
            span(line.to)
        if (line.see is See.RECOVER) != (line.step is not None):
            raise ValueError("`step` belongs to `see: recover`, and to nothing else")
        if (line.see is See.HOLD) != bool(line.blockers):
            raise ValueError("`blockers` belong to `see: hold`, and to nothing else")
    for change in case.play:
        if (change.at is None) == (change.when is None):
            raise ValueError("a change needs either `at` or `when`")
    recovers = any(line.see is See.RECOVER for line in case.expect)
    if recovers and case.right is not Right.RECOVER and not case.tries_first:
        raise ValueError("a session that must not be touched cannot expect a deed")
    if not recovers and case.right is Right.RECOVER:
        raise ValueError("a recoverable session must expect a deed")


_CLASS = re.compile(r"^class: (.+)$", re.MULTILINE)
_ID = re.compile(r"^  - id: (.+)$", re.MULTILINE)


def files_with(words: Sequence[str], folder: Path = FOLDER) -> Sequence[Path]:
    """The files with a case whose name contains one of the words, found without reading the cases: that takes long."""

    def names(text: str) -> list[str]:
        return [f"{cls}-{case}" for cls in _CLASS.findall(text)[:1] for case in _ID.findall(text)]

    paths = sorted(folder.glob("*.yaml"))
    return [path for path in paths if any(word in name for name in names(path.read_text()) for word in words)]


def families(folder: Path = FOLDER, paths: Sequence[Path] | None = None) -> Sequence[Family]:
    """Every file (or these), in order of name; case names are unique over all of them."""
    found = [read_family(path) for path in (sorted(folder.glob("*.yaml")) if paths is None else paths)]
    names = [case.name for family in found for case in family.cases]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise ValueError(f"two cases with one name: {', '.join(doubles)}")
    return found


def names_like(pattern: str, names: Mapping[str, object]) -> list[str]:
    """The sessions of a case that a line is about."""
    return [name for name in names if fnmatchcase(name, pattern)]
