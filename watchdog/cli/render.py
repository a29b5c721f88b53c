"""The daemon's state (``status.model``) drawn for a terminal: lines for ``status``, one picture for ``top``.

Keys and reasons were written by others: they go in as text, never as markup, and without power over the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from watchdog.cli.selection import Selection
from watchdog.core.printable import shown_key, shown_name, visible
from watchdog.core.spans import span_words
from watchdog.service.announcements.phrases import DEEDS, OUTCOMES, PHASES, RESULTS, VERDICTS, reason_words
from watchdog.service.announcements.phrases import count as number_of

Document = dict[str, Any]

_LEVELS = {"ok": ("✓", "bold green"), "notice": ("●", "bold yellow"), "trouble": ("▲", "bold red")}
_STYLES = {
    "stuck": "bold red",
    "unknown": "magenta",
    "suspect": "yellow",
    "long_running": "yellow",
    "waiting": "cyan",
    "healthy": "green",
    "recovering": "bold blue",
    "quarantined": "bold red",
    "recovered": "green",
    "cleared": "cyan",
    "open": "yellow",
    "succeeded": "green",
    "ineffective": "red",
    "refused": "red",
    "started": "blue",
    "indeterminate": "blue",
    "connected": "green",
}
_STANDINGS = {**VERDICTS, "recovering": "in recovery", "quarantined": OUTCOMES["quarantined"]}
_LASTED = {"no_owner": "nothing works on it", "silent": "no sign of progress", "running": "working"}
_BAR = 10
_WIDE = 110
"""Columns of a terminal from which on ages are drawn, gateways are told of in full, and so is what comes next."""
_NARROWEST = 14
"""Characters left at least to every column that gives way, where the terminal is not too small for that."""
_WORST_FIRST = ("stuck", "unknown", "suspect", "long_running", "waiting", "healthy")
_OUTCOME = 28
"""Columns that the outcome of a deed needs, and a key where there is room."""
_END_OF_KEY = 18
"""Columns by which a key is told from others where there is little: ``…irc:direct:alice``."""
_GATEWAY = 10
"""Columns of a gateway's name there."""
_SIDE_BY_SIDE = 180
"""Columns of a terminal from which on incidents and deeds stand beside each other."""
LOST_LINES = 3
"""Lines of the news that a picture is old."""
_FIRST_ROWS = 5
"""Rows that the list with the chosen line gets before the others, if there is room."""
_NAME = 8
"""Columns without which a name is left out."""
_WITH_WHY = 160
"""Columns of a terminal from which on there is room for what holds a session, too."""
_WHY = 44
"""Columns left at least to that, and to a key beside it, on a terminal that is wider still."""
_MOST = {"incidents": 15, "deeds": 15, "operator": 5}
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MOST_SESSIONS_IN_STATUS = 50


def status_lines(state: Document, now: datetime) -> Iterator[Text]:
    """``status``: the headline, then what a person asks next."""
    yield _headline(state)
    for gateway in state["gateways"]:
        yield Text()
        yield _gateway_line(gateway, now)
        if gateway["problem"]:
            yield Text(f"  {_problem(gateway)}", "yellow" if gateway["phase"] == "connected" else "red")
        shown = [one for one in gateway["sessions"] if one["verdict"] != "waiting"][:_MOST_SESSIONS_IN_STATUS]
        if shown and _is_old(gateway):
            yield Text(f"  {_as_of(gateway, now)}", "yellow")
        for session in shown:
            yield from _session_lines(session, gateway, _seen(gateway, now))
        left_out = sum(one["verdict"] != "waiting" for one in gateway["sessions"]) - len(shown)
        if left_out := left_out + gateway.get("sessions_left_out", 0):
            yield Text(f"  and {number_of(left_out, 'more session')}, none of them worse: `check` lists all", "yellow")
    matters = list(_matters(state, now))
    if matters:
        yield Text()
        yield from matters
    yield Text()
    yield Text(
        f"{number_of(state['open_incidents'], 'open incident')}; version {visible(state['version'])}, process {state['pid']}, "
        f"running for {_since(state['started_at'], now)}, polls every {_seconds(state['poll_every_seconds'])}",
        "dim",
    )


def top_frame(
    state: Document,
    now: datetime,
    size: ConsoleDimensions,
    selection: Selection | None = None,
    *,
    is_once: bool = False,
) -> RenderableType:
    """``top``: one picture that fits the terminal (``is_once``: as long as it must be), with one line chosen."""
    chosen = selection or Selection()
    matters = () if chosen.is_open else _matters(state, now)  # what is explained needs the room
    head = [_title(state, now), _headline(state), *matters, Text()]
    for line in head:
        line.no_wrap, line.overflow = True, "ellipsis"
    foot = [] if is_once else [_foot(chosen)]
    above: list[RenderableType] = [*head, *_gateways(state, now, size.width)]
    lists = _lists(state, chosen, has_healthy=not is_once)
    lines = [(kind, place) for kind, shown in lists.items() for place in range(len(shown))]
    at = chosen.place([_line_id(kind, lists[kind][place]) for kind, place in lines])
    kind, place = lines[at] if at >= 0 and not is_once else ("", -1)
    if chosen.is_open and kind:
        told = Group(*_explained(state, kind, lists[kind][place], now))
        left = size.height - sum(map(_height_of, above)) - len(foot) - 2
        return Group(*above, Text(), _AtMost(told, left), Text(), *foot)
    taken = sum(map(_height_of, above)) + len(foot)
    rows = 100_000 if is_once else size.height - taken
    is_wide = size.width >= _SIDE_BY_SIDE
    bands = [["sessions"], *([["incidents", "deeds"]] if is_wide else [["incidents"], ["deeds"]])]
    bands += [["operator"]] if state.get("operator") else []
    wants = [min(max(1, *(len(lists[name]) for name in band), 1), _MOST.get(band[0], rows)) for band in bands]
    first = next((number for number, band in enumerate(bands) if kind in band), 0)
    ill = sum("verdict" in one for one in lists["sessions"])
    is_among_healthy = kind == "sessions" and place >= ill
    parts: list[RenderableType] = []
    for band, count in zip(
        bands, _shares(wants, rows, first, wants[0] if is_among_healthy else max(1, ill)), strict=True
    ):
        if not count:
            continue
        width = (size.width - 2 * (len(band) - 1)) // len(band)
        shown = {name: _Shown.of(lists[name], count, place if name == kind else -1) for name in band}
        tables = [_TABLES[name](state, rows, now, width) for name, rows in shown.items()]
        beside = Table.grid(padding=(0, 2, 0, 0))
        beside.add_row(*tables)
        parts += [Text(), beside if len(tables) > 1 else tables[0]]
    return Group(*above, *parts, *foot)


def _height_of(one: RenderableType) -> int:
    """Of a line, or of a table with its head."""
    return one.row_count + 1 if isinstance(one, Table) else 1


@dataclass(frozen=True, slots=True)
class _AtMost:
    """What is told, cut after ``rows`` lines: below it stand the keys that lead back."""

    told: RenderableType
    rows: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self.told, options.update(height=None), pad=False, new_lines=True)
        fit = max(1, self.rows)
        yield from (segment for line in (lines if len(lines) <= fit else lines[: fit - 1]) for segment in line)
        if len(lines) > fit:
            yield Text("… a higher window shows the rest", "dim", no_wrap=True, overflow="ellipsis")


def _foot(chosen: Selection) -> Text:
    if chosen.is_typing:
        return Text.assemble(
            "filter: ", (visible(chosen.words), "bold"), "▏", ("  Enter keeps it, Esc drops it", "dim")
        )
    found = f"filter: {visible(chosen.words)} (Esc drops it)  " if chosen.words else ""
    keys = "Enter goes back" if chosen.is_open else "↑↓ choose  Enter explains"
    line = Text.assemble((found, "bold"), (f"{keys}  / filters  q leaves", "dim"))
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _lists(state: Document, chosen: Selection, *, has_healthy: bool) -> dict[str, list[Document]]:
    """What can be chosen, in the order of the picture; sessions with their gateway."""

    def wants(gateway: str, key: str, *words: str | None) -> bool:
        return chosen.wants(gateway, _named(state, gateway, key).plain, *words)

    sessions = [{"on": gateway, **one} for gateway in state["gateways"] for one in gateway["sessions"]]
    if has_healthy:
        sessions += [{"on": gateway, **one} for gateway in state["gateways"] for one in gateway.get("healthy", ())]
    return {
        "sessions": [one for one in sessions if wants(one["on"]["name"], one["key"], _STANDINGS.get(_standing(one)))],
        "incidents": [
            one
            for one in state["incidents"]
            if wants(one["gateway"], one["session"], OUTCOMES.get(one["outcome"]), one["id"])
        ],
        "deeds": [
            one
            for one in state["deeds"]
            if wants(
                one["gateway"],
                one["session"],
                one["attempt"]["step"],
                RESULTS.get(one["attempt"]["state"]),
                one["incident"],
            )
        ],
        "operator": [one for one in state.get("operator", ()) if chosen.wants(one["what"], one["detail"], one["who"])],
    }


def _line_id(kind: str, one: Document) -> tuple[object, ...]:
    match kind:
        case "sessions":
            return kind, one["on"]["name"], one["key"]
        case "incidents":
            return kind, one["id"]
        case "deeds":
            return kind, one["incident"], one["attempt"]["number"]
    return kind, one["at"], one["what"], one["detail"]


def _shares(wants: Sequence[int], lines: int, first: int, ill: int) -> list[int]:
    """How many rows each list gets of so many lines: a blank and its head come with the first one. ``first`` begins with
    some, and gets twice as many as the others. Sessions beyond the first ``ill`` get what nobody else wants: they are healthy."""
    wanted = [min(wants[0], ill), *wants[1:]]
    given = [0] * len(wants)
    given[first] = max(1, min(wanted[first], _FIRST_ROWS, lines - 2))
    lines -= given[first] + 2
    order = [first, first, *(place for place in range(len(wants)) if place != first)]
    while True:
        before = lines
        for place in order:
            cost = 1 if given[place] else 3
            if given[place] < wanted[place] and cost <= lines:
                given[place] += 1
                lines -= cost
        if lines == before:
            break
    if given[0]:
        given[0] += max(0, min(lines, wants[0] - given[0]))
    return given


@dataclass(frozen=True, slots=True)
class _Shown:
    """The rows of a list that there is room for."""

    rows: Sequence[Document]
    chosen: int
    """-1: none of them."""
    span: str
    """Which of how many, where that is not all."""

    @classmethod
    def of(cls, found: Sequence[Document], count: int, chosen: int) -> _Shown:
        start = max(0, min(chosen - count // 2, len(found) - count))
        rows = found[start : start + count]
        span = f" {start + 1}-{start + len(rows)} of {len(found)}" if len(rows) < len(found) else ""
        return cls(rows, chosen - start if chosen >= 0 else -1, span)


def _explained(state: Document, kind: str, one: Document, now: datetime) -> Iterator[Text]:
    """All that is known here of the chosen line, and the command that looks closer."""
    if kind == "operator":
        yield Text(f"{visible(one['what']).replace('_', ' ')} {visible(one['detail'])}, by {visible(one['who'])}")
        return
    gateway, key = (one["on"]["name"], one["key"]) if kind == "sessions" else (one["gateway"], one["session"])
    if kind != "sessions" or "verdict" not in one:
        yield Text.assemble(_named(state, gateway, key, "bold"), f"  on {visible(gateway)}")
    yield Text(f"openclaw-watchdog explain {shown_key(key)} --gateway {shown_key(gateway)}{_config(state)}", "cyan")
    yield Text()
    if kind == "sessions" and "verdict" not in one:
        moved = f", moved {_since(one['updated_at'], now)} ago" if one["updated_at"] else ""
        yield Text(f"  healthy: {visible(one['kind'])}, {visible(one['status'])}{moved}")
        return
    if kind == "sessions":
        yield from _session_lines(one, one["on"], _seen(one["on"], now))
        about = (one["kind"], one["channel"], one["agent"] and f"agent {one['agent']}", f"policy {one['policy']}")
        yield Text(f"{' ' * 16}{visible(', '.join(filter(None, about)))}; {_budget(one['budget'], 'attempts')}", "dim")
    number = one["id"] if kind == "incidents" else one["incident"]
    incident = next((it for it in state["incidents"] if it["id"] == number), None)
    if incident is not None:
        found = f"  found {_clock(incident['opened_at'], now)}: {visible(reason_words(incident['verdict_reason']))}"
        yield Text.assemble(f"  {incident['id']}  ", _word(OUTCOMES, incident["outcome"]), found)
    for attempt in incident["attempts"] if incident is not None else one.get("attempts", ()):
        at = _clock(attempt["started_at"] or attempt["planned_at"], now)
        words = f": {visible(attempt['words'])}" if attempt["words"] else ""
        line = f"  {attempt['number']}. {attempt['step']} at {at}  "
        yield Text.assemble(line, _word(RESULTS, attempt["state"]), words)


def _config(state: Document) -> str:
    """What a command has to name, where it would not find the daemon's configuration by itself."""
    return f" --config {shown_key(state['config_file'])}" if state.get("config_file") else ""


def waiting_frame(problem: str) -> RenderableType:
    """There is no daemon yet."""
    return Group(Panel(Text(visible(problem), "yellow"), title="waiting for the daemon"), Text("q leaves", "dim"))


def lost_frame(frame: RenderableType, problem: str) -> RenderableType:
    """The last picture, under the news that it is old."""
    return Group(Panel(Text(visible(problem), "bold red"), title="no connection: what follows is old"), frame)


# ---------------------------------------------------------------- lines


def _headline(state: Document) -> Text:
    sign, style = _LEVELS[state["headline"]["level"]]
    return Text(f"{sign} {visible(state['headline']['text'])}", style)


def _gateway_line(gateway: Document, now: datetime) -> Text:
    line = Text.assemble((visible(gateway["name"]), "bold"), "  ", _phase(gateway))
    facts = []
    if gateway["version"]:
        facts.append(f"OpenClaw {visible(gateway['version'])}")
    if gateway["connected_since"]:
        facts.append(f"connected for {_since(gateway['connected_since'], now)}")
    if gateway["last_poll_at"]:
        did = "polled" if gateway["seen_at"] == gateway["last_poll_at"] else "tried"
        facts.append(f"{did} {_since(gateway['last_poll_at'], now)} ago")
    if gateway["latency_seconds"] is not None:
        facts.append(f"answered in {gateway['latency_seconds'] * 1000:.0f} ms")
    facts.append(_counts(gateway))
    if gateway["budget"]:
        facts.append(_budget(gateway["budget"], "deeds"))
    return line.append("  " + ", ".join(facts))


def _problem(gateway: Document) -> str:
    """What is wrong with it, beside its name."""
    return visible(gateway["problem"].removeprefix(f"{gateway['name']}: "))


def _is_old(gateway: Document) -> bool:
    """It is away, and what is shown of its sessions is from before that."""
    return gateway["phase"] != "connected" and gateway["seen_at"] is not None


def _seen(gateway: Document, now: datetime) -> datetime:
    """The instant that its sessions are shown as of: ages stand still while it is away."""
    return datetime.fromisoformat(gateway["seen_at"]) if _is_old(gateway) else now


def _as_of(gateway: Document, now: datetime) -> str:
    seen = gateway["seen_at"]
    return f"its sessions as of {_clock(seen, now)} UTC, {_since(seen, now)} ago, when it last answered"


def _counts(gateway: Document) -> str:
    counts = gateway["verdicts"]
    found = [f"{counts[name]} {VERDICTS[name]}" for name in _WORST_FIRST if counts.get(name)]
    total = gateway["session_count"]
    return f"{total} session{'' if total == 1 else 's'}" + (f" ({', '.join(found)})" if found else "")


def _session_lines(session: Document, gateway: Document, now: datetime) -> Iterator[Text]:
    yield Text.assemble(
        "  ",
        _word(_STANDINGS, _standing(session), 14),
        (shown_key(session["key"]), "bold"),
        (shown_name(_names(gateway).get(session["key"])), "dim"),
        f"  {_LASTED[session['since_what']]} for {_since(session['since'], now)}",
    )
    pad = " " * 16
    yield Text(f"{pad}{visible(session['message'])}")
    for blocker in session["blockers"]:
        ends = f" (ends {_until(blocker['until'], now)})" if blocker["until"] else ""
        yield Text(f"{pad}held: {visible(blocker['message'])}{ends}", "dim")
    yield Text(f"{pad}next: {_next(session, now)}")


def _replica(replica: Document) -> Text:
    gone, here = "" if replica["is_here"] else ", gone", " (this one)" if replica["is_this"] else ""
    told = ", delivers messages" if replica["delivers"] else ""
    watches = f", watches {_some(replica['gateways'])}" if replica["gateways"] else ""
    line = f"replica {visible(replica['name'])}{here}{gone}: {replica['shards']} shards{told}{watches}"
    return Text(line, "" if replica["is_here"] else "yellow")


def _some(names: Sequence[str], most: int = 8) -> str:
    """The first of them, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(visible(name) for name in names[:most]) + more


def _matters(state: Document, now: datetime) -> Iterator[Text]:
    """Whatever holds or waits beyond single sessions."""
    if state["mode"] == "observe":
        yield Text("observe mode: nothing is ever done", "yellow")
    if state["ledger"]["problem"]:
        yield Text(f"ledger: {visible(state['ledger']['problem'])}", "red")
    if state["ledger"]["lost_history_at"]:
        yield Text(
            f"ledger lost at {_clock(state['ledger']['lost_history_at'], now)}: "
            f"`openclaw-watchdog release --lost-history{_config(state)}` accepts that",
            "red",
        )
    for replica in state.get("replicas", ()):
        yield _replica(replica)
    if state.get("unwatched"):
        yield Text(f"watched by no replica: {_some(state['unwatched'])}", "red")
    for problem in state.get("list_problems", ()):  # a daemon from before an update has none
        yield Text(visible(problem), "red")
    for pause in state["pauses"]:
        who = _named(state, pause["gateway"], pause["session"]).plain if pause["session"] else None
        where = shown_key(pause["gateway"]) if pause["gateway"] else None
        scope = " on ".join(filter(None, (who, where))) or "everything"
        unpause = f"`openclaw-watchdog unpause{_config(state)}`"
        end = f", ends {_until(pause['until'], now)}" if pause["until"] else f", until {unpause}"
        why = f": {visible(pause['reason'])}" if pause["reason"] else ""
        yield Text(f"paused: {scope}, by {visible(pause['who'])}{why}{end}", "yellow")
    for one in state["quarantines"]:
        yield Text(
            f"quarantined: {_named(state, one['gateway'], one['session'])} on {visible(one['gateway'])} for {_since(one['since'], now)}: "
            f"{visible(one['reason'])}",
            "red",
        )
    for one in (*state["incidents"], *state["quarantines"]):
        if known := one.get("acknowledged"):
            end = f", reminders again {_until(known['until'], now)}" if known["until"] else ""
            why = f": {visible(known['reason'])}" if known["reason"] else ""
            yield Text(
                f"acknowledged: {shown_key(one['session'])} on {visible(one['gateway'])}, by {visible(known['who'])}{why}{end}",
                "dim",
            )
    if state["undelivered"]:
        count, first = len(state["undelivered"]), state["undelivered"][0]
        error = f" ({visible(first['error'])})" if first["error"] else ""
        yield Text(
            f"messages: {count} not delivered, the oldest to {visible(first['target'])}, "
            f"{_since(first['created_at'], now)} old{error}",
            "yellow",
        )


# ---------------------------------------------------------------- tables


def _title(state: Document, now: datetime) -> Text:
    left = f"openclaw-watchdog {visible(state['version'])}"
    return Text.assemble(
        (left, "bold"), (f"   {now:%H:%M:%S} UTC   running for {_since(state['started_at'], now)}", "dim")
    )


def _gateways(state: Document, now: datetime, width: int) -> Iterator[RenderableType]:
    wide = width >= _WIDE
    columns = ["gateway", "state", "sessions", "polled", *(["version", "answer", "deeds left"] if wide else [])]
    rows: list[list[Text]] = []
    problems: list[Text] = []
    for gateway in state["gateways"]:
        latency, budget = gateway["latency_seconds"], gateway["budget"]
        more = [
            Text(visible(gateway["version"] or "-")),
            Text(f"{latency * 1000:.0f} ms" if latency is not None else "-"),
            Text(f"{budget['left']}/{budget['attempts']} per {_seconds(budget['per_seconds'])}" if budget else "-"),
        ]
        rows.append(
            [
                Text(visible(gateway["name"]), "bold"),
                _phase(gateway),
                Text(_counts(gateway)),
                Text(f"{_since(gateway['seen_at'], now)} ago" if gateway["seen_at"] else "-"),
                *(more if wide else []),
            ]
        )
        if gateway["problem"]:
            style = "yellow" if gateway["phase"] == "connected" else "red"
            said = f"{visible(gateway['name'])}: {_problem(gateway)}"
            problems.append(Text(said, style, no_wrap=True, overflow="ellipsis"))
        if gateway["sessions"] and _is_old(gateway):
            said = f"{visible(gateway['name'])}: {_as_of(gateway, now)}"
            problems.append(Text(said, "yellow", no_wrap=True, overflow="ellipsis"))
    yield _table(width, columns, rows, flexible=(2,))
    yield from problems


def _sessions(state: Document, shown: _Shown, now: datetime, width: int) -> RenderableType:
    if not shown.rows:
        return Text("No session to show.", "dim")
    wide, with_bar = width >= _WITH_WHY, width >= _WIDE
    names = {visible(session["on"]["name"]) for session in shown.rows}
    several = len(names if not with_bar else state["gateways"]) > 1
    on_one = f" on {min(names)}" if len(state["gateways"]) > 1 and not several else ""
    rows: list[list[Text]] = []
    for session in shown.rows:
        gateway = session["on"]
        seen = _seen(gateway, now)
        head = [_word(_STANDINGS, _standing(session)), _named(state, gateway["name"], session["key"], "bold")]
        head += [_cut(Text(visible(gateway["name"])), width)] if several else []
        if "verdict" not in session:
            moved = f"moved {_since(session['updated_at'], seen)} ago" if session["updated_at"] else session["status"]
            bar = [Text("·" * _BAR, "dim")] if with_bar else []
            rows.append([*head, *bar, Text("-"), Text("-"), Text(moved, "dim"), *([Text()] if wide else [])])
            continue
        as_of = f" at {_clock(gateway['seen_at'], now)}" if with_bar and _is_old(gateway) else ""
        age, due, coming = _since(session["since"], seen), _due(session, now), session["next"]["words"]
        if not with_bar:
            age, due, coming = _first_unit(age), _first_unit(due), _in_short(coming)
        why = session["blockers"][0]["message"] if session["blockers"] else session["message"]
        rows.append(
            [
                *head,
                *([_bar(session, seen)] if with_bar else []),
                Text(age + as_of),
                Text(due),
                Text(visible(coming)),
                *([Text(visible(why), "dim")] if wide else []),
            ]
        )
    columns = ["verdict", f"session{on_one}{shown.span}", *(["gateway"] if several else [])]
    columns += [*(["age", ""] if with_bar else ["age"]), "due", "next"]
    last = len(columns) - 1
    columns += ["why"] if wide else []
    flexible = (last, 1, last + 1) if wide else (last, 1)  # what comes next is read; of a key the end is enough
    least = _WHY if width >= _SIDE_BY_SIDE else _OUTCOME if with_bar else _END_OF_KEY
    return _table(width, columns, rows, flexible=flexible, least=least, chosen=shown.chosen)


def _bar(session: Document, now: datetime) -> Text:
    """How far its age is on the way to its limit."""
    if not session["limit_seconds"]:
        return Text("·" * _BAR, "dim")
    age = (now - datetime.fromisoformat(session["since"])).total_seconds()
    eighths = round(max(0.0, min(1.0, age / session["limit_seconds"])) * _BAR * 8)
    whole, rest = divmod(eighths, 8)
    filled = "█" * whole + (_EIGHTHS[rest] if rest else "")
    return Text.assemble((filled, _STYLES.get(_standing(session), "")), ("─" * (_BAR - len(filled)), "dim"))


def _incidents(state: Document, shown: _Shown, now: datetime, width: int) -> RenderableType:
    if not shown.rows:
        return Text("No incident to show." if state["incidents"] else "No incidents in the last 7 days.", "dim")
    several = len(state["gateways"]) > 1
    rows: list[list[Text]] = []
    for one in shown.rows:
        end = datetime.fromisoformat(one["closed_at"]) if one["closed_at"] else now
        rows.append(
            [
                _word(OUTCOMES, one["outcome"]),
                _named(state, one["gateway"], one["session"]),
                *([Text(visible(one["gateway"]))] if several else []),
                Text(_clock(one["opened_at"], now)),
                Text(span_words(end - datetime.fromisoformat(one["opened_at"]))),
                Text(", ".join(attempt["step"] for attempt in one["attempts"]) or "-"),
            ]
        )
    columns = ["incidents", f"session{shown.span}", *(["gateway"] if several else []), "found", "lasted", "attempts"]
    return _table(width, columns, rows, flexible=(1,), chosen=shown.chosen)


def _deeds(state: Document, shown: _Shown, now: datetime, width: int) -> RenderableType:
    if not shown.rows:
        return Text("No deed to show." if state["deeds"] else "No deeds in the last 7 days.", "dim")
    several = len(state["gateways"]) > 1
    rows: list[list[Text]] = []
    for deed in shown.rows:
        attempt = deed["attempt"]
        outcome = _word(RESULTS, attempt["state"])
        if attempt["words"]:
            outcome.append(f": {visible(attempt['words'])}", "default")
        rows.append(
            [
                Text(attempt["step"]),
                _named(state, deed["gateway"], deed["session"]),
                *([Text(visible(deed["gateway"]))] if several else []),
                Text(_clock(attempt["started_at"], now)),
                outcome,
            ]
        )
    columns = ["last deeds", f"session{shown.span}", *(["gateway"] if several else []), "at", "outcome"]
    return _table(width, columns, rows, flexible=(1, len(columns) - 1), least=_OUTCOME, chosen=shown.chosen)


def _switches(_state: Document, shown: _Shown, now: datetime, width: int) -> RenderableType:
    rows = [
        [
            Text(visible(one["what"]).replace("_", " ")),
            Text(visible(one["detail"])),
            Text(_clock(one["at"], now)),
            Text(visible(one["who"])),
        ]
        for one in shown.rows
    ]
    return _table(width, ["operator", f"what{shown.span}", "at", "who"], rows, flexible=(1, 3), chosen=shown.chosen)


_TABLES = {"sessions": _sessions, "incidents": _incidents, "deeds": _deeds, "operator": _switches}


def _table(
    width: int,
    columns: Sequence[str],
    rows: Sequence[Sequence[Text]],
    *,
    flexible: Sequence[int],
    least: int = _NARROWEST,
    chosen: int = -1,
) -> Table:
    """A table as wide as the terminal at most: only the ``flexible`` columns give way, the last one named first."""
    widths = [max([len(name), *(row[place].cell_len for row in rows)]) for place, name in enumerate(columns)]
    left = width + 2 - sum(2 if place in flexible else size + 2 for place, size in enumerate(widths))
    for count, place in enumerate(flexible, start=1):
        kept_back = least * (len(flexible) - count)
        widths[place] = max(4, min(widths[place], left - kept_back))
        left -= widths[place]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name, size in zip(columns, widths, strict=True):
        table.add_column(Text(name), width=size, no_wrap=True, overflow="ellipsis")
    for number, row in enumerate(rows):
        cells = (
            _tail(cell, size) if name.split()[:1] == ["session"] else cell
            for name, cell, size in zip(columns, row, widths, strict=True)
        )
        table.add_row(*cells, style="reverse" if number == chosen else None)
    return table


def _tail(named: Text, width: int) -> Text:
    """A key that does not fit says by its end which session it is; a name gives way to its key."""
    key = named.plain.partition("  “")[0]
    if named.cell_len <= width or cell_len(key) <= width - _NAME:
        return named
    style = next((span.style for span in named.spans if span.start == 0), "")
    return Text(key if cell_len(key) <= width else "…" + key[-max(1, width - 1) :], style)


# ---------------------------------------------------------------- words


def _named(state: Document, gateway: str | None, key: str, style: str = "") -> Text:
    """A session's key, and behind it what people call it; ``gateway`` None: wherever it is known."""
    names = (_names(one).get(key) for one in state["gateways"] if gateway in (None, one["name"]))
    return Text.assemble((shown_key(key), style), (shown_name(next(filter(None, names), None)), "dim"))


def _names(gateway: Document) -> Mapping[str, str]:
    """None in the document of a daemon from before an upgrade, which goes on until it is started anew."""
    return gateway.get("names") or {}


def _standing(session: Document) -> str:
    if "verdict" not in session:
        return "healthy"
    if session["is_in_recovery"]:
        return "recovering"
    return "quarantined" if session["is_quarantined"] else str(session["verdict"])


def _word(words: Mapping[str, str], name: str, width: int = 0) -> Text:
    return Text(f"{words.get(name, name):<{width}}", _STYLES.get(name, "red"))


def _phase(gateway: Document) -> Text:
    return Text("first look", "dim") if gateway["phase"] == "unseen" else _word(PHASES, gateway["phase"])


def _cut(name: Text, width: int) -> Text:
    """A gateway's name, where the terminal is narrow no longer than it must be."""
    if width < _WIDE:
        name.truncate(_GATEWAY, overflow="ellipsis")
    return name


def _first_unit(span: str) -> str:
    """``2m`` of ``2m40s``: for a narrow terminal."""
    found = re.match(r"\d+\D", span)
    return found[0] if found else span.replace("any moment", "now")


def _in_short(coming: str) -> str:
    """What comes next, for a narrow terminal: steps by their names, and without the word that stands there for nothing."""
    for step, deed in DEEDS.items():
        coming = coming.replace(deed, step.value)
    return re.sub(r"^(nothing[:,]|waiting for) ", "", coming)


def _due(session: Document, now: datetime) -> str:
    """The countdown to the next deed."""
    at = session["next"]["at"]
    return _until(at, now).removeprefix("in ") if at else "-"


def _next(session: Document, now: datetime) -> str:
    coming = session["next"]
    return visible(coming["words"]) + (f", {_until(coming['at'], now)}" if coming["at"] else "")


def _budget(budget: Document, noun: str) -> str:
    return f"{budget['left']} of {budget['attempts']} {noun} left per {_seconds(budget['per_seconds'])}"


def _seconds(seconds: float) -> str:
    return span_words(timedelta(seconds=seconds))


def _since(instant: str, now: datetime) -> str:
    return span_words(now - datetime.fromisoformat(instant))


def _until(instant: str, now: datetime) -> str:
    left = datetime.fromisoformat(instant) - now
    return f"in {span_words(left)}" if left > timedelta(0) else "any moment"


def _clock(instant: str, now: datetime) -> str:
    at = datetime.fromisoformat(instant)
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%m-%d %H:%M}"
