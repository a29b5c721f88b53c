"""``history``: incidents and attempts from the ledger."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from watchdog.adapters.clock import SystemClock
from watchdog.cli import completion
from watchdog.cli.check import chosen_sections
from watchdog.cli.names import named_session
from watchdog.cli.screen import screen
from watchdog.cli.shared import ConfigOption, GatewayOption, JsonOption, Setting, print_json, read_setting, say
from watchdog.config import durations
from watchdog.core.address import chat_of
from watchdog.core.model import ReplyAddress
from watchdog.core.printable import read, shown_key, visible
from watchdog.core.spans import span_words
from watchdog.daemon.assembly import ledger_place
from watchdog.ledger.ledger import SqlLedger
from watchdog.ledger.place import LedgerPlace
from watchdog.service.announcements.phrases import OUTCOMES, RESULTS, reason_words
from watchdog.service.ledger import Ack, AuditLine, Incident, Outcome
from watchdog.service.reminders import open_matters

_STYLES = {
    Outcome.QUARANTINED: "bold red",
    Outcome.FAILED: "red",
    Outcome.UNDELIVERED: "red",
    Outcome.OPEN: "yellow",
    Outcome.RECOVERED: "green",
    Outcome.ENDED: "cyan",
    Outcome.CLEARED: "cyan",
}
"""The worst first."""
CELLS = 40
_FOLLOWED = 10
"""Entries that ``--follow`` begins with."""
_LOOK_EVERY, _LATE = timedelta(seconds=1), timedelta(seconds=10)
_HEIGHTS = "▁▂▃▄▅▆▇█"
"""One incident, two, … eight or more."""


def add_to(app: typer.Typer) -> None:
    @app.command()
    def history(
        since: Annotated[
            str | None, typer.Option("--since", metavar="SPAN|DATE", help="For example 24h, 7d, 2026-11-20.")
        ] = None,
        session: Annotated[
            str | None,
            typer.Option("--session", metavar="KEY", autocompletion=completion.sessions, help="Only this session."),
        ] = None,
        gateway: GatewayOption = None,
        limit: Annotated[
            int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="Only the newest N.")
        ] = None,
        follow: Annotated[
            bool, typer.Option("--follow", "-f", help="Go on, and print what is new; Ctrl-C leaves.")
        ] = False,
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """What was stuck, what was done about it, and whether it worked; and what operators switched, with who and why.

        Times are this machine's; `--json` has UTC.

        Example: `openclaw-watchdog history --since 24h`
        """
        if follow and as_json:
            raise typer.BadParameter("--follow has no end, and a document has one", param_hint="--json")
        setting = read_setting(config)
        place = ledger_place(setting.loaded, setting.env)
        now = SystemClock().now().wall
        begin = _instant(since, now)
        found = _Found()
        if not place.exists:
            if gateway is not None:
                chosen_sections(setting, gateway)
            say(f"There is no ledger {place.path} yet: no watchdog has run with this configuration.", err=True)
        else:
            found = _read(place, begin, session, gateway)
            if not found.incidents and (session is not None or gateway is not None):
                _refuse_unknown(setting, place, gateway, session)
        if as_json:
            found = found.newest(limit)
            lines = [
                {"at": _iso(one.at), "who": one.who, "what": one.what, "detail": one.detail} for one in found.trail
            ]
            print_json({"incidents": [_facts(one, found.acks) for one in found.incidents], "operator": lines})
        elif follow:
            with contextlib.suppress(KeyboardInterrupt):
                _follow(place, found, limit or _FOLLOWED, session, gateway)
        elif place.exists:
            shown = found.newest(limit)
            _print(shown, now)
            if shown.incidents:
                begin = begin or min(one.opened_at for one in shown.incidents)
                screen().print(timeline(shown.incidents, begin, now))


@dataclass(frozen=True, slots=True)
class _Found:
    """What the ledger has, newest first."""

    incidents: Sequence[Incident] = ()
    trail: Sequence[AuditLine] = ()
    acks: Mapping[str, Ack] = field(default_factory=dict)
    """Those in force, by incident."""

    def newest(self, limit: int | None) -> _Found:
        """The newest of both together."""
        entries = [*((one.opened_at, one) for one in self.incidents), *((one.at, one) for one in self.trail)]
        kept = [one for _, one in sorted(entries, key=lambda entry: entry[0], reverse=True)[:limit]]
        return _Found(
            [one for one in kept if isinstance(one, Incident)],
            [one for one in kept if isinstance(one, AuditLine)],
            self.acks,
        )


def _read(place: LedgerPlace, begin: datetime | None, session: str | None, gateway: str | None) -> _Found:
    with place.open_read_only() as ledger:
        incidents = ledger.history(since=begin, session=read(session) if session else None, gateway=gateway)
        if session is not None and not incidents:  # it was typed as it is, not as it is printed
            incidents = ledger.history(since=begin, session=session, gateway=gateway)
        # A line of the trail may be about everything.
        is_whole = session is None and gateway is None
        return _Found(incidents, ledger.audit_trail(since=begin) if is_whole else (), _acks(ledger))


def _acks(ledger: SqlLedger) -> dict[str, Ack]:
    """By incident, of those that are open or ended in a quarantine that is not lifted."""
    in_force = ledger.acks(SystemClock().now().wall)
    found: dict[str, Ack] = {}
    for matter in open_matters(ledger):
        name = matter.about.id if isinstance(matter.about, Incident) else matter.about.incident
        ack = matter.acknowledged(in_force)
        if name is not None and ack is not None:
            found[name] = ack
    return found


def _follow(place: LedgerPlace, found: _Found, limit: int, session: str | None, gateway: str | None) -> None:
    """Print the newest of ``found``, and then what is new, for ever."""
    console, clock, news = screen(), SystemClock(), News()
    now = clock.now().wall
    console.print(_head(now))
    newest = found.newest(limit)
    for line in News().of(newest.incidents, newest.trail, now):
        console.print(line)
    news.of(found.incidents, found.trail, now)  # what is older was not asked for
    while True:
        time.sleep(_LOOK_EVERY.total_seconds())
        # What another process wrote in the meantime has a time of a moment before it could be read.
        before, now = now, clock.now().wall
        found = _read(place, before - _LATE, session, gateway) if place.exists else _Found()
        for line in news.of(found.incidents, found.trail, now):
            console.print(line)


class News:
    """What was not printed yet; an incident comes again whenever something of it has changed."""

    def __init__(self) -> None:
        self._shown: dict[object, object] = {}

    def of(self, incidents: Iterable[Incident], trail: Iterable[AuditLine], now: datetime) -> list[Text]:
        """The lines of what is new, oldest first."""
        entries: list[tuple[datetime, list[Text]]] = []
        for incident in incidents:
            state = (incident.outcome, tuple((one.number, one.state) for one in incident.attempts))
            if self._shown.get(incident.id) != state:
                self._shown[incident.id] = state
                entries.append((incident.opened_at, list(_incident_lines(incident, now))))
        for one in trail:
            if one not in self._shown:
                self._shown[one] = True
                entries.append((one.at, [_trail_line(one)]))
        return [line for _, lines in sorted(entries, key=lambda entry: entry[0]) for line in lines]


def _refuse_unknown(setting: Setting, place: LedgerPlace, gateway: str | None, session: str | None) -> None:
    """Nothing was found: of a name or a key that nobody has, that would say that all is well.

    Raises ``UnknownGateway`` and ``UnknownSession``."""
    if _read(place, None, session, gateway).incidents:
        return
    if session is not None:
        named_session(setting, gateway, session)
    else:
        chosen_sections(setting, gateway)


def _instant(text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    try:
        return now - durations.parse(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            "give a span such as 24h or 7d, or a date such as 2026-11-20", param_hint="--since"
        ) from None
    return at.astimezone()  # a time without a zone is this machine's, as those that are printed are


def _facts(incident: Incident, acks: Mapping[str, Ack]) -> dict[str, Any]:
    ack = acks.get(incident.id)
    known = {"at": _iso(ack.at), "until": _iso(ack.until), "who": ack.who, "reason": ack.reason} if ack else None
    return {
        "id": incident.id,
        "gateway": incident.gateway,
        "session": incident.session,
        "session_id": incident.session_id,
        "opened_at": _iso(incident.opened_at),
        "closed_at": _iso(incident.closed_at),
        "verdict_reason": incident.verdict_reason,
        "outcome": incident.outcome.value,
        "acknowledged": known,
        "attempts": [
            {
                "number": attempt.number,
                "step": attempt.step.value,
                "state": attempt.state.value,
                "started_at": _iso(attempt.started_at),
                "settled_at": _iso(attempt.settled_at),
                "reason": attempt.reason,
                "verified_by": attempt.verified_by,
                "run_id": attempt.run_id,
                "delivered": attempt.delivered,
                "address": _address(attempt.address),
            }
            for attempt in incident.attempts
        ],
    }


def _address(address: ReplyAddress | None) -> dict[str, str | None] | None:
    """Channel, thread and account: never whose chat it is."""
    if address is None:
        return None
    return {"channel": address.channel, "thread": chat_of(address)[1], "account": address.account_id}


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _print(found: _Found, now: datetime) -> None:
    console = screen()
    if not found.incidents:
        console.print("Nothing has been stuck.")
    else:
        console.print(_head(now))
    entries = [(one.opened_at, list(_incident_lines(one, now, found.acks.get(one.id)))) for one in found.incidents]
    entries += [(one.at, [_trail_line(one)]) for one in found.trail]
    for _, lines in sorted(entries, key=lambda entry: entry[0], reverse=True):
        for line in lines:
            console.print(line)


def _head(now: datetime) -> Text:
    zone = f"found, {now.astimezone():%Z}"
    return Text(f"{zone:<21}{'outcome':<14}session  gateway, incident, why, how long", "dim")


def timeline(incidents: Sequence[Incident], begin: datetime, now: datetime) -> Text:
    """The span as one line of cells: how many incidents were open in each, in the colour of the worst of them."""
    cell = max(now - begin, timedelta(minutes=1)) / CELLS
    line = Text(f"\n{begin.astimezone():%Y-%m-%d %H:%M} ", "dim")
    for number in range(CELLS):
        start, end = begin + number * cell, begin + (number + 1) * cell
        here = [one for one in incidents if one.opened_at <= end and (one.closed_at or now) >= start]
        if not here:
            line.append("·", "dim")
            continue
        worst = next(outcome for outcome in _STYLES if any(one.outcome is outcome for one in here))
        line.append(_HEIGHTS[min(len(here), len(_HEIGHTS)) - 1], _STYLES[worst])
    return line.append(f" now; a cell is {span_words(cell)}, its height the incidents that were open in it", "dim")


def _incident_lines(incident: Incident, now: datetime, ack: Ack | None = None) -> Iterator[Text]:
    lasted = max((incident.closed_at or now) - incident.opened_at, timedelta(0))
    about = f"{incident.gateway}, {incident.id}, {reason_words(incident.verdict_reason)}, {span_words(lasted)}"
    yield Text.assemble(
        f"{incident.opened_at.astimezone():%Y-%m-%d %H:%M:%S}  ",
        (f"{OUTCOMES[incident.outcome]:<14}", _STYLES[incident.outcome]),
        f"{shown_key(incident.session)}  ",
        (visible(about), "dim"),
    )
    if ack is not None:
        end = f" until {ack.until.astimezone():%Y-%m-%d %H:%M}" if ack.until is not None else ""
        why = f": {ack.reason}" if ack.reason else ""
        yield Text(visible(f"    acknowledged by {ack.who}{end}{why}"), "dim")
    for attempt in incident.attempts:
        at = attempt.started_at or attempt.planned_at
        mark = "└" if attempt is incident.attempts[-1] else "├"
        proof = visible(reason_words(attempt.verified_by or attempt.reason))
        yield Text(
            f"  {mark} {at.astimezone():%H:%M:%S}  {attempt.number}. {attempt.step.value:<8}{RESULTS[attempt.state]:<14}{proof}"
        )


def _trail_line(one: AuditLine) -> Text:
    words = visible(f"{one.what.replace('_', ' ')} {one.detail}")
    return Text.assemble(
        f"{one.at.astimezone():%Y-%m-%d %H:%M:%S}  ",
        (f"{'operator':<14}", "magenta"),
        words,
        (f"  by {visible(one.who)}", "dim"),
    )
