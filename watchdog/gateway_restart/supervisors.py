"""Restarts a gateway through what supervises it: systemd, launchd, or a command of the operator's. Nothing is killed here.

Invariants: nothing waits in the event loop's thread; every program has a time limit; the standard output of the operator's
command is never kept.

Limits: a unit that ended cleanly by itself looks like one that was stopped, and is left alone. Who ran the operator's
command, and whether the gateway was stopped on purpose before, nobody can tell us.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from watchdog.adapters.programs import PLAIN_WORDS, Ran, run_and_read, run_program
from watchdog.core.model import Moment
from watchdog.gateway_restart.decision import Supervision, Unit
from watchdog.gateway_restart.restarter import SupervisorAnswer

LOOK_WITHIN = 10.0
RESTART_WITHIN = 120.0
"""Seconds. A unit of Type=notify that takes longer to start goes on by itself; only we stop waiting."""
MOST_SAID = 160
GATEWAY_VARIABLE = "OPENCLAW_WATCHDOG_GATEWAY"

Run = Callable[[Sequence[str], Mapping[str, str], float], Awaitable[Ran]]


def said(ran: Ran) -> str:
    """How it ended, and the last line of its standard error, cut."""
    ended = "" if ran.code is None else _status(ran)
    lines = [line.strip() for line in ran.err.splitlines() if line.strip()]
    last = "".join(char if char.isprintable() else "?" for char in lines[-1]) if lines else ""
    last = last if len(last) <= MOST_SAID else last[: MOST_SAID - 1] + "…"
    return ": ".join(part for part in (ended, last.rstrip(".")) if part) or "no reason given"


def _status(ran: Ran) -> str:
    if ran.code is None:
        return "not ended in time" if ran.is_late else "could not be run"
    return f"exit status {ran.code}" if ran.code >= 0 else f"ended by signal {-ran.code}"


def _answer(ran: Ran) -> SupervisorAnswer:
    return SupervisorAnswer(None if ran.is_late else ran.code != 0, _status(ran), said(ran))


@dataclass(frozen=True, slots=True)
class SystemdUnit:
    """``systemctl [--user] restart UNIT``."""

    unit: str
    env: Mapping[str, str] = field(repr=False)
    is_users: bool = True
    run: Run = run_and_read

    @property
    def how(self) -> str:
        return f"the systemd {'user ' if self.is_users else ''}unit {self.unit}"

    async def look(self, now: Moment) -> Supervision:
        names = "LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,ExecMainStartTimestampMonotonic"
        ran = await self._systemctl("show", f"--property={names}", "--", self.unit, limit=LOOK_WITHIN)
        shown = dict(line.split("=", 1) for line in ran.out.splitlines() if "=" in line)
        if ran.code != 0 or "ActiveState" not in shown:
            return Supervision(Unit.ABSENT, f"systemctl cannot be asked about {self.unit} ({said(ran)}).")
        return self._read(shown, now)

    async def restart(self) -> SupervisorAnswer:
        return _answer(await self._systemctl("restart", "--", self.unit, limit=RESTART_WITHIN))

    def _read(self, shown: Mapping[str, str], now: Moment) -> Supervision:
        load, active, sub = shown.get("LoadState", ""), shown["ActiveState"], shown.get("SubState", "")
        words = f"{self.how} is {active}{f' ({sub})' if sub not in ('', active) else ''}."
        if load == "masked":
            return Supervision(Unit.STOPPED, f"{self.how} is masked.")
        if load != "loaded":
            return Supervision(Unit.ABSENT, f"there is no {self.how.removeprefix('the ')} ({load or 'unknown'}).")
        match active:
            case "active":
                return Supervision(Unit.RUNNING, words, _age(shown, now))
            case "inactive":
                return Supervision(Unit.STOPPED, words)
            case "failed" if _was_told_to_stop(shown):
                return Supervision(Unit.STOPPED, f"{self.how} was told to stop (SIGTERM), and is failed since.")
            case "failed":
                return Supervision(Unit.FAILED, words)
            case _:
                return Supervision(Unit.BUSY, words)

    async def _systemctl(self, *arguments: str, limit: float) -> Ran:
        to_whom = ["--user"] if self.is_users else []
        argv = ["systemctl", *to_whom, "--no-ask-password", *arguments]
        return await self.run(argv, {**self.env, **PLAIN_WORDS}, limit)


def _age(shown: Mapping[str, str], now: Moment) -> timedelta | None:
    """systemd counts on CLOCK_MONOTONIC, as our clock does on Linux."""
    started = shown.get("ExecMainStartTimestampMonotonic", "")
    if not started.isdecimal() or started == "0":
        return None
    return max(timedelta(0), timedelta(seconds=now.monotonic - int(started) / 1_000_000))


def _was_told_to_stop(shown: Mapping[str, str]) -> bool:
    """A stop that systemd calls a failure: Node exits 143 on SIGTERM, and only a clean 0 counts as stopped."""
    return (shown.get("ExecMainCode"), shown.get("ExecMainStatus")) in (("1", "143"), ("1", "130"), ("2", "15"))


@dataclass(frozen=True, slots=True)
class LaunchdService:
    """``launchctl kickstart -k gui/UID/LABEL``."""

    label: str
    env: Mapping[str, str] = field(repr=False)
    uid: int = field(default_factory=os.getuid)
    run: Run = run_and_read

    @property
    def how(self) -> str:
        return f"the launchd service {self.label}"

    @property
    def _domain(self) -> str:
        return f"gui/{self.uid}"

    async def look(self, now: Moment) -> Supervision:  # noqa: ARG002 - launchd says no instants
        disabled = await self._launchctl("print-disabled", self._domain)
        if disabled.code is None:
            return Supervision(Unit.ABSENT, f"launchctl cannot be asked ({said(disabled)}).")
        if re.search(rf'"{re.escape(self.label)}" => (disabled|true)\b', disabled.out):
            return Supervision(Unit.STOPPED, f"{self.how} is disabled.")
        printed = await self._launchctl("print", f"{self._domain}/{self.label}")
        if printed.code != 0:
            return Supervision(Unit.STOPPED, f"{self.how} is not loaded.")
        return await self._read(printed.out)

    async def restart(self) -> SupervisorAnswer:
        return _answer(await self._launchctl("kickstart", "-k", f"{self._domain}/{self.label}", limit=RESTART_WITHIN))

    async def _read(self, text: str) -> Supervision:
        shown: dict[str, str] = {}
        for line in text.splitlines():
            name, found, value = line.strip().partition(" = ")
            if found:
                shown.setdefault(name, value)
        state, pid, code = shown.get("state", "unknown"), shown.get("pid", ""), shown.get("last exit code", "")
        words = f"{self.how} is {state}."
        if state == "running":
            return Supervision(Unit.RUNNING, words, await self._process_age(pid))
        if state != "not running":
            return Supervision(Unit.BUSY, words)  # "spawn scheduled" and the like
        if code in ("0", "143") or "Terminated" in shown.get("last terminating signal", ""):
            return Supervision(Unit.STOPPED, f"{self.how} is not running, and ended because it was told to.")
        return Supervision(Unit.FAILED, f"{self.how} is not running (last exit code {code or 'unknown'}).")

    async def _process_age(self, pid: str) -> timedelta | None:
        if not pid.isdecimal():
            return None
        ran = await self.run(["ps", "-o", "etime=", "-p", pid], {**self.env, **PLAIN_WORDS}, LOOK_WITHIN)
        parts = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", ran.out.strip())
        if parts is None:
            return None
        days, hours, minutes, seconds = (int(part or 0) for part in parts.groups())
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)

    async def _launchctl(self, *arguments: str, limit: float = LOOK_WITHIN) -> Ran:
        return await self.run(["launchctl", *arguments], {**self.env, **PLAIN_WORDS}, limit)


@dataclass(frozen=True, slots=True)
class OperatorsCommand:
    """A command of the operator's, told in ``$OPENCLAW_WATCHDOG_GATEWAY`` which gateway it is for."""

    argv: tuple[str, ...]
    gateway: str
    env: Mapping[str, str] = field(repr=False)
    run: Run = run_program
    limit: float = RESTART_WITHIN

    @property
    def how(self) -> str:
        """Its first word only: arguments may hold secrets."""
        return f"the command {os.path.basename(self.argv[0])}"  # noqa: PTH119 - a word, not a file of ours

    async def look(self, now: Moment) -> Supervision:  # noqa: ARG002 - there is nobody to ask
        return Supervision(Unit.UNKNOWN, f"{self.how} cannot be asked.")

    async def restart(self) -> SupervisorAnswer:
        return _answer(await self.run(self.argv, {**self.env, GATEWAY_VARIABLE: self.gateway}, self.limit))
