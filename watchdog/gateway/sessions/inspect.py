"""A closer look at one session, over one connection: what its row does not say.

A look never raises for what could not be read: that is named in the look's ``problems``, and what it would have said is
unknown. Only a gateway that is gone, hangs or drains ends it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import msgspec

from watchdog.core.model import (
    ChatAccount,
    FlagWorth,
    GatewayFacts,
    Lock,
    LockSight,
    Look,
    Preflight,
    Sender,
    SenderKind,
    Session,
    TailKind,
    TranscriptTail,
)
from watchdog.core.requester import distinct_senders
from watchdog.core.session_key import cron_job_of, peer_of
from watchdog.gateway.capabilities import Version, takes_max_chars
from watchdog.gateway.sessions.asked_in import with_chats
from watchdog.gateway.sessions.pending import (
    APPROVALS,
    CRON_RUNS_LOOKED_AT,
    QUESTIONS,
    Waiting,
    cron_run_ended,
    read_waiting,
)
from watchdog.gateway.sessions.programs import may_run_programs
from watchdog.gateway.sessions.sender_rules import Config, chat_accounts, config_of, rights_of
from watchdog.gateway.sessions.transcript import is_cut, read_tail
from watchdog.gateway.wire.answers import Call, decoded
from watchdog.service import errors
from watchdog.service.ports import Clock, Host, Wants

HISTORY_SHORT, HISTORY_LONG = 30, 200
MOST_CHARS = 500_000
"""The most that ``chat.history`` accepts as ``maxChars`` (source of 4.2 to 9.6)."""
PREFLIGHT = "gateway.restart.preflight"
TIMEOUT_SLACK = timedelta(seconds=2)
"""A run that hit its limit ends 10 to 15 ms after it (3.24); a person who presses Stop does not hit these two seconds,
because the run is over by then."""
FILE_SLACK = timedelta(seconds=5)
"""On an overloaded machine the row of such a run was written 2 to 4 s after its limit, and never when the gateway was killed
before; its transcript 0 to 0.2 s after, at worst 2.2 s (22 of them on 3.24). Nothing but a run writes there."""
FILE_TIME_GRAIN = timedelta(milliseconds=20)
"""Linux stamps a file with the tick before the write, up to 10 ms early."""


_MOST_COUNTED = 1e9


class _Counts(msgspec.Struct):
    counts: dict[str, Any] = msgspec.field(default_factory=dict)
    blockers: Any = None
    """Never logged as they are: a ``task.title`` begins with a person's words."""


@dataclass(slots=True)
class Inspector:
    """Looks over one connection."""

    facts: GatewayFacts
    version: Version | None
    call: Call
    """Over the connection that watches."""
    clock: Clock
    host: Host
    gateway_pid: int | None
    """Of a gateway on this machine."""
    probe: Callable[[Session], Awaitable[bool]] | None
    """Whether a stranger's abort is refused as unauthorized; None: never ask, we only watch."""
    as_admin: Callable[[], AbstractAsyncContextManager[Call] | None]
    """Another, short connection that sees everybody's approvals; None where that was not granted."""
    timed_out: dict[str, str]
    """Session key -> fingerprint of a transcript whose run was seen to have hit its time limit. Outlives the connection: a
    message that was accepted and lost with the gateway moves ``updatedAt``, and then the row no longer says how long its run
    lasted (3.24)."""
    _waiting: Waiting | None = field(init=False, default=None)
    _config: Config | None = field(init=False, default=None)
    _may_be_admin: bool = field(init=False, default=True)
    """Until this connection's life has shown otherwise."""

    def forget_waiting(self) -> None:
        """Have the lists of approvals and questions, and the gateway's configuration, asked for anew at the next look."""
        self._waiting = self._config = None

    async def look(self, session: Session, wants: Wants) -> Look:
        """``service.ports.Gateway.look``."""
        look = Look()
        problems: list[str] = []
        if wants.lock and self.facts.state_dir and session.session_id:
            sight = self.host.lock_sight(
                self.facts.state_dir, session.agent_id, session.session_id, gateway_pid=self.gateway_pid
            )
            if self._says_ended(sight):
                sight = replace(sight, is_taken_by_every_run=False)
                with _noting(problems, "config.get"):
                    sight = replace(sight, is_taken_by_every_run=not may_run_programs(await self._configuration()))
            look = replace(look, lock=sight)
        if wants.preflight and self.facts.capabilities.has_preflight:
            with _noting(problems, PREFLIGHT):
                look = replace(look, preflight=await self._preflight())
        if wants.tail:
            with _noting(problems, "chat.history"):
                look = replace(look, tail=await self._tail(session))
        if wants.people and look.tail is not None:
            with _noting(problems, "config.get"):
                look = await self._with_people(session, look, look.tail)
        if wants.abort_probe and self.probe is not None and self.facts.capabilities.has_abort_probe:
            with _noting(problems, "sessions.abort probe"):
                look = replace(look, abort_probe_unauthorized=await self.probe(session))
        if wants.pending:
            lists = await self._waiting_lists()
            look = replace(
                look,
                pending_approvals=lists.approvals(session),
                pending_questions=lists.questions(session),
                is_waiting_unread=bool(lists.problems),
            )
            problems += lists.problems
            with _noting(problems, "cron.runs"):
                look = replace(look, cron_run_ended=await self._cron_run_ended(session))
        return replace(look, problems=tuple(problems)) if problems else look

    async def _preflight(self) -> Preflight:
        asked_at = self.clock.now()
        answer = decoded(await self.call(PREFLIGHT, {}), _Counts, PREFLIGHT)
        counts = _numbers(answer)
        if "totalActive" not in counts:
            raise errors.RequestRefused(f"{self.facts.name}: preflight has no totalActive.", code="SHAPE")
        parts = sum(value for name, value in counts.items() if name != "totalActive")
        is_recovering = _names_recovery(answer.blockers) if "rootRequests" in counts else None
        return Preflight(ceil(max(counts["totalActive"], parts)), asked_at, is_recovering)

    async def _with_people(self, session: Session, look: Look, tail: TranscriptTail) -> Look:
        """Who may do what, of the people who asked. Read anew for every list: an owner may have changed the rules."""
        address, state_dir = session.reply_address, self.facts.state_dir
        if address is not None and state_dir is not None and self.facts.capabilities.has_chat_spool:
            look = replace(look, will_redeliver=self.host.has_spooled(state_dir, address))
        if not _people_in(tail):
            return look
        config = await self._configuration()
        accounts = chat_accounts(config)
        tail = self._with_chats(session, tail, accounts)
        rights = tuple(rights_of(config, session, one, self.version) for one in _people_in(tail))
        return replace(look, tail=tail, rights=rights, chat_accounts=accounts)

    def _says_ended(self, sight: LockSight) -> bool:
        """That nobody alive holds it may be taken for the end of the run: only where the flag does not count runs."""
        return (
            sight.lock in (Lock.NONE, Lock.OWNER_GONE) and self.facts.capabilities.active_run_flag is FlagWorth.ABSENT
        )

    async def _configuration(self) -> Config:
        """Read once per list of sessions, however many suspects there are."""
        if self._config is None:
            answer = decoded(await self.call("config.get", {}), object, "config.get")
            # A file that is being edited reads as empty, while the gateway goes on with what it read before.
            # guard: wire: a broken configuration is not an empty one
            if isinstance(answer, Mapping) and answer.get("valid") is False:
                raise errors.RequestRefused(
                    "config.get gave a configuration that is not valid.", code="INVALID", retryable=True
                )
            self._config = config_of(answer)
        if self._config is None:
            raise errors.RequestRefused("config.get gave no configuration.", code="SHAPE")
        return self._config

    def _with_chats(self, session: Session, tail: TranscriptTail, accounts: tuple[ChatAccount, ...]) -> TranscriptTail:
        """Where the session is shared, and nothing else says in which chat its people asked: by the gateway's own file."""
        knows = self.facts.capabilities.names_chats_in_file and self.facts.state_dir and session.session_id
        if not knows or peer_of(session.key) is not None:
            return tail
        assert self.facts.state_dir
        assert session.session_id
        end = self.host.transcript_end(self.facts.state_dir, session.agent_id, session.session_id)
        return tail if end is None else replace(tail, asked=with_chats(tail.asked, end, accounts))

    async def _history(self, session: Session, limit: int, **more: int) -> TranscriptTail:
        payload = await self.call("chat.history", {"sessionKey": session.key, "limit": limit, **more})
        return read_tail(payload, wraps_prompts=self.facts.capabilities.wraps_prompts, limit=limit)

    async def _tail(self, session: Session) -> TranscriptTail:
        limit = HISTORY_SHORT
        tail = await self._history(session, limit)
        is_part = tail.request is None or not tail.has_beginning
        if is_part and tail.kind not in (TailKind.EMPTY, TailKind.ANSWERED):
            limit = HISTORY_LONG
            tail = await self._history(session, limit)
        # guard: wire: a long request is read whole
        if is_cut(tail) and self.version is not None and takes_max_chars(self.version):
            tail = await self._history(session, limit, maxChars=MOST_CHARS)
        if tail.kind is not TailKind.STOPPED or tail.was_stopped_by_request:
            self.timed_out.pop(session.key, None)
            return tail
        if not self.facts.capabilities.writes_time_out_as_stop:
            return tail
        if self.timed_out.get(session.key) == tail.fingerprint:
            return replace(tail, kind=TailKind.TIMED_OUT)
        if self._hit_limit(session, await self._run_limit()):
            self.timed_out[session.key] = tail.fingerprint
        if self.timed_out.get(session.key) != tail.fingerprint:
            return tail
        return replace(tail, kind=TailKind.TIMED_OUT)

    async def _run_limit(self) -> timedelta | None:
        """``agents.defaults.timeoutSeconds`` when set and no agent overrides it; 3.24 and 4.14 write a time-out and a Stop alike,
        and only this tells them apart. Raises where the configuration could not be read now: it is then neither of the two."""
        try:
            config: Any = await self._configuration()
        except errors.RequestRefused as refusal:
            if refusal.retryable:  # guard: wire: a time limit unread is not none
                raise
            return None
        except (errors.ScopeRefused, errors.UnknownMethod):
            return None
        try:
            agents = config["agents"]
            if any("timeoutSeconds" in agent for agent in agents.get("list", ())):
                return None
            return timedelta(seconds=float(agents["defaults"]["timeoutSeconds"]))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return None

    def _hit_limit(self, session: Session, run_limit: timedelta | None) -> bool:
        if run_limit is None or session.started_at is None:
            return False
        limit = session.started_at + run_limit
        written = self._transcript_written_at(session)
        if written is not None and written + FILE_TIME_GRAIN < limit:
            return False  # it was over before, whatever touched its row since
        if written is not None and written < limit + FILE_SLACK:
            return True
        return session.updated_at is not None and limit <= session.updated_at < limit + TIMEOUT_SLACK

    def _transcript_written_at(self, session: Session) -> datetime | None:
        if not self.facts.state_dir or not session.session_id:
            return None
        return self.host.transcript_written_at(self.facts.state_dir, session.agent_id, session.session_id)

    async def _waiting_lists(self) -> Waiting:
        """Asked for once per list of sessions, however many suspects there are, and whatever came of it."""
        if self._waiting is None:
            lists, problems = Waiting({}), list[str]()
            with _noting(problems, "pending approvals and questions"):
                lists = await self._read_waiting()
            self._waiting = replace(lists, problems=(*problems, *lists.problems))
        return self._waiting

    async def _read_waiting(self) -> Waiting:
        offered = {method: scope for method, scope in (APPROVALS | QUESTIONS).items() if method in self.facts.methods}
        if not offered:
            return Waiting({})
        admin = self.as_admin() if self._may_be_admin else None
        if admin is not None:
            try:
                async with admin as call:
                    return await read_waiting([*offered], call)
            except (errors.ScopeRefused, errors.PairingRequired):
                # As where admin was never granted. Seen on 2026.5.18: once a deed as CLI had this device paired with fewer
                # scopes, each further sign-in as admin leaves a request for approval behind.
                self._may_be_admin = False
        allowed = [method for method, scope in offered.items() if scope in self.facts.scopes]
        return await read_waiting(allowed, self.call)

    async def _cron_run_ended(self, session: Session) -> str | None:
        job = cron_job_of(session.key)
        if job is None or "cron.runs" not in self.facts.methods:
            return None
        return cron_run_ended(await self.call("cron.runs", {"id": job, "limit": CRON_RUNS_LOOKED_AT}), session)


def _people_in(tail: TranscriptTail) -> list[Sender]:
    return [one for one in distinct_senders(tail.asked) if one.kind is SenderKind.PERSON and one.id is not None]


def _names_recovery(blockers: Any) -> bool:
    """Among the root requests: ``1 active gateway request(s): main-session:startup-recovery`` (2026.8.2 and 9.6; by source
    also ``restart-`` and ``target-recovery``), maybe one of several: ``2 active gateway request(s): …, startup:sidecars.…``.
    Prose: anything of a main session counts as one."""
    said = [item for item in blockers if isinstance(item, dict)] if isinstance(blockers, list) else []
    return any(item.get("kind") == "root-request" and "main-session:" in _text(item.get("message")) for item in said)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _numbers(answer: _Counts) -> dict[str, float]:
    """Sums of these stay numbers: what is no count of anything is left out."""
    return {
        name: value
        for name, value in answer.counts.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        # guard: wire: a count is one of something
        and 0 <= value <= _MOST_COUNTED
    }


_ENDS_THE_PASS = (
    errors.GatewayClosed,
    errors.GatewayUnresponsive,
    errors.GatewayDraining,
    errors.GatewaySuspended,
)


class _noting(AbstractContextManager[None]):  # noqa: N801 - reads as a verb at its use
    """Turn a failed look into one line of ``problems``; a gateway that is gone or suspended still ends the pass."""

    def __init__(self, problems: list[str], what: str) -> None:
        self._problems, self._what = problems, what

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, _trace: object) -> bool:
        if isinstance(problem, _ENDS_THE_PASS):
            return False
        if isinstance(problem, errors.GatewayError):
            self._problems.append(f"{self._what}: {problem}")
            return True
        return False
