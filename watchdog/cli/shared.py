"""What the verbs have in common."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from watchdog.adapters.logs import LogFormat, StructuredLog, configure
from watchdog.config import LoadedConfig, load
from watchdog.service.events import Event, Log
from watchdog.service.redaction import Secrets

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="The configuration file; without it the usual places are searched."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
GatewayOption = Annotated[
    str | None, typer.Option("--gateway", "-g", metavar="NAME", help="Only this gateway of the configuration.")
]


class Leave(Exception):
    """End the verb with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def say_error(text: str) -> None:
    """One plain sentence (or one per line) for a person, on stderr."""
    for line in text.splitlines() or [text]:
        typer.echo(line if line.startswith("openclaw-watchdog:") else f"openclaw-watchdog: {line}", err=True)


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


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


def read_setting(config: Path | None) -> Setting:
    """Load the configuration; warnings go to stderr. Raises ``ConfigError``."""
    env = dict(os.environ)
    loaded = load(config, env=env)
    for warning in loaded.warnings:
        say_error(f"warning: {warning}")
    return Setting(loaded, env, Secrets())


def service_log(setting: Setting, log_format: str | None) -> StructuredLog:
    """The daemon's log on stderr, in the format asked for on the command line or in the file."""
    chosen = LogFormat(log_format) if log_format is not None else LogFormat(setting.loaded.config.log.format.value)
    return configure(
        format=chosen, level=setting.loaded.config.log.level.value, stream=sys.stderr, secrets=setting.secrets
    )


__all__ = [
    "ConfigOption",
    "GatewayOption",
    "JsonOption",
    "Leave",
    "Log",
    "Setting",
    "SilentLog",
    "print_json",
    "read_setting",
    "say_error",
    "service_log",
]
