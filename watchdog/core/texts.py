"""The words put into a conversation: the resume turn, the question to the requester, the fresh-session notice.

Every turn carries a mark (``[openclaw-watchdog <incident>/<number>]``) in its last line: another watchdog, or the next life
of this one, recognises our deed in the transcript by it. People can type it, so it counts only where the gateway says that
the message did not come from a person (``watchdog.gateway.sessions.transcript``). A text of the operator's own replaces
our words; the quote, its author and the mark are always ours.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from watchdog.core.model import Asked, Sender
from watchdog.core.policy import Texts
from watchdog.core.printable import shown_key

MARK = re.compile(r"\[openclaw-watchdog ([\w.-]+)/(\d+)\]")
QUOTE_LIMIT = 6000
"""Characters of the interrupted request quoted in a resume turn; the rest is in the transcript or the handoff note."""
NAME_LIMIT = 64
BUILT_IN = Texts()
PLACEHOLDERS: Mapping[str, tuple[str, ...]] = {
    "resume": ("request", "interrupted_at"),
    "ask": ("interrupted_at",),  # it quotes nothing
    "fresh_session": ("request", "interrupted_at"),
}
"""What is filled into an operator's own text, by the text's name."""
_ENDING_MARK = re.compile(MARK.pattern + r"\s*\Z")
_PLACEHOLDER = re.compile(r"\{(request|interrupted_at)\}")


@dataclass(frozen=True, slots=True)
class Interruption:
    """What is known about the turn that was cut."""

    incident: str
    number: int
    request: str | None
    interrupted_at: datetime | None
    author: Sender | None = None
    """Whose words the request is, where the session has several people."""
    was_in_tools: bool = False
    lost_inputs: int = 0
    """Further messages that the gateway had accepted and dropped (2026.9.6)."""


@dataclass(frozen=True, slots=True)
class _Language:
    """The built-in texts of one language. ``resume`` speaks to the model, the others are read by people."""

    resume: str
    used_tools: str
    lost_inputs: str
    no_repeats: str
    same_language: str
    heading: str
    author: str
    ask: str
    fresh_session: str
    fresh_request: str
    fresh_again: str
    free: str
    cut: str
    unknown_time: str


LANGUAGES: Mapping[str, _Language] = {
    "en": _Language(
        resume=(
            "Your previous turn in this conversation was interrupted at {interrupted_at} before you finished. "
            "Please continue and finish it now, and answer the person."
        ),
        used_tools=" Results of tool calls you already made are in this conversation: use them.",
        lost_inputs=(
            " Something else that was sent to you meanwhile was lost: say so, and ask the person to send it again."
        ),
        no_repeats=(
            " Do not repeat side effects that are already done (messages sent, files written, commands run): check first."
        ),
        same_language=" Answer in the language of the request.",
        heading="The interrupted request{author}:",
        author=", written by {name} (id {id})",
        ask=("Your last request was cut off and is not done; please send it again if you still need it."),
        fresh_session=(
            "I had got stuck on this conversation and could not continue it, so a fresh session was started. "
            "Earlier messages are no longer in my context.{request}{again}"
        ),
        fresh_request=" Your last request was: “{words}” (interrupted {interrupted_at}).",
        fresh_again=" Please send it again if you still need it.",
        free="This message only frees the session after an interrupted run. It asks for nothing; what follows it is unaffected.",
        cut=" […cut]",
        unknown_time="an unknown time",
    ),
    "zh-CN": _Language(
        resume="你在本会话中的上一轮回复于 {interrupted_at} 被中断，尚未完成。请现在继续并完成它，然后回复对方。",
        used_tools="你已经得到的工具调用结果仍在本会话中，请直接使用。",
        lost_inputs="期间发给你的另一条消息已丢失：请说明这一点，并请对方重新发送。",
        no_repeats="不要重复已经产生的副作用（已发送的消息、已写入的文件、已执行的命令）：请先检查。",
        same_language="请使用请求所用的语言回复。",
        heading="被中断的请求{author}：",
        author="（发送者：{name}，id {id}）",
        ask="您的上一条请求被中断，没有完成。如果仍然需要，请重新发送一次。",
        fresh_session="刚才的会话卡住了，无法继续，已为您开启新会话。之前的消息我已经看不到了。{request}{again}",
        fresh_request="您的上一条请求是：“{words}”（中断于 {interrupted_at}）。",
        fresh_again="如果仍然需要，请重新发送一次。",
        free="本消息仅用于在运行中断后释放此会话，不要求任何操作，也不影响其后的消息。",
        cut=" […已截断]",
        unknown_time="未知时间",
    ),
}
"""The languages that are delivered, by their names in ``texts.language``."""


def mark(incident: str, number: int) -> str:
    return f"[openclaw-watchdog {incident}/{number}]"


def mark_in(text: str) -> str | None:
    """``<incident>/<number>`` of the mark that ends this text; None: it ends in none."""
    found = _ENDING_MARK.search(text)
    return f"{found[1]}/{found[2]}" if found is not None else None


def quote(request: str, cut: str = LANGUAGES["en"].cut) -> str:
    """The request as a quoted block, cut at ``QUOTE_LIMIT`` with a note that it was cut. Every line of it begins with
    ``> ``, whatever separates lines, so that nothing in it can pass for the end of the quote."""
    words = request if len(request) <= QUOTE_LIMIT else request[:QUOTE_LIMIT] + cut
    return "\n".join(f"> {line}" for line in words.splitlines() or [""])


def resume_text(interruption: Interruption, texts: Texts = BUILT_IN) -> str:
    """The message of a resume turn: our words or the operator's, then the quote, then the mark.

    Raises ``ValueError`` where nothing of the request is left: there is nothing to go on with.
    """
    if interruption.request is None:
        raise ValueError("a request that is lost is asked for again, not resumed")
    words = _language(texts)
    heading = words.heading.replace("{author}", _author(interruption.author, words))
    quoted = f"{heading}\n{quote(interruption.request, words.cut)}"
    known = {"interrupted_at": _instant(interruption.interrupted_at, words)}
    tail = mark(interruption.incident, interruption.number)
    if texts.resume is not None:
        # The quote stands where the text says, or after it: without it the model would answer something else.
        said = _filled(texts.resume, {**known, "request": f"\n{quoted}\n"})
        body = said if "{request}" in texts.resume else f"{said}\n\n{quoted}"
    else:
        said = _filled(words.resume, known)
        said += words.used_tools if interruption.was_in_tools else ""
        said += words.lost_inputs if interruption.lost_inputs else ""
        body = f"{said}{words.no_repeats}{words.same_language}\n\n{quoted}"
    return f"{body}\n\n{tail}"


def ask_text(interrupted_at: datetime | None, texts: Texts = BUILT_IN) -> str:
    """What the requester reads in their own chat. It quotes nothing."""
    words = _language(texts)
    return _filled(texts.ask or words.ask, {"interrupted_at": _instant(interrupted_at, words), "request": ""}).strip()


def free_text(incident: str, number: int, texts: Texts = BUILT_IN) -> str:
    """What frees a row that refuses messages. It is refused before a model is called, and asks for nothing should it run all
    the same. It forbids nothing either: it stays in the transcript, before the words of whoever was waiting (2026.9.6)."""
    return f"{_language(texts).free}\n\n{mark(incident, number)}"


def fresh_session_notice(
    request: str | None, interrupted_at: datetime | None, texts: Texts = BUILT_IN, *, is_over: bool = False
) -> str:
    """What the requester reads in their chat after a fresh session was started. ``request`` None: nothing is quoted.
    ``is_over``: it was answered or stopped, so nothing is quoted and nobody is asked to send it again."""
    request = None if is_over else request
    words = _language(texts)
    at = _instant(interrupted_at, words)
    if texts.fresh_session is not None:
        quoted = f"\n{quote(_head(request))}\n" if request else ""
        return _filled(texts.fresh_session, {"interrupted_at": at, "request": quoted}).strip()
    asked = _filled_words(words.fresh_request, _head(request), at) if request else ""
    again = "" if is_over else words.fresh_again
    # Last comes what others wrote: no word of theirs is filled in.
    return words.fresh_session.replace("{again}", again).replace("{request}", asked)


def handoff_note(
    key: str,
    session_id: str | None,
    asked: tuple[Asked, ...],
    request: str | None,
    last_answer: str | None,
    incident: str,
    at: datetime,
) -> str:
    """The note saved before a step that loses context. The one that holds people's words, each with its author."""
    words = LANGUAGES["en"]
    said = [f"{_author(one.sender, words).lstrip(', ') or 'unknown'}:\n\n{one.words}" for one in asked]
    requests = "\n\n".join(said) or request or "(not in the transcript)"
    return (
        f"# Handoff note\n\nincident: {incident}\nsession: {shown_key(key)}\nold session id: {session_id or 'unknown'}\n"
        f"saved at: {at:%Y-%m-%d %H:%M:%S} UTC\n\n## Last request\n\n{requests}\n\n"
        f"## Head of the last answer\n\n{_head(last_answer, 2000) if last_answer else '(none)'}\n"
    )


def _language(texts: Texts) -> _Language:
    return LANGUAGES[texts.language]


def _instant(at: datetime | None, words: _Language) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at is not None else words.unknown_time


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Every placeholder of the template once; what is put in is never read again."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def _filled_words(template: str, request: str, at: str) -> str:
    before, _, after = template.partition("{words}")
    unquoted = request.translate({ord("“"): '"', ord("”"): '"'})
    return _filled(before, {"interrupted_at": at}) + unquoted + _filled(after, {"interrupted_at": at})


def _author(sender: Sender | None, words: _Language) -> str:
    if sender is None or sender.id is None:
        return ""
    name = plain_name(sender.name) or plain_name(sender.id)
    before, _, after = words.author.partition("{name}")
    return before + f"“{name}”" + after.replace("{id}", plain_name(sender.id))


def plain_name(name: str | None) -> str:
    """A name as its bearer chose it, on one line, without what could end a quotation or turn the direction of text."""
    if name is None:
        return ""
    kept = "".join(
        char for char in " ".join(name.split()) if char not in '“”"`[]<>{}' and unicodedata.category(char)[0] != "C"
    )
    flat = " ".join(kept.split())
    return flat if len(flat) <= NAME_LIMIT else flat[: NAME_LIMIT - 1] + "…"


def _head(text: str, limit: int = 300) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
