"""What clients can do to sessions, with each version's effects. Everything here leaves a deed behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from openclaw_simulator.admission import Admission
from openclaw_simulator.endings import NO_REPLY, Endings
from openclaw_simulator.outbound import Outbound
from openclaw_simulator.profiles import AfterAbort, NewEffect, NewWithoutAdmin
from openclaw_simulator.records import ClientEffect, ClientInfo, RefusedDeed
from openclaw_simulator.results import RunResult
from openclaw_simulator.sessions import Address, Author, EntryKind, InboundMessage, Origin, Run, SimSession
from openclaw_simulator.state import WorldState

CLAIM_CHANGED = "Error: restart recovery claim changed before agent adoption"
NEW_STARTED = "✅ New session started."
GREETING = "A new session was started via /new or /reset. Greet the user in your configured persona."
NOT_ALLOWED = (
    "⚠️ You are not authorized to reset this session. Gateway resets require operator.admin and command access. "
    "Ask your administrator to reset it, or send your message without the command."
)
TOMBSTONED = 'Session "{key}" ended during restart recovery. Use /new or /reset to start a replacement session.'
NEEDS_TOMBSTONE = "Session recovery requires a restart-tombstoned session."
NO_SOURCE = "Session recovery source was not found."
NO_CHANNEL = "Channel is required (no configured channels detected)."


class Refused(Exception):
    """The gateway refuses a request with this code and these words."""

    def __init__(self, code: str, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.refusal = RefusedDeed(code, message, details=details)

    @classmethod
    def with_(cls, refusal: RefusedDeed) -> Refused:
        """The same with what else the wire says."""
        made = cls(refusal.code, refusal.message)
        made.refusal = refusal
        return made


@dataclass(frozen=True, slots=True)
class Aborted:
    """The answer of an abort."""

    status: str
    """``aborted`` or ``no-active-run``."""
    run_id: str | None = None


def _author(client: ClientInfo) -> Author:
    return Author(client=client, is_owner=client.is_admin)


def _command(text: str) -> tuple[bool, str]:
    """(is it ``/new`` or ``/reset``, the words after it)."""
    head, _, rest = text.strip().partition(" ")
    return head in ("/new", "/reset"), rest.strip()


class Actions:
    """One gateway's deeds on sessions."""

    def __init__(self, world: WorldState, admission: Admission, endings: Endings, outbound: Outbound) -> None:
        self.world = world
        self.admission = admission
        self.endings = endings
        self.outbound = outbound
        self.sent: dict[str, str | Refused] = {}
        """What this process has said by ``send``, by idempotency key: the message's id, or the refusal."""
        self.kept_sends: list[tuple[Address, str, str | None, str, ClientInfo]] = []
        """What was refused and is kept on disk for the next process (3.24)."""

    def forget(self) -> None:
        """A new process remembers no idempotency key."""
        self.sent.clear()

    def _check_taken(self, session: SimSession, deed: ClientEffect) -> None:
        """A tombstone takes no words at all, ``/new`` included, with admin too (8.2, 9.6)."""
        if session.refusal is not None:
            deed.came_to_nothing("refused for good")
            raise Refused.with_(session.refusal)
        if session.is_tombstoned:
            deed.came_to_nothing("refused: tombstoned")
            raise Refused("INVALID_REQUEST", TOMBSTONED.format(key=session.key))

    # ------------------------------------------------------------ turns

    def send(
        self,
        session: SimSession,
        client: ClientInfo,
        text: str,
        run_id: str,
        *,
        method: str,
        route: Address | None = None,
        timeout_seconds: float | None = None,
        interrupts: bool = False,
    ) -> ClientEffect:
        """``chat.send`` or ``sessions.send``. The caller answers "started" whatever happens here."""
        world = self.world
        deed = world.record(method, session.key, client, text, run_id)
        self._check_taken(session, deed)
        if not world.profile.keeps_first_words and session.address is None:
            session.address = Address("webchat", None, None)
            session.origin_label = client.display_name or client.client_id
        is_command, _ = _command(text)
        if is_command and self._may_reset(session, client, text, run_id, deed):
            self.start_new(session, client, run_id, text, route=route, keeps_address=route is not None, deed=deed)
        elif deed.effect:
            pass
        elif session.is_deaf:
            self._fail_before_reply(session, run_id, deed)
        else:
            if interrupts and session.run is not None:
                deed.killed_run = session.run.run_id
                self.endings.stop(session, session.run, reason="interrupt")
            message = InboundMessage(
                text, Origin.WEB, run_id, world.wall_ms, route=route, device_id=client.device_id, via="deliver"
            )
            message.author = _author(client)
            session.last_interaction_ms = world.wall_ms
            message.timeout_seconds = timeout_seconds
            deed.effect = self.admission.submit(session, message)
        world.tell(session.key, reason="send")
        return deed

    def run_agent(
        self,
        session: SimSession,
        client: ClientInfo,
        text: str,
        run_id: str,
        *,
        deliver: bool,
        explicit: Address | None,
        is_best_effort: bool | None = None,
        is_restart_safe: bool = False,
    ) -> ClientEffect:
        """``agent``. With ``deliver`` and no reply address it is refused, unless ``bestEffortDeliver`` is set.

        ``is_best_effort`` None: as with an explicit address true, without one false. An explicit route speaks there and
        leaves the row's address as it is, but for a stray thread (5.18, 9.6).
        """
        world = self.world
        deed = world.record("agent", session.key, client, text, run_id)
        self._check_taken(session, deed)
        route = self.outbound.route_of_agent(session, deliver=deliver, explicit=explicit)
        if is_best_effort is None:
            is_best_effort = explicit is not None
        if _command(text)[0]:
            self.start_new(session, client, run_id, text, route=route, keeps_address=True, deed=deed)
            return deed
        if deliver and route is None and not is_best_effort:
            self._refuse_agent(session, deed)
        message = InboundMessage(
            text, Origin.AGENT, run_id, world.wall_ms, route=route, device_id=client.device_id, via="deliver"
        )
        message.author = _author(client)
        message.wants_delivery = deliver
        message.demands_delivery = deliver and not is_best_effort
        message.is_restart_safe = is_restart_safe
        if deliver and explicit is not None:
            self._leave_thread(session, explicit)
        deed.effect = self.admission.submit(session, message)
        return deed

    def _refuse_agent(self, session: SimSession, deed: ClientEffect) -> None:
        """No chat app to deliver to. On 9.6 the refusal has a side effect: a row whose last run was aborted loses its
        status (measured 2026-11-20: ``killed`` became absent; ``running`` and ``done`` stayed)."""
        world = self.world
        deed.came_to_nothing("refused: no channel")
        if world.profile.new_effect is NewEffect.CLEARS_ROW and session.run is None and session.aborted_last_run:
            session.status = session.started_ms = session.ended_ms = session.runtime_ms = None
            session.aborted_last_run = None
            deed.effect, deed.changed = "refused: no channel, and the row lost its status", True
        world.touch(session, moved=True)
        prefix = "" if world.profile.keeps_first_words else "Error: "
        raise Refused("INVALID_REQUEST", prefix + NO_CHANNEL)

    def _leave_thread(self, session: SimSession, explicit: Address) -> None:
        address = session.address
        is_left = self.world.profile.leaves_threads and explicit.thread_id is not None
        if is_left and address is not None and address.thread_id is None:
            session.address = replace(address, thread_id=str(explicit.thread_id))
            session.has_stray_thread = True
            self.world.touch(session)

    def say(self, route: Address, client: ClientInfo, text: str, *, key: str | None, idempotency_key: str) -> str:
        """``send``: words in a chat without a model. Returns the message's id; :class:`Refused` where the chat app does.

        One process says the same key once, and refuses it from memory; the next process says it again. 3.24 keeps a
        refused one and says it when it starts again. The words become the transcript's last entry; 9.6 also moves the
        row's ``updatedAt`` and takes the route for its address.
        """
        world = self.world
        before = self.sent.get(idempotency_key)
        if before is not None:
            if isinstance(before, Refused):
                raise before
            return before
        world.record("send", key or "", client, text, idempotency_key)
        delivery = self.outbound.deliver(route, text, key, idempotency_key, "send", client)
        if not delivery.succeeded and delivery.is_attempted:
            details = {"code": "OUTBOUND_DELIVERY_QUEUED"} if world.profile.goes_deaf else None
            refused = Refused("UNAVAILABLE", delivery.error or "", details)
            self.sent[idempotency_key] = refused
            if world.profile.replays_refused_sends:
                self.kept_sends.append((route, text, key, idempotency_key, client))
            raise refused
        message_id = self.sent[idempotency_key] = world.new_id()
        self._mirror(route, text, key, idempotency_key)
        return message_id

    def _mirror(self, route: Address, text: str, key: str | None, idempotency_key: str) -> None:
        world = self.world
        session = world.sessions.get(key or self.outbound.key_of_send(route) or "")
        if session is None:
            return
        run = Run(InboundMessage(text, Origin.WEB, idempotency_key, world.wall_ms), is_tracked=False)
        world.write(session, EntryKind.MIRROR, text, run)
        if world.profile.goes_deaf:
            session.address = self.outbound.address_after_send(route)
            world.touch(session, moved=True)

    def say_kept(self) -> None:
        """A new process says what the one before was refused ("[delivery-recovery] Recovered delivery", 3.24)."""
        kept, self.kept_sends = self.kept_sends, []
        for route, text, key, idempotency_key, client in kept:
            if not self.outbound.deliver(route, text, key, idempotency_key, "send", client).succeeded:
                self.kept_sends.append((route, text, key, idempotency_key, client))

    def _fail_before_reply(self, session: SimSession, run_id: str, deed: ClientEffect) -> None:
        """A plain send to a deaf session fails once, and its failure cures the row (channels.md 3, exp_7c)."""
        world = self.world
        run = Run(
            InboundMessage(deed.text, Origin.WEB, run_id, world.wall_ms), is_tracked=True, started_ms=world.wall_ms
        )
        world.write(session, EntryKind.USER, deed.text, run, author=_author(deed.client))
        world.write(session, EntryKind.FAILED_BEFORE_REPLY, f"This turn ended before a reply: {CLAIM_CHANGED}", run)
        session.status, session.last_run_id, session.last_run_error = "failed", run_id, CLAIM_CHANGED
        session.ended_ms = session.updated_ms = world.wall_ms
        session.aborted_last_run = False
        deed.effect = "failed before a reply; the row ends failed"
        self.admission.end_stall(session, f"failed:{run_id}")
        world.touch(session)
        world.results.put(
            RunResult(
                run_id,
                session.key,
                session.session_id,
                "failed",
                world.wall_ms,
                None,
                "",
                CLAIM_CHANGED,
                Origin.WEB,
                False,
            )
        )
        world.tell(session.key, phase="error", run_id=run_id)

    # ------------------------------------------------------------ stopping

    def abort(
        self, session: SimSession | None, client: ClientInfo, key: str, *, method: str = "sessions.abort"
    ) -> Aborted:
        """``sessions.abort`` and ``chat.abort``. It heals no row, on any version (2026.9.6.md 4, older.md 5)."""
        world, profile = self.world, self.world.profile
        deed = world.record(method, key, client)
        run = session.run if session is not None else None
        if session is None or run is None or not run.is_tracked:
            deed.came_to_nothing("no active run" if run is None else "did not find the live run")
            return Aborted("no-active-run")
        if profile.abort_needs_owner and not client.is_admin and client.device_id != run.message.device_id:
            deed.came_to_nothing("refused: unauthorized")
            raise Refused("INVALID_REQUEST", "unauthorized")
        deed.killed_run = run.run_id
        deed.effect = "killed the live run"
        reported: str | None = run.run_id
        if profile.after_abort is AfterAbort.CANCELLED:
            if session.queue:
                reported = session.queue[-1].run_id
            elif run.is_waiting_for_lane or run.message.origin is Origin.CHANNEL:
                reported = None
        if run.message.origin is Origin.CHANNEL:
            self.outbound.say(run.message.route, NO_REPLY, session.key, run.run_id, "notice")
        self.endings.stop(session, run)
        return Aborted("aborted", reported)

    # ------------------------------------------------------------ fresh sessions

    def _may_reset(self, session: SimSession, client: ClientInfo, text: str, run_id: str, deed: ClientEffect) -> bool:
        """Does ``/new`` act for this sender? If not, do what this version does instead."""
        manner = self.world.profile.new_without_admin
        if client.is_admin or manner is NewWithoutAdmin.RESETS:
            return True
        if manner is NewWithoutAdmin.IS_TEXT:
            return False
        deed.effect = "ignored: /new needs operator.admin"
        world = self.world
        world.touch(session, moved=True)
        if manner is NewWithoutAdmin.ERROR_TEXT:
            run = Run(InboundMessage(text, Origin.WEB, run_id, world.wall_ms), is_tracked=True)
            world.write(session, EntryKind.USER, text, run)
            world.write(session, EntryKind.ANSWER, NOT_ALLOWED, run)
        self._report_command(session, run_id, "")
        return False

    def start_new(
        self,
        session: SimSession,
        client: ClientInfo,
        run_id: str,
        text: str,
        *,
        route: Address | None,
        keeps_address: bool,
        deed: ClientEffect | None = None,
        author: Author | None = None,
    ) -> None:
        """``/new`` or ``/reset``, allowed. ``author`` None: the client."""
        world = self.world
        author = author or _author(client)
        effect = world.profile.new_effect
        _, rest = _command(text)
        is_live = session.run is not None
        if deed is not None:
            deed.effect = "new session"
            deed.killed_run = session.run.run_id if session.run is not None else None
        if not keeps_address:
            self.outbound.ruin_address(session)
        if effect is NewEffect.GREETS:
            self._empty(session, fresh_id=True)
            self.outbound.say(route, f"{NEW_STARTED[:-1]} · model: mock/mock-1", session.key, run_id, "notice")
            words = InboundMessage(
                rest or GREETING, Origin.WEB, run_id, world.wall_ms, route=route, device_id=client.device_id
            )
            words.via = "new"
            words.author = author
            self.admission.submit(session, words)
            return
        if is_live and session.run is not None:
            self.endings.stop(session, session.run, reason="new")
        self._empty(session, fresh_id=effect is NewEffect.LEAVES_ROW)
        if effect is NewEffect.CLEARS_ROW:
            self._clear_row(session, "new")
            run = Run(InboundMessage(text, Origin.WEB, run_id, world.wall_ms), is_tracked=True)
            world.write(session, EntryKind.RESET, "Reset")
            world.write(session, EntryKind.USER, text, run)
            world.write(session, EntryKind.ANSWER, NEW_STARTED, run)
        else:
            if is_live:
                session.status = "failed"
            world.write(session, EntryKind.ANSWER, NEW_STARTED)
        self.outbound.say(route, NEW_STARTED, session.key, run_id, "notice")
        world.touch(session, moved=True)
        world.tell(session.key, reason="new")
        self._report_command(session, run_id, NEW_STARTED)
        if rest:
            message = InboundMessage(
                rest, Origin.WEB, world.new_id(), world.wall_ms, route=route, device_id=client.device_id
            )
            message.author = author
            self.admission.submit(session, message)

    def reset(self, key: str, client: ClientInfo, reason: str) -> SimSession:
        """``sessions.reset``: row cleared, address kept, a live run killed, an unknown key CREATED."""
        world = self.world
        deed = world.record("sessions.reset", key, client)
        is_new = key not in world.sessions
        session = world.session(key)
        if session.refusal is not None:
            deed.came_to_nothing("refused for good")
            raise Refused.with_(session.refusal)
        if session.is_archived:  # `sessions.recover` left it, a tombstone still (9.6)
            deed.came_to_nothing("refused: archived")
            raise Refused("INVALID_REQUEST", TOMBSTONED.format(key=key))
        run = session.run
        if run is not None:
            deed.killed_run = run.run_id
            self.endings.stop(session, run, reason="reset")
            self._say_cut(session, run)
        session.queue.clear()
        self._empty(session, fresh_id=world.profile.new_effect is not NewEffect.CLEARS_ROW)
        self._clear_row(session, "reset")
        if world.profile.new_effect is NewEffect.CLEARS_ROW:
            world.write(session, EntryKind.RESET, "Reset")
        deed.effect = "created a session" if is_new else "reset"
        world.touch(session, moved=True)
        world.tell(key, reason=reason)
        return session

    def _say_cut(self, session: SimSession, run: Run) -> None:
        """What a person reads when a reset kills their run (channels.md 6): 3.24 a stale reply, 5.18 an error."""
        world = self.world
        if run.message.origin is not Origin.CHANNEL:
            return
        if world.profile.new_effect is NewEffect.GREETS:
            words = self.outbound.last_reply.get(session.key, NO_REPLY)
        else:
            words = "Request was aborted."
        self.outbound.say(run.message.route, words, session.key, run.run_id, "notice")

    def _empty(self, session: SimSession, *, fresh_id: bool) -> None:
        """A fresh context. 9.6 keeps the sessionId and the old lines (behind a reset mark), others start a new file."""
        session.lifecycle_revision = self.world.new_id()
        session.total_tokens = 0
        session.system_sent = False
        session.aborted_last_run = False
        if fresh_id:
            session.session_id = self.world.new_id()
            session.transcript = []
            session.unflushed.clear()
            session.messages_total = 0

    def _clear_row(self, session: SimSession, by: str) -> None:
        session.status = session.started_ms = session.ended_ms = session.runtime_ms = None
        session.last_run_id = session.last_run_error = session.restart_recovery_status = None
        session.recovery_charges = 0
        session.is_in_boot_recovery = False
        self.admission.end_stall(session, by)

    def _report_command(self, session: SimSession, run_id: str, text: str) -> None:
        world = self.world
        world.results.put(
            RunResult(run_id, session.key, session.session_id, "done", world.wall_ms, None, text, None, Origin.WEB)
        )

    # ------------------------------------------------------------ recovery by the gateway (9.6)

    def recover(self, key: str, client: ClientInfo) -> tuple[SimSession, str]:
        """``sessions.recover``: only for tombstoned sessions; goes on in a new session and archives the old one."""
        world = self.world
        deed = world.record("sessions.recover", key, client)
        source = world.sessions.get(key)
        if source is None:
            deed.came_to_nothing("refused: no such session")
            raise Refused("INVALID_REQUEST", NO_SOURCE)
        if not source.is_tombstoned:
            deed.came_to_nothing("refused: not tombstoned")
            raise Refused("INVALID_REQUEST", NEEDS_TOMBSTONE)
        follower = world.session(f"agent:{source.agent_id}:dashboard:{world.new_id()}", address=source.address)
        follower.transcript = list(source.transcript)
        source.is_archived = True
        run_id = f"restart-recovery-rollover:{source.session_id}"
        message = InboundMessage(
            "continue", Origin.RECOVERY, run_id, world.wall_ms, route=source.address, via="recovery"
        )
        message.is_internal = True
        self.admission.submit(follower, message)
        world.touch(source)
        deed.effect = f"continued as {follower.key}"
        return follower, run_id
