"""``service install|uninstall|status``: the daemon under systemd or launchd, without a person who writes a unit file."""

from __future__ import annotations

import contextlib
import difflib
import getpass
import grp
import os
import pwd
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from watchdog import PROGRAM
from watchdog.adapters.programs import PLAIN_WORDS, run_and_wait
from watchdog.adapters.service_units.control import (
    LAUNCH_DAEMONS,
    SYSTEMD_SYSTEM,
    Answer,
    Launchd,
    ServiceControl,
    ServiceState,
    ServiceTrouble,
    Systemd,
    installed_text,
    systemd_user_folder,
)
from watchdog.adapters.service_units.files import SYSTEM_STATE, Service, launchd_job, logs_of, system_unit, user_unit
from watchdog.cli.shared import (
    ConfigOption,
    JsonOption,
    Leave,
    Setting,
    print_file,
    print_json,
    read_setting,
    say,
    say_error,
)
from watchdog.config import ConfigError, NotifyEvent, missing_secrets
from watchdog.core.policy import Mode, PolicyBook, Step
from watchdog.daemon.assembly import home_folder, state_folder
from watchdog.service.announcements.phrases import count
from watchdog.service.exits import Exit
from watchdog.service.watch import may_act

PLACES = (
    "OPENCLAW_CONFIG_PATH",
    "OPENCLAW_GATEWAY_PORT",
    "OPENCLAW_HOME",
    "OPENCLAW_INCLUDE_ROOTS",
    "OPENCLAW_PROFILE",
    "OPENCLAW_STATE_DIR",
    "XDG_STATE_HOME",
)
"""Variables that say where things are. A service does not see this shell's, so they go into its file."""
COMMAND_WITHIN = 150.0
"""Seconds for one command of the service manager; a stop takes up to 90."""

SystemOption = Annotated[bool, typer.Option("--system", help="For the machine (starts at boot, needs root), not you.")]
AccountOption = Annotated[
    str | None,
    typer.Option("--account", metavar="USER", help="With --system: who runs OpenClaw. Default: who called sudo."),
]


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be installed, and who is told."""

    service: Service
    text: str
    control: ServiceControl
    state_dir: Path


def add_to(app: typer.Typer) -> None:
    service_app = typer.Typer(help="Run the daemon under systemd or launchd.", no_args_is_help=True)
    app.add_typer(service_app, name="service")

    @service_app.command("install")
    def install(
        system: SystemOption = False,
        account: AccountOption = None,
        observe: Annotated[
            bool | None,
            typer.Option(
                "--observe/--act", help="Only judge and tell, or act; without: as installed, at first it acts."
            ),
        ] = None,
        only_print: Annotated[bool, typer.Option("--print", help="Only show the file.")] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Overwrite a changed file without asking.")] = False,
        config: ConfigOption = None,
    ) -> None:
        """Write the service's file, enable it and start it. Doing it again changes nothing, or shows what changes.

        Example: `openclaw-watchdog service install`
        """
        setting = read_setting(config)
        if observe is None:
            before = installed_text(control_for(Service(()), is_system=system, env=setting.env))
            observe = before is not None and observes_in(before)
            if observe:
                say_error("note: the installed service only observes, and so will this one; --act makes it act")
        plan = plan_for(setting, is_system=system, account=account, is_observing=observe)
        if only_print:
            print_file(plan.text)
            return
        _refuse_impossible(setting, plan, is_system=system)
        plan.control.check()
        before = installed_text(plan.control)
        if before is not None and before != plan.text:
            say(*difference(plan.control.path, before, plan.text).split("\n"))
            if not yes:
                typer.confirm("Replace it, and restart the daemon?", abort=True, err=True)
        for line in plan.control.install(plan.text) or ("nothing to do: installed, enabled and running",):
            say(line)
        _say_next(setting, plan, is_system=system, is_observing=observe)

    @service_app.command("uninstall")
    def uninstall(system: SystemOption = False, config: ConfigOption = None) -> None:
        """Stop the service, disable it and remove its file. The ledger and the configuration stay.

        Example: `openclaw-watchdog service uninstall`
        """
        if system and os.geteuid() != 0:
            raise ServiceTrouble("--system removes a service of the whole machine: run it with sudo")
        control = control_for(Service(()), is_system=system)
        for line in control.uninstall() or ("no service is installed",):
            say(line)
        kept = _kept_state(config, is_system=system)
        if kept is not None and kept.exists():
            say(f"kept the ledger and the device key in {kept}; remove that folder to forget everything")

    @service_app.command("status")
    def status(
        system: SystemOption = False,
        account: AccountOption = None,
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Whether the service is installed, running, and as this program would write it today.

        Exit status: 0 running, 3 stopped, 4 not installed.

        Example: `openclaw-watchdog service status --json`
        """
        setting = read_setting(config)
        before = installed_text(control_for(Service(()), is_system=system, env=setting.env))
        observes = before is not None and observes_in(before)
        plan = plan_for(setting, is_system=system, account=account, is_observing=observes)
        gone = ServiceState(is_installed=False, is_enabled=False, state="not installed")
        state = plan.control.state() if before is not None else gone
        drift = difference(plan.control.path, before, plan.text) if before not in (None, plan.text) else None
        if as_json:
            facts = asdict(state)
            facts["installed"], facts["enabled"] = facts.pop("is_installed"), facts.pop("is_enabled")
            facts["observe"] = observes
            print_json({"path": str(plan.control.path), **facts, "drift": drift, "state_dir": str(plan.state_dir)})
        else:
            for line in _state_lines(setting, plan, state, drift, is_observing=observes):
                say(line)
        if state.pid is None:
            raise Leave(Exit.STOPPED if state.is_installed else Exit.NOT_INSTALLED)  # as the LSB has them


def _state_lines(
    setting: Setting, plan: Plan, state: ServiceState, drift: str | None, *, is_observing: bool
) -> Iterator[str]:
    if not state.is_installed:
        yield f"not installed ({plan.control.path} is not there); `{setting.typed('service', 'install')}` does it"
        return
    yield f"{state.state}, {'enabled' if state.is_enabled else 'NOT enabled'}" + _process(state.pid)
    if state.status and state.pid is not None:  # systemd keeps the last words of a dead one
        yield state.status
    if state.restarts:
        yield f"started again {count(state.restarts, 'time')}; last result: {state.last_result or 'unknown'}"
    yield f"mode:  {mode_words(setting, is_observing=is_observing)}"
    yield from (f"file:  {plan.control.path}", f"state: {plan.state_dir}", f"log:   {plan.control.logs}")
    if drift is not None:
        yield from ("The file differs from what `service install` would write now:", *drift.split("\n"))


def observes_in(text: str) -> bool:
    """Whether an installed service file starts the daemon with ``--observe``."""
    return re.search(r"^ExecStart=.* --observe$|<string>--observe</string>", text, re.MULTILINE) is not None


def only_observes(env: Mapping[str, str]) -> bool:
    """Whether a service is installed on this machine, and none that acts."""
    found: list[bool] = []
    for is_system in (False, True):
        with contextlib.suppress(ServiceTrouble, OSError):
            text = installed_text(control_for(Service(()), is_system=is_system, env=env))
            found += [observes_in(text)] if text is not None else []
    return bool(found) and all(found)


def mode_words(setting: Setting, *, is_observing: bool = False) -> str:
    """What a daemon with this configuration would do to a stuck session."""
    steps = may_act(setting.loaded.policy_book)
    if is_observing or not steps:
        why = "--observe" if is_observing else "no policy does anything"
        return f"it only observes ({why}): sessions are judged and told, nothing is done to them"
    return f"it ACTS: stuck sessions are recovered by themselves ({', '.join(sorted(steps))}){_hours(setting.loaded.policy_book)}"


def _hours(book: PolicyBook) -> str:
    """When, if that is not always."""
    acting = [
        one.recovery.deeds_between.words if one.recovery.deeds_between is not None else None
        for one in (*book.policies, book.default)
        if one.recovery.mode is Mode.RECOVER and not {Step.NOTIFY}.issuperset(one.recovery.ladder)
    ]
    if len(set(acting)) > 1:
        return ", at hours that differ by policy"
    return f", {acting[0]} only" if acting[0] is not None else ""


NOBODY_TOLD = (
    "nobody is told: `notify:` names no target; what happens is only in the log, `status`, `history` and on the page"
)
_GRAVE = (NotifyEvent.STUCK, NotifyEvent.QUARANTINED, NotifyEvent.GATEWAY_DOWN)
"""What needs somebody."""


def untold(setting: Setting) -> str | None:
    """Of what nobody is told, in one sentence; None: somebody is told of all that needs somebody."""
    targets = setting.loaded.config.notify
    if not targets:
        return NOBODY_TOLD
    unheard = [event.value for event in _GRAVE if not any(event in target.on for target in targets)]
    return f"nobody is told of {' or '.join(unheard)}: no target under `notify:` has it in `on`" if unheard else None


def plan_for(setting: Setting, *, is_system: bool, account: str | None, is_observing: bool = False) -> Plan:
    """The service this configuration, this interpreter and this environment make."""
    who = _account(is_system, account)
    source = setting.loaded.source
    command = [*program(), "run", *(["--config", str(source.absolute())] if source is not None else [])]
    command += ["--observe"] if is_observing else []
    state_dir = state_folder(setting.loaded, setting.env)
    configured = setting.loaded.config.state_dir
    if is_system and configured is None and _is_linux():
        state_dir = SYSTEM_STATE
    service = Service(
        command,
        poll_every=setting.loaded.config.poll_every,
        environment={name: setting.env[name] for name in PLACES if setting.env.get(name)},
        account=None if who == "root" else who,
        writes_to=state_dir if is_system and not state_dir.is_relative_to(SYSTEM_STATE) else None,
        home=Path("/") if is_system else home_folder(setting.env),
        logs=Path("/Library/Logs/openclaw-watchdog") if is_system else None,
    )
    write = launchd_job if not _is_linux() else system_unit if is_system else user_unit
    try:
        text = write(service)
    except ValueError as problem:
        raise ServiceTrouble(str(problem)) from None
    return Plan(service, text, control_for(service, is_system=is_system, env=setting.env), state_dir)


def control_for(service: Service, *, is_system: bool, env: Mapping[str, str] = os.environ) -> ServiceControl:
    """The service manager of this machine."""
    home = home_folder(env)
    if _is_linux():
        return Systemd(
            SYSTEMD_SYSTEM if is_system else systemd_user_folder(env, home), is_system=is_system, run=run_command
        )
    if sys.platform == "darwin":
        folder = LAUNCH_DAEMONS if is_system else home / "Library/LaunchAgents"
        return Launchd(folder, is_system=is_system, uid=os.getuid(), log_folder=logs_of(service), run=run_command)
    raise ServiceTrouble(f"no service manager is known for {sys.platform}; start `openclaw-watchdog run` yourself")


def run_command(argv: Sequence[str]) -> Answer:
    """Run it here. Raises ``ServiceTrouble`` when there is no such program or it does not end, else ``OSError``."""
    ran = run_and_wait(argv, {**os.environ, **PLAIN_WORDS}, COMMAND_WITHIN)
    match ran.problem:
        case FileNotFoundError():
            raise ServiceTrouble(f"there is no {argv[0]} on this machine") from None
        case OSError() | ValueError() as problem:
            raise problem
    if ran.code is None:
        raise ServiceTrouble(f"`{' '.join(argv)}` did not end within {COMMAND_WITHIN:.0f} s")
    return Answer(ran.code, ran.out, ran.err)


def program() -> list[str]:
    """How this very installation is started: its console script beside the interpreter, else the module."""
    script = Path(sys.executable).parent / PROGRAM
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-m", "watchdog"]


def difference(path: Path, before: str, after: str) -> str:
    """What would change, as a unified diff."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{path} (now)", f"{path} (would be)", lineterm="", n=1
    )
    return "\n".join(lines)


def _account(is_system: bool, account: str | None) -> str | None:
    if not is_system:
        if account is not None:
            raise typer.BadParameter("only with --system: your own service runs as you", param_hint="--account")
        return None
    name = account or os.environ.get("SUDO_USER") or (getpass.getuser() if os.geteuid() != 0 else None)
    if name is None:
        raise typer.BadParameter(
            "name the account that runs OpenClaw (only it may read the gateway's files): --account USER",
            param_hint="--account",
        )
    try:
        pwd.getpwnam(name)
    except KeyError:
        raise ServiceTrouble(f"there is no account {name} on this machine") from None
    return name


def account_in(text: str) -> str | None:
    """The account an installed systemd unit names; None: none, or no systemd unit."""
    found = re.search(r"^User=(\S+)$", text, re.MULTILINE)
    return found[1] if found else None


def _refuse_impossible(setting: Setting, plan: Plan, *, is_system: bool) -> None:
    if not is_system:
        return
    if os.geteuid() != 0:
        raise ServiceTrouble(
            f"--system writes {plan.control.path} and needs root: run it with sudo, or leave --system out"
        )
    folder = plan.service.writes_to
    if folder is not None and not folder.is_dir():
        raise ServiceTrouble(
            f"state_dir {folder} does not exist; make it first: "
            f"`{shlex.join(['install', '-d', '-m', '0700', '-o', plan.service.account or 'root', str(folder)])}`"
        )
    source, who = setting.loaded.source, plan.service.account
    if source is not None and who is not None and not _may_read(source, who):
        folder_of_it = str(source.parent)
        raise ServiceTrouble(
            f"{who} may not read {source}; let it: `{shlex.join(['chgrp', '-R', _group_of(who), folder_of_it])} && "
            f"{shlex.join(['chmod', '-R', 'u=rwX,g=rX,o=', folder_of_it])}`"
        )


def _may_read(path: Path, account: str) -> bool:
    """Tried as that account: a file's own mode says nothing of the folders above it."""
    entry = pwd.getpwnam(account)
    groups = os.getgrouplist(account, entry.pw_gid)
    done = subprocess.run(
        ["test", "-r", str(path)], user=entry.pw_uid, group=entry.pw_gid, extra_groups=groups, check=False
    )
    return done.returncode == 0


def _group_of(account: str) -> str:
    return grp.getgrgid(pwd.getpwnam(account).pw_gid).gr_name


def _say_next(setting: Setting, plan: Plan, *, is_system: bool, is_observing: bool) -> None:
    seen = {
        **plan.service.environment,
        "HOME": str(home_folder(setting.env)),
        **_environment_file(is_system, setting.env),
    }
    for problem in missing_secrets(setting.loaded, seen):
        say_error(f"warning: {problem}")
        if _is_linux():
            say_error(f"         write NAME=value into {environment_file(is_system, setting.env)} (0600), then restart")
    if is_system and _is_linux() and setting.loaded.config.state_dir is None:
        say_error(
            f"warning: the service keeps its ledger in {SYSTEM_STATE}; put `state_dir: {SYSTEM_STATE}` into "
            "watchdog.yaml, so that `status`, `pause` and `history` find it too"
        )
    if not is_system and _is_linux() and not _lingers():
        say_error("note: it runs while you are signed in; `loginctl enable-linger` keeps it running when you are not")
    if (gap := untold(setting)) is not None:
        say_error(f"note: {gap}")
    mode = mode_words(setting, is_observing=is_observing)
    scope = ["--system"] if is_system else []
    only_watch = f"; `{setting.typed('service', 'install', *scope, '--observe')}` makes it watch only"
    say(f"mode:  {mode}{only_watch if 'ACTS' in mode else ''}")
    next_words = setting.typed("service", "status", *scope)
    say(f"state: {plan.state_dir}", f"log:   {plan.control.logs}", f"next:  {next_words}")


def environment_file(is_system: bool, env: Mapping[str, str]) -> Path:
    """What the units read as EnvironmentFile."""
    base = Path("/etc") if is_system else systemd_user_folder(env, home_folder(env)).parents[1]
    return base / "openclaw-watchdog/environment"


def _environment_file(is_system: bool, env: Mapping[str, str]) -> dict[str, str]:
    try:
        lines = environment_file(is_system, env).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.strip().split("=", 1) for line in lines if "=" in line and line.strip()[0] not in "#;")
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def _lingers() -> bool:
    return Path("/var/lib/systemd/linger", getpass.getuser()).exists()


def _kept_state(config: Path | None, *, is_system: bool) -> Path | None:
    """Where the ledger is, as far as the configuration can still be read."""
    try:
        setting = read_setting(config)
    except ConfigError:
        return None
    if is_system and setting.loaded.config.state_dir is None:
        return SYSTEM_STATE
    return state_folder(setting.loaded, setting.env)


def _process(pid: int | None) -> str:
    return f", pid {pid}" if pid is not None else ""


def _is_linux() -> bool:
    return sys.platform == "linux"
