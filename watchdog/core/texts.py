"""The words put into a conversation: the resume turn, the question after a long interruption, the fresh-session notice.

Every text carries a mark (``[openclaw-watchdog <incident>/<number>]``): another watchdog, or the next life of this one,
recognises our deed in the transcript by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

MARK = re.compile(r"\[openclaw-watchdog ([\w.-]+)/(\d+)\]")
QUOTE_LIMIT = 6000
"""Characters of the interrupted request quoted in a resume turn; the rest is in the transcript or the handoff note."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """What is known about the turn that was cut."""

    incident: str
    number: int
    request: str | None
    interrupted_at: datetime | None
    is_long_ago: bool
    """Too long ago, or perhaps stopped on purpose: the person is asked instead of the work going on."""
    was_in_tools: bool = False


def mark(incident: str, number: int) -> str:
    return f"[openclaw-watchdog {incident}/{number}]"


def quote(request: str) -> str:
    """The request as a quoted block, cut at ``QUOTE_LIMIT`` with a note that it was cut."""
    cut = request if len(request) <= QUOTE_LIMIT else request[:QUOTE_LIMIT] + " […cut]"
    return "\n".join(f"> {line}" for line in cut.splitlines() or [""])


def resume_text(interruption: Interruption, template: str | None = None) -> str:
    """The message of a resume turn.

    ``template`` (``recovery.resume_message``) replaces the built-in text; ``{request}`` and ``{interrupted_at}`` in it
    are filled in. The mark is always added.
    """
    at = f"{interruption.interrupted_at:%Y-%m-%d %H:%M} UTC" if interruption.interrupted_at else "an unknown time"
    tail = mark(interruption.incident, interruption.number)
    if template is not None:
        text = template.replace("{request}", interruption.request or "").replace("{interrupted_at}", at)
        return f"{text}\n\n{tail}"
    if interruption.request is None:
        return (
            f"Your previous turn in this conversation was interrupted at {at} before the request could be saved. "
            "Nothing of it is left. Tell the person briefly that their last message was lost in an interruption, "
            f"and ask them to send it again. Do nothing else.\n\n{tail}"
        )
    quoted = quote(interruption.request)
    if interruption.is_long_ago:
        return (
            f"Your previous turn in this conversation was interrupted at {at} and may no longer be wanted. "
            "Do not carry the request out now. Tell the person in one or two sentences what was interrupted and ask "
            f"whether they still want it done.\n\nThe interrupted request:\n{quoted}\n\n{tail}"
        )
    tools = (
        " Results of tool calls you already made are in this conversation: use them."
        if interruption.was_in_tools
        else ""
    )
    return (
        f"Your previous turn in this conversation was interrupted at {at} before you finished. "
        f"Please continue and finish it now, and answer the person.{tools} Do not repeat side effects that are already "
        "done (messages sent, files written, commands run): check first.\n\n"
        f"The interrupted request:\n{quoted}\n\n{tail}"
    )


def fresh_session_notice(request: str | None, interrupted_at: datetime | None) -> str:
    """What the person reads in their chat after a fresh session was started for them."""
    at = f" (interrupted {interrupted_at:%Y-%m-%d %H:%M} UTC)" if interrupted_at else ""
    asked = f" Your last request was: “{_head(request)}”{at}." if request else ""
    return (
        "I had got stuck on this conversation and could not continue it, so a fresh session was started. "
        f"Earlier messages are no longer in my context.{asked} Please send it again if you still need it."
    )


def handoff_note(
    key: str, session_id: str | None, request: str | None, last_answer: str | None, incident: str, at: datetime
) -> str:
    """The file saved beside the ledger before a step that loses context. The one place that holds a person's words."""
    return (
        f"# Handoff note\n\nincident: {incident}\nsession: {key}\nold session id: {session_id or 'unknown'}\n"
        f"saved at: {at:%Y-%m-%d %H:%M:%S} UTC\n\n## Last request\n\n{request or '(not in the transcript)'}\n\n"
        f"## Head of the last answer\n\n{_head(last_answer, 2000) if last_answer else '(none)'}\n"
    )


def _head(text: str, limit: int = 300) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
