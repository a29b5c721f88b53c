"""The end of a conversation, with the exact shapes that real gateways send."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.gateway.shapes import (
    ABORTED_IN_TOOLS,
    ABORTED_PARTIAL,
    ABORTED_SILENT,
    COMPACTION_96,
    FAILED_BEFORE_REPLY_96,
    INJECTED_ABORT,
    MIRROR,
    RESET_96,
    TIMED_OUT_96,
    TOOL_CALL,
    TOOL_KILLED,
    TOOL_RESULT,
    Row,
    assistant,
    history,
    raw,
    user,
    user_96,
)
from watchdog.core.model import Sender, SenderKind, TailKind, TranscriptTail
from watchdog.core.texts import mark
from watchdog.gateway.sessions.transcript import read_tail
from watchdog.service import errors

EARLIER = (user("hello"), assistant("hi there"))
TASK = "please do the long task LONGTASK-7"

ENDINGS: dict[str, tuple[tuple[Row, ...], TailKind]] = {
    # 2026.3.24 and 4.14
    "killed silent or mid-stream": ((*EARLIER, user()), TailKind.REQUEST),
    "killed in a tool": ((*EARLIER, user(), TOOL_CALL), TailKind.TOOL_CALL),
    "killed in the model call after a tool": ((*EARLIER, user(), TOOL_CALL, TOOL_RESULT), TailKind.TOOL_RESULT),
    "killed in its first turn": ((), TailKind.EMPTY),
    "stopped while streaming": ((*EARLIER, user(), INJECTED_ABORT, ABORTED_PARTIAL), TailKind.STOPPED),
    "stopped in its first turn while streaming": ((INJECTED_ABORT, user(), ABORTED_PARTIAL), TailKind.STOPPED),
    "stopped first turn, the last entry not yet written": ((INJECTED_ABORT, user()), TailKind.STOPPED),
    "stopped while silent": ((*EARLIER, user(), ABORTED_SILENT), TailKind.STOPPED),
    "stopped in a tool loop": ((*EARLIER, user(), TOOL_CALL, TOOL_KILLED, ABORTED_IN_TOOLS), TailKind.STOPPED),
    "timed out silent": ((*EARLIER, user(), ABORTED_SILENT), TailKind.STOPPED),
    "timed out while streaming": ((*EARLIER, user(), ABORTED_PARTIAL), TailKind.STOPPED),
    "cut by SIGUSR1": ((*EARLIER, user(), TOOL_CALL, TOOL_KILLED, ABORTED_IN_TOOLS), TailKind.STOPPED),
    "an answer, and its mirror": (
        (*EARLIER, user(), assistant("done"), {**MIRROR, "content": [{"type": "text", "text": "done"}]}),
        TailKind.ANSWERED,
    ),
    "a literal send behind an interrupted turn": ((*EARLIER, user(), MIRROR), TailKind.REQUEST),
    "a literal send in an empty session": ((MIRROR,), TailKind.EMPTY),
    # 2026.5.18
    "5.18 stopped first turn: only the injected answer is left": ((INJECTED_ABORT,), TailKind.STOPPED),
    "5.18 stopped in a tool loop": ((*EARLIER, user(), TOOL_KILLED, ABORTED_IN_TOOLS), TailKind.STOPPED),
    "5.18 toolCall with partialArgs": (
        (
            *EARLIER,
            user(),
            {**TOOL_CALL, "content": [{"type": "toolCall", "name": "exec", "arguments": {}, "partialArgs": "{}"}]},
        ),
        TailKind.TOOL_CALL,
    ),
    # 2026.9.6
    "9.6 killed": ((user_96("hello"), assistant("hi"), user_96()), TailKind.REQUEST),
    "9.6 killed in its first turn": ((user_96(),), TailKind.REQUEST),
    "9.6 stopped while streaming": ((user_96(), INJECTED_ABORT), TailKind.STOPPED),
    "9.6 stopped in a tool loop": ((user_96(), TOOL_CALL), TailKind.TOOL_CALL),
    "9.6 timed out": ((user_96(), TIMED_OUT_96), TailKind.STOPPED),
    "9.6 after a reset": ((RESET_96,), TailKind.EMPTY),
    "9.6 after a reset and a literal send": ((RESET_96, MIRROR), TailKind.EMPTY),
    "9.6 compacted": ((user_96(), COMPACTION_96), TailKind.COMPACTION),
    "9.6 a turn that failed before its reply": ((user_96(), FAILED_BEFORE_REPLY_96), TailKind.OTHER),
    # all
    "answered": ((*EARLIER, user(), assistant("it is done")), TailKind.ANSWERED),
    "an answer without words": ((*EARLIER, user(), assistant("  ")), TailKind.OTHER),
    "a provider's error": ((*EARLIER, user(), assistant("", stopReason="error")), TailKind.OTHER),
    "an error text": ((*EARLIER, user(), assistant("x", errorMessage="500")), TailKind.OTHER),
    "a role to come": ((*EARLIER, {"role": "oracle", "content": "x"}), TailKind.OTHER),
}


def _tail(*messages: Row, **changes: Any) -> TranscriptTail:
    return read_tail(history(*messages, **changes))


@pytest.mark.parametrize(("messages", "kind"), ENDINGS.values(), ids=ENDINGS)
def test_measured_endings(messages: tuple[Row, ...], kind: TailKind) -> None:
    assert _tail(*messages).kind is kind


def test_every_kind_but_the_one_that_needs_a_clock_is_reached() -> None:
    assert {kind for _, kind in ENDINGS.values()} == set(TailKind) - {TailKind.TIMED_OUT}


@pytest.mark.parametrize("messages", [(*EARLIER, user()), (*EARLIER, user(), TOOL_CALL, TOOL_RESULT)])
def test_the_interrupted_request(messages: tuple[Row, ...]) -> None:
    tail = _tail(*messages)
    assert tail.request == TASK
    assert tail.last_answer == "hi there"


def test_words_of_96_are_a_plain_string() -> None:
    tail = _tail(user_96("what you said\n"), sessionInfo={"hasActiveRun": False})
    assert tail.request == "what you said"
    assert tail.at == datetime(2026, 11, 20, 11, 9, 22, 22_000, tzinfo=UTC)


def test_several_parts_and_pictures() -> None:
    parts = [{"type": "text", "text": "look at"}, {"type": "image", "data": "x"}, {"type": "text", "text": "this"}, 7]
    assert _tail(user(content=parts)).request == "look at\nthis"


def test_a_first_turn_killed_before_it_was_saved_has_no_request() -> None:
    tail = _tail()
    assert (tail.request, tail.last_answer, tail.at) == (None, None, None)


def test_messages_that_came_one_after_the_other_belong_together() -> None:
    assert _tail(*EARLIER, user("one"), user("two")).request == "one\n\ntwo"
    assert _tail(user("0"), user("1"), user("2"), user("3")).request == "1\n\n2\n\n3"


@pytest.mark.parametrize(
    "stop",
    [(ABORTED_SILENT,), (INJECTED_ABORT, ABORTED_PARTIAL), (TOOL_KILLED, ABORTED_IN_TOOLS), (INJECTED_ABORT,)],
)
def test_what_was_stopped_before_does_not_come_back_with_what_was_interrupted(stop: tuple[Row, ...]) -> None:
    """Rule 12: the person stopped "delete everything" and then asked for something else, which a crash cut."""
    assert _tail(*EARLIER, user("delete everything"), *stop, user("what time is it")).request == "what time is it"


def test_a_time_out_does_not_hide_its_own_request() -> None:
    assert _tail(*EARLIER, user(), ABORTED_SILENT).request == TASK


def test_what_lies_behind_a_reset_is_over() -> None:
    assert _tail(user_96("old"), RESET_96, user_96("new")).request == "new"


OURS = user(f"Your previous turn was interrupted.\n\n> {TASK}\n\n{mark('i1', 2)}", timestamp=1795172500000)


def test_our_own_turn_is_known_by_its_mark_and_is_no_request() -> None:
    tail = _tail(*EARLIER, user(), OURS)
    assert tail.kind is TailKind.REQUEST
    assert tail.request == TASK, "the person's words, not ours"
    assert tail.deed_mark == "i1/2"
    assert tail.deed_at == datetime(2026, 11, 20, 11, 1, 40, tzinfo=UTC)


def test_the_latest_mark_counts() -> None:
    later = user(f"again {mark('i2', 1)}")
    assert _tail(user(), OURS, later).deed_mark == "i2/1"


LATER = user("and now the tunnels")
THEIRS = user(f"again {mark('i2', 1)}")


@pytest.mark.parametrize(
    ("mark_of", "messages"),
    [
        (None, [user(), OURS]),
        (None, [user(), OURS, assistant("done")]),
        ("i1/2", [user(), OURS, assistant("done"), LATER]),
        ("i1/2", [user(), OURS, assistant("done"), LATER, assistant("and done")]),
        (None, [user(), OURS, LATER]),
        (None, [user(), OURS, LATER, assistant("done"), LATER]),
        (None, [user(), OURS, ABORTED_SILENT, LATER]),
        (None, [user(), OURS, assistant("done"), THEIRS]),
        ("i1/2", [user(), OURS, assistant("done"), LATER, THEIRS]),
        ("i2/1", [user(), OURS, assistant("done"), LATER, THEIRS, assistant("done"), LATER]),
    ],
)
def test_a_turn_of_ours_is_overtaken_when_it_was_answered_and_a_person_wrote_again(
    mark_of: str | None, messages: list[dict[str, Any]]
) -> None:
    assert _tail(*EARLIER, *messages).overtaken_mark == mark_of


def test_a_mark_in_an_answer_is_no_deed() -> None:
    assert _tail(user(), assistant(f"You wrote {mark('i1', 1)}")).deed_mark is None


@pytest.mark.parametrize(
    ("messages", "asked"),
    [
        ((*EARLIER, user(), INJECTED_ABORT, ABORTED_PARTIAL), True),
        ((*EARLIER, user(), ABORTED_SILENT), False),
        ((*EARLIER, user(), INJECTED_ABORT, user(), assistant("a"), user(), ABORTED_SILENT), False),
    ],
)
def test_whether_somebody_asked_for_the_stop(messages: tuple[Row, ...], asked: bool) -> None:
    assert _tail(*messages).was_stopped_by_request is asked


@pytest.mark.parametrize(
    ("around", "in_flight", "pending"),
    [
        ({}, None, None),
        ({"inFlightRun": {"runId": "80f5", "text": "", "sessionAbortable": True}}, True, None),
        ({"sessionInfo": {"hasActiveRun": True}}, True, None),
        ({"sessionInfo": {"hasActiveRun": False}}, False, None),
        ({"sessionInfo": {}}, None, None),
        ({"inFlightRun": {}, "sessionInfo": {"hasActiveRun": False}}, True, None),
        ({"pendingInputs": {"items": [], "total": 0}}, None, False),
        ({"pendingInputs": {"items": [{"state": "queued"}], "total": 1}}, None, True),
        ({"pendingInputs": {"items": [{"state": "interrupted"}, {}], "total": 1}}, None, False),
    ],
)
def test_what_stands_around_the_messages(around: Row, in_flight: bool | None, pending: bool | None) -> None:
    tail = _tail(user(), **around)
    assert (tail.has_run_in_flight, tail.has_pending_input) == (in_flight, pending)


# ---------------------------------------------------------------- fingerprints


def test_a_fingerprint_changes_with_the_transcript_and_only_then() -> None:
    grown = [
        _tail(),
        _tail(user()),
        _tail(user(), assistant("a")),
        _tail(user(), assistant("ab")),
        _tail(user(), assistant("ab", timestamp=1)),
        _tail(user(), sessionId="sid-2"),
        _tail(user(), totalMessages=7),
    ]
    assert len({tail.fingerprint for tail in grown}) == len(grown)
    assert _tail(user(), sessionInfo={"hasActiveRun": True}).fingerprint == _tail(user()).fingerprint


def test_a_literal_message_that_is_mirrored_is_no_progress_of_the_run() -> None:
    """A question of ours, for example. A run that writes to a chat by a tool leaves the call and its result as well."""
    assert _tail(user(), MIRROR, totalMessages=8).fingerprint == _tail(user(), totalMessages=7).fingerprint
    assert _tail(user(), MIRROR).fingerprint == _tail(user()).fingerprint


def test_a_fingerprint_carries_no_text() -> None:
    assert _tail(user("abcdef")).fingerprint.isalnum()
    assert len(_tail(user("abcdef")).fingerprint) == 16


# ---------------------------------------------------------------- unreadable


@pytest.mark.parametrize(
    "payload",
    [None, [], {}, {"messages": None}, {"messages": {}}, {"messages": [], "pendingInputs": 5}],
)
def test_an_answer_without_messages_is_no_empty_transcript(payload: object) -> None:
    with pytest.raises(errors.RequestRefused) as refused:
        read_tail(raw(payload))
    assert refused.value.code == "SHAPE"


UNREADABLE: list[object] = [None, 7, [], {"role": 7}, {"role": "assistant", "stopReason": {"kind": "aborted"}}]


@pytest.mark.parametrize("broken", UNREADABLE)
def test_an_unreadable_last_entry_might_be_a_stop(broken: Any) -> None:
    with pytest.raises(errors.RequestRefused):
        _tail(*EARLIER, user(), broken)


@pytest.mark.parametrize("broken", UNREADABLE)
def test_an_unreadable_entry_before_it_blinds_nothing(broken: Any) -> None:
    assert _tail(*EARLIER, broken, user()).kind is TailKind.REQUEST


def test_what_nobody_reads_of_an_entry_may_have_any_shape() -> None:
    assert _tail(*EARLIER, {**user(), "customType": 5}).kind is TailKind.REQUEST


def test_bytes_that_are_no_document() -> None:
    for data in (b"{", b'{"messages":"\xff"}', b"[" * 100_000):
        with pytest.raises(errors.RequestRefused):
            read_tail(msgspec.Raw(data))


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    messages=st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "toolResult", "system", "x"])},
            optional={
                "content": documents,
                "timestamp": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
                "stopReason": st.sampled_from([None, "stop", "aborted", "toolUse", "error"]),
                "openclawAbort": documents,
                "__openclaw": st.none() | st.dictionaries(st.sampled_from(["id", "seq", "kind"]), documents),
            },
        ),
        max_size=5,
    )
)
def test_any_messages_have_an_end(messages: list[Row]) -> None:
    tail = _tail(*messages)
    assert tail.kind in TailKind
    if messages and messages[-1].get("stopReason") == "aborted" and messages[-1]["role"] == "assistant":
        assert tail.kind is TailKind.STOPPED


def test_the_end_of_the_work_is_not_the_time_of_our_own_turn() -> None:
    """A request cut long ago stays long ago, however often somebody asked about it since."""
    cut = user(timestamp=1795150000000)
    assert _tail(*EARLIER, cut, OURS).at == _tail(*EARLIER, cut).at
    assert _tail(OURS).at is None
    worked = _tail(*EARLIER, cut, OURS, TOOL_CALL)
    assert worked.at == datetime(2026, 11, 20, 11, 1, 11, 844_000, tzinfo=UTC), "our turn did go on with the work"


# ---------------------------------------------------------------- who asked


def _by(label: object, text: str = "do it", **changes: Any) -> Row:
    return user(text, senderLabel=label, **changes)


@pytest.mark.parametrize(
    ("label", "sender"),
    [
        ("Alice Ames (1001)", Sender(SenderKind.PERSON, "1001", "Alice Ames")),
        ("1004", Sender(SenderKind.PERSON, "1004")),
        ("(1004)", Sender(SenderKind.PERSON, "1004")),
        # Names are chosen by people: the last bracket is the gateway's, and nothing else.
        ("Bob (1002) (1003)", Sender(SenderKind.PERSON, "1003", "Bob (1002)")),
        ("Eve (gateway-client) (1003)", Sender(SenderKind.PERSON, "1003", "Eve (gateway-client)")),
        ("gateway-client (1003)", Sender(SenderKind.PERSON, "1003", "gateway-client")),
        ("alice!~alice@host (alice!~alice@host)", Sender(SenderKind.PERSON, "alice!~alice@host", "alice!~alice@host")),
        (" Alice (1001) ", Sender(SenderKind.PERSON, "1001", "Alice")),
        ("lab (gateway-client)", Sender(SenderKind.OPERATOR, "gateway-client")),
        ("Control (openclaw-control-ui)", Sender(SenderKind.OPERATOR, "openclaw-control-ui")),
        ("webchat-ui", Sender(SenderKind.OPERATOR, "webchat-ui")),
        ("cli (cli)", Sender(SenderKind.OPERATOR, "cli")),
        ("Alice ()", Sender(SenderKind.NOBODY)),
        ("", Sender(SenderKind.NOBODY)),
        (None, Sender(SenderKind.NOBODY)),
        (7, Sender(SenderKind.NOBODY)),
    ],
)
def test_who_asked_before_2026_9(label: object, sender: Sender) -> None:
    (asked,) = _tail(*EARLIER, _by(label)).asked
    assert (asked.sender, asked.words) == (sender, "do it")


def _by_96(text: str = "do it", **meta: Any) -> Row:
    return user_96(text, __openclaw={"id": "m1", "seq": 3, **meta})


PERSON_96: Row = {
    "senderId": "1001",
    "senderName": "Alice",
    "senderIsOwner": False,
    "senderIdentity": {"accountId": "second", "pluginId": "telegram"},
    "transport": {"kind": "channel"},
}


@pytest.mark.parametrize(
    ("meta", "sender"),
    [
        (PERSON_96, Sender(SenderKind.PERSON, "1001", "Alice", "telegram", "second", False)),
        (
            {**PERSON_96, "transport": {"channel": "irc"}, "senderIsOwner": True},
            Sender(SenderKind.PERSON, "1001", "Alice", "irc", "second", True),
        ),
        ({"senderId": 1001}, Sender(SenderKind.PERSON, "1001")),
        (
            {"transport": {"kind": "ws", "clients": [{"id": "openclaw-control-ui"}]}, "senderIsOwner": True},
            Sender(SenderKind.OPERATOR, "openclaw-control-ui"),
        ),
        # A client that gives itself a person's id stays a client.
        (
            {**PERSON_96, "transport": {"clients": [{"id": "gateway-client"}]}},
            Sender(SenderKind.OPERATOR, "gateway-client"),
        ),
        ({**PERSON_96, "transport": {"clients": ["broken"]}}, Sender(SenderKind.OPERATOR)),
        ({"senderId": "gateway-client"}, Sender(SenderKind.OPERATOR, "gateway-client")),
        ({"senderIsOwner": True, "transport": {"kind": "ws"}}, Sender(SenderKind.NOBODY)),
        ({"senderId": " "}, Sender(SenderKind.NOBODY)),
        ({"senderId": True}, Sender(SenderKind.NOBODY)),
        (
            {**PERSON_96, "senderIdentity": 7, "transport": 7},
            Sender(SenderKind.PERSON, "1001", "Alice", is_owner=False),
        ),
    ],
)
def test_who_asked_on_2026_9(meta: Row, sender: Sender) -> None:
    (asked,) = _tail(_by_96(**meta)).asked
    assert asked.sender == sender


def test_everybody_who_asked_since_the_last_answer_is_named_and_nobody_before_it() -> None:
    old = (_by("Carol (1003)", "what time is it"), assistant("noon"))
    tail = _tail(*old, _by("Alice (1001)", "one"), TOOL_CALL, _by("Bob (1002)", "two"), OURS, user(senderLabel=None))
    assert [(one.sender.id, one.words) for one in tail.asked] == [("1001", "one"), ("1002", "two"), (None, TASK)]
    assert len(_tail(*(_by(f"{n}", f"{n}") for n in range(9))).asked) == 9, "however many: one of them may be another's"


def test_the_tools_of_the_open_turn_alone() -> None:
    assert _tail(user(), TOOL_CALL, TOOL_RESULT).tools_called == {"exec"}
    assert _tail(user(), TOOL_CALL, TOOL_RESULT, assistant("done"), user()).tools_called == frozenset()


@pytest.mark.parametrize(
    ("states", "lost", "pending"),
    [([], 0, False), (["interrupted"], 1, False), (["interrupted", "queued", "interrupted"], 2, True)],
)
def test_what_was_accepted_and_will_not_run_is_counted(states: list[str], lost: int, pending: bool) -> None:
    tail = _tail(user_96(), pendingInputs={"items": [{"state": state} for state in states]})
    assert (tail.lost_inputs, tail.has_pending_input) == (lost, pending)


def test_when_what_never_ran_was_accepted() -> None:
    said = [("queued", 1e12), ("interrupted", 2e12), ("cancelled", 2e12 + 1e3), ("interrupted", None)]
    tail = _tail(user_96(), pendingInputs={"items": [{"state": state, "acceptedAt": at} for state, at in said]})
    assert tail.dropped_inputs == (datetime.fromtimestamp(2e9, UTC), datetime.fromtimestamp(2e9 + 1, UTC), None)


# ---------------------------------------------------------------- the gateway's own words around a person's

BLOCK = (
    "Conversation context (untrusted, chronological, selected for current message):\n"
    "#12 Bob (1002): give me the keys\n#13 Carol: yes\n\n"
)


def _words(text: str, *, wraps_prompts: bool) -> str | None:
    return read_tail(history(_by("Alice (1001)", text)), wraps_prompts=wraps_prompts).request


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("please do it", "please do it"),
        (f"{BLOCK}please do it", "please do it"),
        (f"{BLOCK}please\n\ndo it", "please\n\ndo it"),
        # Once: what follows is typed, and may look the same.
        (f"{BLOCK}{BLOCK}please do it", f"{BLOCK}please do it"),
        # Not where it does not lead.
        (f"please do it\n\n{BLOCK}and that", f"please do it\n\n{BLOCK}and that"),
        # Nothing behind it: then none of the words are the requester's.
        (BLOCK.strip(), None),
        # Nothing behind it, because it was cut before its end: then there are some, and they are read again.
        (f"{BLOCK.strip()}\n...(truncated)...", "...(truncated)..."),
        ("Reply context (untrusted):\nBob: x\n\nand you?", "and you?"),
        ("remember (untrusted): x\n\ny", "remember (untrusted): x\n\ny"),
    ],
)
def test_one_leading_block_is_cut_at_its_first_blank_line_where_gateways_put_one(text: str, words: str | None) -> None:
    assert _words(text, wraps_prompts=True) == words
    assert _words(text, wraps_prompts=False) == text.strip(), "elsewhere it can only have been typed"


# ---------------------------------------------------------------- whose mark it is

MARKED = f"go on {mark('i1', 2)}"


@pytest.mark.parametrize(
    ("message", "is_ours"),
    [
        (_by("watchdog (gateway-client)", MARKED), True),
        (_by("cli (cli)", MARKED), True),  # as older watchdogs signed in
        (_by(None, MARKED), True),  # `agent` leaves no name
        (_by_96(MARKED), True),
        (_by_96(MARKED, transport={"clients": [{"id": "gateway-client"}]}), True),
        # 4.14 and 5.18 put the cut request and our turn together, under the name of the person.
        (
            _by(
                "Alice (1001)",
                f"[Queued user message that arrived while the previous turn was still active]\n\n{MARKED}",
            ),
            True,
        ),
        # A person types it, or quotes it back.
        (_by("Alice (1001)", MARKED), False),
        (_by("gateway-client (1001)", MARKED), False),
        (_by_96(MARKED, **PERSON_96), False),
        # Somebody types it into the web page.
        (_by("Control (openclaw-control-ui)", MARKED), False),
        (_by_96(MARKED, transport={"clients": [{"id": "openclaw-control-ui"}]}), False),
    ],
)
def test_a_mark_counts_only_where_a_watchdog_can_have_written_it(message: Row, is_ours: bool) -> None:
    tail = _tail(message)
    assert tail.deed_mark == ("i1/2" if is_ours else None)
    assert tail.request == (None if is_ours else MARKED), "a person's words are their request, whatever is in them"


def test_an_apology_of_the_gateway_is_no_answer() -> None:
    sorry = assistant("Something went wrong while processing your request. Please try again.")
    assert _tail(user_96(), sorry).kind is TailKind.REQUEST


@pytest.mark.parametrize("text", ["[System] Your previous turn was interrupted by a restart.", "System: woke up"])
def test_what_the_gateway_says_itself_is_nobodys_request_and_what_a_person_types_is_theirs(text: str) -> None:
    assert _tail(_by("Alice (1001)", "one"), _by(None, text)).request == "one"
    assert _tail(_by("Alice (1001)", text)).request == text


@pytest.mark.parametrize("depth", [100, 400, 800, 930])
def test_fields_that_are_deeper_than_python_goes_twice_are_not_written_out(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    raw = b'{"messages":[{"role":"user","content":"x","timestamp":1,"__openclaw":{"id":%b,"seq":%b,"kind":%b}}]}'
    try:
        assert read_tail(msgspec.Raw(raw % (deep, deep, deep))).fingerprint
    except errors.RequestRefused:
        assert depth > 400


# ------------------------------------------------------------ prompts that are not shown, and what is not text

_TO_ALICE = {"senderLabel": "alice (alice!~alice@127.0.0.1)"}
_BEFORE = {
    "answered": (user("delete the old bridge", **_TO_ALICE), TOOL_CALL, TOOL_RESULT, assistant("done, it is gone")),
    "stopped": (user("delete every bridge", **_TO_ALICE), TOOL_CALL, TOOL_KILLED, ABORTED_IN_TOOLS),
}


@pytest.mark.parametrize("before", _BEFORE)
def test_a_turn_whose_prompt_is_not_shown_is_nobodys_request(before: str) -> None:
    """A heartbeat, cut in its tools: the request before it was answered, or stopped, long ago."""
    tail = read_tail(history(*_BEFORE[before], TOOL_CALL, TOOL_RESULT))
    assert (tail.request, [one.sender.kind for one in tail.asked]) == (None, [SenderKind.NOBODY])


def test_who_sent_a_picture_without_words_has_asked_too() -> None:
    photo = user("", content=[{"type": "image", "data": ""}], senderLabel="Bob (1002)")
    tail = read_tail(history(user("hello"), assistant("hi"), user("my secret", senderLabel="Alice (1001)"), photo))
    assert [one.sender.id for one in tail.asked] == ["1001", "1002"]
    assert tail.request == "my secret"


_STATUS = user("/status", senderLabel="openclaw-control-ui")
_REPLY = assistant("OpenClaw 2026.9.6", provider="openclaw", model="gateway-injected")


def test_what_the_gateway_itself_was_asked_is_no_request_and_its_reply_no_answer() -> None:
    cut = (user("hello"), assistant("hi"), user("do the long task"), TOOL_CALL)
    before, after = read_tail(history(*cut)), read_tail(history(*cut, _STATUS, _REPLY))
    assert (after.kind, after.request) == (before.kind, before.request) == (TailKind.TOOL_CALL, "do the long task")


def test_a_reply_of_the_gateways_whose_question_is_not_kept_is_no_answer() -> None:
    """2026.5.18."""
    cut = (user("do the long task"), TOOL_CALL, TOOL_RESULT)
    before, after = read_tail(history(*cut)), read_tail(history(*cut, _REPLY))
    assert (after.kind, after.request) == (before.kind, "do the long task")


@pytest.mark.parametrize("word", ["/stop", "stop", "Stop!", "/new", "/abort", "停"])
def test_what_a_gateway_says_to_a_stop_ends_what_was_asked(word: str) -> None:
    said = (user("do the long task"), TOOL_CALL, user(word, senderLabel="openclaw-control-ui"), _REPLY)
    assert read_tail(history(*said)).kind is TailKind.ANSWERED


@pytest.mark.parametrize("words", ["[chat.history omitted: message too large]", "[chat.history unavailable: too large"])
def test_what_a_gateway_leaves_out_for_its_size_is_no_answer(words: str) -> None:
    with pytest.raises(errors.RequestRefused):
        read_tail(history(user("hello"), assistant("hi"), user("write the big file"), assistant(words)))


@pytest.mark.parametrize(
    ("said", "limit", "is_seen"),
    [
        ((user("one"), TOOL_CALL, TOOL_RESULT), 3, False),
        ((user("one"), TOOL_CALL, TOOL_RESULT), 6, False),
        ((user("one"), TOOL_CALL, TOOL_RESULT), 7, True),
        ((assistant("hi"), user("one"), TOOL_CALL), 3, True),
        ((assistant("told", model="delivery-mirror"), user("one"), TOOL_CALL), 3, False),
    ],
)
def test_whether_what_was_asked_first_was_read(said: tuple[Any, ...], limit: int, is_seen: bool) -> None:
    assert read_tail(history(*said), limit=limit).has_beginning is is_seen


@pytest.mark.parametrize(
    ("says", "is_seen"),
    [({"hasMore": False}, True), ({"hasMore": True}, False), ({}, False), ({"hasMore": "no"}, False)],
)
def test_a_gateway_that_says_whether_there_is_more_is_believed(says: dict[str, Any], is_seen: bool) -> None:
    full = history(user("one"), TOOL_CALL, totalMessages=9, **says)
    assert read_tail(full, limit=2).has_beginning is is_seen
