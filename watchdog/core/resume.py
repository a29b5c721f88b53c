"""How a cut request is taken up: goes on, is asked for again, or is held. Whose words, whose chat, whose rights.

A resume turn runs with the rights of our connection, not with its requester's (measured on 2026.3.24, 5.18 and 9.6: a
member without ``exec`` got it by being interrupted). So it is done only where no rule could tell the two apart; else the
requester is asked, by a literal message that runs nothing, and their next words run with their own rights.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from watchdog.core.model import TailKind, TranscriptTail
from watchdog.core.policy import AskInstead, Step
from watchdog.core.requester import Requester, RequesterKind

OWNER_TOOLS = frozenset({"cron", "gateway", "nodes", "openclaw"})
"""Offered to the gateway's owner alone (measured: the first three on 3.24 and 5.18, the last on 9.6)."""

GATEWAYS_ENDED = 2
"""Gateways that ended with a run at work, one after the other, until it is taken for what ends them: a turn that fills the heap
was resumed into seven crashes in six minutes (#115424)."""


class Doubt(StrEnum):
    """Why a request is not simply gone on with."""

    LOST = "nothing of the request is left"
    LONG_AGO = "it was interrupted long ago"
    PERHAPS_STOPPED = "a person may have stopped it"
    ENDS_GATEWAYS = "its gateway ended more than once while it was at work, perhaps because of it"
    RIGHTS_UNKNOWN = "whether rules by sender apply to its requester could not be read"
    OWN_RULES = "rules by sender may give its requester other tools than a turn of ours"
    OWNERS_TOOLS = "it has used tools that only the gateway's owner is offered"
    CONFIGURED = "the configuration says ask_instead_of_resume: always"


@dataclass(frozen=True, slots=True)
class Choice:
    """``step``: RESUME or ASK; None: hold, for the reason in ``message``. ``is_as_owner``: over a connection with admin."""

    step: Step | None
    message: str
    is_as_owner: bool = False
    is_requester_unclear: bool = False
    """The hold is about who asked or where, not about the way of asking."""


def choose(
    requester: Requester,
    tail: TranscriptTail | None,
    *,
    is_long_ago: bool,
    perhaps_stopped: bool,
    ended_gateways: int,
    has_admin: bool,
    ask_instead: AskInstead = AskInstead.AUTO,
) -> Choice:
    """How the rung ``resume`` is done for this requester now. ``has_admin``: the ladder has a connection with admin. ``ended_gateways``: see
    ``Track``."""
    unclear = _unclear(requester)
    if unclear is not None:  # guard: resume: nobody proven, nothing sent
        return Choice(None, unclear, is_requester_unclear=True)
    is_owner = requester.rights is not None and requester.rights.is_owner is True
    doubt = _doubt(
        requester,
        tail,
        is_long_ago=is_long_ago,
        perhaps_stopped=perhaps_stopped,
        ended_gateways=ended_gateways,
        has_admin=has_admin,
    )
    if doubt is None and ask_instead is AskInstead.ALWAYS and requester.route is not None:
        doubt = Doubt.CONFIGURED
    if doubt is None:
        words = "It goes on with the request" + (", answered in the requester's chat." if requester.route else ".")
        return Choice(
            Step.RESUME,
            words,
            is_as_owner=is_owner and has_admin,  # guard: resume: admin for a proven owner alone
        )
    if requester.route is None:
        return Choice(
            None,
            f"It is not gone on with ({doubt.value}), and nobody's chat is known to ask in.",
            is_requester_unclear=True,
        )
    if ask_instead is AskInstead.NEVER:
        return Choice(None, f"It is not gone on with ({doubt.value}), and ask_instead_of_resume is never.")
    return Choice(Step.ASK, f"The requester is asked to send it again: {doubt.value}.")


def why_unreachable(requester: Requester) -> str | None:
    """Why a step that speaks to the requester (``ask``, or the notice after ``new``) has nobody to speak to; None: it has,
    or the session has no chat at all."""
    return _unclear(requester)


def _unclear(requester: Requester) -> str | None:
    if requester.has_no_chat and requester.kind in (
        RequesterKind.OPERATOR,
        RequesterKind.NOBODY,
        RequesterKind.LOST,
    ):
        return None
    if requester.kind in (RequesterKind.PERSON, RequesterKind.LOST) and requester.route is not None:
        return None
    ending = "" if requester.kind is RequesterKind.UNKNOWN else " People read this session in a chat."
    return f"Whom an answer belongs to is not proven. {requester.message}{ending}"


def _doubt(
    requester: Requester,
    tail: TranscriptTail | None,
    *,
    is_long_ago: bool,
    perhaps_stopped: bool,
    ended_gateways: int,
    has_admin: bool,
) -> Doubt | None:
    # guard: resume: nothing that can be gone on with asks
    if requester.kind is RequesterKind.LOST or (tail is not None and tail.request is None):
        return Doubt.LOST
    if perhaps_stopped or (tail is not None and tail.kind is TailKind.STOPPED):  # guard: resume: perhaps stopped asks
        return Doubt.PERHAPS_STOPPED
    if ended_gateways >= GATEWAYS_ENDED:  # guard: resume: what may end its gateway asks
        return Doubt.ENDS_GATEWAYS
    if is_long_ago:
        return Doubt.LONG_AGO
    if requester.kind is not RequesterKind.PERSON:
        return None
    rights = requester.rights
    if rights is None or rights.is_owner is None or rights.has_own_rules is None:
        return Doubt.RIGHTS_UNKNOWN  # guard: resume: unknown rights ask
    if rights.has_own_rules:  # guard: resume: rules by sender ask
        return Doubt.OWN_RULES
    called = tail.tools_called if tail is not None else frozenset[str]()
    if rights.is_owner and not has_admin and called & OWNER_TOOLS:
        return Doubt.OWNERS_TOOLS
    return None
