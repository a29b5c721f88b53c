"""What the verbs have in common."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from watchdog import PROGRAM
from watchdog.adapters.host import LocalHost
from watchdog.adapters.logs import StructuredLog, configure
from watchdog.cli import completion
from watchdog.config import ConfigError, LoadedConfig, load
from watchdog.core.printable import json_visible, visible
from watchdog.service.errors import WatchdogError
from watchdog.service.events import Event, Log, LogFormat
from watchdog.service.exits import Exit
from watchdog.service.redaction import Secrets


def named_file(name: str) -> Path:
    """The file of that name, which is not looked at here: the verb says what is wrong with it, each in its words."""
    if not name:  # "$UNSET": as a path it would be the working folder
        raise typer.BadParameter("the name of the file is empty")
    return Path(name)


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        parser=named_file,
        help="The configuration file; without it the usual places are searched.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
GatewayOption = Annotated[
    str | None,
    typer.Option(
        "--gateway",
        "-g",
        metavar="NAME",
        autocompletion=completion.gateways,
        help="Only this gateway of the configuration.",
    ),
]


class Leave(Exception):
    """End the verb with this exit status."""

    def __init__(self, code: Exit) -> None:
        super().__init__(code)
        self.code = code


class UnknownGateway(WatchdogError):
    """No gateway of the configuration has the name that was asked for; says which there are."""


class UnknownForNow(UnknownGateway):
    """The same, while a list that may name it cannot be read in full."""


class UnknownSession(WatchdogError):
    """No gateway has a session of the key that was typed, or several have one and it was not said which is meant."""


def which(gateways: Iterable[str]) -> str:
    """What is said of a key that several gateways have: agent:main:main is on every one, and none is guessed."""
    return f"{' and '.join(map(visible, gateways))} have this session; say which with --gateway"


def say(*lines: str, err: bool = False) -> None:
    """Lines for a person. Whatever does not print is escaped: each may hold what others wrote.

    Of stderr nobody need be reading: a warning unheard neither stops the daemon nor changes an exit status."""
    with contextlib.suppress(OSError) if err else contextlib.nullcontext():
        for line in lines:
            typer.echo(visible(line), err=err)


def say_error(*sentences: str) -> None:
    """Plain sentences for a person, one a line, on stderr."""
    for sentence in sentences:
        say(sentence if sentence.startswith("openclaw-watchdog:") else f"openclaw-watchdog: {sentence}", err=True)


def say_problem(problem: Exception) -> None:
    """What an exception says: a configuration's problems one a line."""
    say_error(*(map(str, problem.problems) if isinstance(problem, ConfigError) else [str(problem)]))


def print_json(document: Any) -> None:
    typer.echo(json_visible(json.dumps(document, indent=2, ensure_ascii=False, default=str)))


def print_file(text: str) -> None:
    """What belongs into a file: as it is, but for a terminal, which it must have no power over."""
    is_terminal = sys.stdout.isatty()
    typer.echo("\n".join(map(visible, text.split("\n"))) if is_terminal else text, nl=not text.endswith("\n"))


class SilentLog:
    """Verbs print what they find themselves."""

    def event(self, name: Event, /, **fields: object) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A loaded configuration and the environment it was loaded in."""

    loaded: LoadedConfig
    env: Mapping[str, str]
    secrets: Secrets

    def typed(self, *words: str) -> str:
        """A command as somebody types it: with the configuration, where it would not find this one without."""
        file = self.loaded.to_name
        return shlex.join([PROGRAM, *words, *(["--config", str(file)] if file is not None else [])])


def read_setting(config: Path | None) -> Setting:
    """Load the configuration; warnings go to stderr. Raises ``ConfigError``."""
    env = dict(os.environ)
    loaded = load(config, env=env, accounts=LocalHost())
    for warning in loaded.warnings:
        say_error(f"warning: {warning}")
    return Setting(loaded, env, Secrets())


def service_log(setting: Setting, log_format: str | None) -> StructuredLog:
    """The daemon's log on stderr, in the format asked for on the command line or in the file."""
    wanted = setting.loaded.config.log
    chosen = LogFormat(log_format) if log_format is not None else wanted.format
    return configure(format=chosen, level=wanted.level, stream=sys.stderr, secrets=setting.secrets)


__all__ = [
    "ConfigOption",
    "GatewayOption",
    "JsonOption",
    "Leave",
    "Log",
    "Setting",
    "SilentLog",
    "UnknownForNow",
    "UnknownGateway",
    "UnknownSession",
    "named_file",
    "print_file",
    "print_json",
    "read_setting",
    "say",
    "say_error",
    "say_problem",
    "service_log",
    "which",
]
