"""The typer application and what all verbs share: finding the configuration, printing, leaving with the right code."""

from __future__ import annotations

import sys

import typer

from watchdog import __version__
from watchdog.cli import (
    checking,
    configuring,
    demonstrating,
    doctoring,
    notifying,
    observing,
    recording,
    recovering,
    running,
    serving,
    starting,
    switching,
)
from watchdog.cli.shared import Leave, say_error
from watchdog.config import ConfigError
from watchdog.service.errors import LedgerError, WatchdogError

EX_UNAVAILABLE = 69
EX_CONFIG = 78

app = typer.Typer(
    name="openclaw-watchdog",
    help="Finds OpenClaw sessions that are marked running while nothing runs, recovers them once, and proves it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"openclaw-watchdog {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Watches OpenClaw gateways."""


running.add_to(app)
checking.add_to(app)
observing.add_to(app)
recovering.add_to(app)
recording.add_to(app)
switching.add_to(app)
doctoring.add_to(app)
configuring.add_to(app)
starting.add_to(app)
serving.add_to(app)
notifying.add_to(app)
demonstrating.add_to(app)


def main() -> None:
    """Entry point. Turns every known error into one sentence on stderr and the contract's exit code."""
    try:
        app()
    except Leave as leave:
        sys.exit(leave.code)
    except ConfigError as problem:
        say_error(str(problem))
        sys.exit(EX_CONFIG)
    except LedgerError as problem:
        say_error(str(problem))
        sys.exit(EX_UNAVAILABLE)
    except (WatchdogError, OSError) as problem:
        say_error(str(problem))
        sys.exit(EX_UNAVAILABLE)
