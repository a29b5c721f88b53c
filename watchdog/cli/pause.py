"""``pause``, ``unpause``, ``release``, ``ack``: the operator's switches. Kept in the ledger, seen by the daemon at its next pass."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from watchdog.adapters.clock import SystemClock
from watchdog.cli import completion
from watchdog.cli.check import chosen_sections
from watchdog.cli.names import gateway_to_hold, named_session, session_to_hold
from watchdog.cli.shared import (
    ConfigOption,
    GatewayOption,
    JsonOption,
    Leave,
    Setting,
    UnknownSession,
    print_json,
    read_setting,
    say,
    say_error,
    which,
)
from watchdog.config import durations
from watchdog.core.printable import meant, shown_key, visible
from watchdog.core.spans import span_words
from watchdog.daemon.assembly import ledger_place, make_state_folder, state_folder
from watchdog.ledger.ledger import SqlLedger
from watchdog.service.announcements.phrases import count
from watchdog.service.exits import Exit
from watchdog.service.ledger import Pause, Quarantine
from watchdog.service.reminders import open_matters

_ForOption = Annotated[
    str | None, typer.Option("--for", metavar="SPAN", help="For how long, e.g. 2h; else until unpause.")
]
_WhyOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit trail that `history` shows.")
]
_SessionOption = Annotated[
    str | None,
    typer.Option("--session", "-s", metavar="KEY", autocompletion=completion.sessions, help="Only this session."),
]

_INCIDENT = re.compile(r"i\d{8}-\d+-[0-9a-f]{4}", re.ASCII)


def who() -> str:
    """Who is at the keyboard, for the audit."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def add_to(app: typer.Typer) -> None:
    @app.command()
    def pause(
        span: _ForOption = None,
        gateway: GatewayOption = None,
        session: _SessionOption = None,
        reason: Annotated[str, typer.Option("--reason", help="Why; shown wherever the pause is.")] = "",
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Hold every deed for a while: everywhere, on one gateway, or on one session. Watching and telling go on.

        Example: `openclaw-watchdog pause --for 2h --reason "upgrading the gateway"`
        """
        lasts = _span(span) if span is not None else None
        setting = read_setting(config)
        if session is not None:
            session = session_to_hold(setting, gateway, session)
        elif gateway is not None:
            gateway_to_hold(setting, gateway)
        with _ledger(setting) as ledger:
            now = SystemClock().now().wall
            entry = ledger.pause(
                at=now,
                until=now + lasts if lasts is not None else None,
                gateway=gateway,
                session=session,
                reason=reason,
                who=who(),
            )
        until = entry.until.isoformat() if entry.until is not None else None
        if as_json:
            print_json({"paused": True, "until": until, "gateway": gateway, "session": session, "reason": reason})
        else:
            limit = f"for {span_words(lasts)}" if lasts is not None else f"until `{setting.typed('unpause')}`"
            say(f"paused {_scope(gateway, session)} {limit}")

    @app.command()
    def unpause(
        gateway: GatewayOption = None,
        session: _SessionOption = None,
        reason: _WhyOption = "",
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """End pauses: all of them, or those of one gateway or session.

        Example: `openclaw-watchdog unpause`
        """
        setting = read_setting(config)
        with _ledger(setting) as ledger:
            now = SystemClock().now().wall
            paused = ledger.pauses(now)
            if session is not None:
                gateway, session = _meant(setting, gateway, session, paused)
            elif gateway is not None and all(one.gateway != gateway for one in paused):
                chosen_sections(setting, gateway)
            ended = ledger.unpause(at=now, gateway=gateway, session=session, who=who(), why=reason)
        if as_json:
            print_json({"ended": len(ended)})
        else:
            say(f"{count(len(ended), 'pause')} ended" if ended else "nothing was paused")
            left = [
                one.gateway for one in paused if one not in ended and session is not None and one.session == session
            ]
            for place in dict.fromkeys(left):
                say_error(
                    f"note: it stays paused {f'on {visible(place)}' if place is not None else 'on every gateway'}"
                )

    @app.command()
    def release(
        key: Annotated[
            str | None,
            typer.Argument(metavar="KEY", autocompletion=completion.sessions, help="The quarantined session's key."),
        ] = None,
        gateway: GatewayOption = None,
        lost_history: Annotated[
            bool,
            typer.Option("--lost-history", help="Accept that the ledger was lost: deeds go on with fresh budgets."),
        ] = False,
        reason: _WhyOption = "by hand",
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Lift a quarantine: the session may be recovered again, with a fresh budget.

        Example: `openclaw-watchdog release agent:main:main`
        """
        if key is None and not lost_history:
            raise typer.BadParameter("give a session's key, or --lost-history")
        if key is not None and lost_history:
            raise typer.BadParameter("give a session's key or --lost-history, not both")
        if lost_history and gateway is not None:
            words = "--lost-history is about the whole ledger, not one gateway: leave --gateway out"
            raise typer.BadParameter(words, param_hint="--gateway")
        now = SystemClock().now().wall
        setting = read_setting(config)
        with _ledger(setting) as ledger:
            if key is None:
                accepted = ledger.accept_lost_history(now, who())
                _report(as_json, {"accepted": accepted}, "accepted" if accepted else "no history was lost")
                return
            shut = ledger.quarantines(gateway)
            gateway, key = _meant(setting, gateway, key, shut)
            is_shut = any(one.session == key for one in shut)
            lifted = ledger.release(gateway, key, now, who=who(), why=reason) if is_shut else ()
        if not lifted and not as_json:
            say_error(f"{shown_key(key)} is not quarantined; `history` shows what was done there.")
            raise Leave(Exit.DONE)
        _report(as_json, {"released": len(lifted)}, f"released {shown_key(key)}")

    @app.command()
    def ack(
        matter: Annotated[
            str,
            typer.Argument(
                metavar="INCIDENT|KEY",
                autocompletion=completion.matters,
                help="An incident's id, or the key of a session with one or in quarantine.",
            ),
        ],
        span: Annotated[
            str | None, typer.Option("--for", metavar="SPAN", help="For how long, e.g. 24h; else until it is over.")
        ] = None,
        gateway: GatewayOption = None,
        reason: _WhyOption = "",
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """You know of it: nobody is reminded of this incident or quarantine any more. What is done about it stays as it is.

        What begins later in the same session is another matter, and told.

        Example: `openclaw-watchdog ack agent:main:main --for 24h --reason "waiting for the provider"`
        """
        lasts = _span(span, "nobody would notice") if span is not None else None
        setting = read_setting(config)
        with _ledger(setting) as ledger:
            place, key = _matter(setting, ledger, gateway, matter)
            now = SystemClock().now().wall
            until = now + lasts if lasts is not None else None
            entry = None
            if place is not None:
                entry = ledger.acknowledge(at=now, until=until, gateway=place, session=key, reason=reason, who=who())
        if entry is None and not as_json:
            say_error(f"nothing is open for {shown_key(key)}; `history` shows what was.")
            raise Leave(Exit.DONE)
        known = {"gateway": place, "session": key, "until": until.isoformat() if until is not None else None}
        limit = f"for {span_words(lasts)}" if lasts is not None else "until it is over"
        words = f"acknowledged {shown_key(key)} on {place}: no reminders {limit}"
        _report(as_json, {"acknowledged": entry is not None, **known, "reason": reason}, words)


def _matter(setting: Setting, ledger: SqlLedger, gateway: str | None, typed: str) -> tuple[str | None, str]:
    """Gateway and key of what is meant by an incident's id or a session's key. Gateway None: nothing is open there any more.
    Only the ledger is asked: a gateway that is away is no reason to be reminded.

    Raises ``UnknownGateway``, and ``UnknownSession`` where the ledger knows neither, or it is another gateway's or several's."""
    incident = ledger.incident(typed)
    if incident is not None:
        if gateway not in (None, incident.gateway):
            raise UnknownSession(f"{visible(typed)} is an incident of gateway {incident.gateway}")
        shut = [one.incident for one in ledger.quarantines(incident.gateway)]
        return (incident.gateway if incident.is_open or incident.id in shut else None), incident.session
    if _INCIDENT.fullmatch(typed):
        raise UnknownSession(f"the ledger knows no incident {typed}; `history` lists them.")
    matters = [matter.about for matter in open_matters(ledger)]
    known = [*matters, *ledger.history()]
    key = meant(typed, {one.session for one in known})
    places = {one.gateway for one in matters if one.session == key and gateway in (None, one.gateway)}
    if len(places) > 1:
        raise UnknownSession(which(sorted(places)))
    if not any(one.session == key and gateway in (None, one.gateway) for one in known):
        if gateway is not None:
            chosen_sections(setting, gateway)
        raise UnknownSession(f"no incident or quarantine of {shown_key(key)} is known; `history` lists them.")
    return next(iter(places), None), key


def _report(as_json: bool, document: dict[str, object], text: str) -> None:
    if as_json:
        print_json(document)
    else:
        say(text)


def _meant(
    setting: Setting, gateway: str | None, typed: str, kept: Sequence[Pause] | Sequence[Quarantine]
) -> tuple[str | None, str]:
    """The gateway and the key of what is ``kept`` in the ledger and meant by ``typed``, or a session that there is.

    Raises ``UnknownSession`` when several gateways have such an entry and none is for all of them, or nobody such a session."""
    key = meant(typed, {one.session for one in kept if one.session is not None})
    places = dict.fromkeys(one.gateway for one in kept if one.session == key)
    if gateway in places:
        return gateway, key
    if gateway is None and len(places) > 1:
        raise UnknownSession(which(place for place in places if place is not None))
    if gateway is None and places:
        return next(iter(places)), key
    return gateway, named_session(setting, gateway, typed)


def _ledger(setting: Setting) -> SqlLedger:
    make_state_folder(state_folder(setting.loaded, setting.env))
    return ledger_place(setting.loaded, setting.env).open()


def _span(text: str, of_none: str = "nothing would be paused") -> timedelta:
    try:
        span = durations.parse(text)
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--for") from None
    if span <= timedelta(0):
        raise typer.BadParameter(f"that is no time at all: {of_none}", param_hint="--for")
    return span


def _scope(gateway: str | None, session: str | None) -> str:
    if session is not None:
        return shown_key(session)
    return f"gateway {gateway}" if gateway is not None else "everything"
