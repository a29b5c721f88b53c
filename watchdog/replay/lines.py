"""One pass as one line: what differs from the line before, or everything (``whole``) where a reader may begin.

Format 1. A file is lines of JSON. ``{"openclaw_watchdog_recording": 1, ...}`` begins the file and every further life of
the daemon in it; the line after it is whole. A pass has

- ``n`` (its number in this life), ``at`` ([monotonic seconds, wall microseconds] when it began), ``whole``;
- ``new`` (microseconds after ``at``: a new connection was made), ``facts``, ``loss``, ``refused`` (connecting failed);
- ``lists``: one per listing, each ``t`` ([asked, answered] in microseconds after ``at``), ``rows`` (changed rows by key,
  null: gone) against the listing before, ``part`` (not whole), ``bad`` (rows nobody can read), ``stepped``, ``error``;
- ``still`` (seconds; written by earlier versions alone): nothing was listed, the last list still held;
- ``looks`` by session key against the pass before: every look of the pass in order, null: none this time;
- ``health``, ``signed_in``, ``deeds``, ``delivered``, ``scope``: what planning, the last look and a deed asked, in order;
- ``ledger`` (as it was when the pass began, when that changed): ``lost_at``, ``pauses``, ``quarantined``; ``past`` on
  whole lines: what was done before, so that budgets are known; ``unwritable``: the ledger could not be used;
- ``said``: the log's events about sessions and the gateway in this pass.

Absent means: as before for ``facts``, ``rows``, ``looks`` and ``ledger``; nothing for everything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1
MARK = "openclaw_watchdog_recording"

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Base:
    """What a reader of the lines so far knows."""

    facts: Plain | None = None
    rows: Mapping[str, Plain] = field(default_factory=dict)
    looks: Mapping[str, list[Any]] = field(default_factory=dict)
    ledger: Plain | None = None


EMPTY = Base()


@dataclass(slots=True)
class Taken:
    """One pass as it was seen, in plain data. ``lists`` hold all their rows."""

    at: list[Any]
    facts: Plain | None = None
    lists: list[Plain] = field(default_factory=list)
    looks: dict[str, list[Any]] = field(default_factory=dict)
    ledger: Plain | None = None
    past: list[Plain] = field(default_factory=list)
    rest: Plain = field(default_factory=dict)
    """Everything that is not told as a difference."""


def line_of(taken: Taken, base: Base, number: int) -> tuple[Plain, Base]:
    """The line that says ``taken`` to somebody who knows ``base``, and what is known after it."""
    is_whole = base is EMPTY
    line: Plain = {"n": number, "at": taken.at}
    if is_whole:
        line["whole"] = True
    facts = taken.facts if taken.facts is not None else base.facts
    if facts is not base.facts and facts != base.facts:
        line["facts"] = facts
    rows = base.rows
    lists = []
    for listing in taken.lists:
        if "rows" not in listing:
            lists.append(listing)
            continue
        changed = difference(rows, listing["rows"])
        rows = listing["rows"]
        lists.append({**listing, "rows": changed} if changed else {k: v for k, v in listing.items() if k != "rows"})
    if lists:
        line["lists"] = lists
    if looks := difference(base.looks, taken.looks):
        line["looks"] = looks
    ledger = taken.ledger if taken.ledger is not None else base.ledger
    if ledger != base.ledger:
        line["ledger"] = ledger
    if is_whole and taken.past:
        line["past"] = taken.past
    line |= taken.rest
    return line, Base(facts, rows, taken.looks, ledger)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Plain:
    """What is new or other in ``after``; None for what is gone."""
    changed: Plain = {
        key: value for key, value in after.items() if (known := before.get(key)) is not value and known != value
    }
    return changed | {key: None for key in before if key not in after}


def patched(before: Mapping[str, Any], changes: Mapping[str, Any]) -> Plain:
    """The way back from ``difference``."""
    merged = {**before, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def spelled(line: Plain) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"
