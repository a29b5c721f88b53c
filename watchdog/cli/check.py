"""``check`` and ``explain``: look, say, touch nothing."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import typer

from watchdog.cli.descriptions import VERDICT_STYLES, session_facts
from watchdog.cli.explain import Explained, explanation_facts, explanation_lines
from watchdog.cli.screen import Line, lines_of, padded, screen, text_of, widest
from watchdog.cli.shared import (
    ConfigOption,
    GatewayOption,
    JsonOption,
    Leave,
    Setting,
    SilentLog,
    print_json,
    read_setting,
    say,
    say_error,
)
from watchdog.core.printable import meant, read, shown_key
from watchdog.core.spans import span_words
from watchdog.core.verdict import Verdict
from watchdog.daemon.assembly import Builder, Identity, ledger_path, make_state_folder, state_folder
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service import errors
from watchdog.service.events import Event, Log
from watchdog.service.null_meter import NullMeter
from watchdog.service.observer import Judged
from watchdog.service.one_shot import Inspection, inspect
from watchdog.service.ports import Gateway

_EXIT = {
    Verdict.HEALTHY: 0,
    Verdict.WAITING: 0,
    Verdict.LONG_RUNNING: 1,
    Verdict.SUSPECT: 1,
    Verdict.STUCK: 2,
    Verdict.UNKNOWN: 3,
}
_WORST_FIRST = (2, 3, 1, 0)
_WIDEST_KEY = 60
"""Columns up to which keys are lined up; longer ones stick out."""


def add_to(app: typer.Typer) -> None:
    @app.command()
    def check(config: ConfigOption = None, gateway: GatewayOption = None, as_json: JsonOption = False) -> None:
        """Look at every session and say its verdict; never act.

        Exit status as for Nagios: 0 ok, 1 something suspect or long, 2 stuck, 3 unknown.

        Example: `openclaw-watchdog check --json | jq '.gateways[].sessions[] | select(.verdict=="stuck")'`
        """
        setting = read_setting(config)
        found = asyncio.run(_inspect_all(setting, gateway, quiet=as_json))
        code = _exit_code(found)
        if as_json:
            print_json(_document(found))
        else:
            _print(found)
        if code:
            raise Leave(code)

    @app.command()
    def explain(
        key: str = typer.Argument(metavar="KEY", help="The session's key, for example agent:main:main."),
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
    """The configured gateways and those that ``discover: local`` stands for, or the one asked for, running or not.

    ``log`` takes what stood in the way of finding others; None: it is told on stderr.
    """
    builder = Builder(setting.loaded, setting.env, log or PlainLog(), NullMeter(), secrets=setting.secrets)
    local = builder.local_gateways()
    sections = local.spelled_out(setting.loaded).config.gateways
    if gateway is not None and all(section.name != gateway for section in sections):
        sections = local.spelled_out(setting.loaded, with_stopped=True).config.gateways
    chosen = [section for section in sections if gateway is None or section.name == gateway]
    if not chosen:
        names = ", ".join(section.name for section in sections)
        say_error(f"no gateway is called {shown_key(gateway or '')}; configured: {names}.")
        raise Leave(78)
    return chosen


def identity_of(setting: Setting) -> Identity:
    return Identity(make_state_folder(state_folder(setting.loaded, setting.env)))


async def _inspect_all(setting: Setting, gateway: str | None, *, quiet: bool) -> list[Found]:
    builder = Builder(setting.loaded, setting.env, SilentLog(), NullMeter(), secrets=setting.secrets)
    identity = identity_of(setting)
    sections = chosen_sections(setting, gateway)
    return list(await asyncio.gather(*(_inspect_one(builder, identity, section, quiet) for section in sections)))


async def _inspect_one(builder: Builder, identity: Identity, section: Any, quiet: bool) -> Found:
    client = builder.client(section, identity, frozenset())

    async def progress(wait: timedelta, judged: Sequence[Judged]) -> None:
        suspects = sum(item.judgement.verdict is Verdict.SUSPECT for item in judged)
        if not quiet and sys.stderr.isatty():
            say(
                f"{section.name}: {len(judged)} sessions, {suspects} suspect; looking again in {span_words(wait)}…",
                err=True,
            )

    try:
        return await inspect(client, builder.loaded.policy_book, builder.clock, progress=progress)
    except errors.GatewayError as problem:
        return Unreached(section.name, str(problem))
    finally:
        await client.close()


def _exit_code(found: Sequence[Found]) -> int:
    codes = {3 for item in found if isinstance(item, Unreached)}
    for item in found:
        if isinstance(item, Inspection):
            codes |= {_EXIT[judged.judgement.verdict] for judged in item.judged}
            codes |= set() if item.snapshot.is_complete else {3}
    return next(code for code in _WORST_FIRST if code in codes or code == 0)


def _document(found: Sequence[Found]) -> dict[str, Any]:
    words = {0: "ok", 1: "warning", 2: "stuck", 3: "unknown"}
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
    return {"status": words[_exit_code(found)], "exit_code": _exit_code(found), "gateways": gateways}


def _print(found: Sequence[Found]) -> None:
    console = screen()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for item in found:
        if isinstance(item, Unreached):
            say_error(item.problem)
            continue
        facts = item.facts
        console.print(text_of(((facts.name, "bold"), f"  OpenClaw {facts.version}, {len(item.judged)} sessions")))
        keys = {judged.session.key: shown_key(judged.session.key) for judged in item.judged}
        spans = {judged.session.key: _unattended(judged) for judged in item.judged}
        columns = (widest(keys.values(), _WIDEST_KEY), widest(spans.values(), _WIDEST_KEY))
        for judged in sorted(item.judged, key=lambda one: _WORST_FIRST.index(_EXIT[one.judgement.verdict])):
            verdict, key = judged.judgement.verdict, judged.session.key
            head: Line = ((f"{verdict.value:<14}", VERDICT_STYLES[verdict]), padded(keys[key], columns[0]))
            if columns[1]:
                head = (*head, f"  {spans[key]:<{columns[1]}}")
            for line in lines_of(head, judged.judgement.message, width):
                console.print(text_of(line))
        for row in item.snapshot.malformed:
            say_error(f"{facts.name}: row {row.position} of the list cannot be read ({row.reason}); it is left out.")
        if not item.snapshot.is_complete:
            say_error(f"{facts.name}: the list could not be read to its end; some sessions may be missing here.")


def _unattended(judged: Judged) -> str:
    """For how long nothing has worked on it, where that is known."""
    span = judged.judgement.unattended_for
    return span_words(span) if span is not None else ""


async def _explain(setting: Setting, ledger: SqliteLedger, gateway: str | None, key: str, *, as_json: bool) -> None:
    builder = Builder(setting.loaded, setting.env, SilentLog(), NullMeter(), secrets=setting.secrets)
    identity = identity_of(setting)
    problems: list[str] = []
    for section in chosen_sections(setting, gateway):
        client = builder.client(section, identity, frozenset())
        try:
            found = await inspect(client, builder.loaded.policy_book, builder.clock, at_most=timedelta(seconds=2))
            judged = find(found, key)
            if judged is None:
                problems.append(
                    f"{section.name}: no session has the key {shown_key(read(key))}; `check` lists them all."
                )
                continue
            explained = Explained.of(found, judged, client, ledger, await _health(client))
            if as_json:
                print_json(explanation_facts(explained))
            else:
                console = screen()
                for line in explanation_lines(explained):
                    console.print(text_of(line, scrub=setting.secrets.scrub))
            return
        except errors.GatewayError as problem:
            problems.append(str(problem))
        finally:
            await client.close()
    say_error(*problems)
    raise Leave(1)


def find(found: Inspection, typed: str) -> Judged | None:
    """The session that somebody typed or pasted the key of."""
    return found.find(meant(typed, {judged.session.key for judged in found.judged}))


async def _health(gateway: Gateway) -> str | None:
    try:
        return await gateway.health_problem()
    except errors.GatewayError as problem:
        return f"The gateway does not say how it is: {problem}"


def _readable_ledger(setting: Setting) -> SqliteLedger:
    path = ledger_path(state_folder(setting.loaded, setting.env))
    return SqliteLedger.open_read_only(path) if path.exists() else SqliteLedger.in_memory()
