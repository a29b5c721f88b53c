"""The daemon's state (``service.state``) drawn for a terminal: lines for ``status``, one picture for ``top``.

Keys and reasons were written by others: they go in as text, never as markup, and without power over the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from watchdog.adapters.logs import visible
from watchdog.core.spans import span_words

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
    "unseen": "dim",
}
_WORDS = {
    "unknown": "unclear",
    "long_running": "long",
    "recovering": "in recovery",
    "unseen": "first look",
    "succeeded": "worked",
    "ineffective": "did not help",
    "started": "under way",
    "indeterminate": "unclear",
    "abandoned": "given up",
}
_LASTED = {"no_owner": "nothing works on it", "silent": "no sign of progress", "running": "working"}
_BAR = 10
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
        for session in shown:
            yield from _session_lines(session, now)
    matters = list(_matters(state, now))
    if matters:
        yield Text()
        yield from matters
    yield Text()
    yield Text(
        f"{state['open_incidents']} open incidents; version {state['version']}, process {state['pid']}, "
        f"running for {_since(state['started_at'], now)}, polls every {_seconds(state['poll_every_seconds'])}",
        "dim",
    )


def top_frame(state: Document, now: datetime, size: ConsoleDimensions, *, is_once: bool = False) -> RenderableType:
    """``top``: one picture that fits the terminal (``is_once``: as long as it must be)."""
    matters = list(_matters(state, now))
    rows = 1000 if is_once else max(6, size.height - 12 - len(state["gateways"]) - len(matters))
    sessions = [(gateway, one) for gateway in state["gateways"] for one in gateway["sessions"]]
    for_sessions = min(len(sessions), max(3, rows // 2))
    for_incidents = min(len(state["incidents"]), max(2, (rows - for_sessions) // 2), 8)
    for_deeds = min(len(state["deeds"]), max(2, rows - for_sessions - for_incidents), 8)
    parts: list[RenderableType] = [_title(state, now), _headline(state), *matters, Text(), _gateways(state, now)]
    parts += [Text(), _sessions(sessions[:for_sessions], len(sessions) - for_sessions, now, wide=size.width >= 110)]
    parts += [Text(), _incidents(state["incidents"][:for_incidents], now)]
    parts += [Text(), _deeds(state["deeds"][:for_deeds], now)]
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
    line = Text.assemble((visible(gateway["name"]), "bold"), "  ", _word(gateway["phase"]))
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


def _counts(gateway: Document) -> str:
    found = [f"{count} {_WORDS.get(name, name)}" for name, count in gateway["verdicts"].items() if count]
    total = gateway["session_count"]
    return f"{total} session{'' if total == 1 else 's'}" + (f" ({', '.join(found)})" if found else "")


def _session_lines(session: Document, now: datetime) -> Iterator[Text]:
    yield Text.assemble(
        "  ",
        _word(_standing(session), 12),
        (visible(session["key"]), "bold"),
        f"  {_LASTED[session['since_what']]} for {_since(session['since'], now)}",
    )
    pad = " " * 14
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
    for pause in state["pauses"]:
        scope = " on ".join(visible(one) for one in (pause["session"], pause["gateway"]) if one) or "everything"
        end = f", ends {_until(pause['until'], now)}" if pause["until"] else ", until `openclaw-watchdog unpause`"
        why = f": {visible(pause['reason'])}" if pause["reason"] else ""
        yield Text(f"paused: {scope}, by {visible(pause['who'])}{why}{end}", "yellow")
    for one in state["quarantines"]:
        yield Text(
            f"quarantined: {visible(one['session'])} on {visible(one['gateway'])} for {_since(one['since'], now)}: "
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
    left = f"openclaw-watchdog {state['version']}"
    return Text.assemble(
        (left, "bold"), (f"   {now:%H:%M:%S} UTC   running for {_since(state['started_at'], now)}", "dim")
    )


def _gateways(state: Document, now: datetime) -> Table:
    table = _table("gateway", "state", "version", "sessions", "polled", "answer", "deeds left")
    for gateway in state["gateways"]:
        latency, budget = gateway["latency_seconds"], gateway["budget"]
        table.add_row(
            Text(visible(gateway["name"]), "bold"),
            _word(gateway["phase"]),
            visible(gateway["version"] or "-"),
            _counts(gateway),
            f"{_since(gateway['last_poll_at'], now)} ago" if gateway["last_poll_at"] else "-",
            f"{latency * 1000:.0f} ms" if latency is not None else "-",
            f"{budget['left']}/{budget['attempts']} per {_seconds(budget['per_seconds'])}" if budget else "-",
        )
        if gateway["problem"]:
            table.add_row("", Text("└", "dim"), "", Text(visible(gateway["problem"]), "red"), "", "", "")
    return table


def _sessions(
    shown: Sequence[tuple[Document, Document]], left_out: int, now: datetime, *, wide: bool
) -> RenderableType:
    if not shown:
        return Text("Every session is healthy.", "green")
    columns = ["verdict", "session", "age", "", "next"]
    table = _table(*columns, *(["why"] if wide else []))
    for column, ratio in ((1, 3), (4, 3), (5, 3)):
        if column < len(table.columns):
            table.columns[column].ratio = ratio
    for _, session in shown:
        why = session["blockers"][0]["message"] if session["blockers"] else session["message"]
        row: list[RenderableType] = [
            _word(_standing(session)),
            Text(visible(session["key"]), "bold"),
            _bar(session, now),
            _since(session["since"], now),
            _next(session, now),
        ]
        table.add_row(*row, *([Text(visible(why), "dim")] if wide else []))
    if left_out > 0:
        return Group(table, Text(f"and {left_out} more", "dim"))
    return table


def _bar(session: Document, now: datetime) -> Text:
    """How far its age is on the way to its limit."""
    if not session["limit_seconds"]:
        return Text("·" * _BAR, "dim")
    age = (now - datetime.fromisoformat(session["since"])).total_seconds()
    eighths = round(max(0.0, min(1.0, age / session["limit_seconds"])) * _BAR * 8)
    whole, rest = divmod(eighths, 8)
    filled = "█" * whole + (_EIGHTHS[rest] if rest else "")
    return Text.assemble((filled, _STYLES.get(_standing(session), "")), ("─" * (_BAR - len(filled)), "dim"))


def _incidents(incidents: Sequence[Document], now: datetime) -> RenderableType:
    if not incidents:
        return Text("No incidents in the last 7 days.", "dim")
    table = _table("incidents", "session", "found", "lasted", "attempts")
    table.columns[1].ratio = 1
    for one in incidents:
        end = datetime.fromisoformat(one["closed_at"]) if one["closed_at"] else now
        table.add_row(
            _word(one["outcome"]),
            visible(one["session"]),
            _clock(one["opened_at"], now),
            span_words(end - datetime.fromisoformat(one["opened_at"])),
            ", ".join(attempt["step"] for attempt in one["attempts"]) or "-",
        )
    return table


def _deeds(deeds: Sequence[Document], now: datetime) -> RenderableType:
    if not deeds:
        return Text("No deeds in the last 7 days.", "dim")
    table = _table("last deeds", "session", "at", "outcome")
    for column in (1, 3):
        table.columns[column].ratio = 1
    for deed in deeds:
        attempt = deed["attempt"]
        outcome = _word(attempt["state"])
        if attempt["words"]:
            outcome = Text.assemble(outcome, f": {visible(attempt['words'])}")
        table.add_row(attempt["step"], visible(deed["session"]), _clock(attempt["started_at"], now), outcome)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    return table


# ---------------------------------------------------------------- words


def _standing(session: Document) -> str:
    if session["is_in_recovery"]:
        return "recovering"
    return "quarantined" if session["is_quarantined"] else str(session["verdict"])


def _word(name: str, width: int = 0) -> Text:
    return Text(f"{_WORDS.get(name, name):<{width}}", _STYLES.get(name, "red"))


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
