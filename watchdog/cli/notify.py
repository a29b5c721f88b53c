"""``notify test``: one trial message to every configured target, past the outbox, and what each one said."""

from __future__ import annotations

import asyncio
import socket
from random import Random

import typer

from watchdog import __version__
from watchdog.adapters.clock import SystemClock
from watchdog.cli.shared import (
    ConfigOption,
    JsonOption,
    Leave,
    Setting,
    SilentLog,
    print_json,
    read_setting,
    say,
    say_error,
)
from watchdog.config import SecretError, resolve_secret
from watchdog.daemon.assembly import Builder
from watchdog.daemon.endpoints import url_of
from watchdog.ledger.ledger import SqliteLedger
from watchdog.notify.delivery import Notifier, Target, TargetEntry, targets_from, through_gateways
from watchdog.service import announcements
from watchdog.service.exits import Exit
from watchdog.service.null_meter import NullMeter


def add_to(app: typer.Typer) -> None:
    notify_app = typer.Typer(help="Try the ways of being told.", no_args_is_help=True)
    app.add_typer(notify_app, name="notify")

    @notify_app.callback()
    def _group() -> None:
        """Try the ways of being told."""

    @notify_app.command("test")
    def test(config: ConfigOption = None, as_json: JsonOption = False) -> None:
        """Send one trial message to every target under `notify:` and print each one's result.

        Exit status: 0 when every target took it, 1 when one did not or none is configured.

        Example: `openclaw-watchdog notify test`
        """
        setting = read_setting(config)
        results = asyncio.run(send_trial(setting))
        is_ok = bool(results) and all(problem is None for problem in results.values())
        if as_json:
            targets = [{"target": name, "ok": problem is None, "problem": problem} for name, problem in results.items()]
            print_json({"ok": is_ok, "targets": targets})
        else:
            for name, problem in results.items():
                say(f"{name}: {'delivered' if problem is None else f'FAILED: {problem}'}")
            if not results:
                where = setting.loaded.source or "there is no file: `openclaw-watchdog init` writes one"
                say_error(f"no target is configured under notify: ({where})")
        if not is_ok:
            raise Leave(Exit.NOT_DONE)


async def send_trial(setting: Setting) -> dict[str, str | None]:
    """Target name -> problem, None where it went out. A target whose secret is missing is named by its place."""
    targets, unread = _targets(setting)
    silent = through_gateways(targets, _gateway_urls(setting))
    results: dict[str, str | None] = {**unread, **silent}
    targets = tuple(target for target in targets if target.name not in silent)
    clock = SystemClock()
    now = clock.now().wall
    with SqliteLedger.in_memory(wall=lambda: clock.now().wall) as ledger:
        notifier = Notifier(
            ledger,
            targets,
            clock,
            Random(),
            SilentLog(),
            NullMeter(),
            secrets=setting.secrets,
            config_file=setting.loaded.to_name,
        )
        try:
            message = announcements.trial(now=now, host=socket.gethostname(), version=__version__)
            return {**results, **await notifier.send_now(message)}
        finally:
            await notifier.aclose()


def through_a_gateway(setting: Setting) -> list[str]:
    """Why targets are left out that lead to a watched gateway, one sentence for each."""
    return list(through_gateways(_targets(setting)[0], _gateway_urls(setting)).values())


def _targets(setting: Setting) -> tuple[tuple[Target, ...], dict[str, str]]:
    """Those whose secret is there; the problems of the others."""
    entries: list[TargetEntry] = []
    problems: dict[str, str] = {}
    for position, target in enumerate(setting.loaded.config.notify):
        try:
            url = resolve_secret(target, "url", setting.env)
        except SecretError as problem:
            problems[target.name or f"notify[{position}]"] = str(problem)
            continue
        if url is not None:
            entries.append(TargetEntry(url, name=target.name))
    return targets_from(entries), problems


def _gateway_urls(setting: Setting) -> list[str]:
    """Those that the configuration names, and that of the environment. No list is asked."""
    machine = Builder(setting.loaded, setting.env, SilentLog(), NullMeter(), secrets=setting.secrets).machine
    found = (url_of(section, machine) for section in setting.loaded.config.gateways)
    return [url for url in found if url is not None]
