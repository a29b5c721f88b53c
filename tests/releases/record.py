"""The record of what was seen of each release, and the document that is made of it.

``record.json`` has two parts: ``releases``, written by the run, and ``notes``, written by hand: what explains a finding, by
version. A release that is tried again keeps its note.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.releases.published import is_stable, place_of

FOLDER = Path(__file__).parent
RECORD = FOLDER / "record.json"
DOCUMENT = FOLDER.parents[1] / "docs" / "compatibility.md"
Seen = Mapping[str, Any]
FATES = ("tried", "not installed", "not started", "cut short")
_STOPPED = "stopped by its user"


def load() -> dict[str, Any]:
    if not RECORD.exists():
        return {"releases": {}, "published": [], "notes": {}}
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def save(record: Mapping[str, Any]) -> None:
    """Both files, each in one move."""
    _replace(RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")
    _replace(DOCUMENT, document(record))


def enter(version: str, seen: Seen, published: Sequence[str]) -> None:
    """What was seen of one release. The record is read again for it: a finding may have been explained in the meantime, or
    another release have been tried beside it."""
    folder = os.open(RECORD.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        known = load()
        known["published"] = [*published]
        known["releases"][version] = seen
        save(known)
    finally:
        os.close(folder)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def newest_tried(record: Mapping[str, Any]) -> str:
    """The newest stable release that was tried to the end."""
    return max((version for version in _tried(record["releases"]) if is_stable(version)), key=place_of)


def _tried(releases: Mapping[str, Seen]) -> list[str]:
    return [version for version, seen in releases.items() if seen["fate"] == "tried"]


# ------------------------------------------------------------ the document


def document(record: Mapping[str, Any]) -> str:
    releases: Mapping[str, Seen] = record["releases"]
    done = sorted(releases, key=place_of)
    tried = [version for version in done if releases[version]["fate"] == "tried"]
    failed = [version for version in done if releases[version]["fate"] != "tried"]
    left = [version for version in record["published"] if version not in releases]
    dates = sorted({str(releases[version]["date"]) for version in done})
    when = "" if not dates else f" on {dates[0]}" if len(dates) == 1 else f" from {dates[0]} to {dates[-1]}"
    parts = [
        "# OpenClaw releases, one by one",
        _INTRODUCTION.format(tried=len(tried), published=len(record["published"]), when=when),
        "## Release by release",
        _LEGEND,
        _table(tried, releases, record["notes"]),
        "## What was found",
        _findings(done, releases, record["notes"]),
        "## Where releases change",
        _CHANGES,
        _changes(tried, releases),
        "## Not tried",
        _not_tried(failed, left, releases),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_INTRODUCTION = """\
Made by `make releases`; do not edit. {tried} of the {published} stable releases from 2026.3.24 on that npm serves were tried to
the end{when}, each installed from npm on Linux, with a model of the tests' own, a Telegram of the tests' own, and the
daemon beside it. What is believed of a version stands in `watchdog/gateway/capabilities.py`; what differs from it here is
named below. Thresholds are those of the tests (seconds instead of minutes)."""

_LEGEND = """\
- **sign-in**: the first one, on the gateway's own machine, asking for all that the default ladder may need. A number is how
  many approvals a person had to give.
- **live**: a slow stream, a silent provider, an `agent` call and a chat run, each alive, and one run that its user had
  stopped. *left alone*: nothing was done to any of them.
- **cut**: the same runs, cut by kill -9, the gateway started again. Who settled the web stream, the silent call, the
  `agent` call and the chat run: *gateway*: it asked the model again itself; *deed*: one `resume` of ours, the request seen
  again at the model; *reported*: held, and a person is told; *told*: it ended without an answer, and that is told.
- **stopped**: *never*: the stopped request was not seen again at the model.
- **lasting**: rows that stay `running` although nothing runs: a cron key after the kill (reported only by the default
  policy), a spawned chat session whose policy is `new` (address kept), and where the store is SQLite a lost last write.
- **by hand**: `recover --step new` on the cron row."""

_CHANGES = """\
Between which neighbours, of those that were tried, an observed fact changes. A field is named where it appears, goes, or
changes its type."""


def _table(tried: Sequence[str], releases: Mapping[str, Seen], notes: Mapping[str, str]) -> str:
    head = ("release", "sign-in", "live", "cut: stream, silent, agent, chat", "stopped", "lasting", "by hand", "see")
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [
        _line((version, *_cells(releases[version]), _see(version, releases[version], notes)))
        for version in reversed(tried)
    ]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(seen: Seen) -> tuple[str, ...]:
    cut: Mapping[str, Any] = seen.get("cut", {})
    runs = ("slow stream", "silent call", "agent RPC", "from a chat")
    stopped = cut.get(_STOPPED)
    asked = stopped["asked_again"] + stopped["asked_by_us"] if stopped else None
    return (
        _sign_in(seen),
        _live(seen),
        ", ".join(_by(cut.get(name)) for name in runs),
        "?" if asked is None else "never" if asked == 0 else f"**{asked} times**",
        _lasting(seen),
        _by_hand(seen),
    )


def _sign_in(seen: Seen) -> str:
    found = seen.get("sign_in")
    if found is None:
        return "?"
    if found["approvals"]:
        return f"{found['approvals']} approval{'s' if found['approvals'] > 1 else ''}"
    return "refused" if found["fails"] else "silent"


def _live(seen: Seen) -> str:
    found: Mapping[str, str] = seen.get("live", {})
    touched = [name for name, what in found.items() if what not in ("left alone", "session.stuck")]
    if not found:
        return "?"
    return "left alone" if not touched else f"**{', '.join(touched)}**"


def _by(one: Seen | None) -> str:
    if one is None:
        return "-"
    words = {"us": "deed", "the gateway": "gateway", "told as unanswered": "told", "us, in vain": "**deed in vain**"}
    return words.get(one["by"], one["by"] if one["by"] == "reported" else f"**{one['by']}**")


def _lasting(seen: Seen) -> str:
    cut: Mapping[str, Any] = seen.get("cut", {})
    cron, chat, lost = cut.get("cron"), cut.get("spawned chat"), seen.get("lost_write")
    parts = []
    if cron is not None:
        parts.append(f"cron {_by(cron) if cron['status'] == 'running' else 'row: ' + str(cron['status'])}")
    if chat is not None:
        is_new = "new" in chat["deeds"] and chat["succeeded"]
        kept = ", address kept" if chat.get("address_kept") else ", **address lost**"
        parts.append(f"chat new{kept}" if is_new else f"chat {_by(chat)}")
    if lost is not None:
        parts.append(
            "lost write deed" if lost["deeds"] == ["resume"] and lost["asked_by_us"] == 1 else "**lost write**"
        )
    return "; ".join(parts) or "?"


def _by_hand(seen: Seen) -> str:
    found = seen.get("new_by_hand")
    if found is None or "recovered" not in found:
        return "?"
    if found["status_before"] != "running":
        return f"row was {found['status_before']}"
    return "cleared" if found["recovered"] and found["cleared"] else "**not cleared**"


def remarks(seen: Seen) -> list[str]:
    """What it did unlike others, or unlike what is believed of it."""
    return [*seen.get("findings", ()), *seen.get("disagreements", ())]


def _see(version: str, seen: Seen, notes: Mapping[str, str]) -> str:
    return "below" if remarks(seen) or version in notes else ""


def _findings(done: Sequence[str], releases: Mapping[str, Seen], notes: Mapping[str, str]) -> str:
    """Neighbours of which the same is to be said stand together."""

    def said(version: str) -> tuple[list[str], str | None]:
        return remarks(releases[version]) if releases[version]["fate"] == "tried" else [], notes.get(version)

    parts = []
    for (found, note), versions in itertools.groupby(reversed(done), said):
        if found or note:
            lines = [f"**{', '.join(versions)}**"]
            lines += ["", *(f"- {each}" for each in found)] if found else []
            lines += ["", note] if note else []
            parts.append("\n".join(lines))
    return "\n\n".join(parts) or "Nothing."


def _changes(tried: Sequence[str], releases: Mapping[str, Seen]) -> str:
    lines: list[str] = []
    for before, after in itertools.pairwise(tried):
        differences = [
            *_fact_changes(releases[before], releases[after]),
            *_name_changes("method", releases[before], releases[after], lambda seen: seen.get("methods", ())),
            *_field_changes(releases[before].get("fields", {}), releases[after].get("fields", {})),
        ]
        if differences:
            lines.append(f"- **{before} and {after}**: {'; '.join(differences)}")
    return "\n".join(lines) or "None."


_FACTS = {
    "store": "sessions are kept in",
    "pages": "the list comes in pages",
    "stop_leaves_running": "a Stop leaves the row running",
    "locks_whole_run": "a live run holds its transcript's lock",
    "preflight": "an idle gateway says so (preflight)",
    "wraps_words": "a person's words in a chat are wrapped",
    "resumes_at_boot": "the gateway takes up cut runs by itself",
}


def _fact_changes(before: Seen, after: Seen) -> Iterable[str]:
    one, two = before.get("facts", {}), after.get("facts", {})
    for name, words in _FACTS.items():
        if name in one and name in two and one[name] != two[name]:
            yield f"{words}: {_word(one[name])}, then {_word(two[name])}"
    told = [facts.get("flags") for facts in (one, two)]
    if all(told):
        flags = [_flags(flag) for flag in told if flag is not None]
        if flags[0] != flags[1]:
            yield f"`hasActiveRun` of live runs: {flags[0]}, then {flags[1]}"
    for run in ("slow stream", "silent call", "agent RPC", "from a chat"):
        by = [seen.get("cut", {}).get(run, {}).get("by") for seen in (before, after)]
        if None not in by and by[0] != by[1]:
            yield f"{run}, cut: {by[0]}, then {by[1]}"


def _flags(flags: Mapping[str, bool | None]) -> str:
    values = {str(value) for value in flags.values()}
    if len(values) == 1:
        return {"True": "true", "False": "false", "None": "missing"}[values.pop()]
    return ", ".join(f"{name} {str(value).lower()}" for name, value in flags.items())


def _word(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _name_changes(what: str, before: Seen, after: Seen, names: Callable[[Seen], Iterable[str]]) -> Iterable[str]:
    one, two = set(names(before)), set(names(after))
    if came := sorted(two - one):
        yield f"{what} named: {', '.join(f'`{name}`' for name in came)}"
    if went := sorted(one - two):
        yield f"{what} no longer named: {', '.join(f'`{name}`' for name in went)}"


def _field_changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[str]:
    def known(fields: Mapping[str, str], name: str) -> set[str]:
        return set(fields.get(name, "null").split(" or ")) - {"null"}

    names = sorted({*before, *after})
    came = [name for name in names if not known(before, name) and known(after, name)]
    went = [name for name in names if known(before, name) and not known(after, name)]
    # Only where they have nothing in common: which of several types a field shows depends on what went on.
    other = [name for name in names if (a := known(before, name)) and (b := known(after, name)) and not a & b]
    if came:
        yield f"new {', '.join(f'`{name}`' for name in came)}"
    if went:
        yield f"gone {', '.join(f'`{name}`' for name in went)}"
    for name in other:
        yield f"`{name}` was {before[name]} and is {after[name]}"


def _not_tried(failed: Sequence[str], left: Sequence[str], releases: Mapping[str, Seen]) -> str:
    lines = [
        f"- **{version}**, {releases[version]['fate']}: {next(iter(str(releases[version].get('reason', '')).strip().splitlines()), '')[:400]}"
        for version in reversed(failed)
    ]
    if left:
        lines.append(f"- not yet: {', '.join(reversed(left))}")
    return "\n".join(lines) or "None: every one was tried."
