"""A gateway and two clocks that follow a case's script, under the real client.

Only the socket is played: ``ScriptedGateway`` is the real ``GatewayClient`` (paging, decoding, look-ups, deeds, refusals)
over links that answer from the script. Time is virtual: waiting costs nothing, and whatever takes time on the wire moves
the clocks.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import msgspec

from tests.fakes.host import FakeHost
from tests.incidents import wire
from tests.incidents.cases import Case, Change, span
from tests.incidents.wire import Era, Json
from watchdog.core.model import Lock, LockSight, Moment, ReplyAddress, Session, Snapshot
from watchdog.core.policy import Step
from watchdog.gateway.client import GatewayClient
from watchdog.gateway.wire.connection import Link
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.hello import Hello
from watchdog.gateway.wire.identity import DeviceIdentity
from watchdog.gateway.wire.refusals import WireError, refusal
from watchdog.gateway.wire.timestamps import instant
from watchdog.service import errors

BEGINNING = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ORIGIN_MS = round(BEGINNING.timestamp() * 1000)
NAME = "home"
BYSTANDER = "agent:main:irc:direct:bystander-"
GATEWAY_PID = 4242

_LOCKS = {
    "none": Lock.NONE,
    "gateway": Lock.HELD_BY_GATEWAY,
    "other": Lock.HELD_BY_OTHER,
    "dead": Lock.OWNER_GONE,
    "unreadable": Lock.UNREADABLE,
}
_PIDS = {"gateway": GATEWAY_PID, "other": 47321, "dead": 94923}
_STEPS = {"sessions.reset": Step.NEW, "sessions.recover": Step.RECOVER, "sessions.abort": Step.ABORT}


@dataclass(frozen=True, slots=True)
class Sent:
    """A deed as it arrived at the gateway."""

    t: float
    name: str
    key: str
    step: Step
    method: str
    message: str

    def does(self, rung: str | None) -> bool:
        """It is what that rung of the ladder comes to: ``resume`` becomes ``ask`` where it may not be done."""
        return self.step.value == rung or (self.step is Step.ASK and rung == Step.RESUME.value)

    @property
    def asks(self) -> bool:
        """The words ask the person instead of going on with the work."""
        return self.step is Step.ASK


@dataclass(slots=True)
class Conversation:
    """One session of the script: its row and what lies behind it."""

    row: Json
    entries: list[Json] | None
    lock: str = "none"
    in_flight: bool = False
    pending: tuple[str, ...] = ()
    pending_at_ms: int = 0
    """The state of each pending input."""
    is_ours_running: bool = False


@dataclass(slots=True)
class World:
    """The script as it runs. ``t``: true seconds since the case began."""

    case: Case
    t: float = 0.0
    suspended: float = 0.0
    our_step: float = 0.0
    gateway_step: float = 0.0
    latency: float = 0.0
    phase: str = "up"
    boots: int = 0
    booted: float = 0.0
    booted_suspended: float = 0.0
    booted_step: float = 0.0
    """How far the gateway's wall clock was ahead when it started."""
    running: dict[str, int] = field(default_factory=dict)
    recovering: bool = False
    approvals: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    cron_log: list[tuple[str, str, int]] = field(default_factory=list)
    """(session, status, when) of every run that the scheduler has written down."""
    channels_stopped: str = ""
    is_degraded: bool = False
    is_truncated: bool = False
    malformed: tuple[str, ...] = ()
    bystanders: int = 0
    """Sessions beside those of the case, at rest; now and then a person writes to one and is answered at once."""
    sessions: dict[str, Conversation] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    links: list[ScriptedLink] = field(default_factory=list)
    _agenda: list[tuple[float, int, Callable[[], float]]] = field(default_factory=list)
    _order: Any = field(default_factory=count)
    _reactions: dict[str, int] = field(default_factory=dict)
    _at_prepare: list[Change] = field(default_factory=list)
    _number: Any = field(default_factory=lambda: count(1))

    @classmethod
    def of(cls, case: Case) -> World:
        ahead = span(case.clock_ahead)
        world = cls(case, booted=span(case.booted), gateway_step=ahead, booted_step=ahead)
        if case.asleep_before is not None:  # suspended before we ever looked: its uptime lacks that time
            world.booted_suspended = -span(case.asleep_before)
        for name, said in case.rows.items():
            for one in _spread(name):
                world._add(one, said)
        world._apply(case.gateway)
        for change in case.play:
            if change.when == "prepare":
                world._at_prepare.append(change)
            else:
                world.after(span(change.at or 0), world._applying(change))
        return world

    # ---------------------------------------------------------------- time

    def now(self) -> Moment:
        wall = BEGINNING + timedelta(seconds=self.t + self.our_step)
        return Moment(1000.0 + self.t - self.suspended, wall)

    @property
    def gateway_ms(self) -> int:
        return ORIGIN_MS + round((self.t + self.gateway_step) * 1000)

    @property
    def lock_created_at(self) -> datetime:
        """When the gateway wrote its own lock file, on its wall clock."""
        return BEGINNING + timedelta(seconds=self.booted + self.booted_step)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let so much of the monotonic clock pass; what is scripted in between happens."""
        left = seconds
        while self._agenda and self._agenda[0][0] <= self.t + left:
            at, _, happen = heapq.heappop(self._agenda)
            left -= max(0.0, at - self.t)
            self.t = max(self.t, at)
            left = max(0.0, left - happen())
        self.t += left

    def after(self, seconds: float, happen: Callable[[], float]) -> None:
        """``happen`` returns how much of our own waiting it took (a stopped process), usually nothing."""
        heapq.heappush(self._agenda, (self.t + seconds, next(self._order), happen))

    # ---------------------------------------------------------------- the script

    def happen(self, change: Change) -> None:
        """Something that is not in the script, now."""
        self.advance(self._apply(change))

    def _applying(self, change: Change) -> Callable[[], float]:
        return lambda: self._apply(change)

    def _apply(self, change: Change) -> float:
        for name, fields in change.rows.items():
            for one in _spread(name):
                self._change_row(one, fields)
        for name, entries in change.transcript.items():
            self.sessions[name].entries = self._entries(self.sessions[name].row, entries)
        for name, entries in change.says.items():
            self._say(name, entries)
        for name, lock in change.locks.items():
            for one in _spread(name):
                self.sessions[one].lock = lock
        for name, flag in change.in_flight.items():
            self.sessions[name].in_flight = flag
        for name, queued in change.queued_inputs.items():
            self._queue(name, ("queued",) * queued)
        for name, states in change.pending_states.items():
            self._queue(name, states)
        self.running = change.running if change.running is not None else self.running
        self.recovering = change.recovering if change.recovering is not None else self.recovering
        self.approvals = change.approvals if change.approvals is not None else self.approvals
        self.questions = change.questions if change.questions is not None else self.questions
        for name, status in change.cron_log.items():
            self.cron_log.append((name, status, self.gateway_ms))
        self.latency = span(change.latency) if change.latency is not None else self.latency
        if change.channels_stopped is not None:
            self.channels_stopped = change.channels_stopped
        self.is_degraded = _known(change.event_loop_degraded, self.is_degraded)
        self.is_truncated = _known(change.truncated, self.is_truncated)
        self.malformed = change.malformed if change.malformed is not None else self.malformed
        self.gateway_step += span(change.gateway_clock or 0)
        self.our_step += span(change.our_clock or 0)
        if change.restart is not None:
            self._restart(change.restart, span(change.away))
        if change.drops:
            self._cut(errors.GatewayClosed(f"{NAME}: the connection broke without a goodbye.", 1006))
        if change.phase is not None:
            self._enter(change.phase)
        if change.host_sleeps is not None:
            self.t += span(change.host_sleeps)
            self.suspended += span(change.host_sleeps)
        if change.we_stop is not None:
            self.t += span(change.we_stop)
            return span(change.we_stop)
        return 0.0

    def _add(self, name: str, said: Json) -> None:
        fields = dict(said)
        entries = fields.pop("transcript", None)
        lock = fields.pop("lock", "none")
        row = wire.new_row(self.case.version, name, fields, ORIGIN_MS)
        self.sessions[name] = Conversation(row, self._entries(row, entries), lock)

    def _entries(self, row: Json, said: Any) -> list[Json] | None:
        """Default: a person's request, made when the run started, and nothing after it."""
        if said == "none":
            return None
        if said is None:
            said = [{"user": "please do the long task"}]
        at_ms = row.get("startedAt") or row["updatedAt"]
        person = row.get("x-person", wire.CLIENT)
        return [wire.entry_of(entry, self.case.version, next(self._number), at_ms, ORIGIN_MS, person) for entry in said]

    def _queue(self, name: str, states: tuple[str, ...]) -> None:
        self.sessions[name].pending, self.sessions[name].pending_at_ms = states, self.gateway_ms

    def _say(self, name: str, said: Sequence[Any]) -> None:
        here = self.sessions[name]
        here.entries = here.entries or []
        person = here.row.get("x-person", wire.CLIENT)
        for entry in said:
            number = next(self._number)
            here.entries.append(wire.entry_of(entry, self.case.version, number, self.gateway_ms, ORIGIN_MS, person))

    def _change_row(self, name: str, fields: Json | None) -> None:
        if fields is None:
            del self.sessions[name]
        elif name not in self.sessions:
            self._add(name, fields)
        else:
            wire.change_row(self.sessions[name].row, fields, ORIGIN_MS, self.gateway_ms)

    def _restart(self, how: str, away: float) -> None:
        goodbye = f"{NAME}: the gateway closed the connection to restart or stop."
        self._cut(
            errors.GatewayClosed(f"{NAME}: the connection broke without a goodbye.", 1006)
            if how == "crash"
            else errors.GatewayDraining(goodbye)
        )
        self.phase = "draining" if how == "in_process" else "down"

        def back() -> float:
            self.phase = "up"
            self.boots += 1
            if how != "in_process":  # the uptime of a process goes on over restarts inside it
                self.booted, self.booted_suspended, self.booted_step = self.t, self.suspended, self.gateway_step
            return 0.0

        self.after(away, back)

    def _enter(self, phase: str) -> None:
        self.phase = phase
        if phase == "down":
            self._cut(errors.GatewayClosed(f"{NAME}: the connection broke without a goodbye.", 1006))
        elif phase in ("draining", "starting"):
            self._cut(errors.GatewayDraining(f"{NAME}: the gateway closed the connection to restart or stop."))

    def _cut(self, error: errors.GatewayError) -> None:
        for link in self.links:
            link.cut(error, self.now())
        self.links.clear()

    def prepared(self) -> None:
        """A deed has been signed in for; the last look comes next."""
        while self._at_prepare:
            self._apply(self._at_prepare.pop(0))

    # ---------------------------------------------------------------- what it answers

    def hello(self, scopes: tuple[str, ...]) -> Json:
        era = wire.era_of(self.case.version)
        server: Json = {"version": self.case.version, "connId": f"c{len(self.links)}"}
        if era >= Era.MODERN or self.case.boot_id is not None:
            server["bootId"] = f"{self.case.boot_id or 'boot'}-{self.boots}"
        suspension = {"phase": "prepared" if self.phase == "suspended" else "accepting"}
        methods = [name for name in wire.methods_of(self.case.version) if name not in self.case.methods_without]
        stopped = {"lastError": self.channels_stopped or None}
        uptime = (self.t - self.suspended) - (self.booted - self.booted_suspended)
        return {
            "type": "hello-ok",
            "protocol": 4 if era >= Era.FLAG else 3,
            "server": server,
            "features": {"methods": methods},
            "snapshot": {
                "uptimeMs": round(uptime * 1000),
                "sessionDefaults": {"defaultAgentId": "main", "mainKey": "main", "mainSessionKey": "agent:main:main"},
            }
            | ({"suspension": suspension, "health": {"channels": {"telegram": stopped}}} if era >= Era.MODERN else {}),
            "auth": {"role": "operator", "scopes": list(scopes)} if era >= Era.FLAG else None,
        }

    def answer(self, method: str, params: Json, link: ScriptedLink) -> Any:
        if self.phase == "suspended":
            details = {"reason": "gateway-suspending", "phase": "prepared", "method": method}
            raise _refused(method, "UNAVAILABLE", "gateway is suspending", True, details)
        if self.phase == "drifted" and method != "gateway.restart.preflight":
            said = "Error: Session canonical validation schema is missing or drifted: x; run openclaw doctor --fix"
            raise _refused(method, "UNAVAILABLE", said)
        looks: dict[str, Callable[[Json], Any]] = {
            "sessions.list": self._list,
            "chat.history": self._history,
            "gateway.restart.preflight": self._preflight,
            "exec.approval.list": lambda _: self._approvals(link),
            "question.list": self._questions,
            "config.get": self._config,
            "channels.status": self._channels,
            "health": self._health,
            "agent.wait": self._wait,
            "cron.runs": self._cron_runs,
        }
        if method in looks:
            return looks[method](params)
        if method == "sessions.abort" and link.is_probe:
            return self._probed(params)
        if method in ("chat.send", "agent", "sessions.send", *_STEPS):
            return self._deed(method, params)
        if method == "send" and not str(params["idempotencyKey"]).endswith("-notice"):
            return self._asked(params)
        if method == "send":
            return {"messageId": f"n{len(self.sent)}"}
        raise _refused(method, "INVALID_REQUEST", f"unknown method: {method}")

    def _list(self, params: Json) -> Json:
        era = wire.era_of(self.case.version)
        # Encoded where it is asked: rows change while the world goes on.
        known = [one.row for one in self.sessions.values()] + [self._bystander(one) for one in range(self.bystanders)]
        order = sorted(known, key=lambda row: row.get("updatedAt") or 0, reverse=True)
        rows: list[Any] = order + [msgspec.Raw(text.encode()) for text in self.malformed]
        total = len(rows) + (1 if self.is_truncated else 0)
        answer: Json = {"ts": self.gateway_ms, "path": "(multiple)"}
        if era < Era.FLAG:
            return answer | {"count": len(rows), "sessions": rows}
        offset, limit = int(params.get("offset", 0)), int(params.get("limit", 100))
        page = rows[offset : offset + limit]
        has_more = offset + len(page) < total
        answer |= {"count": len(page), "totalCount": total, "hasMore": has_more, "sessions": page}
        if era >= Era.MODERN:
            answer["nextOffset"] = offset + len(page) if has_more and page else None
        return answer

    def _bystander(self, number: int) -> Json:
        period = 97 * (number + 1)
        touched = self.gateway_ms - round(self.t % period * 1000) - 1000 * number
        return {"key": f"{BYSTANDER}{number}", "kind": "direct", "status": "done", "updatedAt": touched}

    def _history(self, params: Json) -> Json:
        name = self.name_of(params["sessionKey"])
        here = self.sessions[name] if name is not None else None
        if here is None or here.entries is None:
            raise _refused("chat.history", "INTERNAL", "the transcript cannot be read")
        return wire.history(
            self.case.version,
            params["sessionKey"],
            here.row,
            here.entries,
            limit=int(params["limit"]),
            in_flight=here.in_flight or here.is_ours_running,
            pending=here.pending,
            pending_at_ms=here.pending_at_ms,
            now_ms=self.gateway_ms,
        )

    def _preflight(self, _: Json) -> Json:
        if "gateway.restart.preflight" not in wire.methods_of(self.case.version):
            raise _refused("gateway.restart.preflight", "INVALID_REQUEST", "unknown method: gateway.restart.preflight")
        ours = sum(one.is_ours_running for one in self.sessions.values())
        counts = {"queueSize": 2 * ours, "pendingReplies": ours, "embeddedRuns": ours, "activeTasks": 0}
        if wire.era_of(self.case.version) >= Era.MODERN and not self.running:
            counts["embeddedRuns"] += sum(one.row.get("hasActiveRun") is True for one in self.sessions.values())
        for name, value in self.running.items():
            counts[name] = counts.get(name, 0) + value
        blockers: list[Json] = []
        if wire.names_recovery(self.case.version):
            counts |= {"cronRuns": 0, "backgroundExecSessions": 0, "rootRequests": int(self.recovering)}
            if self.recovering:
                request = "1 active gateway request(s): main-session:startup-recovery"
                blockers = [{"kind": "root-request", "count": 1, "message": request}]
        total = sum(counts.values())
        return {"safe": total == 0, "counts": counts | {"totalActive": total}, "blockers": blockers}

    def _cron_runs(self, params: Json) -> Json:
        """The log of one entry of the schedule: sessions of the script are named as their own jobs."""
        entries = [
            {"jobId": name, "action": "finished", "ts": at_ms, "sessionId": self.sessions[name].row["sessionId"]}
            | {"status": status, "runAtMs": at_ms - 60_000, "durationMs": 60_000}
            for name, status, at_ms in self.cron_log
            if self.sessions[name].row["key"].endswith(f":cron:{params['id']}")
        ]
        return {"entries": entries, "total": len(entries), "offset": 0, "limit": params["limit"], "hasMore": False}

    def _approvals(self, link: ScriptedLink) -> Any:
        if wire.era_of(self.case.version) >= Era.FLAG and "operator.admin" not in link.scopes:
            return []  # only an admin sees what others asked for (source of 5.18)
        return [{"id": f"a{n}", "request": {"sessionKey": key}} for n, key in enumerate(self._keys(self.approvals))]

    def _questions(self, _: Json) -> Any:
        keys = self._keys(self.questions)
        return {"questions": [{"id": f"q{n}", "sessionKey": key, "status": "pending"} for n, key in enumerate(keys)]}

    def _keys(self, names: Sequence[str]) -> list[str]:
        return [self.sessions[name].row["key"] for name in names]

    def _config(self, _: Json) -> Json:
        defaults: Json = {} if self.case.run_limit is None else {"timeoutSeconds": span(self.case.run_limit)}
        if self.case.fallback is not None:
            defaults["model"] = {"primary": "mock/mock-large", "fallbacks": [self.case.fallback]}
        return {"parsed": {"agents": {"defaults": defaults}}}

    def _channels(self, _: Json) -> Json:
        account: Json = {"accountId": "default", "running": not self.channels_stopped, "probe": {"ok": True}}
        if self.channels_stopped:
            account |= {"lifecycle": "stopped", "lastError": self.channels_stopped}
        return {"channelAccounts": {"telegram": [account], "irc": [account]}}

    def _health(self, _: Json) -> Json:
        return {"ok": True, "eventLoop": {"degraded": self.is_degraded, "reasons": []}}

    def _wait(self, params: Json) -> Json:
        return {"runId": params["runId"], "status": "ok", "terminalDelivery": {"status": "sent", "resultCount": 1}}

    def _asked(self, params: Json) -> Json:
        """A literal message to the person: mirrored into the transcript, and nothing runs."""
        name = self.name_of(params["sessionKey"]) or "?"
        self.sent.append(Sent(self.t, name, params["sessionKey"], Step.ASK, "send", params["message"]))
        self._say(name, [{"mirror": params["message"]}])
        if wire.era_of(self.case.version) >= Era.MODERN:
            self._change_row(name, {"updatedAt": "now"})
        return {"messageId": f"m{len(self.sent)}"}

    def _probed(self, params: Json) -> Json:
        if wire.era_of(self.case.version) > Era.FILES:
            self.violations.append(f"sessions.abort was used as a probe on {self.case.version}, where it may kill")
        name = self.name_of(params["key"])
        if name is not None and self.sessions[name].row.get("x-web-run"):
            raise _refused("sessions.abort", "INVALID_REQUEST", "unauthorized")
        return {"ok": True, "abortedRunId": None, "status": "no-active-run"}

    def name_of(self, key: str) -> str | None:
        return next((name for name, one in self.sessions.items() if one.row["key"] == key), None)

    # ---------------------------------------------------------------- what deeds do

    def _deed(self, method: str, params: Json) -> Json:
        key, message = params.get("sessionKey") or params["key"], str(params.get("message", ""))
        step = _STEPS.get(method) or (Step.FREE if method == "sessions.send" else Step.RESUME)
        if method == "sessions.reset" and params.get("reason") == "reset":
            step = Step.RESET
        name = self.name_of(key) or "?"
        self.sent.append(Sent(self.t, name, key, step, method, message))
        if message and name in self.sessions and self.sessions[name].row.get("restartRecoveryStatus") == "tombstoned":
            words = f'Session "{key}" ended during restart recovery. Use /new or /reset to start a replacement session.'
            raise _refused(method, "INVALID_REQUEST", words)
        run_id = str(params.get("idempotencyKey", f"run-{len(self.sent)}"))
        self._react(name, step, method, message, self._reaction(step))
        return {"ok": True, "runId": run_id, "status": "accepted" if method == "agent" else "started"}

    def _reaction(self, step: Step) -> tuple[str, Any]:
        default = "frees" if step is Step.FREE else "clears" if step.loses_context else "cures"
        script = self.case.deeds.get(step.value, (default,))
        number = self._reactions.get(step.value, 0)
        self._reactions[step.value] = number + 1
        said = script[min(number, len(script) - 1)]
        if isinstance(said, str):
            return said, None
        ((what, how),) = said.items()
        return what, how

    def _react(self, name: str, step: Step, method: str, message: str, reaction: tuple[str, Any]) -> None:
        what, how = reaction
        if what == "refused":
            raise _refused(method, how["code"], how.get("message", ""), how.get("retryable"), how.get("details"))
        if what == "cures":
            self._run_turn(name, message, span(how or "12s"))
        elif what == "lost_but_cures":
            self._run_turn(name, message, 12.0)
        elif what == "hangs":
            self._run_turn(name, message, None)
        elif what == "times_out":
            self._run_turn(name, message, span(how or "60s"), "timeout")
        elif what == "answers_row_stays":
            self._run_turn(name, message, span(how or "12s"), None)
        elif what == "frees":
            self._free(name, message)
        elif what == "fails":
            self.after(0.1, lambda: self._fail(name, str(how)))
        elif what == "clears":
            self.after(0.5, lambda: self._clear(name, keeps_row=False))
        elif what == "keeps_row":
            self.after(0.5, lambda: self._clear(name, keeps_row=True))
        elif what == "kills":
            self.after(0.5, lambda: self._end(name, "killed"))
        elif what not in ("silent", "lost"):
            raise ValueError(f"{self.case.name}: no such reaction to {step.value}: {what}")
        if what.startswith("lost"):
            raise errors.OutcomeUnknown(f"{NAME}: the connection ended before an answer came.")

    def _run_turn(self, name: str, message: str, lasts: float | None, ending: str | None = "done") -> None:
        """``lasts`` None: it hangs. ``ending`` None: it is answered, and the end of its run is never written to the row."""
        era = wire.era_of(self.case.version)

        def begin() -> float:
            here = self.sessions[name]
            here.is_ours_running = True
            fields: Json = {"status": "running", "startedAt": "now", "updatedAt": "now", "endedAt": wire.ABSENT}
            if era >= Era.FLAG:
                fields["hasActiveRun"] = True
            self._change_row(name, fields)
            here.lock = "gateway" if era is Era.FILES else here.lock
            self._say(name, [{"user": message, "by": wire.CLIENT}])
            return 0.0

        def end() -> float:
            if ending in ("done", None):
                self._say(name, [{"answer": "done"}])
            return self._end(name, ending)

        self.after(2.0, begin)
        if lasts is not None:
            self.after(2.0 + lasts, end)

    def _end(self, name: str, status: str | None) -> float:
        """The run is over; ``status`` None: and its row goes on saying that it runs."""
        here = self.sessions[name]
        here.is_ours_running, here.in_flight = False, False
        here.lock = "none" if here.lock == "gateway" else here.lock
        era = wire.era_of(self.case.version)
        fields: Json = (
            {"updatedAt": "now"} if status is None else {"status": status, "endedAt": "now", "updatedAt": "now"}
        )
        if era >= Era.FLAG:
            fields["hasActiveRun"] = False
        if era >= Era.RUN_IDS:
            fields["activeRunIds"] = []
        if era >= Era.MODERN and status is not None:
            fields["lastRunId"] = f"run-{len(self.sent)}"
        self._change_row(name, fields)
        return 0.0

    def _fail(self, name: str, error: str) -> float:
        self._end(name, "failed")
        if wire.era_of(self.case.version) >= Era.MODERN:
            self._change_row(name, {"lastRunError": error})
        self._say(name, [{"failed_before_reply": error}])
        return 0.0

    def _free(self, name: str, message: str) -> None:
        """A row that refuses its people takes our words, refuses their run, and is free: who waited is answered (8.2, 9.6)."""

        def refused() -> float:
            self._say(name, [{"user": message, "by": wire.CLIENT}])
            return self._fail(name, "Error: restart recovery claim changed before agent adoption")

        def answered() -> float:
            self._change_row(name, {"startedAt": "now"})
            self._say(name, [{"user": "are you there?"}, {"answer": "I am"}])
            return self._end(name, "done")

        self.after(0.5, refused)
        self.after(5.0, answered)

    def _clear(self, name: str, *, keeps_row: bool) -> float:
        here, era = self.sessions[name], wire.era_of(self.case.version)
        fields: Json = {"updatedAt": "now", "abortedLastRun": False}
        if era < Era.MODERN:
            fields["sessionId"] = f"00000000-0000-4000-9000-{len(self.sent):012d}"
        if not keeps_row:
            fields |= {"status": wire.ABSENT, "startedAt": wire.ABSENT, "endedAt": wire.ABSENT}
            fields |= {"lastRunId": wire.ABSENT, "lastRunError": wire.ABSENT, "totalTokens": wire.ABSENT}
            fields |= {"restartRecoveryStatus": wire.ABSENT}
        self._change_row(name, fields)
        here.entries = []
        if era >= Era.MODERN:
            self._say(name, ["reset"])
        return 0.0


def _refused(
    method: str, code: str, message: str, retryable: bool | None = None, details: Any = None
) -> errors.GatewayError:
    return refusal(NAME, method, WireError(code=code, message=message, retryable=retryable, details=details))


def _spread(name: str) -> list[str]:
    """``s*12`` -> s1 .. s12."""
    stem, star, number = name.partition("*")
    return [f"{stem}{n}" for n in range(1, int(number) + 1)] if star else [name]


def _known(said: bool | None, before: bool) -> bool:
    return before if said is None else said


# ---------------------------------------------------------------- under the real client


class ScriptedLink(Link):
    """A link without a socket: requests go to the script, and take as long as it says."""

    def __init__(self, world: World, scopes: tuple[str, ...], *, is_probe: bool) -> None:
        self._world = world
        self._name = NAME
        self._end: errors.GatewayError | None = None
        self.is_probe = is_probe
        self.scopes = scopes
        self.ended_at: Moment | None = None
        self.hello = msgspec.convert(world.hello(scopes), Hello)
        self.clock_ms = float(world.gateway_ms)
        self.final = None

    @property
    def is_open(self) -> bool:
        return self._end is None

    def cut(self, error: errors.GatewayError, at: Moment) -> None:
        self._end, self.ended_at = self._end or error, self.ended_at or at

    async def call(self, method: str, params: Json | None = None, *, patience: float = 15.0) -> msgspec.Raw:
        world = self._world
        if self._end is not None:
            raise self._end
        if world.phase == "hung" or world.latency > patience:
            world.advance(patience)
            if self._end is not None:
                raise errors.OutcomeUnknown(f"{NAME}: the connection ended before an answer came.") from self._end
            raise errors.OutcomeUnknown(f"{NAME}: no answer to {method} within {patience:.0f} s.")
        world.advance(world.latency)
        if self._end is not None:
            raise errors.OutcomeUnknown(f"{NAME}: the connection ended before an answer came.") from self._end
        return msgspec.Raw(msgspec.json.encode(world.answer(method, params or {}, self)))

    async def close(self) -> None:
        self._end = self._end or errors.GatewayClosed(f"{NAME}: closed by us.", 1000)
        if self in self._world.links:
            self._world.links.remove(self)


@dataclass
class ScriptedHost(FakeHost):
    """Sees the script's lock files. Nothing else: reports do not say."""

    world: World = field(kw_only=True)

    def lock_sight(
        self, state_dir: str, agent_id: str | None, session_id: str, *, gateway_pid: int | None
    ) -> LockSight:
        here = next((one for one in self.world.sessions.values() if one.row.get("sessionId") == session_id), None)
        if here is None or agent_id not in (None, "main"):
            return LockSight(Lock.UNREADABLE)  # as the real one: a folder that does not know the session
        return LockSight(_LOCKS[here.lock], _PIDS.get(here.lock), instant(here.row.get("startedAt")))


_DEVICE = DeviceIdentity.of(bytes(32))
_PROBE_DEVICE = DeviceIdentity.of(bytes([1] * 32))


class ScriptedGateway(GatewayClient):
    """The real client; only its sockets are played. By a script and not the simulator: reports tell what rows became, and
    often not how."""

    def __init__(self, world: World, steps: frozenset[Step], *, reads_all: bool = False) -> None:
        self._reads_all = reads_all
        self.made: list[Snapshot] = []
        """Every list that was made."""
        state_dir = "/home/user/.openclaw" if world.case.is_local else None
        endpoint = Endpoint("ws://127.0.0.1:18789", state_dir=state_dir, gateway_pid=GATEWAY_PID)
        super().__init__(
            NAME,
            lambda: replace(endpoint, lock_created_at=world.lock_created_at) if world.case.is_local else endpoint,
            device=_DEVICE,
            probe_device=_PROBE_DEVICE,
            clock=world,
            host=ScriptedHost(world=world),
            steps=steps,
        )
        self._world = world

    async def _open(
        self, scopes: tuple[str, ...], *, endpoint: Endpoint | None = None, device: DeviceIdentity | None = None
    ) -> Link:
        world = self._world
        if world.phase == "hung":
            world.advance(10.0)
            raise errors.GatewayUnresponsive(f"{NAME}: did not answer within 10 s.")
        if world.phase == "down":
            raise errors.GatewayUnreachable(f"{NAME}: cannot connect; is the gateway running?")
        if world.phase == "draining":
            raise errors.GatewayDraining(f"{NAME}: is draining or restarting (HTTP 503); waiting for it.")
        if world.phase == "starting":
            details = {"reason": "startup-sidecars"}
            raise _refused("connect", "UNAVAILABLE", "gateway starting; retry shortly", True, details)
        lacking = [scope for scope in scopes if scope not in world.case.granted]
        if lacking:
            details = {"code": "AUTH_SCOPE_MISMATCH"}
            raise _refused("connect", "INVALID_REQUEST", f"device token scope mismatch: {lacking[0]}", None, details)
        # The watching link asks for operator.read alone; a case may grant it more (operator.approvals).
        extra = tuple(scope for scope in world.case.granted if scope in ("operator.approvals", "operator.questions"))
        link = self._link_to(world, scopes + extra, is_probe=device is _PROBE_DEVICE)
        world.links.append(link)
        return link

    def _link_to(self, world: World, scopes: tuple[str, ...], *, is_probe: bool) -> ScriptedLink:
        return ScriptedLink(world, scopes, is_probe=is_probe)

    async def list_sessions(self, always_read: Collection[str] | None = None, *, sweep: bool = False) -> Snapshot:
        self.made.append(await super().list_sessions(always_read, sweep=sweep or self._reads_all))
        return self.made[-1]

    async def prepare(
        self, step: Step, session: Session, *, route: ReplyAddress | None = None, is_as_owner: bool = False
    ) -> None:
        await super().prepare(step, session, route=route, is_as_owner=is_as_owner)
        self._world.prepared()
