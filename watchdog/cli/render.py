"""The daemon's state (``status.model``) drawn for a terminal: lines for ``status``, one picture for ``top``.

Keys and reasons were written by others: they go in as text, never as markup, and without power over the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from watchdog.core.printable import shown_key, visible
from watchdog.core.spans import span_words
from watchdog.service.announcements.phrases import OUTCOMES, PHASES, RESULTS, VERDICTS

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
"""Columns of a terminal from which on everything is shown."""
_NARROWEST = 14
"""Characters left at least to every column that gives way, where the terminal is not too small for that."""
_WORST_FIRST = ("stuck", "unknown", "suspect", "long_running", "waiting", "healthy")
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MOST_SESSIONS_IN_STATUS = 50


def status_lines(state: Document, now: datetime) -> Iterator[Text]:
    """``status``: the headline, then what a person asks next."""
    yield _headline(state)
    for gateway in state["gateways"]:
        yield Text()
        yield _gateway_line(gateway, now)
        if gateway["problem"]:
            yield Text(f"  {visible(gateway['problem'])}", "yellow" if gateway["phase"] == "connected" else "red")
        shown = [one for one in gateway["sessions"] if one["verdict"] != "waiting"][:_MOST_SESSIONS_IN_STATUS]
        if shown and _is_old(gateway):
            yield Text(f"  {_as_of(gateway, now)}", "yellow")
        for session in shown:
            yield from _session_lines(session, _seen(gateway, now))
    matters = list(_matters(state, now))
    if matters:
        yield Text()
        yield from matters
    yield Text()
    yield Text(
        f"{state['open_incidents']} open incidents; version {visible(state['version'])}, process {state['pid']}, "
        f"running for {_since(state['started_at'], now)}, polls every {_seconds(state['poll_every_seconds'])}",
        "dim",
    )


def top_frame(state: Document, now: datetime, size: ConsoleDimensions, *, is_once: bool = False) -> RenderableType:
    """``top``: one picture that fits the terminal (``is_once``: as long as it must be)."""
    head = [_title(state, now), _headline(state), *_matters(state, now), Text()]
    for line in head:
        line.no_wrap, line.overflow = True, "ellipsis"
    sessions = [(gateway, one) for gateway in state["gateways"] for one in gateway["sessions"]]
    incidents, deeds, switches = state["incidents"], state["deeds"], state.get("operator", [])
    old = sum(bool(one["sessions"]) and _is_old(one) for one in state["gateways"])
    around = len(head) + 1 + sum(2 if one["problem"] else 1 for one in state["gateways"]) + old + 8
    rows = 1000 if is_once else max(3, size.height - around)
    for_sessions = min(len(sessions), max(3, rows // 2))
    for_incidents = min(len(incidents), 8, max(0, rows - for_sessions) // 2)
    for_deeds = min(len(deeds), 8, max(0, rows - for_sessions - for_incidents))
    parts: list[RenderableType] = [*head, *_gateways(state, now, size.width)]
    parts += [Text(), _sessions(sessions[:for_sessions], len(sessions) - for_sessions, now, size.width)]
    if for_incidents or not incidents:
        parts += [Text(), _incidents(incidents[:for_incidents], now, size.width)]
    if for_deeds or not deeds:
        parts += [Text(), _deeds(deeds[:for_deeds], now, size.width)]
    left = rows - for_sessions - for_incidents - for_deeds - 2
    if switches and left > 0:
        parts += [Text(), _switches(switches[: min(5, left)], now, size.width)]
    if not is_once:
        parts.append(Text("q leaves", "dim"))
    return Group(*parts)


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
        facts.append(f"polled {_since(gateway['last_poll_at'], now)} ago")
    if gateway["latency_seconds"] is not None:
        facts.append(f"answered in {gateway['latency_seconds'] * 1000:.0f} ms")
    facts.append(_counts(gateway))
    if gateway["budget"]:
        facts.append(_budget(gateway["budget"], "deeds"))
    return line.append("  " + ", ".join(facts))


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


def _session_lines(session: Document, now: datetime) -> Iterator[Text]:
    yield Text.assemble(
        "  ",
        _word(_STANDINGS, _standing(session), 14),
        (shown_key(session["key"]), "bold"),
        f"  {_LASTED[session['since_what']]} for {_since(session['since'], now)}",
    )
    pad = " " * 16
    yield Text(f"{pad}{visible(session['message'])}")
    for blocker in session["blockers"]:
        ends = f" (ends {_until(blocker['until'], now)})" if blocker["until"] else ""
        yield Text(f"{pad}held: {visible(blocker['message'])}{ends}", "dim")
    yield Text(f"{pad}next: {_next(session, now)}")


def _matters(state: Document, now: datetime) -> Iterator[Text]:
    """Whatever holds or waits beyond single sessions."""
    if state["mode"] == "observe":
        yield Text("observe mode: nothing is ever done", "yellow")
    if state["ledger"]["problem"]:
        yield Text(f"ledger: {visible(state['ledger']['problem'])}", "red")
    if state["ledger"]["lost_history_at"]:
        yield Text(
            f"ledger lost at {_clock(state['ledger']['lost_history_at'], now)}: "
            "`openclaw-watchdog release --lost-history` accepts that",
            "red",
        )
    for problem in state.get("list_problems", ()):  # a daemon from before an update has none
        yield Text(visible(problem), "red")
    for pause in state["pauses"]:
        scope = " on ".join(shown_key(one) for one in (pause["session"], pause["gateway"]) if one) or "everything"
        end = f", ends {_until(pause['until'], now)}" if pause["until"] else ", until `openclaw-watchdog unpause`"
        why = f": {visible(pause['reason'])}" if pause["reason"] else ""
        yield Text(f"paused: {scope}, by {visible(pause['who'])}{why}{end}", "yellow")
    for one in state["quarantines"]:
        yield Text(
            f"quarantined: {shown_key(one['session'])} on {visible(one['gateway'])} for {_since(one['since'], now)}: "
            f"{visible(one['reason'])}",
            "red",
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
                Text(f"{_since(gateway['last_poll_at'], now)} ago" if gateway["last_poll_at"] else "-"),
                *(more if wide else []),
            ]
        )
        if gateway["problem"]:
            style = "yellow" if gateway["phase"] == "connected" else "red"
            said = f"{visible(gateway['name'])}: {visible(gateway['problem'].removeprefix(gateway['name'] + ': '))}"
            problems.append(Text(said, style, no_wrap=True, overflow="ellipsis"))
        if gateway["sessions"] and _is_old(gateway):
            problems.append(Text(f"{visible(gateway['name'])}: {_as_of(gateway, now)}", "yellow"))
    yield _table(width, columns, rows, flexible=(2,))
    yield from problems


def _sessions(shown: Sequence[tuple[Document, Document]], left_out: int, now: datetime, width: int) -> RenderableType:
    if not shown:
        return Text("Every session is healthy.", "green")
    wide = width >= _WIDE
    rows: list[list[Text]] = []
    for gateway, session in shown:
        seen = _seen(gateway, now)
        as_of = f" at {_clock(gateway['seen_at'], now)}" if _is_old(gateway) else ""
        why = session["blockers"][0]["message"] if session["blockers"] else session["message"]
        rows.append(
            [
                _word(_STANDINGS, _standing(session)),
                Text(shown_key(session["key"]), "bold"),
                _bar(session, seen),
                Text(_since(session["since"], seen) + as_of),
                Text(_due(session, now)),
                Text(visible(session["next"]["words"])),
                *([Text(visible(why), "dim")] if wide else []),
            ]
        )
    columns = ["verdict", "session", "age", "", "due", "next", *(["why"] if wide else [])]
    table = _table(width, columns, rows, flexible=(1, 5, 6) if wide else (1, 5))
    return Group(table, Text(f"and {left_out} more", "dim")) if left_out > 0 else table


def _bar(session: Document, now: datetime) -> Text:
    """How far its age is on the way to its limit."""
    if not session["limit_seconds"]:
        return Text("·" * _BAR, "dim")
    age = (now - datetime.fromisoformat(session["since"])).total_seconds()
    eighths = round(max(0.0, min(1.0, age / session["limit_seconds"])) * _BAR * 8)
    whole, rest = divmod(eighths, 8)
    filled = "█" * whole + (_EIGHTHS[rest] if rest else "")
    return Text.assemble((filled, _STYLES.get(_standing(session), "")), ("─" * (_BAR - len(filled)), "dim"))


def _incidents(incidents: Sequence[Document], now: datetime, width: int) -> RenderableType:
    if not incidents:
        return Text("No incidents in the last 7 days.", "dim")
    rows: list[list[Text]] = []
    for one in incidents:
        end = datetime.fromisoformat(one["closed_at"]) if one["closed_at"] else now
        rows.append(
            [
                _word(OUTCOMES, one["outcome"]),
                Text(shown_key(one["session"])),
                Text(_clock(one["opened_at"], now)),
                Text(span_words(end - datetime.fromisoformat(one["opened_at"]))),
                Text(", ".join(attempt["step"] for attempt in one["attempts"]) or "-"),
            ]
        )
    return _table(width, ["incidents", "session", "found", "lasted", "attempts"], rows, flexible=(1,))


def _deeds(deeds: Sequence[Document], now: datetime, width: int) -> RenderableType:
    if not deeds:
        return Text("No deeds in the last 7 days.", "dim")
    rows: list[list[Text]] = []
    for deed in deeds:
        attempt = deed["attempt"]
        outcome = _word(RESULTS, attempt["state"])
        if attempt["words"]:
            outcome.append(f": {visible(attempt['words'])}", "default")
        rows.append(
            [
                Text(attempt["step"]),
                Text(shown_key(deed["session"])),
                Text(_clock(attempt["started_at"], now)),
                outcome,
            ]
        )
    return _table(width, ["last deeds", "session", "at", "outcome"], rows, flexible=(1, 3))


def _switches(switches: Sequence[Document], now: datetime, width: int) -> RenderableType:
    rows = [
        [
            Text(visible(one["what"]).replace("_", " ")),
            Text(visible(one["detail"])),
            Text(_clock(one["at"], now)),
            Text(visible(one["who"])),
        ]
        for one in switches
    ]
    return _table(width, ["operator", "what", "at", "who"], rows, flexible=(1, 3))


def _table(width: int, columns: Sequence[str], rows: Sequence[Sequence[Text]], *, flexible: Sequence[int]) -> Table:
    """A table as wide as the terminal at most: only the ``flexible`` columns give way, the last one first."""
    widths = [max([len(name), *(row[place].cell_len for row in rows)]) for place, name in enumerate(columns)]
    left = width - sum(size + 2 for place, size in enumerate(widths) if place not in flexible) - 2 * len(flexible)
    for count, place in enumerate(flexible, start=1):
        kept_back = _NARROWEST * (len(flexible) - count)
        widths[place] = max(4, min(widths[place], left - kept_back))
        left -= widths[place]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name, size in zip(columns, widths, strict=True):
        table.add_column(name, width=size, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*row)
    return table


# ---------------------------------------------------------------- words


def _standing(session: Document) -> str:
    if session["is_in_recovery"]:
        return "recovering"
    return "quarantined" if session["is_quarantined"] else str(session["verdict"])


def _word(words: Mapping[str, str], name: str, width: int = 0) -> Text:
    return Text(f"{words.get(name, name):<{width}}", _STYLES.get(name, "red"))


def _phase(gateway: Document) -> Text:
    return Text("first look", "dim") if gateway["phase"] == "unseen" else _word(PHASES, gateway["phase"])


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
