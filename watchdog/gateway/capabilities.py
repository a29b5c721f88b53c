"""What each gateway version's answers are worth, and what each step needs there.

Measured on the real 2026.3.24, 2026.4.14, 2026.5.18 and 2026.9.6; versions in between get the weaker of their
neighbours' guarantees, unknown ones the weakest of all. Method names in a hello are a lower bound (2026.3.24 hides
some), so a missing one is only believed where the version is known to lack it.

Facts that go with one of these are properties of ``core.model.Capabilities``. All of them, release by release, stand in
docs/releases.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from watchdog.core.model import Capabilities, FlagWorth, LockWorth, Session
from watchdog.core.policy import Step

Version = tuple[int, int, int]

READ, WRITE, ADMIN = "operator.read", "operator.write", "operator.admin"

NEWEST_TRIED: Version = (2026, 9, 6)
"""The newest release in docs/compatibility.md; a test compares the two."""
FIRST_WITH_STATUS: Version = (2026, 3, 24)
"""``sessions.list`` says ``status``; before, no run could be told stuck."""
LAST_LOCKING_WHOLE_RUN: Version = (2026, 4, 14)
"""``<sessionId>.jsonl.lock`` is held from start to end of a run on 3.24, 4.8 and 4.14; on 5.18 it is not. On 5.7, 5.12 and 5.28 to
7.35 live runs were seen to hold it; whether for their whole length was not measured, so no lock proves nothing there."""
FIRST_WITH_FLAG: Version = (2026, 5, 2)
"""``hasActiveRun`` appears in the rows, and misses runs: it proves life, and no death (source of 4.29 and 5.2; measured on 5.7,
5.12, 5.18 and 6.1: false for a live run from a chat)."""
FIRST_WITH_HONEST_FLAG: Version = (2026, 7, 1)  # guard: version gate of the flag
"""``hasActiveRun`` counts channel and embedded runs since openclaw PR #98257 (in 2026.7.1-beta.1)."""
FIRST_RECOVERING_AT_BOOT: Version = (2026, 4, 24)
"""Cut runs are resumed by the gateway itself after a boot: 2026.4.23 resumed none of four, 4.24 all four, whose rows went on saying
``running`` after their answer (docs/compatibility.md)."""
FIRST_ENDING_ROW_ON_STOP: Version = (2026, 5, 18)
"""A person's Stop ends the row; before, it goes on saying ``running`` (3.24 to 4.24; docs/compatibility.md). It ends from 5.2 on;
what is believed with it (``puts_row_back``, ``writes_time_out_as_stop``) was measured on 5.18 and not before."""
FIRST_RESUMED_BY_AGENT: Version = (2026, 7, 1)
"""``agent`` with ``deliver`` cures a row and proves its delivery (2026.9.6); on 3.24 it leaves the row running."""
FIRST_WRAPPING_PROMPTS: Version = (2026, 4, 15)
"""From here to ``FIRST_HANDING_OUT_BARE_WORDS``, see ``wraps_prompts``. Seen on 5.18, 5.19 and 5.20 alone (docs/compatibility.md);
elsewhere words come bare, and looking for a block that is not there changes nothing."""
FIRST_HANDING_OUT_BARE_WORDS: Version = (2026, 9, 0)
"""``chat.history`` gives a person's words as they wrote them."""
FIRST_WITH_DEAF_ROWS: Version = (2026, 8, 0)
"""After a lost write a row refuses every message of its people (measured on 2026.8.2 and 9.6)."""
FIRST_WITHOUT_OWNERS_BY_ALLOWLIST: Version = (2026, 9, 0)
"""Before, a channel's ``allowFrom`` without ``*`` makes its people the gateway's owners (measured on 3.24 and 5.18)."""
FIRST_WITH_SERVER_FENCE: Version = (2026, 9, 5)
"""``sessions.reset`` takes ``expectedSessionId``: the gateway itself refuses when the session was replaced (2026.9.5, 9.6).
2026.9.4 refuses every reset that has it: `unexpected property`."""
FIRST_QUIET_AT_SIGN_IN: Version = (2026, 5, 0)
"""2026.3.24 probes its chat apps whenever an operator signs in, and a delivery in that moment is lost (IRC error 433);
2026.5.18 and 9.6 do not."""
FIRST_LISTING_IN_PAGES: Version = (2026, 5, 4)
"""2026.3.24 and 4.14 send every row at once and know no totals (nor does 5.3-1, by its source): there a limit would cut rows
silently. Source of 5.4; measured on 5.7 and later."""
FIRST_WAIT_SAYING_DELIVERED: Version = (2026, 9, 0)
"""``agent.wait`` says whether the answer reached the chat (``terminalDelivery``, 2026.9.6; 5.18 says ``ok`` in every case)."""
LAST_KEEPING_REFUSED_MESSAGES: Version = (2026, 4, 14)
"""2026.3.24 sends a literal message that its chat app refused once more at its next start; 2026.5.18 and 9.6 do not. (4.14
was not measured.)"""
FIRST_WITH_MAX_CHARS: Version = (2026, 4, 2)
"""``chat.history`` takes ``maxChars`` (source of 4.2 to 9.6). 2026.3.24 refuses it; those between were not looked at."""
BOOT_RECOVERY = timedelta(minutes=5)


def wraps_prompts(version: Version) -> bool:
    """``chat.history`` puts a block of the gateway's own before a person's words, with other people's lines in it (measured on
    2026.5.18, and not on 3.24 and 9.6). In the same span a transcript's file names the chat of each message (on 3.24 it does
    not, and 9.6 has no such file), and a chat app's spool keeps what was not handled."""
    return FIRST_WRAPPING_PROMPTS <= version < FIRST_HANDING_OUT_BARE_WORDS


def takes_max_chars(version: Version) -> bool:
    """``chat.history`` gives a text whole that it cuts otherwise, at 12,000 characters (3.24, 4.14) or 8,000 (5.18, 9.6)."""
    return version >= FIRST_WITH_MAX_CHARS


def adds_threads(version: Version) -> bool:
    """``agent`` to the chat that the row leads to takes the row's thread where it is given none (2026.5.18)."""
    return wraps_prompts(version)


def parse_version(text: str) -> Version | None:
    """``2026.9.6``, ``2026.7.1-beta.1``, ``v2026.3.24`` -> the three numbers; None for anything else (``dev``)."""
    match = re.match(r"v?(\d{4})\.(\d{1,2})\.(\d{1,2})(?!\d)", text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def untried_words(version_text: str) -> str | None:
    """What a person should know of a version newer than any release that this program was tried on. None: it is not newer,
    or cannot be read, which ``capabilities_of`` trusts with next to nothing."""
    version = parse_version(version_text)
    if version is None or version <= NEWEST_TRIED:
        return None
    new, newest = (".".join(map(str, each)) for each in (version, NEWEST_TRIED))
    return (
        f"OpenClaw {new} is newer than any release this program was tried on ({newest}). Its answers are believed as those of "
        f"{newest} are, because releases seldom change what an answer means; what cannot be read counts as unknown, and unknown "
        "never leads to a deed. A newer openclaw-watchdog may know it."
    )


def capabilities_of(version_text: str, methods: frozenset[str]) -> Capabilities:
    """What a gateway's answers are worth. An unreadable version trusts nothing but proofs of life."""
    version = parse_version(version_text)
    has_preflight = "gateway.restart.preflight" in methods
    if version is None:
        return Capabilities(
            active_run_flag=FlagWorth.PROVES_LIFE_ONLY,
            lock=LockWorth.SAYS_NOTHING,
            has_preflight=has_preflight,
            has_abort_probe=False,
            boot_recovery=BOOT_RECOVERY,
            row_survives_stop=True,
            has_deaf_rows=False,
            wraps_prompts=True,
            has_chat_spool=True,
        )
    if version >= FIRST_WITH_HONEST_FLAG:
        flag = FlagWorth.TRUSTED
    elif version >= FIRST_WITH_FLAG:
        flag = FlagWorth.PROVES_LIFE_ONLY
    else:
        flag = FlagWorth.ABSENT
    locks = FIRST_WITH_STATUS <= version <= LAST_LOCKING_WHOLE_RUN
    return Capabilities(
        active_run_flag=flag,
        lock=LockWorth.WHOLE_RUN if locks else LockWorth.SAYS_NOTHING,
        has_preflight=has_preflight,
        # Read in the source of 3.24: only runs with an owning connection are registered, so a stranger without admin
        # is always refused. 5.18 registers runs without an owner too, and there the flag says the same anyway.
        has_abort_probe=FIRST_WITH_STATUS <= version <= LAST_LOCKING_WHOLE_RUN,  # guard: no abort probe where it kills
        boot_recovery=BOOT_RECOVERY if version >= FIRST_RECOVERING_AT_BOOT else timedelta(0),
        row_survives_stop=version < FIRST_ENDING_ROW_ON_STOP,
        has_deaf_rows=version >= FIRST_WITH_DEAF_ROWS,
        wraps_prompts=wraps_prompts(version),
        names_chats_in_file=wraps_prompts(version),
        has_chat_spool=wraps_prompts(version),
    )


@dataclass(frozen=True, slots=True)
class StepNeeds:
    """The scope a step needs on a version, and why, in words for ``doctor``."""

    scope: str | None
    why: str


def needs_of(step: Step, version: Version | None) -> StepNeeds:
    """The least scope with which ``step`` works here."""
    match step:
        case Step.NOTIFY:
            return StepNeeds(None, "telling a person needs nothing of the gateway")
        case Step.NEW | Step.RESET:
            return StepNeeds(
                ADMIN,
                f"`{step.value}` uses sessions.reset, which keeps the person's reply address and needs operator.admin"
                + ("" if version is None else f" on {'.'.join(map(str, version))}"),
            )
        case Step.RECOVER | Step.ABORT:
            return StepNeeds(WRITE, f"`{step.value}` uses sessions.{step.value}, which needs operator.write")
        case Step.ASK | Step.FREE | Step.RESUME:
            return StepNeeds(WRITE, f"`{step.value}` sends into the conversation")
        case _:
            assert_never(step)


def step_problem_of(methods: frozenset[str], step: Step, session: Session) -> str | None:
    """Why ``step`` cannot work on this session on a gateway with these methods, or None."""
    if step is Step.RECOVER and "sessions.recover" not in methods:
        return "This gateway has no sessions.recover (it came with 2026.8)."
    if step is Step.RECOVER and session.restart_recovery_status is None and session.aborted_last_run is not True:
        return "sessions.recover only takes sessions that the gateway's own restart recovery gave up on."
    return None


def scopes_for(steps: frozenset[Step], version: Version | None) -> tuple[str, ...]:
    """Scopes of the connection that does the deeds: read, and only what ``steps`` need here."""
    wanted = {needs_of(step, version).scope for step in steps}
    return tuple(
        scope
        for scope in (READ, WRITE, ADMIN)
        if scope == READ or scope in wanted or (scope == WRITE and ADMIN in wanted)
    )


APPROVAL_CHECK = timedelta(minutes=3)
"""How often it is tried again while a person is to approve the scopes. A request that waits is forgotten after 5 minutes
without a sign-in (source of 2026.3.24 to 9.6), and the next one is announced to every operator, under another id."""
