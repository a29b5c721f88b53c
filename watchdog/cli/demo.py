"""``demo``: the real daemon against the simulated gateway, until every stuck session is recovered.

Nothing is faked but the gateway: the daemon's own loop, its sockets, its ledger and its verification run as they do in
service, on thresholds short enough to watch.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from openclaw_simulator.locks import LockFiles
from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.scenarios import CaseResult, CaseStatus, Expected, Scenario, demo_world
from openclaw_simulator.server import SimulatedGateway
from watchdog.adapters.clock import SystemClock
from watchdog.cli.screen import screen, text_of
from watchdog.cli.shared import JsonOption, Leave, SilentLog, print_json
from watchdog.config import parse
from watchdog.core.printable import visible
from watchdog.core.session_key import agent_of
from watchdog.core.spans import span_words
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.service.events import Event
from watchdog.service.exits import Exit
from watchdog.service.null_meter import NullMeter

LIMIT = timedelta(minutes=3)
"""After this long something is wrong with the watchdog or the machine."""
QUIET = 5.0
"""Seconds to go on watching after the last recovery: the untouched ones must stay untouched."""

_CONFIG = """
gateways:
  - {{name: demo, url: "{url}", token: {token}, state_dir: {state_dir}}}
poll_every: 1s
thresholds: {{stuck_after: 6s, confirm_for: 2s, long_running_after: 30m, startup_grace: 3s}}
recovery: {{verify_within: 30s, backoff: [1s, 2s, 4s]}}
policies:
  - {{name: nightly, match: {{kind: cron}}, recovery: {{ladder: [resume]}}}}
status_page: null
state_dir: {folder}
allow_short_thresholds: true
"""


def add_to(app: typer.Typer) -> None:
    @app.command()
    def demo(
        version: Annotated[
            str,
            typer.Option("--version", metavar="VERSION", help=f"Which OpenClaw to simulate: {', '.join(PROFILES)}."),
        ] = "2026.9.6",
        as_json: JsonOption = False,
    ) -> None:
        """Watch the watchdog work: a simulated gateway with stuck, healthy, waiting and user-stopped sessions.

        Exit status 0 only if every stuck session was recovered and every other one left alone.

        Example: `openclaw-watchdog demo --version 2026.3.24`
        """
        if version not in PROFILES:
            raise typer.BadParameter(f"choose one of {', '.join(PROFILES)}", param_hint="--version")
        won = asyncio.run(_demo(version, as_json=as_json))
        if not won:
            raise Leave(Exit.NOT_DONE)


class _Story(SilentLog):
    """The daemon's log, kept as the last few lines for the screen."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def event(self, name: Event, /, **fields: object) -> None:
        told = {
            Event.SESSION_STUCK: "stuck      {session}",
            Event.RECOVERY_STARTED: "{step:<10} {session}",
            Event.RECOVERY_SUCCEEDED: "recovered  {session}  ({verified_by})",
            Event.RECOVERY_HELD: "held       {session}  ({blockers})",
            Event.RECOVERY_INEFFECTIVE: "no effect  {session}",
        }
        if name is Event.RECOVERY_HELD and fields.get("blockers") == ["concurrency"]:
            return  # waiting for its turn, not worth a line here
        if name in told:
            self.lines.append(told[name].format_map({"blockers": "", "verified_by": "", **fields}))


async def _demo(version: str, *, as_json: bool) -> bool:
    clock = SystemClock()
    console = screen(stderr=True, is_picture=True)
    scenario = demo_world(clock.now().wall, PROFILES[version])
    story = _Story()
    began = clock.now()
    with tempfile.TemporaryDirectory(prefix="openclaw-watchdog-demo-") as folder:
        async with _gateway(scenario, Path(folder)) as gateway:
            daemon = _daemon(gateway, Path(folder), story)
            task = asyncio.create_task(daemon.run())
            with _screen(console, quiet=as_json) as show:
                await _until_decided(scenario, task, show, story, clock)
            daemon.stop("the demo is over")
            await task
    findings = scenario.findings()
    took = clock.now().since(began)
    if as_json:
        print_json(_document(version, scenario, findings, took))
    else:
        _conclude(screen(), version, scenario, findings, took)
    return scenario.is_won


def _gateway(scenario: Scenario, folder: Path) -> SimulatedGateway:
    state_dir = folder / "openclaw"
    for key, session in scenario.world.sessions.items():
        transcript = state_dir / "agents" / (agent_of(key) or "main") / "sessions" / f"{session.session_id}.jsonl"
        transcript.parent.mkdir(parents=True, exist_ok=True)
        transcript.touch()
    return SimulatedGateway(scenario.world, locks=LockFiles(state_dir, gateway_pid=os.getpid()))


def _daemon(gateway: SimulatedGateway, folder: Path, story: _Story) -> Daemon:
    text = _CONFIG.format(
        url=gateway.url, token=gateway.access.token, state_dir=folder / "openclaw", folder=folder / "state"
    )
    env = {"HOME": str(folder)}
    loaded = parse(text, file="demo", env=env, folder=folder)
    return Daemon(Builder(loaded, env, story, NullMeter()).parts(is_observing=False), seed=1)


async def _until_decided(
    scenario: Scenario, task: asyncio.Task[int], show: Live | None, story: _Story, clock: SystemClock
) -> None:
    began = clock.now()
    won_at = None
    while clock.now().since(began) < LIMIT and not task.done() and not scenario.is_lost:
        if show is not None:
            show.update(_frame(scenario.findings(), story, span_words(clock.now().since(began))))
        if scenario.is_won:
            won_at = won_at or clock.now()
            if clock.now().since(won_at).total_seconds() >= QUIET:
                return
        await clock.sleep(0.25)


@contextlib.contextmanager
def _screen(console: Console, *, quiet: bool) -> Iterator[Live | None]:
    if quiet or not sys.stderr.isatty():
        if not quiet:
            console.print("watching a simulated gateway; about half a minute…")
        yield None
        return
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield live


_MARKS = {CaseStatus.RIGHT: ("✓", "green"), CaseStatus.PENDING: ("…", "yellow"), CaseStatus.WRONG: ("✗", "bold red")}


def _frame(findings: list[CaseResult], story: _Story, took: str) -> Table:
    stuck = [one for one in findings if one.case.expected is Expected.RECOVERED]
    done = sum(one.standing is CaseStatus.RIGHT for one in stuck)
    others = len(findings) - len(stuck)
    safe = sum(one.standing is CaseStatus.RIGHT for one in findings) - done
    table = Table(
        title=f"{took}   recovered {done} of {len(stuck)}   left alone {safe} of {others}",
        title_justify="left",
        box=None,
        show_header=False,
        padding=(0, 2, 0, 0),
    )
    for finding in _stuck_first(findings):
        table.add_row(*_row(finding))
    for line in story.lines[-6:]:
        table.add_row("", Text(visible(line), style="dim"), "")
    return table


def _stuck_first(findings: list[CaseResult]) -> list[CaseResult]:
    return sorted(findings, key=lambda one: one.case.expected is not Expected.RECOVERED)


def _row(finding: CaseResult) -> tuple[Text, Text, Text]:
    mark, style = _MARKS[finding.standing]
    wanted = "recover" if finding.case.expected is Expected.RECOVERED else "leave alone"
    return (
        Text(f"{mark} {wanted}", style=style),
        Text(visible(finding.case.label)),
        Text(visible(finding.note), style="dim"),
    )


def _conclude(console: Console, version: str, scenario: Scenario, findings: list[CaseResult], took: timedelta) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for finding in _stuck_first(findings):
        table.add_row(*_row(finding))
    console.print(table)
    stuck = sum(one.case.expected is Expected.RECOVERED for one in findings)
    if scenario.is_won:
        won = f"All {stuck} stuck sessions recovered, all {len(findings) - stuck} others left alone"
        console.print(text_of(((won, "green"), f" (simulated OpenClaw {version}, {span_words(took)}).")))
    else:
        console.print(text_of((("Not as it should be:", "bold red"), " see the lines without a check mark.")))


def _document(version: str, scenario: Scenario, findings: list[CaseResult], took: timedelta) -> dict[str, object]:
    return {
        "ok": scenario.is_won,
        "version": version,
        "seconds": round(took.total_seconds(), 1),
        "sessions": [
            {
                "key": one.case.key,
                "label": one.case.label,
                "expected": one.case.expected.value,
                "standing": one.standing.value,
                "note": one.note,
            }
            for one in findings
        ],
    }
