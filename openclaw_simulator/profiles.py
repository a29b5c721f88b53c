"""What each OpenClaw version does and how it lies, as data.

One :class:`Profile` per version that was run for real (``shared/gateway/*.md``, re-checked on the wire on 2026-11-20).
Every field's docstring says which issue or measurement it comes from. A behaviour measured on one version and merely
assumed on another is marked *assumed*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from openclaw_simulator.sessions import Origin


class ActiveFlag(StrEnum):
    """What ``hasActiveRun`` in a row is worth."""

    ABSENT = "absent"
    """3.24, 4.14: no such field."""
    TRACKED_ONLY = "tracked_only"
    """5.18: true for chat.send, sessions.send and agent runs, a sub-agent's being one of these (measured 2026-11-30); false on live
    chat-app and cron runs (#82382 record, PR #98257; channels.md exp_6)."""
    TRUTHFUL = "truthful"
    """9.6: any run, any origin."""


class Paging(StrEnum):
    NONE = "none"
    """3.24, 4.14: everything unless ``limit`` is given; no totals."""
    LIMIT = "limit"
    """5.18: 100 by default, ``totalCount``/``limitApplied``/``hasMore``; ``offset`` is refused."""
    OFFSET = "offset"
    """9.6: also ``offset`` and ``nextOffset``."""


class NewWithoutAdmin(StrEnum):
    """What a message ``/new`` does when the sender has no ``operator.admin``."""

    RESETS = "resets"
    """3.24."""
    IS_TEXT = "is_text"
    """4.14: the model simply gets the words "/new" (measured here: a model turn, the row ends done)."""
    IGNORED = "ignored"
    """5.18: answered "started", nothing happens, ``chat final`` without a message."""
    ERROR_TEXT = "error_text"
    """9.6: answered "started", the transcript gets "You are not authorized to reset this session"."""


class NewEffect(StrEnum):
    """What ``/new`` does to the row when it is allowed."""

    GREETS = "greets"
    """3.24, 4.14: new sessionId, then a greeting turn whose end writes ``done``."""
    LEAVES_ROW = "leaves_row"
    """5.18: new sessionId, but ``status: running`` and the OLD ``startedAt`` stay."""
    CLEARS_ROW = "clears_row"
    """9.6: the same sessionId, status and times gone."""


class InterruptedWords(StrEnum):
    """What becomes of the user message of an interrupted turn when the next turn starts."""

    FORGOTTEN = "forgotten"
    """3.24: "Removed orphaned user message": the model never sees it again; the history still lists it."""
    MERGED = "merged"
    """4.14: joined with the new message into one entry ("[Queued user message that arrived while ...]")."""
    REPLACED = "replaced"
    """5.18: the model gets both, the history shows only the new one; of its own recovery it shows both in one, under the name of the
    one who asked."""
    KEPT = "kept"
    """9.6: both stay, the model gets both."""


class AfterAbort(StrEnum):
    """What an abort does with messages queued behind the aborted run."""

    RUNS_UNTRACKED = "runs_untracked"
    """3.24, 4.14: the next one starts, and ``sessions.abort`` will not find it."""
    DROPPED = "dropped"
    """5.18: it never runs, and the row ends ``failed``."""
    CANCELLED = "cancelled"
    """9.6: the *queued* run id is reported as aborted and its words are marked cancelled."""


class InProcessRestart(StrEnum):
    """What becomes of live runs when the gateway restarts inside its process."""

    ORPHANS = "orphans"
    """3.24, 4.14 (#3245): rows stay ``running``."""
    TIMES_OUT = "times_out"
    """5.18: "marked interrupted main session(s)", rows ``timeout``, no resume."""
    RECOVERS = "recovers"
    """9.6: the same boot recovery as after a kill."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One gateway version."""

    version: str
    protocol: int
    """hello-ok's ``protocol``; a client's range must contain it."""
    least_probe_protocol: int | None
    """``minimumProbeProtocol`` in a protocol mismatch; None: the version does not say (3.24, 4.14)."""
    active_flag: ActiveFlag
    abort_sees: frozenset[Origin]
    """Origins whose live runs ``sessions.abort`` and ``chat.abort`` find."""
    abort_needs_owner: bool
    """Without ``operator.admin`` only the device that started a run may abort it, others get ``unauthorized``
    (3.24 to 5.18). 9.6 asks nobody and kills, chat-app runs included."""
    status_after_abort: str | None
    """None: the row stays ``running`` for ever (3.24, 4.14)."""
    status_after_timeout: str | None
    """None: the row stays ``running`` for ever (3.24, 4.14)."""
    after_abort: AfterAbort
    steers_queued: bool
    """A message to a live run is taken in at its next step and its own answer is lost (5.18; 9.6 *assumed*).
    False: it waits and runs afterwards (3.24, 4.14)."""
    interrupted_words: InterruptedWords
    keeps_first_words: bool
    """The words of a first turn are on disk at once (9.6). Before, they come with the first answer: a crash in the
    first turn leaves an empty transcript."""
    agent_restores_row: bool
    """``agent`` runs put the row back as it was when they began: a stuck row is NOT cured (3.24, 4.14)."""
    agent_failure_lag: float | None
    """Seconds after which a failed ``agent`` run's row says ``failed`` after all, under the start of the run before it
    (4.14: 15 s). None: it never does (3.24: the row put back says ``running`` and, in ``endedAt``, when ours ended)."""
    paging: Paging
    lane_width: int
    """Runs of the main lane at once; the others wait."""
    shows_queued: bool
    """Lane-waiting rows say ``queued`` (9.6); before, the row shows the previous run."""
    shows_live_at_once: bool
    """A row is ``running`` from admission on, ``startedAt`` follows (9.6); before, the old row is shown until start."""
    has_lock_files: bool
    """``<sessionId>.jsonl.lock`` for the whole run (3.24, 4.14)."""
    new_without_admin: NewWithoutAdmin
    new_effect: NewEffect
    in_process_restart: InProcessRestart
    drains_on_term: bool
    """SIGTERM waits for live runs (315 s budget) and refuses everything meanwhile (9.6). Before: exit in a second,
    rows stay ``running``."""
    recovers_at_boot: bool
    """Interrupted ordinary sessions are re-run 2 to 9 s after start, one by one, ``abortedLastRun: true`` until their
    turn (9.6)."""
    start_seconds: float
    refuses_before_ready: float
    """How long before ready HTTP answers and ``connect`` is refused with UNAVAILABLE (9.6: about 2 s)."""
    start_lag: float
    """From admission to lifecycle start."""
    forbids: bool
    """Scope refusals are ``FORBIDDEN`` with details (9.6); before, ``INVALID_REQUEST`` with the words only."""
    scopeful_clients: frozenset[tuple[str, str]]
    """(client.id, client.mode) that keep their scopes without a device on loopback with the shared token."""
    has_boot_id: bool
    honours_timeout: bool
    """``timeoutMs`` of a send ends its run (9.6; the others ignored 4000 ms, measured here)."""
    fails_row_between_retries: bool
    """The row says ``failed`` while a live run waits for its next provider attempt (3.24)."""
    goes_deaf: bool
    """A lost write leaves a channel-started session deaf, and plain sends fail there once (9.6, channels.md 3)."""
    tells_all_of_runs: bool
    """``agent`` events reach every operator, subscribed or not (measured on 5.18 and 9.6; the earlier two: not measured)."""
    forbids_unsubscribing: bool
    """``sessions.unsubscribe`` is not advertised and asks for admin (measured on 9.6; free on 5.18)."""
    names_topic_in_to: bool
    """A row's ``deliveryContext.to`` carries a group's topic (5.18, 9.6); before, only ``threadId`` does."""
    keys_private_topics: bool
    """A topic in a private chat is a session of its own (3.24, 9.6; 4.14 *assumed*); on 5.18 it is the main session."""
    wraps_words: bool
    """``chat.history`` shows the gateway's own lines in front of what a person wrote in a chat app (5.18)."""
    leaves_threads: bool
    """An ``agent`` call's thread stays in a row that has none (5.18, 9.6)."""
    keeps_stray_threads: bool
    """... and the next person's words do not clear it (5.18)."""
    tells_delivery: bool
    """The second answer of ``agent`` says whether the chat app took the answer (5.18, 9.6)."""
    replays_refused_sends: bool
    """A ``send`` that was refused is sent again by the next process (3.24; 4.14 *assumed*)."""
    falls_back_to_general: bool
    """A topic that is gone: spoken in General, answered ok (3.24; 4.14 *assumed*); later versions are refused."""
    takes_up_stopped: bool
    """A row that a person's ``/stop`` marked is carried on by the next process (5.18; 9.6 does so with every row)."""
    owner_by_allow_from: bool
    """Without ``ownerAllowFrom``, an ``allowFrom`` without ``*`` names owners (3.24, 5.18; 4.14 *assumed*)."""
    owner_tools: frozenset[str]
    """What only an owner's turn is offered."""
    heeds_global_rules: bool
    """``tools.toolsBySender`` and the agents' own hold (5.18, 9.6, by their documentation)."""
    pairs_backends: bool
    """``gateway-client`` is a device like any other, also on the gateway's own machine: it is approved silently with what it
    asks for first, and everything later waits for a person (measured on 2026.3.28, 3.31 and 4.2; by source 4.1, and not 4.5
    and later). Elsewhere it is let in and not remembered."""
    heeds_direct_rules: bool
    """``channels.<x>.direct.<chat>.toolsBySender`` holds (9.6); accepted and without effect before."""
    names_recovery: bool
    """``gateway.restart.preflight`` names its own restart recovery as a root request (8.2, 9.6; not 5.18 to 7.35)."""
    gives_up_recovery: bool
    """A session whose recovery was cut three times is tombstoned: it refuses every message (8.2, 9.6)."""
    may_be_suspended: bool
    """``gateway.suspend.prepare`` exists (9.6)."""
    keeps_yielded_running: bool
    """A turn that yields to its sub-agents leaves its row ``running`` with an ``endedAt`` and no active run, until it was woken and
    has ended (9.6, measured 2026-11-30); before, it says ``done`` at once."""
    has_heartbeats: bool
    """Heartbeats run in people's own sessions (measured on 3.24, 4.14 and 5.18; 9.6 began none in 200 s of ``every: 1m``)."""
    shows_heartbeat_prompts: bool
    """The history shows what a heartbeat's turn began with, and names nobody (3.24, 4.14); else its answer alone (5.18)."""
    calls_cut_runs_done: bool
    """A start may leave a cut run's row at ``done`` and ask the model nothing (a busy 2026.6.33, two of three; the profile nearest to it)."""
    fails_cut_children: float | None
    """So many seconds after a start, sub-agents whose run was cut end ``failed``; till then their rows say no status (measured
    2026-11-30: 5.18, whose registry looks once a minute, and 9.6 within seconds). None: they stay ``running``."""
    wakes_after_cut: float | None
    """So many seconds later the session that waited for them is woken. None: it is forgotten."""


_OLD = frozenset({Origin.WEB})
_OWNERS_EARLY = frozenset({"cron", "gateway", "nodes"})

V2026_3_24 = Profile(
    version="2026.3.24",
    protocol=3,
    least_probe_protocol=None,
    active_flag=ActiveFlag.ABSENT,
    abort_sees=_OLD,
    abort_needs_owner=True,
    status_after_abort=None,
    status_after_timeout=None,
    after_abort=AfterAbort.RUNS_UNTRACKED,
    steers_queued=False,
    interrupted_words=InterruptedWords.FORGOTTEN,
    keeps_first_words=False,
    agent_restores_row=True,
    agent_failure_lag=None,
    paging=Paging.NONE,
    lane_width=4,
    shows_queued=False,
    shows_live_at_once=False,
    has_lock_files=True,
    new_without_admin=NewWithoutAdmin.RESETS,
    new_effect=NewEffect.GREETS,
    in_process_restart=InProcessRestart.ORPHANS,
    drains_on_term=False,
    recovers_at_boot=False,
    start_seconds=2.2,
    refuses_before_ready=0.0,
    start_lag=0.3,
    forbids=False,
    scopeful_clients=frozenset(),
    has_boot_id=False,
    honours_timeout=False,
    fails_row_between_retries=True,
    goes_deaf=False,
    tells_all_of_runs=False,
    forbids_unsubscribing=False,
    names_topic_in_to=False,
    keys_private_topics=True,
    wraps_words=False,
    leaves_threads=False,
    keeps_stray_threads=False,
    tells_delivery=False,
    replays_refused_sends=True,
    falls_back_to_general=True,
    takes_up_stopped=False,
    owner_by_allow_from=True,
    owner_tools=_OWNERS_EARLY,
    heeds_global_rules=False,
    pairs_backends=False,
    heeds_direct_rules=False,
    names_recovery=False,
    gives_up_recovery=False,
    may_be_suspended=False,
    keeps_yielded_running=False,
    has_heartbeats=True,
    shows_heartbeat_prompts=True,
    calls_cut_runs_done=False,
    fails_cut_children=None,
    wakes_after_cut=None,
)

V2026_4_2 = replace(V2026_3_24, version="2026.4.2", pairs_backends=True)
"""*Assumed* like 2026.3.24 but for its door; none of ``PROFILES``, whose versions were measured in all they say."""

V2026_4_14 = Profile(
    version="2026.4.14",
    protocol=3,
    least_probe_protocol=None,
    active_flag=ActiveFlag.ABSENT,
    abort_sees=_OLD,
    abort_needs_owner=True,
    status_after_abort=None,
    status_after_timeout=None,
    after_abort=AfterAbort.RUNS_UNTRACKED,
    steers_queued=False,
    interrupted_words=InterruptedWords.MERGED,
    keeps_first_words=False,
    agent_restores_row=True,
    agent_failure_lag=15.0,
    paging=Paging.NONE,
    lane_width=4,
    shows_queued=False,
    shows_live_at_once=False,
    has_lock_files=True,
    new_without_admin=NewWithoutAdmin.IS_TEXT,
    new_effect=NewEffect.GREETS,
    in_process_restart=InProcessRestart.ORPHANS,
    drains_on_term=False,
    recovers_at_boot=False,
    start_seconds=4.9,
    refuses_before_ready=0.0,
    start_lag=0.5,
    forbids=False,
    scopeful_clients=frozenset(),
    has_boot_id=False,
    honours_timeout=False,
    fails_row_between_retries=False,
    goes_deaf=False,
    tells_all_of_runs=False,
    forbids_unsubscribing=False,
    names_topic_in_to=False,
    keys_private_topics=True,
    wraps_words=False,
    leaves_threads=False,
    keeps_stray_threads=False,
    tells_delivery=False,
    replays_refused_sends=True,
    falls_back_to_general=True,
    takes_up_stopped=False,
    owner_by_allow_from=True,
    owner_tools=_OWNERS_EARLY,
    heeds_global_rules=False,
    pairs_backends=False,
    heeds_direct_rules=False,
    names_recovery=False,
    gives_up_recovery=False,
    may_be_suspended=False,
    keeps_yielded_running=False,
    has_heartbeats=True,
    shows_heartbeat_prompts=True,
    calls_cut_runs_done=False,
    fails_cut_children=None,
    wakes_after_cut=None,
)

V2026_5_18 = Profile(
    version="2026.5.18",
    protocol=4,
    least_probe_protocol=4,
    active_flag=ActiveFlag.TRACKED_ONLY,
    abort_sees=frozenset({Origin.WEB, Origin.AGENT, Origin.SUBAGENT}),
    abort_needs_owner=True,
    status_after_abort="timeout",
    status_after_timeout="timeout",
    after_abort=AfterAbort.DROPPED,
    steers_queued=True,
    interrupted_words=InterruptedWords.REPLACED,
    keeps_first_words=False,
    agent_restores_row=False,
    agent_failure_lag=None,
    paging=Paging.LIMIT,
    lane_width=4,
    shows_queued=False,
    shows_live_at_once=False,
    has_lock_files=False,
    new_without_admin=NewWithoutAdmin.IGNORED,
    new_effect=NewEffect.LEAVES_ROW,
    in_process_restart=InProcessRestart.TIMES_OUT,
    drains_on_term=False,
    recovers_at_boot=False,
    start_seconds=6.0,
    refuses_before_ready=0.0,
    start_lag=0.9,
    forbids=False,
    scopeful_clients=frozenset({("gateway-client", "backend")}),
    has_boot_id=False,
    honours_timeout=False,
    fails_row_between_retries=False,
    goes_deaf=False,
    tells_all_of_runs=True,
    forbids_unsubscribing=False,
    names_topic_in_to=True,
    keys_private_topics=False,
    wraps_words=True,
    leaves_threads=True,
    keeps_stray_threads=True,
    tells_delivery=True,
    replays_refused_sends=False,
    falls_back_to_general=False,
    takes_up_stopped=True,
    owner_by_allow_from=True,
    owner_tools=_OWNERS_EARLY,
    heeds_global_rules=True,
    pairs_backends=False,
    heeds_direct_rules=False,
    names_recovery=False,
    gives_up_recovery=False,
    may_be_suspended=False,
    keeps_yielded_running=False,
    has_heartbeats=True,
    shows_heartbeat_prompts=False,
    calls_cut_runs_done=True,
    fails_cut_children=60.0,
    wakes_after_cut=None,
)

V2026_9_6 = Profile(
    version="2026.9.6",
    protocol=4,
    least_probe_protocol=3,
    active_flag=ActiveFlag.TRUTHFUL,
    abort_sees=frozenset(Origin),
    abort_needs_owner=False,
    status_after_abort="killed",
    status_after_timeout="timeout",
    after_abort=AfterAbort.CANCELLED,
    steers_queued=True,
    interrupted_words=InterruptedWords.KEPT,
    keeps_first_words=True,
    agent_restores_row=False,
    agent_failure_lag=None,
    paging=Paging.OFFSET,
    lane_width=8,
    shows_queued=True,
    shows_live_at_once=True,
    has_lock_files=False,
    new_without_admin=NewWithoutAdmin.ERROR_TEXT,
    new_effect=NewEffect.CLEARS_ROW,
    in_process_restart=InProcessRestart.RECOVERS,
    drains_on_term=True,
    recovers_at_boot=True,
    start_seconds=9.0,
    refuses_before_ready=2.0,
    start_lag=0.3,
    forbids=True,
    scopeful_clients=frozenset({("gateway-client", "backend"), ("cli", "cli")}),
    has_boot_id=True,
    honours_timeout=True,
    fails_row_between_retries=False,
    goes_deaf=True,
    tells_all_of_runs=True,
    forbids_unsubscribing=True,
    names_topic_in_to=True,
    keys_private_topics=True,
    wraps_words=False,
    leaves_threads=True,
    keeps_stray_threads=False,
    tells_delivery=True,
    replays_refused_sends=False,
    falls_back_to_general=False,
    takes_up_stopped=False,
    owner_by_allow_from=False,
    owner_tools=frozenset({"openclaw"}),
    heeds_global_rules=True,
    pairs_backends=False,
    heeds_direct_rules=True,
    names_recovery=True,
    gives_up_recovery=True,
    may_be_suspended=True,
    keeps_yielded_running=True,
    has_heartbeats=False,
    shows_heartbeat_prompts=False,
    calls_cut_runs_done=False,
    fails_cut_children=2.0,
    wakes_after_cut=7.0,
)

PROFILES: dict[str, Profile] = {p.version: p for p in (V2026_3_24, V2026_4_14, V2026_5_18, V2026_9_6)}
