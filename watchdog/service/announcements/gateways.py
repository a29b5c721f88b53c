"""Messages about a whole gateway: away, back, restarting without end, restarted by us, and the fleet breaker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from watchdog.core.model import GatewayPhase
from watchdog.core.policy import Budget
from watchdog.core.spans import span_words
from watchdog.service.announcements.phrases import (
    command,
    commands,
    count,
    gateway_is,
    lasting,
    plain,
    sentence,
    when,
    write,
)
from watchdog.service.ledger import Message, MessageKind

_OUTAGES = {
    GatewayPhase.DOWN: "has not been reachable",
    GatewayPhase.UNRESPONSIVE: "has not answered",
    GatewayPhase.STARTING: "has been starting",
    GatewayPhase.DRAINING: "has been shutting down",
    GatewayPhase.SUSPENDED: "has been suspended",
    GatewayPhase.REFUSED: "has refused the watchdog",
    GatewayPhase.UNUSABLE: "has refused its list of sessions",
    GatewayPhase.UNKNOWN: "has not been looked at",
    GatewayPhase.CONNECTED: "has answered too badly to be trusted",
}
_TITLES = {
    GatewayPhase.STARTING: "is still starting",
    GatewayPhase.DRAINING: "is still shutting down",
    GatewayPhase.CONNECTED: "is sick",
}
"""Where ``gateway_is`` would not say what is wrong with that."""
_NO_RESTART = "Mend that before anybody restarts the gateway: it may not start again."
"""Measured on 2026.9.6 with another schema than its own: it answers until it is restarted, and then does not start."""


def gateway_down(
    gateway: str, phase: GatewayPhase, *, since: datetime, now: datetime, problem: str, open_incidents: int = 0
) -> Message:
    """The gateway cannot be used, in whatever way ``phase`` says; CONNECTED means connected but sick.

    Once per outage: ``since`` must stay the same from the first failure to ``gateway_up``."""
    lines = [
        f"The gateway {gateway} {_OUTAGES[phase]} {lasting(since, now)}.",
        sentence(problem),
        *([_NO_RESTART] if phase is GatewayPhase.UNUSABLE else []),
        "",
        "Until that changes its sessions are neither judged nor recovered." + _waiting(open_incidents),
        *commands([command("doctor", gateway=gateway)]),
    ]
    key = f"gateway:{gateway}:down:{since.isoformat()}"
    return write(
        MessageKind.GATEWAY_DOWN, gateway, f"Gateway {gateway} {_TITLES.get(phase) or gateway_is(phase)}", lines, key
    )


def gateway_up(
    gateway: str, *, since: datetime, now: datetime, open_incidents: int = 0, is_seen: bool = True
) -> Message:
    """The outage that began at ``since`` is over. ``is_seen``: by who has watched it since, else it may have been over for long."""
    span = f" after {span_words(now - since)}" if is_seen else ""
    left = f"{count(open_incidents, 'session')} there had been found stuck before that. How each stands now:"
    lines = [
        f"The gateway {gateway} is back{span} (away since {when(since, now)}).",
        "Its sessions are watched again; none is touched during the grace after a start.",
        "",
        *([left, *commands([command("status", gateway=gateway)])] if open_incidents else ["Nothing is left to do."]),
    ]
    key = f"gateway:{gateway}:up:{since.isoformat()}"
    return write(MessageKind.GATEWAY_UP, gateway, f"Gateway {gateway} is back", lines, key)


def gateway_keeps_restarting(
    gateway: str, *, since: datetime, now: datetime, restarts: int, open_incidents: int = 0
) -> Message:
    """Restart after restart, each too short to be told. Once per storm, which began at ``since``."""
    lines = [
        f"The gateway {gateway} has restarted {count(restarts, 'time')} in {span_words(now - since)}, since {when(since, now)}.",
        "Nothing is touched during the grace after a start, so little is recovered there while this goes on."
        + _waiting(open_incidents),
        "",
        "Often one session's work ends it each time it is resumed; the gateway's own log says more.",
        *commands([command("status", gateway=gateway), command("doctor", gateway=gateway)]),
    ]
    key = f"gateway:{gateway}:storm:{since.isoformat()}"
    return write(MessageKind.GATEWAY_DOWN, gateway, f"Gateway {gateway} keeps restarting", lines, key)


def gateway_settled(gateway: str, *, since: datetime, now: datetime, restarts: int, quiet_for: timedelta) -> Message:
    """The storm that began at ``since`` is over: no restart for ``quiet_for``."""
    row = f"{count(restarts, 'restart')} in a row that began at {when(since, now)}"
    lines = [
        f"The gateway {gateway} has not restarted for {span_words(quiet_for)} now, after {row}.",
        "",
        "Nothing is left to do about that; what is still stuck there is told for each session.",
    ]
    key = f"gateway:{gateway}:settled:{since.isoformat()}"
    return write(MessageKind.GATEWAY_UP, gateway, f"Gateway {gateway} has settled", lines, key)


def channels_stopped(gateway: str, channels: Sequence[str], *, life: str) -> Message:
    """Chat apps that the gateway does not start after several crashes, although it answers. Once per ``life`` of its process."""
    named = ", ".join(map(plain, channels))
    lines = [
        f"The gateway {gateway} answers, but does not run {named}: the gateway has crashed three times within five minutes.",
        "Nobody is heard or answered there. Nothing is done about it here; what would have to be said there is held.",
        "",
        "It may start them by itself after five minutes without a crash; its own log says what it died of.",
        *(
            f'`openclaw gateway call channels.start --params \'{{"channel":"{plain(name)}"}}\'` starts {plain(name)} at once.'
            for name in channels
        ),
        *commands([command("doctor", gateway=gateway)]),
    ]
    key = f"gateway:{gateway}:channels_stopped:{life}:{named}"
    return write(MessageKind.GATEWAY_DOWN, gateway, f"Gateway {gateway} runs no {named} after crashes", lines, key)


def _waiting(open_incidents: int) -> str:
    if not open_incidents:
        return ""
    return f" {count(open_incidents, 'stuck session')} there must wait."


def gateway_restarted(
    gateway: str, *, since: datetime, now: datetime, how: str, number: int, limit: Budget, why_not: str | None = None
) -> Message:
    """We restarted it through its supervisor (``how``: ``the systemd unit openclaw.service``), the ``number``-th time
    within the window; it worked, or did not, and ``why_not`` says so. Once per restart."""
    allowed = f"restart {number} of {limit.attempts} allowed per {span_words(limit.per)}"
    key = f"gateway:{gateway}:restart:{since.isoformat()}:{number}"
    if why_not is None:
        lines = [
            f"The gateway {gateway} had been away {lasting(since, now)}.",
            f"It was restarted through {plain(how)} ({allowed}), and it answers again.",
            "",
            "Its sessions are watched again; none is touched during the grace after a start. Why it was away, its own log says.",
        ]
        return write(MessageKind.GATEWAY_UP, gateway, f"Gateway {gateway} was restarted and is back", lines, key)
    lines = [
        f"The gateway {gateway} has been away {lasting(since, now)}.",
        f"We tried to restart it through {plain(how)} ({allowed}), and that failed.",
        sentence(why_not),
        "",
        "Its own log says why it does not come up; what can be seen from here:",
        *commands([command("doctor", gateway=gateway)]),
    ]
    return write(MessageKind.GATEWAY_DOWN, gateway, f"Restarting gateway {gateway} did not help", lines, key)


def gateway_left_alone(
    gateway: str, *, since: datetime, now: datetime, limit: Budget, why: str | None = None, matter: str | None = None
) -> Message:
    """It is still away, and nothing more will be done: all allowed restarts are used up, or ``why``.

    Once per ``matter``, a name for this outage that outlives a restart of this program; None: per ``since``."""
    if why is None:
        away = f"The gateway {gateway} has been away {lasting(since, now)}, and restarting it did not help."
        why = f"All {count(limit.attempts, 'restart')} allowed per {span_words(limit.per)} are used up, so it is left alone now."
    else:
        away = f"The gateway {gateway} has been away {lasting(since, now)}, and it is not restarted."
    way_out = (
        "Start it by hand, if it should run; it is watched again as soon as it answers. What can be seen from here:"
    )
    lines = [away, sentence(why), "", way_out, *commands([command("doctor", gateway=gateway)])]
    key = f"gateway:{gateway}:left_alone:{matter or since.isoformat()}"
    return write(MessageKind.GATEWAY_DOWN, gateway, f"Needs you: gateway {gateway}", lines, key)


def fleet_breaker_opened(gateway: str, *, at: datetime, sessions: int, running: int) -> Message:
    """Many turned stuck together without a proof of their own. Once per opening."""
    lines = [
        f"{sessions} of {running} running sessions on {gateway} turned stuck together at {when(at, at)}.",
        "None of them has a proof of its own that its run is dead, so the fault is more likely the gateway's than theirs.",
        "Sessions without such a proof are not touched until this is over.",
        "",
        "Look at the gateway first: its log, its load, its model provider.",
        *commands([command("status", gateway=gateway), command("doctor", gateway=gateway)]),
    ]
    key = f"gateway:{gateway}:fleet_opened:{at.isoformat()}"
    return write(
        MessageKind.FLEET_BREAKER, gateway, f"Held on {gateway}: {sessions} sessions turned stuck together", lines, key
    )


def fleet_breaker_closed(gateway: str, *, opened_at: datetime, now: datetime, sessions: int) -> Message:
    """The breaker opened at ``opened_at`` is closed; ``sessions`` are still stuck."""
    if sessions:
        verb = "is" if sessions == 1 else "are"
        left = f"{count(sessions, 'session')} {verb} still stuck. Each is recovered as its policy allows, a few at a time, oldest first."
    else:
        left = "No session is stuck any more. Nothing is left to do."
    lines = [f"Sessions on {gateway} may be recovered again, after {span_words(now - opened_at)} on hold.", left]
    key = f"gateway:{gateway}:fleet_closed:{opened_at.isoformat()}"
    return write(MessageKind.FLEET_BREAKER, gateway, f"Hold ended on {gateway}", lines, key)
