"""Makers of what tests are about: a gateway's facts, rows, the ends of transcripts, policies. Each makes the ordinary one;
its keywords are what a test is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.fakes.clock import START
from watchdog.core.model import (
    Asked,
    GatewayFacts,
    Moment,
    Preflight,
    ReplyAddress,
    Sender,
    SenderKind,
    Session,
    SessionKind,
    Status,
    TailKind,
    TranscriptTail,
)
from watchdog.core.policy import Budget, FleetBreakerLimits, Policy, Recovery, Thresholds
from watchdog.core.session_key import peer_of
from watchdog.core.tracking import Track, observe
from watchdog.gateway.capabilities import capabilities_of, untried_words

MEASURED = V324, V414, V518, V96 = "2026.3.24", "2026.4.14", "2026.5.18", "2026.9.6"
"""The versions that real gateways were measured on."""
KEY = "agent:main:irc:direct:alice"
BOOT = START.wall - timedelta(days=1)
IRC = ReplyAddress("irc", "irc:alice", "default")
ALICE = Sender(SenderKind.PERSON, "alice!~alice@127.0.0.1", "Alice")
"""The person of the chat that ``IRC`` leads to."""
REQUEST = "please do the long task LONGTASK-7"


def facts(version: str = V96, **changes: Any) -> GatewayFacts:
    """A gateway of that version, up for a day."""
    methods = frozenset({"gateway.restart.preflight"} if version in (V518, "2026.7.2", V96) else ())
    worth, untried = capabilities_of(version, methods), untried_words(version)
    made = GatewayFacts("home", version, worth, BOOT, methods=methods, untried=untried)
    return replace(made, **changes)


def running(key: str = KEY, **changes: Any) -> Session:
    """A row that says running, started ten minutes before the story, and nothing else."""
    began = START.wall - timedelta(minutes=10)
    return replace(Session(key, Status.RUNNING, session_id="sid-1", started_at=began, updated_at=began), **changes)


def orphan(key: str = KEY, **changes: Any) -> Session:
    """The same, of a run that started an hour before the gateway did."""
    began = BOOT - timedelta(hours=1)
    return running(key, **{"started_at": began, "updated_at": began, **changes})


def preflight(total: int) -> Preflight:
    return Preflight(total, START)


def fresh_track(session: Session, now: Moment = START) -> Track:
    return observe(None, session, None, now)


def dead(key: str = KEY, **changes: Any) -> Session:
    """An orphan of a chat with one person: nothing can work on it."""
    peer = peer_of(key)
    made = orphan(
        key,
        session_id=f"sid-{key}",
        kind=SessionKind.DIRECT,
        agent_id="main",
        channel="irc",
        reply_address=IRC if peer is None else ReplyAddress(peer.channel, f"{peer.channel}:{peer.chat}", "default"),
        last_writer=ALICE.id if peer is None else None,
        has_active_run=False,
    )
    return replace(made, **changes)


def vague(key: str = KEY, **changes: Any) -> Session:
    """A row that started after the boot, and about whose run nothing is known."""
    return dead(key, **{"started_at": START.wall - timedelta(minutes=1), "has_active_run": None, **changes})


def person_of(key: str) -> Sender:
    """Who writes to such a session: the person its key names, else Alice."""
    peer = peer_of(key)
    if peer is None or not peer.is_person:
        return ALICE
    return Sender(SenderKind.PERSON, f"{peer.chat}!~{peer.chat}@127.0.0.1", peer.chat.capitalize())


def tail_of(kind: TailKind = TailKind.REQUEST, *, by: Sender = ALICE, **changes: Any) -> TranscriptTail:
    """A transcript that ends with a person's request; ``request=None``: nothing of it is left."""
    at = START.wall - timedelta(minutes=5)
    made = TranscriptTail(kind, "tail-1", request=REQUEST, last_answer="earlier", at=at)
    made = replace(made, **changes)
    if made.request is not None and "asked" not in changes:
        made = replace(made, asked=(Asked(by, made.request, made.at),))
    return made


def policy(
    *, thresholds: dict[str, Any] | None = None, match: Any = None, name: str = "default", **recovery: Any
) -> Policy:
    made = Policy(name, Thresholds(**(thresholds or {})), Recovery(**recovery))
    return replace(made, match=match) if match is not None else made


def lenient(**recovery: Any) -> Policy:
    """Short waits between attempts, so that stories stay short; everything else as shipped."""
    return policy(**{"backoff": (timedelta(minutes=1),), **recovery})


def breaker(sessions: int, share: float = 0.5) -> FleetBreakerLimits:
    return FleetBreakerLimits(sessions, share)


def budget(attempts: int, hours: float = 72) -> Budget:
    return Budget(attempts, timedelta(hours=hours))
