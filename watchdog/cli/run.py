"""``run``: the daemon."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from watchdog import __version__
from watchdog.adapters.heap import give_large_blocks_back
from watchdog.cli.shared import ConfigOption, Leave, read_setting, service_log
from watchdog.config import ConfigError, Problem
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.service import descriptors
from watchdog.service.events import Event
from watchdog.status.metrics import PrometheusMeter


def add_to(app: typer.Typer) -> None:
    @app.command()
    def run(
        config: ConfigOption = None,
        observe: Annotated[bool, typer.Option("--observe", help="Judge and tell, never act.")] = False,
        log_format: Annotated[
            str | None, typer.Option("--log-format", metavar="json|console", help="How log lines look.")
        ] = None,
    ) -> None:
        """Watch the configured gateways until told to stop.

        Example: `openclaw-watchdog run --observe --log-format json | jq .`
        """
        if log_format not in (None, "json", "console", "auto"):
            raise typer.BadParameter("choose json or console", param_hint="--log-format")
        give_large_blocks_back()
        descriptors.raise_limit()
        setting = read_setting(config)
        # guard: shares: a replica that acts on nothing takes no share
        if observe and setting.loaded.config.replicas is not None:
            raise ConfigError([_observes_alone(str(setting.loaded.source))])
        log = service_log(setting, log_format)
        source = setting.loaded.source
        log.event(Event.CONFIG_LOADED, source=str(source) if source is not None else "built-in defaults")
        builder = Builder(setting.loaded, setting.env, log, PrometheusMeter(__version__), secrets=setting.secrets)
        daemon = Daemon(builder.parts(is_observing=observe))
        code = asyncio.run(daemon.run())
        if code:
            raise Leave(code)


def _observes_alone(file: str) -> Problem:
    message = "run --observe does not go with replicas: the gateways of its share would be recovered by nobody"
    return Problem(file, None, None, "replicas", message, "for all of them: recovery: {mode: observe}")
