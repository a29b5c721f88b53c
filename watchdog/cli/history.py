"""``history``: incidents and attempts from the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from watchdog.adapters.clock import SystemClock
from watchdog.cli.check import chosen_sections
from watchdog.cli.names import named_session
from watchdog.cli.screen import screen
from watchdog.cli.shared import ConfigOption, GatewayOption, JsonOption, Setting, print_json, read_setting, say
from watchdog.config import durations
from watchdog.core.model import ReplyAddress
from watchdog.core.printable import read, shown_key, visible
from watchdog.core.requester import chat_of
from watchdog.core.spans import span_words
from watchdog.daemon.assembly import ledger_path, state_folder
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.announcements.phrases import reason_words
from watchdog.service.ledger import AuditLine, Incident, Outcome

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
_HEIGHTS = "▁▂▃▄▅▆▇█"
"""One incident, two, … eight or more."""


def add_to(app: typer.Typer) -> None:
    @app.command()
    def history(
        since: Annotated[
            str | None, typer.Option("--since", metavar="SPAN|DATE", help="For example 24h, 7d, 2026-11-20.")
        ] = None,
        session: Annotated[str | None, typer.Option("--session", metavar="KEY", help="Only this session.")] = None,
        gateway: GatewayOption = None,
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """What was stuck, what was done about it, and whether it worked; and what operators switched, with who and why.

        Example: `openclaw-watchdog history --since 24h`
        """
        setting = read_setting(config)
        path = ledger_path(state_folder(setting.loaded, setting.env))
        now = SystemClock().now().wall
        incidents: Sequence[Incident] = ()
        trail: Sequence[AuditLine] = ()
        if not path.exists():
            say(f"There is no ledger {path} yet: no watchdog has run with this configuration.", err=True)
        else:
            begin = _instant(since, now)
            with SqliteLedger.open_read_only(path) as ledger:
                incidents = ledger.history(since=begin, session=read(session) if session else None, gateway=gateway)
                if session is not None and not incidents:  # it was typed as it is, not as it is printed
                    incidents = ledger.history(since=begin, session=session, gateway=gateway)
                if not incidents and (session is not None or gateway is not None):
                    _refuse_unknown(setting, ledger, gateway, session)
                if session is None and gateway is None:  # a line of the trail may be about everything
                    trail = ledger.audit_trail(since=begin)
        if as_json:
            lines = [{"at": _iso(one.at), "who": one.who, "what": one.what, "detail": one.detail} for one in trail]
            print_json({"incidents": [_facts(incident) for incident in incidents], "operator": lines})
        elif path.exists():
            _print(incidents, trail, now)
            if incidents:
                begin = _instant(since, now) or min(one.opened_at for one in incidents)
                screen().print(timeline(incidents, begin, now))


def _refuse_unknown(setting: Setting, ledger: SqliteLedger, gateway: str | None, session: str | None) -> None:
    """Nothing was found: of a name or a key that nobody has, that would say that all is well.

    Raises ``UnknownGateway`` and ``UnknownSession``."""
    key = read(session) if session is not None else None
    if ledger.history(session=key, gateway=gateway) or ledger.history(session=session, gateway=gateway):
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
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _facts(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "gateway": incident.gateway,
        "session": incident.session,
        "session_id": incident.session_id,
        "opened_at": _iso(incident.opened_at),
        "closed_at": _iso(incident.closed_at),
        "verdict_reason": incident.verdict_reason,
        "outcome": incident.outcome.value,
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


def _print(incidents: Sequence[Incident], trail: Sequence[AuditLine], now: datetime) -> None:
    console = screen()
    if not incidents:
        console.print("Nothing has been stuck.")
    entries = [(one.opened_at, list(_incident_lines(one, now))) for one in incidents]
    entries += [(one.at, [_trail_line(one)]) for one in trail]
    for _, lines in sorted(entries, key=lambda entry: entry[0], reverse=True):
        for line in lines:
            console.print(line)


def timeline(incidents: Sequence[Incident], begin: datetime, now: datetime) -> Text:
    """The span as one line of cells: how many incidents were open in each, in the colour of the worst of them."""
    cell = max(now - begin, timedelta(minutes=1)) / CELLS
    line = Text(f"\n{begin:%Y-%m-%d %H:%MZ} ", "dim")
    for number in range(CELLS):
        start, end = begin + number * cell, begin + (number + 1) * cell
        here = [one for one in incidents if one.opened_at <= end and (one.closed_at or now) >= start]
        if not here:
            line.append("·", "dim")
            continue
        worst = next(outcome for outcome in _STYLES if any(one.outcome is outcome for one in here))
        line.append(_HEIGHTS[min(len(here), len(_HEIGHTS)) - 1], _STYLES[worst])
    return line.append(f" now; a cell is {span_words(cell)}", "dim")


def _incident_lines(incident: Incident, now: datetime) -> Iterator[Text]:
    lasted = max((incident.closed_at or now) - incident.opened_at, timedelta(0))
    about = f"{incident.gateway}, {incident.id}, {reason_words(incident.verdict_reason)}, {span_words(lasted)}"
    yield Text.assemble(
        f"{incident.opened_at:%Y-%m-%d %H:%M:%SZ}  ",
        (f"{incident.outcome.value:<12}", _STYLES[incident.outcome]),
        f"{shown_key(incident.session)}  ",
        (visible(about), "dim"),
    )
    for attempt in incident.attempts:
        at = attempt.started_at or attempt.planned_at
        mark = "└" if attempt is incident.attempts[-1] else "├"
        proof = visible(reason_words(attempt.verified_by or attempt.reason))
        yield Text(
            f"  {mark} {at:%H:%M:%SZ}  {attempt.number}. {attempt.step.value:<8}{attempt.state.value:<14}{proof}"
        )


def _trail_line(one: AuditLine) -> Text:
    words = visible(f"{one.what.replace('_', ' ')} {one.detail}")
    return Text.assemble(
        f"{one.at:%Y-%m-%d %H:%M:%SZ}  ", (f"{'operator':<12}", "magenta"), words, (f"  by {visible(one.who)}", "dim")
    )
