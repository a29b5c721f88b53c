"""``doctor``: everything that can be wrong before it goes wrong at night; each line OK, WARN or FAIL with the way out."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

import watchdog
from watchdog.adapters.service_units.control import ServiceControl, ServiceTrouble, installed_text
from watchdog.adapters.service_units.files import Service
from watchdog.cli import service
from watchdog.cli.check import chosen_sections, identity_of
from watchdog.cli.notify import through_a_gateway
from watchdog.cli.screen import screen, text_of
from watchdog.cli.shared import (
    ConfigOption,
    GatewayOption,
    JsonOption,
    Leave,
    Setting,
    UnknownGateway,
    print_json,
    read_setting,
)
from watchdog.config import ConfigError, missing_secrets
from watchdog.core.model import FlagWorth, GatewayFacts, LockWorth, ProcessSigns, Snapshot
from watchdog.core.policy import Step
from watchdog.core.same_process import is_same_process
from watchdog.core.spans import span_words
from watchdog.daemon.assembly import Builder, StateFolderUnusable, ledger_place, make_state_folder
from watchdog.gateway.capabilities import ADMIN, needs_of, parse_version
from watchdog.gateway.client import GatewayClient
from watchdog.service import descriptors, errors
from watchdog.service.announcements.phrases import count
from watchdog.service.events import Event, MemoryLog
from watchdog.service.exits import Exit
from watchdog.service.gateway_trust import CLOCK_SKEW
from watchdog.service.null_meter import NullMeter
from watchdog.service.ports import Clock
from watchdog.service.watch import may_act


class Grade(StrEnum):
    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


_STYLES = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "bold red"}


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line of the doctor's report."""

    subject: str
    grade: Grade
    text: str


def add_to(app: typer.Typer) -> None:
    @app.command()
    def doctor(config: ConfigOption = None, gateway: GatewayOption = None, as_json: JsonOption = False) -> None:
        """Examine configuration, gateways, sign-in, scopes, ledger, service and this installation.

        Exit status: 0 when nothing FAILs, 1 otherwise.

        Example: `openclaw-watchdog doctor`
        """
        findings = [_package(), *_account(os.geteuid())]
        try:
            setting = read_setting(config)
        except ConfigError as problem:
            findings += [ReportLine("config", Grade.FAIL, str(one)) for one in problem.problems]
        else:
            findings += _config(setting)
            findings += _mode(setting)
            findings += _ledger(setting)
            findings += _service(setting)
            findings += asyncio.run(_gateways(setting, gateway))
        failed = any(finding.grade is Grade.FAIL for finding in findings)
        if as_json:
            print_json({"ok": not failed, "findings": [_facts(finding) for finding in findings]})
        else:
            show(findings)
        if failed:
            raise Leave(Exit.NOT_DONE)


def show(findings: Sequence[ReportLine]) -> None:
    """Print them, one a line."""
    console = screen()
    for finding in findings:
        grade = (f"{finding.grade.value:<5}", _STYLES[finding.grade])
        console.print(text_of((grade, f"{finding.subject:<12}{finding.text}")))


def _facts(finding: ReportLine) -> dict[str, str]:
    return {"subject": finding.subject, "grade": finding.grade.value, "text": finding.text}


def _package() -> ReportLine:
    place = Path(watchdog.__file__).parent
    ours = (place / "core" / "verdict.py").exists()
    if ours:
        return ReportLine(
            "package", Grade.OK, f"openclaw-watchdog {watchdog.__version__}, Python {sys.version.split()[0]}"
        )
    return ReportLine(
        "package",
        Grade.FAIL,
        f"`import watchdog` finds another package at {place}: install openclaw-watchdog in an environment of its own "
        "(`pipx install openclaw-watchdog`).",
    )


def _account(uid: int) -> Sequence[ReportLine]:
    if uid != 0:
        return ()
    words = (
        "runs as root, which only watching the gateways of several accounts needs; recommended is the gateway's own account "
        "(`service install`, or `service install --system --account USER`)"
    )
    return (ReportLine("account", Grade.WARN, words),)


def _config(setting: Setting) -> list[ReportLine]:
    source = setting.loaded.source
    where = str(source) if source is not None else "no file found: built-in defaults, gateway discovered"
    findings = [ReportLine("config", Grade.OK, where)]
    findings += [ReportLine("config", Grade.WARN, str(warning)) for warning in setting.loaded.warnings]
    findings += [
        ReportLine("config", Grade.FAIL, str(problem)) for problem in missing_secrets(setting.loaded, setting.env)
    ]
    return findings


def _mode(setting: Setting) -> list[ReportLine]:
    """What a stuck session means to it, and to whom."""
    words = service.mode_words(setting, is_observing=service.only_observes(setting.env))
    findings = [ReportLine("mode", Grade.OK, f"{words}{'; `run --observe` only watches' if 'ACTS' in words else ''}")]
    if (gap := service.untold(setting)) is not None:
        findings.append(ReportLine("notify", Grade.WARN, gap))
    findings += [ReportLine("notify", Grade.FAIL, problem) for problem in through_a_gateway(setting)]
    return findings


def _ledger(setting: Setting) -> list[ReportLine]:
    try:
        kept = ledger_place(setting.loaded, setting.env)
    except (errors.WatchdogError, ConfigError) as problem:
        return [ReportLine("ledger", Grade.FAIL, str(problem))]
    if kept.url is None and not os.path.lexists(kept.path):  # never raises
        if (why_not := _unwritable(kept.folder)) is not None:
            return [ReportLine("ledger", Grade.FAIL, why_not)]
        return [ReportLine("ledger", Grade.OK, f"{kept.path} will be made at the first run")]
    try:
        with kept.open_read_only() as ledger:
            open_count = len(ledger.open_incidents())
            loose, where = ledger.permission_problem(), ledger.where
    except errors.LedgerError as problem:
        return [ReportLine("ledger", Grade.FAIL, str(problem))]
    findings = [ReportLine("ledger", Grade.OK, f"{where}, {count(open_count, 'open incident')}")]
    if loose is not None:
        findings.append(ReportLine("ledger", Grade.WARN, loose))
    return findings


def _unwritable(folder: Path) -> str | None:
    """Why nothing can be kept in the state folder, which the device key needs, too. Tried: no permission bit says it of a full
    disk, a read-only one or ``/proc``."""
    try:
        with tempfile.TemporaryFile(dir=make_state_folder(folder)) as probe:
            probe.write(bytes(4096))
            probe.flush()
    except StateFolderUnusable as problem:
        return str(problem)
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        return f"nothing can be written in the state folder {folder} ({reason}); set state_dir to a folder this user may write"
    return None


def _service(setting: Setting) -> list[ReportLine]:
    """The daemon in the background: installed, enabled, running, and as this program would write it today."""
    findings: list[ReportLine] = []
    for is_system in (False, True):
        try:
            control = service.control_for(Service(()), is_system=is_system, env=setting.env)
            if (text := installed_text(control)) is not None:
                findings += _installed(setting, control, text, is_system=is_system)
        except (ServiceTrouble, OSError) as problem:
            findings.append(ReportLine("service", Grade.WARN, str(problem)))
    if not findings:
        text = f"not installed; `{setting.typed('service', 'install')}` keeps the daemon running in the background"
        return [ReportLine("service", Grade.OK, text)]
    return findings


def _installed(setting: Setting, control: ServiceControl, text: str, *, is_system: bool) -> list[ReportLine]:
    system = ["--system"] if is_system else []
    state = control.state()
    observes = service.observes_in(text)
    install = setting.typed("service", "install", *system, *(["--observe"] if observes else []))
    findings: list[ReportLine] = []
    if state.pid is None:
        last = f", last result: {state.last_result}" if state.last_result else ""
        words = f"installed and not running ({state.state}{last}); its log: `{control.logs}`"
        findings.append(ReportLine("service", Grade.WARN, words))
    else:
        said = (", and only observes (--observe)" if observes else "") + (f": {state.status}" if state.status else "")
        findings.append(ReportLine("service", Grade.OK, f"{control.path} runs as process {state.pid}{said}"))
    if not state.is_enabled:
        words = f"not enabled: it will not start by itself; `{install}` enables it"
        findings.append(ReportLine("service", Grade.WARN, words))
    account = (service.account_in(text) or "root") if is_system else None
    if text != service.plan_for(setting, is_system=is_system, account=account, is_observing=observes).text:
        words = (
            f"its file is not what `service install` would write now; `{setting.typed('service', 'status', *system)}` "
            f"shows the difference, `{install}` takes it over"
        )
        findings.append(ReportLine("service", Grade.WARN, words))
    return findings


async def _gateways(setting: Setting, gateway: str | None) -> list[ReportLine]:
    aside = MemoryLog()
    builder = Builder(setting.loaded, setting.env, aside, NullMeter(), secrets=setting.secrets)
    try:
        identity = identity_of(setting)
    except (errors.WatchdogError, OSError) as problem:
        return [ReportLine("identity", Grade.FAIL, str(problem))]
    findings: list[ReportLine] = []
    try:
        sections = chosen_sections(setting, gateway, aside)
    except UnknownGateway as problem:
        if gateway is not None:
            raise
        sections, findings = [], [ReportLine("discovery", Grade.FAIL, str(problem))]
    findings += limit_findings(max(len(sections), len(setting.loaded.config.gateways)), descriptors.reachable())
    seen: dict[str, tuple[ProcessSigns, set[str]]] = {}
    observes = service.only_observes(setting.env)
    for section in sections:
        steps = frozenset[Step]() if observes else may_act(setting.loaded.policy_book, section.name)
        client = builder.client(section, identity, steps, steps)
        try:
            found, facts, snapshot = await _gateway(client, section, steps, builder.clock)
            findings += [*found, *_twins(section.name, facts, snapshot, seen)]
        except errors.GatewayError as problem:
            findings.append(ReportLine(section.name, Grade.FAIL, str(problem)))
        finally:
            await client.close()
    said = dict.fromkeys(str(line["reason"]) for line in aside.of(Event.CONFIG_REFUSED))
    return [*(ReportLine("discovery", Grade.WARN, reason) for reason in said), *findings]


def limit_findings(gateways: int, limit: int) -> Sequence[ReportLine]:
    """Whether a daemon that may open ``limit`` files can watch so many gateways."""
    needed = descriptors.needed(gateways)
    if limit >= needed:
        return ()
    text = (
        f"{gateways} gateways need about {needed} file descriptors, and a process started here may have {limit}; raise its "
        "hard limit (`ulimit -Hn`, LimitNOFILE of a service)"
    )
    return (ReportLine("limits", Grade.WARN, text),)


def _twins(
    name: str, facts: GatewayFacts, snapshot: Snapshot, seen: dict[str, tuple[ProcessSigns, set[str]]]
) -> Sequence[ReportLine]:
    """Another section of those in ``seen`` leads to this gateway: the daemon watches it under one name only."""
    if facts.signs is None:
        return ()
    ids = {row.session_id for row in snapshot.sessions if row.session_id is not None}
    for other, (signs, others) in seen.items():
        if is_same_process(facts.signs, signs, share_session=bool(ids & others)):
            words = f"reaches the same gateway as {other}, and is not watched: one section for each gateway, keep one"
            return (ReportLine(name, Grade.FAIL, words),)
    seen[name] = (facts.signs, ids)
    return ()


async def _gateway(
    client: GatewayClient, section: Any, steps: frozenset[Step], clock: Clock
) -> tuple[list[ReportLine], GatewayFacts, Snapshot]:
    facts = await client.connect()
    snapshot = await client.list_sessions()
    name = section.name
    up = f", up for {span_words(clock.now().wall - facts.booted_at)}" if facts.booted_at is not None else ""
    findings = [
        ReportLine(name, Grade.OK, f"connected to OpenClaw {facts.version}{up}"),
        *([ReportLine(name, Grade.WARN, facts.untried)] if facts.untried is not None else []),
        *_channels(name, facts),
        ReportLine(
            name,
            Grade.OK if snapshot.is_complete and not snapshot.malformed else Grade.WARN,
            f"{count(len(snapshot.sessions), 'session')} listed in {snapshot.latency.total_seconds() * 1000:.0f} ms"
            + ("" if snapshot.is_complete else "; the list could not be read to its end")
            + (f"; {count(len(snapshot.malformed), 'row')} cannot be read" if snapshot.malformed else ""),
        ),
        *_whose(name, client, facts),
        *_clock(name, facts),
        *_scopes(name, client, steps, facts),
        *_signals(name, facts),
    ]
    problem = await client.health_problem()
    if problem is not None:
        findings.append(ReportLine(name, Grade.WARN, problem))
    return findings, facts, snapshot


def _channels(name: str, facts: GatewayFacts) -> Sequence[ReportLine]:
    return [
        ReportLine(
            name,
            Grade.WARN,
            f"it does not run {channel} since it crashed several times: nobody is heard or answered there; "
            f'`openclaw gateway call channels.start --params \'{{"channel":"{channel}"}}\'` starts it',
        )
        for channel in facts.stopped_channels
    ]


def _whose(name: str, client: GatewayClient, facts: GatewayFacts) -> Sequence[ReportLine]:
    """What was looked up before the secret was sent, and what this account cannot see."""
    unchecked = client.unchecked_peer
    words = (
        "its port is its own account's or root's"
        if unchecked is None
        else f"not checked which account owns its port: {unchecked}"
    )
    findings = [ReportLine(name, Grade.OK, words)]
    if facts.state_dir is not None and any(_is_closed(Path(facts.state_dir) / part) for part in (".", "agents")):
        words = (
            f"this account may not look into {facts.state_dir}: no session locks, no transcripts, no lock of the gateway; the "
            "gateway's own account may (`service install --system --account USER`)"
        )
        findings.append(ReportLine(name, Grade.WARN, words))
    return findings


def _is_closed(folder: Path) -> bool:
    try:
        return not os.access(folder, os.R_OK | os.X_OK) and stat.S_ISDIR(folder.stat().st_mode)
    except PermissionError:
        return True
    except OSError:
        return False


def _clock(name: str, facts: GatewayFacts) -> Sequence[ReportLine]:
    skew = facts.clock_skew
    if skew is None:
        return ()
    if abs(skew) > CLOCK_SKEW:
        words = "ahead of" if skew > timedelta(0) else "behind"
        return (
            ReportLine(
                name, Grade.WARN, f"the gateway's clock is {span_words(abs(skew))} {words} ours; set both by NTP"
            ),
        )
    return (ReportLine(name, Grade.OK, f"clocks agree within {abs(skew).total_seconds():.1f} s"),)


def _scopes(name: str, client: GatewayClient, steps: frozenset[Step], facts: GatewayFacts) -> list[ReportLine]:
    version = parse_version(facts.version)
    findings: list[ReportLine] = []
    if not steps:
        return [ReportLine(name, Grade.OK, "operator.read is enough: nothing is ever done here")]
    for step in sorted(steps):
        missing = client.missing_scope(step)
        needs = needs_of(step, version)
        if missing is not None:
            findings.append(ReportLine(name, Grade.FAIL, missing))
        elif needs.scope == ADMIN:
            findings.append(ReportLine(name, Grade.OK, f"{needs.scope} granted: {needs.why}"))
        else:
            findings.append(ReportLine(name, Grade.OK, f"{needs.scope} granted for `{step.value}`"))
    return findings


def _signals(name: str, facts: GatewayFacts) -> list[ReportLine]:
    worth = facts.capabilities
    if parse_version(facts.version) is None:
        return [
            ReportLine(
                name,
                Grade.WARN,
                f"the version {facts.version!r} is unknown here: sessions are reported, not touched, unless a restart or an "
                "idle gateway proves them orphaned",
            )
        ]
    flags = {
        FlagWorth.ABSENT: "has no hasActiveRun",
        FlagWorth.PROVES_LIFE_ONLY: "hasActiveRun false also means live chat-app runs",
        FlagWorth.TRUSTED: "hasActiveRun can be believed",
    }
    told = [flags[worth.active_run_flag]]
    if worth.lock is LockWorth.WHOLE_RUN:
        told.append(
            "session locks prove life and death"
            if facts.state_dir is not None
            else "session locks would prove life and death, but no state_dir of this gateway is readable here"
        )
    if worth.has_preflight:
        told.append("an idle gateway proves that nothing runs")
    told.append("a start before the last boot proves an orphan")
    blind = (
        worth.active_run_flag is not FlagWorth.TRUSTED
        and not worth.has_preflight
        and (worth.lock is LockWorth.SAYS_NOTHING or facts.state_dir is None)
    )
    if blind:
        told.append("without a restart in between, stuck sessions can only be reported, not touched")
    return [ReportLine(name, Grade.WARN if blind else Grade.OK, "signals: " + "; ".join(told))]
