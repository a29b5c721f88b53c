"""``history``: incidents and attempts from the ledger."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console

from watchdog.adapters.clock import SystemClock
from watchdog.adapters.ledger import Ledger
from watchdog.cli.shared import ConfigOption, GatewayOption, JsonOption, print_json, read_setting
from watchdog.config import durations
from watchdog.core.spans import span_words
from watchdog.daemon.assembly import ledger_path, state_folder
from watchdog.service.ports import Incident, Outcome

_STYLES = {
    Outcome.RECOVERED: "green",
    Outcome.CLEARED: "cyan",
    Outcome.QUARANTINED: "bold red",
    Outcome.OPEN: "yellow",
}


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
        """What was stuck, what was done about it, and whether it worked.

        Example: `openclaw-watchdog history --since 24h`
        """
        setting = read_setting(config)
        path = ledger_path(state_folder(setting.loaded, setting.env))
        now = SystemClock().now().wall
        incidents: Sequence[Incident] = ()
        if path.exists():
            with Ledger.open_read_only(path) as ledger:
                incidents = ledger.history(since=_instant(since, now), session=session, gateway=gateway)
        if as_json:
            print_json({"incidents": [_facts(incident) for incident in incidents]})
        else:
            _print(incidents, now)


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
            }
            for attempt in incident.attempts
        ],
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _print(incidents: Sequence[Incident], now: datetime) -> None:
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    if not incidents:
        console.print("Nothing has been stuck.")
    for incident in incidents:
        lasted = (incident.closed_at or now) - incident.opened_at
        console.print(
            f"{incident.opened_at:%Y-%m-%d %H:%M:%SZ}  [{_STYLES[incident.outcome]}]{incident.outcome.value:<11}[/] "
            f"{incident.session}  [dim]{incident.gateway}, {incident.id}, {incident.verdict_reason}, "
            f"{span_words(max(lasted, timedelta(0)))}[/]"
        )
        for attempt in incident.attempts:
            at = attempt.started_at or attempt.planned_at
            mark = "└" if attempt is incident.attempts[-1] else "├"
            proof = attempt.verified_by or attempt.reason or ""
            console.print(
                f"  {mark} {at:%H:%M:%SZ}  {attempt.number}. {attempt.step.value:<8}{attempt.state.value:<14}{proof}"
            )
