"""``check`` and ``explain``: look, say, touch nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import typer
import typer.core

from watchdog.cli import completion
from watchdog.cli.descriptions import VERDICT_STYLES, session_facts
from watchdog.cli.explain import Explained, explanation_facts, explanation_lines
from watchdog.cli.screen import Line, padded, screen, text_of, widest
from watchdog.cli.service import only_observes
from watchdog.cli.shared import (
    ConfigOption,
    GatewayOption,
    JsonOption,
    Leave,
    Setting,
    SilentLog,
    UnknownForNow,
    UnknownGateway,
    UnknownSession,
    print_json,
    read_setting,
    say,
    say_error,
    say_problem,
    which,
)
from watchdog.config import ConfigError
from watchdog.core.policy import Step
from watchdog.core.printable import meant, read, shown_key, shown_name, visible
from watchdog.core.spans import span_words
from watchdog.core.verdict import Verdict
from watchdog.daemon.assembly import Builder, Identity, ledger_place, make_state_folder, state_folder
from watchdog.gateway.client import GatewayClient
from watchdog.ledger.ledger import SqliteLedger, SqlLedger
from watchdog.service import errors
from watchdog.service.announcements.phrases import count
from watchdog.service.errors import WatchdogError
from watchdog.service.events import Event, Log
from watchdog.service.exits import Exit
from watchdog.service.null_meter import NullMeter
from watchdog.service.observer import Judged
from watchdog.service.one_shot import Inspection, inspect
from watchdog.service.ports import Gateway

_EXIT = {
    Verdict.HEALTHY: Exit.NOTHING_SUSPECT,
    Verdict.WAITING: Exit.NOTHING_SUSPECT,
    Verdict.LONG_RUNNING: Exit.WARNING,
    Verdict.SUSPECT: Exit.WARNING,
    Verdict.STUCK: Exit.STUCK,
    Verdict.UNKNOWN: Exit.UNKNOWN,
}
_WORST_FIRST = (Exit.STUCK, Exit.UNKNOWN, Exit.WARNING, Exit.NOTHING_SUSPECT)
_NAGIOS = dict(zip(_WORST_FIRST, ("CRITICAL", "UNKNOWN", "WARNING", "OK"), strict=True))
_WORDS = dict(zip(_WORST_FIRST, ("stuck", "unknown", "warning", "ok"), strict=True))
_STYLES = dict(zip(_WORST_FIRST, ("bold red", "bold magenta", "bold yellow", "bold green"), strict=True))
_LIMITS = {Verdict.STUCK: ";;0;0", Verdict.SUSPECT: ";0;;0", Verdict.LONG_RUNNING: ";0;;0"}
"""What Nagios warns of or calls critical: more than none."""
_A_MOMENT = timedelta(seconds=2)
"""At most between the two looks of ``explain``."""
_NAMED = 3
"""Stuck sessions that the first line names."""
_WIDEST_KEY = 60
"""Columns up to which keys are lined up; longer ones stick out."""


class NagiosCommand(typer.core.TyperCommand):
    """Whatever keeps it from looking is UNKNOWN (3): to Nagios, the 2 of a wrong option would be a stuck session."""

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **named: Any) -> Any:
        """Wrong use is said on the line that Nagios shows, too."""
        words = list(args)
        try:
            return super().make_context(info_name, args, *more, **named)
        except Exception as problem:
            if getattr(problem, "exit_code", None) == Exit.WRONG_USE:
                say_wrong_use(problem, words)
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (Leave, typer.Exit, typer.Abort):
            raise
        except Exception as problem:  # noqa: BLE001 - a fault of ours is no warning about a session, either
            words = list(map(str, problem.problems)) if isinstance(problem, ConfigError) else [str(problem)]
            is_known = isinstance(problem, ConfigError | WatchdogError | OSError)
            with _pipe_that_may_close():
                _say_unknown(words if is_known else [f"a fault of its own ({type(problem).__name__})"], ctx.params)
                if is_known:
                    say_problem(problem)
                else:
                    say(*"".join(traceback.format_exception(problem)).splitlines(), err=True)
            raise Leave(Exit.UNKNOWN) from None


def say_wrong_use(problem: Exception, words: Sequence[str]) -> None:
    """Make it UNKNOWN, and say so as ``words`` (of the command line) want it."""
    problem.exit_code = Exit.UNKNOWN  # type: ignore[attr-defined]
    with _pipe_that_may_close():
        _say_unknown([str(problem)], {"as_json": "--json" in words})


def _say_unknown(problems: Sequence[str], options: Mapping[str, Any]) -> None:
    if options.get("as_json"):
        print_json({**_document(()), "status": "unknown", "exit_code": Exit.UNKNOWN, "problems": problems})
    else:
        say(f"UNKNOWN - {_for_nagios(problems[0])}")


def _for_nagios(words: str) -> str:
    """What follows a ``|`` would be read as figures. A key that stands in ``words`` can still be pasted back."""
    return re.sub(r"(\\*)\|", lambda found: found[1] + "\\" * (len(found[1]) % 2) + r"\x7c", words)


@contextlib.contextmanager
def _pipe_that_may_close() -> Iterator[None]:
    """Whoever reads may have left: the exit status is said all the same, and 1 would be a warning."""
    try:
        yield
        sys.stdout.flush()
    except (OSError, SystemExit):  # rich makes a broken pipe into the other
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # what is left goes nowhere at the end


def add_to(app: typer.Typer) -> None:
    @app.command(cls=NagiosCommand)
    def check(config: ConfigOption = None, gateway: GatewayOption = None, as_json: JsonOption = False) -> None:
        """Look at every session and say its verdict; never act.

        Exit status as for Nagios: 0 ok, 1 something suspect or long, 2 stuck, 3 unknown, or it could not look. In a pipe
        the first line carries figures for graphs behind a `|`.
        Ages are the rows' own here, so that nobody waits for `stuck_after`; the daemon counts from when it first saw a run.
        It looks twice: `confirm_for` (a minute) apart where something is suspect. Nagios gives a plug-in 60 s: give it 120.

        Example: `openclaw-watchdog check --json | jq '.gateways[].sessions[] | select(.verdict=="stuck")'`
        """
        setting = read_setting(config)
        found = asyncio.run(_inspect_all(setting, gateway, quiet=as_json))
        code = _exit_code(found)
        with _pipe_that_may_close():
            if as_json:
                print_json(_document(found))
            else:
                _print(found)
        if code:
            raise Leave(code)

    @app.command()
    def explain(
        key: str = typer.Argument(
            metavar="KEY", autocompletion=completion.sessions, help="The session's key, for example agent:main:main."
        ),
        config: ConfigOption = None,
        gateway: GatewayOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Every signal, blocker and threshold for one session, and what would happen next.

        Example: `openclaw-watchdog explain agent:main:main`
        """
        setting = read_setting(config)
        with _readable_ledger(setting) as ledger:
            asyncio.run(_explain(setting, ledger, gateway, key, as_json=as_json))


class Unreached:
    """A gateway that could not be looked at, and why."""

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self.problem = problem


Found = Inspection | Unreached


class PlainLog:
    """What cannot be used here is one sentence for a person."""

    def event(self, name: Event, /, **fields: object) -> None:
        """Say the reason; ``name`` is for machines."""
        say_error(f"warning: {fields.get('reason', name)}")


def chosen_sections(setting: Setting, gateway: str | None, log: Log | None = None) -> list[Any]:
    """The configured gateways and those that ``discover`` stands for, or the one asked for, running or not.

    ``log`` takes what stood in the way of finding others; None: it is told on stderr.
    """
    builder = Builder(setting.loaded, setting.env, log or PlainLog(), NullMeter(), secrets=setting.secrets)
    every = builder.every_gateway()
    sections = every.spelled_out(setting.loaded).config.gateways
    if gateway is not None and all(section.name != gateway for section in sections):
        sections = every.spelled_out(setting.loaded, with_stopped=True).config.gateways
    chosen = [section for section in sections if gateway is None or section.name == gateway]
    unknown = UnknownForNow if every.lists.problems else UnknownGateway
    if not chosen and gateway is None:
        raise unknown("no list names a gateway now, so there is nothing to look at.")
    if not chosen:
        names = ", ".join(section.name for section in sections) or "none"
        raise unknown(f"no gateway is called {shown_key(gateway or '')}; configured: {names}.")
    return chosen


def identity_of(setting: Setting) -> Identity:
    return Identity(make_state_folder(state_folder(setting.loaded, setting.env)))


async def _inspect_all(setting: Setting, gateway: str | None, *, quiet: bool) -> list[Found]:
    builder = Builder(setting.loaded, setting.env, SilentLog(), NullMeter(), secrets=setting.secrets)
    identity = identity_of(setting)
    sections = chosen_sections(setting, gateway)
    asked_for = frozenset[Step]() if only_observes(setting.env) else None
    clients = (builder.client(section, identity, frozenset(), asked_for) for section in sections)
    return list(await asyncio.gather(*(_inspect_one(builder, client, quiet) for client in clients)))


async def _inspect_one(builder: Builder, client: GatewayClient, quiet: bool) -> Found:
    async def progress(wait: timedelta, judged: Sequence[Judged]) -> None:
        suspects = sum(item.judgement.verdict is Verdict.SUSPECT for item in judged)
        if not quiet and sys.stderr.isatty():
            say(
                f"{client.name}: {count(len(judged), 'session')}, {suspects} suspect; looking again in {span_words(wait)}…",
                err=True,
            )

    try:
        return await inspect(client, builder.loaded.policy_book, builder.clock, progress=progress)
    except errors.GatewayError as problem:
        return Unreached(client.name, str(problem))
    finally:
        await client.close()


def _exit_code(found: Sequence[Found]) -> Exit:
    codes = {Exit.UNKNOWN for item in found if isinstance(item, Unreached)}
    for item in found:
        if isinstance(item, Inspection):
            codes |= {_EXIT[judged.judgement.verdict] for judged in item.judged}
            codes |= set() if item.snapshot.is_complete else {Exit.UNKNOWN}
    return next(code for code in _WORST_FIRST if code in codes or code is Exit.NOTHING_SUSPECT)


def _document(found: Sequence[Found]) -> dict[str, Any]:
    gateways: list[dict[str, Any]] = []
    for item in found:
        if isinstance(item, Unreached):
            gateways.append({"name": item.name, "reachable": False, "problem": item.problem, "sessions": []})
            continue
        gateways.append(
            {
                "name": item.facts.name,
                "reachable": True,
                "version": item.facts.version,
                "booted_at": item.facts.booted_at.isoformat() if item.facts.booted_at is not None else None,
                "complete": item.snapshot.is_complete,
                "malformed_rows": len(item.snapshot.malformed),
                "sessions": [session_facts(judged) for judged in item.judged],
            }
        )
    return {"status": _WORDS[_exit_code(found)], "exit_code": _exit_code(found), "gateways": gateways}


def _first_line(found: Sequence[Found], *, has_figures: bool) -> Line:
    """All of it in one line, as Nagios wants it: state, words, and behind a ``|`` the figures."""
    code = _exit_code(found)
    counts = Counter(
        judged.judgement.verdict for item in found if isinstance(item, Inspection) for judged in item.judged
    )
    total = counts.total()
    told = [f"{counts[verdict]} {words}" for verdict, words in _TOLD.items() if counts[verdict]]
    stuck = [
        f"{shown_key(judged.session.key)} on {visible(item.facts.name)}"
        for item in found
        if isinstance(item, Inspection)
        for judged in item.judged
        if judged.judgement.verdict is Verdict.STUCK
    ]
    words = f"{', '.join(told)} of {_sessions(total)}" if told else f"{_sessions(total)}, none of them stuck"
    if stuck:
        words += f": {', '.join(stuck[:_NAMED])}" + (f" and {len(stuck) - _NAMED} more" if len(stuck) > _NAMED else "")
    away = [item for item in found if isinstance(item, Unreached)]
    cut = [item.facts.name for item in found if isinstance(item, Inspection) and not item.snapshot.is_complete]
    words = "; ".join(
        [
            *([words] if total or not away else []),
            *(item.problem.rstrip(".") for item in away),
            *(f"{name}: the list could not be read to its end" for name in cut),
        ]
    )
    figures = [f"sessions={total};;;0", *(f"{one.value}={counts[one]}{_LIMITS.get(one, ';;;0')}" for one in Verdict)]
    figures.append(f"unreached={len(away)};;;0;{len(found)}")
    state = (_NAGIOS[code], _STYLES[code])
    return (state, f" - {_for_nagios(words)}", *([f"|{' '.join(figures)}"] if has_figures else []))


_TOLD = {
    Verdict.STUCK: "stuck",
    Verdict.UNKNOWN: "unclear",
    Verdict.SUSPECT: "suspect",
    Verdict.LONG_RUNNING: "long-running",
}


def _print(found: Sequence[Found]) -> None:
    console = screen()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    console.print(text_of(_first_line(found, has_figures=width is None)))
    fit = _for_nagios if width is None else str
    for item in found:
        if isinstance(item, Unreached):
            say_error(fit(item.problem))
            continue
        facts = item.facts
        head: Line = ((facts.name, "bold"), f"  OpenClaw {facts.version}, {_sessions(len(item.judged))}")
        console.print(text_of(head, scrub=fit))
        keys = {judged.session.key: shown_key(judged.session.key) for judged in item.judged}
        spans = {judged.session.key: _unattended(judged) for judged in item.judged}
        columns = (widest(keys.values(), _WIDEST_KEY), widest(spans.values(), _WIDEST_KEY))
        for judged in sorted(item.judged, key=lambda one: _WORST_FIRST.index(_EXIT[one.judgement.verdict])):
            verdict, key = judged.judgement.verdict, judged.session.key
            label = (f"{verdict.value:<14}", VERDICT_STYLES[verdict])
            span, message = f"{spans[key]:<{columns[1]}}  " if columns[1] else "", judged.judgement.message
            # A pipe leads to whoever is told by Nagios.
            name = (shown_name(judged.session.name) if width is not None else "", "dim")
            line: Line = (label, padded(keys[key], columns[0]), "  ", span, message, name)
            if width is not None and text_of(line).cell_len > width:
                console.print(text_of((label, keys[key], name)))
                line = ("    ", span if spans[key] else "", message)
            console.print(text_of(line, scrub=fit))
        for row in item.snapshot.malformed:
            words = f"{facts.name}: row {row.position} of the list cannot be read ({row.reason}); it is left out."
            say_error(fit(words))
        if not item.snapshot.is_complete:
            say_error(f"{facts.name}: the list could not be read to its end; some sessions may be missing here.")


def _sessions(count: int) -> str:
    return f"{count} session{'' if count == 1 else 's'}"


def _unattended(judged: Judged) -> str:
    """For how long nothing has worked on it, where that is known."""
    span = judged.judgement.unattended_for
    return span_words(span) if span is not None else ""


async def _explain(setting: Setting, ledger: SqlLedger, gateway: str | None, key: str, *, as_json: bool) -> None:
    async with looked_at(setting, gateway, key, frozenset() if only_observes(setting.env) else None) as seen:
        if len(seen.here) > 1:
            raise UnknownSession(which(one.facts.name for _, one, _ in seen.here))
        say_error(*seen.away)  # it may be there as well
        for client, found, judged in seen.here:
            explained = Explained.of(found, judged, client, ledger, await _health(client))
            if as_json:
                print_json(explanation_facts(explained))
            else:
                console = screen()
                for line in explanation_lines(explained):
                    console.print(text_of(line, scrub=setting.secrets.scrub))
            return
    say_error(*(f"{one}; `check` lists them all." for one in seen.absent))
    raise Leave(Exit.NOT_DONE)


@dataclass(frozen=True, slots=True)
class Sightings:
    """What every gateway says of one key."""

    here: list[tuple[Gateway, Inspection, Judged]]
    absent: list[str]
    """Which have no such session, a sentence each."""
    away: list[str]
    """Which could not be looked at, and why."""


@contextlib.asynccontextmanager
async def looked_at(
    setting: Setting, gateway: str | None, key: str, configured: frozenset[Step] | None = None
) -> AsyncIterator[Sightings]:
    """Look for the session that ``key`` names, for reading alone; ``configured`` as for ``Builder.client``.

    Raises ``UnknownGateway``."""
    builder = Builder(setting.loaded, setting.env, SilentLog(), NullMeter(), secrets=setting.secrets)
    identity = identity_of(setting)
    sections = chosen_sections(setting, gateway)
    async with contextlib.AsyncExitStack() as stack:
        clients = [builder.client(section, identity, frozenset(), configured) for section in sections]
        for client in clients:
            stack.push_async_callback(client.close)
        looks = (inspect(one, builder.loaded.policy_book, builder.clock, at_most=_A_MOMENT) for one in clients)
        seen = Sightings([], [], [])
        for client, found in zip(clients, await asyncio.gather(*looks, return_exceptions=True), strict=True):
            if isinstance(found, errors.GatewayError):
                seen.away.append(str(found))
            elif isinstance(found, BaseException):
                raise found
            elif (judged := find(found, key)) is None:
                seen.absent.append(f"{found.facts.name}: no session has the key {shown_key(read(key))}")
            else:
                seen.here.append((client, found, judged))
        yield seen


def find(found: Inspection, typed: str) -> Judged | None:
    """The session that somebody typed or pasted the key of."""
    return found.find(meant(typed, {judged.session.key for judged in found.judged}))


async def _health(gateway: Gateway) -> str | None:
    try:
        return await gateway.health_problem()
    except errors.GatewayError as problem:
        return f"The gateway does not say how it is: {problem}"


def _readable_ledger(setting: Setting) -> SqlLedger:
    place = ledger_place(setting.loaded, setting.env)
    return place.open_read_only() if place.exists else SqliteLedger.in_memory()
