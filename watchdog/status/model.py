"""What the daemon knows right now, as one document: the status page, ``/api/state``, ``status`` and ``top`` all show it.

``build`` is pure: it takes what each watch saw last (``Sight``) and what the ledger says (``Record``) and returns a frozen
``State``; ``document`` turns that into plain JSON values. Names are part of the contract with users: add, never rename.

Never in here: secrets, and what a person wrote in a conversation. Session keys and what people call them, times, reasons and
our own sentences only; every string is scrubbed once more by ``document``. Instants are ISO 8601 in UTC, spans are seconds (``*_seconds``); ages are given as the
instant they count from (``since``), so that a reader can let them grow without asking again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from typing import Any

from watchdog.service.announcements.phrases import VERDICTS, gateway_is

SCHEMA = 1
HISTORY = timedelta(days=7)
"""How far back incidents and attempts are shown."""
MOST_SESSIONS = 200
"""Sessions listed per gateway, worst first; the rest is only counted."""
MOST_HEALTHY = 1000
"""Healthy sessions listed of all gateways together, a like number of each."""
MOST_INCIDENTS = 500
LAST_DEEDS = 15
LAST_SWITCHES = 10
"""Lines of the operators' audit trail."""


class Urgency(StrEnum):
    """How much this wants a person."""

    OK = "ok"
    NOTICE = "notice"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Headline:
    """The whole state in one sentence."""

    level: Urgency
    text: str


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """``left`` of ``attempts`` deeds in the present window of ``per_seconds``."""

    attempts: int
    used: int
    left: int
    per_seconds: float


@dataclass(frozen=True, slots=True)
class BlockerView:
    """One reason why nothing is done now. ``until``: when it ends by itself, if that is known."""

    name: str
    message: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class NextDeed:
    """What comes next for a session. ``step`` None: nothing will be done. ``at`` None: not known when, see the blockers."""

    step: str | None
    at: datetime | None
    words: str


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One deed. ``words``: how it went, for people."""

    number: int
    step: str
    state: str
    planned_at: datetime
    started_at: datetime | None
    settled_at: datetime | None
    reason: str | None
    verified_by: str | None
    words: str


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session that is not simply healthy.

    ``since`` and ``limit_seconds`` are its age bar: ``since_what`` says what has lasted since then (``no_owner``: nothing
    works on it; ``silent``: no sign of progress; ``running``: alive), and the limit is where the verdict gets worse.
    """

    key: str
    session_id: str | None
    kind: str
    agent: str | None
    channel: str | None
    policy: str
    status: str
    verdict: str
    reason: str
    message: str
    owner: str
    started_at: datetime | None
    since: datetime
    since_what: str
    limit_seconds: float | None
    incident: str | None
    attempts: tuple[AttemptView, ...]
    blockers: tuple[BlockerView, ...]
    next: NextDeed
    budget: BudgetLeft
    is_quarantined: bool
    is_in_recovery: bool


@dataclass(frozen=True, slots=True)
class HealthyView:
    """A session that nothing is to be said of."""

    key: str
    kind: str
    status: str
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class AvailabilityView:
    """The last week. ``hours``: in which share of each it answered, the oldest first, up to the one that began at ``last_hour``;
    None: nobody watched."""

    watched_seconds: float
    answered_seconds: float
    hours: tuple[float | None, ...]
    last_hour: datetime


@dataclass(frozen=True, slots=True)
class GatewayView:
    """One gateway. Everything about sessions is from ``seen_at``, the last poll it answered; ``last_poll_at`` is the last try.

    ``phase``: connected, starting, draining, suspended, unresponsive, down, refused (by the gateway; or by us, because another name
    watches it), unusable (it refuses its own list), unknown (this process has no file descriptors left), or ``unseen`` before the first pass has ended.
    ``not_granted``: steps of the configured ladders that the gateway does not let us do, see ``problem``.
    """

    name: str
    phase: str
    problem: str | None
    not_granted: tuple[str, ...]
    mode: str
    version: str | None
    booted_at: datetime | None
    connected_since: datetime | None
    last_poll_at: datetime | None
    seen_at: datetime | None
    latency_seconds: float | None
    is_list_complete: bool
    malformed_rows: int
    session_count: int
    running_count: int
    verdicts: Mapping[str, int]
    in_recovery: int
    next_look_at: datetime | None
    is_fleet_breaker_open: bool
    budget: BudgetLeft | None
    sessions: tuple[SessionView, ...]
    sessions_left_out: int
    poll_every_seconds: float | None = None
    """Longer than configured while it answers slowly. None: it has not answered yet."""
    healthy: tuple[HealthyView, ...] = ()
    """Those not in ``sessions``, the last that moved first; some are only counted."""
    healthy_left_out: int = 0
    names: Mapping[str, str] = field(default_factory=dict)
    """By session key, what people call the sessions of this gateway that stand anywhere in the document."""
    availability: AvailabilityView | None = None
    untried: str | None = None
    """Its version is newer than any that this program was tried on; what is still believed of it, and why."""


@dataclass(frozen=True, slots=True)
class AckView:
    """Somebody knows of it: nobody is reminded, until ``until`` or until it is over."""

    at: datetime
    until: datetime | None
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class IncidentView:
    """One stretch of "stuck" of one session, with every attempt."""

    id: str
    gateway: str
    session: str
    session_id: str | None
    opened_at: datetime
    closed_at: datetime | None
    verdict_reason: str
    outcome: str
    attempts: tuple[AttemptView, ...]
    acknowledged: AckView | None = None


@dataclass(frozen=True, slots=True)
class DeedView:
    """One attempt with the session it was done to, newest first in ``State.deeds``."""

    gateway: str
    session: str
    incident: str
    attempt: AttemptView


@dataclass(frozen=True, slots=True)
class QuarantineView:
    gateway: str
    session: str
    since: datetime
    reason: str
    incident: str | None
    acknowledged: AckView | None = None


@dataclass(frozen=True, slots=True)
class OperatorView:
    """What a person switched (or the watchdog released by itself), newest first in ``State.operator``."""

    at: datetime
    who: str
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class PauseView:
    """An operator's hold. ``gateway`` and ``session`` None: everything."""

    since: datetime
    until: datetime | None
    gateway: str | None
    session: str | None
    reason: str
    who: str


@dataclass(frozen=True, slots=True)
class UndeliveredView:
    """A message that did not get through. ``next_try_at`` None: given up. Its text is not here."""

    target: str
    kind: str
    gateway: str
    session: str | None
    created_at: datetime
    tries: int
    next_try_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class LedgerView:
    """``problem``: why it cannot be used now; nothing is done until it can. ``lost_history_at``: see ``release --lost-history``."""

    problem: str | None
    lost_history_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """One of those that share the gateways. ``is_here``: it said so within the term; ``delivers``: it delivers everybody's messages."""

    name: str
    is_this: bool
    is_here: bool
    delivers: bool
    shards: int
    gateways: tuple[str, ...]
    """Those of them that it watches, as this one's configuration calls them."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything. ``last_cycle_at``: the last poll that a gateway answered, see ``/healthz``."""

    program: str
    schema: int
    version: str
    pid: int
    at: datetime
    started_at: datetime
    mode: str
    poll_every_seconds: float
    last_cycle_at: datetime | None
    headline: Headline
    gateways: tuple[GatewayView, ...]
    open_incidents: int
    incidents: tuple[IncidentView, ...]
    incidents_left_out: int
    deeds: tuple[DeedView, ...]
    quarantines: tuple[QuarantineView, ...]
    pauses: tuple[PauseView, ...]
    operator: tuple[OperatorView, ...]
    undelivered: tuple[UndeliveredView, ...]
    ledger: LedgerView
    config_file: str | None = None
    """What a command has to name with ``--config`` to be about this daemon; None: it finds that file by itself."""
    list_problems: tuple[str, ...] = ()
    """What of the lists of gateways (``discover: {file: …}`` or ``{http: …}``) cannot be used, as sentences."""
    replicas: tuple[ReplicaView, ...] = ()
    """Who shares the gateways; empty: this daemon watches all of them."""
    unwatched: tuple[str, ...] = ()
    """Gateways that no replica watches now."""


Document = dict[str, Any]


def document(state: State, scrub: Callable[[str], str] = str) -> Document:
    """The state as plain JSON values. ``scrub`` cuts known secrets out of every string."""
    plain = _plain(state, scrub)
    assert isinstance(plain, dict)
    return plain


def _plain(value: object, scrub: Callable[[str], str]) -> object:
    match value:
        case None | bool() | int():
            return value
        case float():
            return round(value, 3)
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds")
        case Enum():
            return value.value
        case str():
            return scrub(value)
        case Mapping():
            return {scrub(str(key)): _plain(item, scrub) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, scrub) for item in value]
    assert is_dataclass(value)
    return {field.name: _plain(getattr(value, field.name), scrub) for field in fields(value)}


# ---------------------------------------------------------------- the headline


def headline(
    gateways: Sequence[GatewayView],
    pauses: Sequence[PauseView],
    quarantines: Sequence[QuarantineView],
    undelivered: Sequence[UndeliveredView],
    ledger: LedgerView,
    list_problems: Sequence[str] = (),
    *,
    is_shared: bool = False,
    unwatched: Sequence[str] = (),
) -> Headline:
    """What a person must know first: trouble before notices, the worst first, joined in one sentence."""
    trouble: list[str] = []
    notices: list[str] = []
    if ledger.problem is not None:
        trouble.append("the ledger cannot be used")
    if ledger.lost_history_at is not None:
        trouble.append("the ledger's history was lost")
    if list_problems:
        trouble.append("a list of gateways cannot be used in full")
    if unwatched:
        trouble.append(
            f"{len(unwatched)} {'gateway is' if len(unwatched) == 1 else 'gateways are'} watched by no replica"
        )
    away = [gateway for gateway in gateways if gateway.phase not in ("connected", "unseen")]
    trouble += [f"gateway {gateway.name} {gateway_is(gateway.phase)}" for gateway in away]
    trouble += [f"the fleet breaker is open on {gateway.name}" for gateway in gateways if gateway.is_fleet_breaker_open]
    count = {name: sum(gateway.verdicts.get(name, 0) for gateway in gateways) for name in _TOLD}
    in_recovery = sum(gateway.in_recovery for gateway in gateways)
    # Named once: what is in recovery or in quarantine is not also counted as stuck.
    count["stuck"] -= sum(
        session.verdict == "stuck" and (session.is_in_recovery or session.is_quarantined)
        for gateway in gateways
        for session in gateway.sessions
    )
    if quarantines:
        trouble.append(f"{len(quarantines)} quarantined")
    if count["stuck"]:
        trouble.append(f"{count['stuck']} stuck")
    if in_recovery:
        notices.append(f"{in_recovery} in recovery")
    notices += [f"{count[name]} {VERDICTS[name]}" for name in _TOLD if name != "stuck" and count[name]]
    notices += [
        f"gateway {gateway.name} does not grant {' and '.join(gateway.not_granted)}"
        for gateway in gateways
        if gateway.not_granted
    ]
    if undelivered:
        notices.append(f"{len(undelivered)} {'message' if len(undelivered) == 1 else 'messages'} not delivered")
    if pauses:
        whole = any(pause.gateway is None and pause.session is None for pause in pauses)
        notices.append("everything is paused" if whole else "paused in part")
    if trouble or notices:
        level = Urgency.TROUBLE if trouble else Urgency.NOTICE
        return Headline(level, _sentence([*trouble, *notices]))
    if any(gateway.phase == "unseen" for gateway in gateways):
        return Headline(Urgency.NOTICE, "Taking the first look.")
    if not gateways and is_shared:
        return Headline(Urgency.OK, "The other replicas watch all gateways.")
    if not gateways:
        return Headline(Urgency.NOTICE, "No gateway is watched: the lists name none.")
    total = sum(gateway.session_count for gateway in gateways)
    if total == 0:
        return Headline(Urgency.OK, "All is well: there are no sessions.")
    return Headline(Urgency.OK, f"All is well: {total} {'session' if total == 1 else 'sessions'}, none of them stuck.")


_TOLD = ("stuck", "unknown", "suspect", "long_running")


def _sentence(parts: Sequence[str]) -> str:
    text = ", ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."
