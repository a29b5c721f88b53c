"""The typer application: its verbs, each imported when it is asked for, and leaving with the right code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, Literal

import typer
import typer.core

from watchdog import PROGRAM, __version__
from watchdog.cli.shared import Leave, UnknownGateway, UnknownSession, say_problem
from watchdog.cli.streams import prepare
from watchdog.config import ConfigError
from watchdog.service.errors import LedgerError, LedgerMisconfigured, WatchdogError
from watchdog.service.exits import Exit

MARKUP: Literal["markdown"] = "markdown"
HELP = ["-h", "--help"]

VERBS: Mapping[str, str] = {
    "run": "run",
    "check": "check",
    "explain": "check",
    "status": "status",
    "top": "status",
    "recover": "recover",
    "history": "history",
    "replay": "replay",
    "pause": "pause",
    "unpause": "pause",
    "release": "pause",
    "ack": "pause",
    "doctor": "doctor",
    "approve": "approve",
    "init": "init",
    "demo": "demo",
    "config": "config",
    "service": "service",
    "notify": "notify",
}
"""Every verb, in the order of the help, and the module beside this one whose ``add_to`` brings it."""


EPILOG = """\
**Start with** `init`, `doctor` and `run --observe`; then `service install`. `demo` shows it all without a gateway.

**Configuration:** `--config FILE`, `$OPENCLAW_WATCHDOG_CONFIG`, `./watchdog.yaml`, the user's configuration folder,
`/etc/openclaw-watchdog/watchdog.yaml`, in this order; without any, the gateway of this machine is discovered.

**Exit status:** 0 done, 1 not done, 2 wrong use, 69 it cannot work here, 78 the configuration is refused; `check` as for
Nagios, `status` and `top --once` 3 when no daemon runs.
"""


class Verbs(MutableMapping[str, Any]):
    """The commands behind the verbs. A verb's module is imported when the verb is looked up: the daemon, which lives for
    months, would otherwise carry the tables, the simulator and whatever else the other verbs need."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, verb: str) -> Any:
        if verb not in self._made:
            module = import_module(f"watchdog.cli.{VERBS[verb]}")
            typed = typer.Typer(rich_markup_mode=MARKUP)
            module.add_to(typed)
            made = typer.main.get_group(typed).commands
            for command in made.values():
                _flags_take_no_value(command)
            self._made = {**made, **self._made}
        return self._made[verb]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)

    def __setitem__(self, verb: str, command: Any) -> None:
        self._made[verb] = command

    def __delitem__(self, verb: str) -> None:
        del self._made[verb]


def _flags_take_no_value(command: Any) -> None:
    """The help says `--json`, not typer's `--json <bool>`: typed so, it is wrong use."""
    context = typer.Context(command, help_option_names=HELP)
    _leave_out_types(command.get_params(context))
    for name in command.list_commands(context) if isinstance(command, typer.core.TyperGroup) else ():
        _flags_take_no_value(command.get_command(context, name))


def _leave_out_types(params: Iterable[Any]) -> None:
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""


class Root(typer.core.TyperGroup):
    """``openclaw-watchdog`` itself."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Verbs()

    def get_params(self, ctx: Any) -> Any:
        """Its own and those that typer adds, which are made late."""
        params = super().get_params(ctx)
        _leave_out_types(params)
        return params

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **named: Any) -> Any:
        """Wrong use before ``check`` is UNKNOWN, as it is behind it."""
        words = list(args)
        try:
            return super().make_context(info_name, args, *more, **named)
        except Exception as problem:
            if (
                getattr(problem, "exit_code", None) == Exit.WRONG_USE
                and next((one for one in words if one in VERBS), "") == "check"
            ):
                import_module("watchdog.cli.check").say_wrong_use(problem, words)
            raise

    def invoke(self, ctx: Any) -> Any:
        """How typer came to a refusal is nobody's business."""
        try:
            return super().invoke(ctx)
        except Exception as problem:
            if isinstance(words := getattr(problem, "message", None), str):
                problem.message = words.removeprefix("Value error, ")  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    cls=Root,
    name=PROGRAM,
    help="Finds OpenClaw sessions that are marked running while nothing runs, recovers them once, and proves it.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
    context_settings={"help_option_names": HELP},
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


def main() -> None:
    """Entry point. Turns every known error into one sentence on stderr and the contract's exit code."""
    prepare()
    try:
        app()
    except SystemExit as left:
        if isinstance(left.__context__, BrokenPipeError):
            sys.exit(Exit.READER_LEFT)  # 128 + SIGPIPE; the frameworks' 1 would be "not done"
        raise
    except Leave as leave:
        sys.exit(leave.code)
    except (ConfigError, UnknownGateway, LedgerMisconfigured) as problem:
        say_problem(problem)
        sys.exit(Exit.CONFIG_REFUSED)
    except UnknownSession as problem:
        say_problem(problem)
        sys.exit(Exit.NOT_DONE)
    except LedgerError as problem:
        say_problem(problem)
        sys.exit(Exit.CANNOT_WORK)
    except (WatchdogError, OSError) as problem:
        say_problem(problem)
        sys.exit(Exit.CANNOT_WORK)
