"""``gateway_restart`` in the daemon: built from the configuration, fed after every pass, acting beside the passes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from watchdog.config import GatewayRestart, GatewaySection, LoadedConfig
from watchdog.core.blockers import outside_hours
from watchdog.core.policy import Budget, Mode
from watchdog.gateway_restart.decision import Rule
from watchdog.gateway_restart.restarter import Circumstances, Restarter
from watchdog.gateway_restart.supervisors import LaunchdService, OperatorsCommand, SystemdUnit
from watchdog.ledger.ledger import SqlLedger
from watchdog.service.events import Log
from watchdog.service.pass_report import PassReport
from watchdog.service.ports import Clock
from watchdog.service.restart_record import WINDOW
from watchdog.service.watch import Watch

SHORTEST_STALL = timedelta(minutes=3)
"""A pass over a gateway that hangs takes up to a minute, and the next try comes up to a minute later."""

ProcessStart = Callable[[GatewaySection], datetime | None]
"""When the process of this gateway started, by its own lock file on this machine; None: not known."""


def service_of(
    section: GatewayRestart, gateway: str, env: Mapping[str, str]
) -> SystemdUnit | LaunchdService | OperatorsCommand:
    """The supervisor that the operator named."""
    if section.systemd_unit is not None:
        return SystemdUnit(section.systemd_unit, env, is_users=section.user)
    if section.launchd_label is not None:
        return LaunchdService(section.launchd_label, env)
    assert section.command is not None, "the configuration was checked"
    return OperatorsCommand(section.command, gateway, env)


@dataclass(slots=True)
class Restarts:
    """At most one gateway has a rule. ``configure`` takes a configuration; without the section nothing is ever done."""

    ledger: SqlLedger
    clock: Clock
    log: Log
    env: Mapping[str, str] = field(repr=False)
    process_start: ProcessStart = lambda _gateway: None
    _gateway: GatewaySection | None = None
    _restarter: Restarter | None = None
    _acting: asyncio.Task[None] | None = None

    def configure(self, loaded: LoadedConfig) -> None:
        """Take the section as it is now. What was seen of the gateway stays; what is being done is not cut."""
        config, before, gateway_before = loaded.config, self._restarter, self._gateway
        section = config.gateway_restart
        if before is not None:
            before.is_withdrawn = True
        self._restarter = self._gateway = None
        if section is None:
            return
        own = [gateway for gateway in config.gateways if gateway.target_list is None]
        name = section.gateway or own[0].name
        self._gateway = next(gateway for gateway in own if gateway.name == name)
        service = service_of(section, name, self.env)
        self._restarter = Restarter(
            rule=Rule(name, section.after_failures, section.min_down, Budget(section.max_per_6h, WINDOW), service.how),
            service=service,
            record=self.ledger.restarts,
            ledger=self.ledger,
            clock=self.clock,
            log=self.log,
            stall_after=max(3 * config.poll_every, SHORTEST_STALL),
        )
        if before is not None and before.rule.gateway == name:
            self._restarter.take_memory(before, is_same_place=self._gateway == gateway_before)

    def note(self, watch: Watch, report: PassReport) -> None:
        """Take what a pass saw. Returns at once; what must be done is done beside the passes, one thing at a time."""
        restarter = self._restarter
        if restarter is None or restarter.rule.gateway != report.gateway:
            return
        recovery = watch.book.default.recovery
        is_observing = watch.is_observing or recovery.mode is Mode.OBSERVE
        started_at = None if report.is_good or self._gateway is None else self.process_start(self._gateway)
        hours = partial(outside_hours, recovery)
        is_wanted = restarter.note(report, Circumstances(is_observing, watch.ledger_problem, started_at, hours))
        if is_wanted and (self._acting is None or self._acting.done()):
            self._acting = asyncio.get_running_loop().create_task(restarter.act(), name="gateway restart")

    async def close(self, patience: float) -> None:
        """Let what is being done finish, up to ``patience`` seconds; the outcome is found by the next life."""
        task, self._acting = self._acting, None
        if self._restarter is not None:
            self._restarter.is_withdrawn = True
        if task is None:
            return
        await asyncio.wait({task}, timeout=patience)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
