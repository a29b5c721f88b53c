"""Who asked, and which chat of theirs is proven. Alice (1001) and Bob (1002) on Telegram, alice on IRC."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from watchdog.core.model import (
    Asked,
    ChatAccount,
    Look,
    ReplyAddress,
    Sender,
    SenderKind,
    SenderRights,
    Session,
    SessionKind,
    Status,
    TailKind,
    TranscriptTail,
)
from watchdog.core.policy import AskInstead, Step
from watchdog.core.requester import RequesterKind, is_waiting_elsewhere, requester_of
from watchdog.core.resume import OWNER_TOOLS, choose, why_unreachable

ALICE = Sender(SenderKind.PERSON, "1001", "Alice Ames")
BOB = Sender(SenderKind.PERSON, "1002", "Bob (1001)")
WEB = Sender(SenderKind.OPERATOR, "openclaw-control-ui")
SCRIPT = Sender(SenderKind.NOBODY)
ON_IRC = Sender(SenderKind.PERSON, "alice!~alice@127.0.0.1")
HERS = ReplyAddress("telegram", "telegram:1001", "default")
HIS = ReplyAddress("telegram", "telegram:1002", "default")
GROUP = ReplyAddress("telegram", "telegram:-100600", "default", "11")
ONE_BOT = (ChatAccount("telegram"),)
MAIN = "agent:main:main"


def session(key: str = MAIN, address: ReplyAddress | None = None, **changes: Any) -> Session:
    kind = SessionKind.MAIN if key == MAIN else SessionKind.OTHER
    made = Session(key, Status.RUNNING, session_id="s", kind=kind, agent_id="main", reply_address=address)
    return replace(made, **changes)


def look(*senders: Sender, accounts: tuple[ChatAccount, ...] | None = ONE_BOT, **changes: Any) -> Look:
    asked = tuple(Asked(one, f"words of {one.id}") for one in senders)
    tail = TranscriptTail(TailKind.REQUEST, "t", request="words" if asked else None, asked=asked)
    rights = tuple(SenderRights(one.id, False, False) for one in senders if one.id is not None)
    return Look(tail=replace(tail, **changes), chat_accounts=accounts, rights=rights)


# ---------------------------------------------------------------- who


@pytest.mark.parametrize(
    ("senders", "kind"),
    [
        ((ALICE,), RequesterKind.PERSON),
        ((ALICE, ALICE), RequesterKind.PERSON),
        ((ALICE, BOB), RequesterKind.SEVERAL),
        ((ALICE, WEB), RequesterKind.SEVERAL),
        ((WEB, Sender(SenderKind.OPERATOR, "cli")), RequesterKind.OPERATOR),
        ((SCRIPT,), RequesterKind.NOBODY),
        ((), RequesterKind.LOST),
    ],
)
def test_who_asked(senders: tuple[Sender, ...], kind: RequesterKind) -> None:
    assert requester_of(session(address=HERS), look(*senders)).kind is kind


def test_a_transcript_that_was_not_read_says_nothing_of_anybody() -> None:
    requester = requester_of(session(address=HERS), Look())
    assert (requester.kind, requester.route) == (RequesterKind.UNKNOWN, None)


@pytest.mark.parametrize(
    ("key", "address", "kind"),
    [
        ("agent:main:telegram:group:-100600", GROUP, RequesterKind.UNKNOWN),
        (MAIN, HERS, RequesterKind.UNKNOWN),
        ("agent:main:telegram:direct:1001", HERS, RequesterKind.PERSON),
        (MAIN, None, RequesterKind.OPERATOR),
    ],
)
def test_who_asked_first_is_not_known_where_that_was_not_read(
    key: str, address: ReplyAddress | None, kind: RequesterKind
) -> None:
    """A second member writes into a long tool loop: only a private chat, and a session without one, is nobody else's."""
    seen = look(ALICE if address is not None else WEB, has_beginning=False)
    assert requester_of(session(key, address), seen).kind is kind


def test_a_name_proves_nothing() -> None:
    """Bob calls himself "Bob (1001)": his id is 1002."""
    requester = requester_of(session(address=HERS, last_writer="1001"), look(BOB, accounts=None))
    assert requester.route is None


# ---------------------------------------------------------------- where: the row's address is the last writer's


def test_alice_asked_and_bob_wrote_last() -> None:
    row = session(address=HIS, last_writer="1002")
    requester = requester_of(row, look(ALICE))
    assert requester.route == ReplyAddress("telegram", "telegram:1001", None)
    assert is_waiting_elsewhere(row, requester)


def test_who_wrote_last_is_led_to_by_the_row_with_its_thread() -> None:
    private_topic = replace(HERS, thread_id="77")
    requester = requester_of(session(address=private_topic, last_writer="1001"), look(ALICE, accounts=None))
    assert requester.route == private_topic


def test_a_thread_of_somebody_elses_chat_is_never_named() -> None:
    requester = requester_of(session(address=replace(HIS, thread_id="77"), last_writer="1002"), look(ALICE))
    assert requester.route is not None
    assert requester.route.thread_id is None


@pytest.mark.parametrize(
    "accounts",
    [
        None,
        (),
        (ChatAccount("telegram", "a"), ChatAccount("telegram", "b")),
        (ChatAccount("telegram"), ChatAccount("irc")),
        (ChatAccount("signal"),),
    ],
)
def test_with_several_ways_in_a_bare_id_is_no_chat(accounts: tuple[ChatAccount, ...] | None) -> None:
    requester = requester_of(session(address=HIS, last_writer="1002"), look(ALICE, accounts=accounts))
    assert (requester.kind, requester.route) == (RequesterKind.PERSON, None)


def test_the_newest_gateways_name_the_account_and_the_chat_app() -> None:
    told = replace(ALICE, channel="telegram", account_id="work")
    requester = requester_of(session(address=HIS, last_writer="1002"), look(told, accounts=None))
    assert requester.route == ReplyAddress("telegram", "telegram:1001", "work")


def test_another_bot_of_the_same_person_is_another_chat() -> None:
    told = replace(ALICE, channel="telegram", account_id="work")
    row = session(address=HERS, last_writer="1001")
    assert requester_of(row, look(told)).route == ReplyAddress("telegram", "telegram:1001", "work")


def test_a_bot_that_is_not_named_is_one_of_several() -> None:
    two = (ChatAccount("telegram", "default"), ChatAccount("telegram", "work"))
    told = replace(ALICE, channel="telegram")
    assert requester_of(session(address=HIS, last_writer="1002"), look(told, accounts=two)).route is None
    assert requester_of(session(address=HIS, last_writer="1002"), look(told, accounts=None)).route is None, "unknown"
    assert requester_of(session(address=HIS, last_writer="1002"), look(told)).route is not None


def test_the_gateways_own_file_names_the_chat() -> None:
    """2026.5.18: the row leads to who wrote last."""
    chat = ReplyAddress("irc", "irc:alice")
    told = replace(ON_IRC, channel="irc", chat=chat)
    row = session(address=HIS, last_writer="1002")
    assert requester_of(row, look(told, accounts=(*ONE_BOT, ChatAccount("irc")))).route == chat


@pytest.mark.parametrize(
    ("asked_in", "row_leads_to", "route"),
    [(None, None, None), (None, "77", None), ("77", "77", "77"), ("77", "78", "77"), ("77", None, "77")],
)
def test_the_topic_is_the_one_that_they_asked_in(
    asked_in: str | None, row_leads_to: str | None, route: str | None
) -> None:
    """The row keeps the thread of whoever wrote in a topic before (2026.5.18)."""
    told = replace(ALICE, channel="telegram", chat=ReplyAddress("telegram", "telegram:1001", None, asked_in))
    found = requester_of(session(address=replace(HERS, thread_id=row_leads_to), last_writer="1001"), look(told)).route
    assert found is not None
    assert (found.to, found.thread_id) == ("telegram:1001", route)


def test_on_irc_the_last_writer_is_known_by_their_whole_mask() -> None:
    address = ReplyAddress("irc", "irc:alice", "default")
    row = session(address=address, last_writer=ON_IRC.id)
    assert requester_of(row, look(ON_IRC, accounts=None)).route == address
    stranger = replace(row, last_writer="alice!~eve@198.51.100.7")
    assert requester_of(stranger, look(ON_IRC, accounts=None)).route is None


# ---------------------------------------------------------------- where: the key names the chat


@pytest.mark.parametrize(
    ("key", "address", "sender"),
    [
        ("agent:main:telegram:direct:1001", HERS, ALICE),
        ("agent:main:telegram:default:direct:1001", HERS, ALICE),
        ("agent:main:telegram:group:-100600:topic:11", GROUP, ALICE),
        ("agent:main:telegram:group:-100600:topic:11", replace(GROUP, to="telegram:-100600:topic:11"), BOB),
        ("agent:main:telegram:group:-100500", ReplyAddress("telegram", "telegram:-100500", "default"), BOB),
        ("agent:main:irc:group:#g1", ReplyAddress("irc", "channel:#g1", "default"), ON_IRC),
        ("agent:main:irc:direct:alice", ReplyAddress("irc", "irc:alice", "default"), ON_IRC),
        ("agent:main:main:thread:1001:77", replace(HERS, thread_id="77"), ALICE),
    ],
)
def test_the_key_proves_the_chat_and_the_row_spells_it(key: str, address: ReplyAddress, sender: Sender) -> None:
    assert requester_of(session(key, address), look(sender, accounts=None)).route == address


@pytest.mark.parametrize(
    ("key", "address", "sender"),
    [
        ("agent:main:telegram:direct:1001", HERS, BOB),
        ("agent:main:irc:direct:alice", ReplyAddress("irc", "irc:alice"), replace(ON_IRC, id="eve!~alice@127.0.0.1")),
        ("agent:main:irc:group:#g1", ReplyAddress("irc", "channel:#g2"), ON_IRC),
        ("agent:main:irc:group:#g1", None, ON_IRC),
    ],
)
def test_a_key_and_a_row_that_do_not_agree_prove_nothing(
    key: str, address: ReplyAddress | None, sender: Sender
) -> None:
    assert requester_of(session(key, address), look(sender, accounts=None)).route is None


def test_a_telegram_chat_is_known_by_its_key_alone() -> None:
    """``/new`` without a route leaves the row the address of the browser (3.24, 5.18)."""
    found = requester_of(session("agent:main:telegram:group:-100600:topic:11", None), look(ALICE, accounts=None))
    assert found.route == ReplyAddress("telegram", "telegram:-100600", None, "11")


def test_of_several_bots_none_is_taken_for_the_one_that_was_asked() -> None:
    """2026.5.18 and 9.6 take the account of the first binding for the default; only 9.6 says which one was written to."""
    two = (ChatAccount("telegram", "default"), ChatAccount("telegram", "work"))
    row = session("agent:main:telegram:direct:1001", None)
    assert requester_of(row, look(ALICE, accounts=two)).route is None
    named = requester_of(row, look(replace(ALICE, channel="telegram", account_id="work"), accounts=two)).route
    assert named == ReplyAddress("telegram", "telegram:1001", "work")
    own = session("agent:main:telegram:work:direct:1001", None)
    assert requester_of(own, look(ALICE, accounts=two)).route == named


@pytest.mark.parametrize("sender", [WEB, SCRIPT])
@pytest.mark.parametrize("key", ["agent:main:telegram:group:-100600:topic:11", "agent:main:telegram:direct:1001", MAIN])
def test_words_from_the_browser_are_nobodys_in_the_chat(sender: Sender, key: str) -> None:
    requester = requester_of(session(key, GROUP if "group" in key else HERS, last_writer="1001"), look(sender))
    assert requester.route is None
    assert requester.is_in_chat
    assert why_unreachable(requester) is not None


# ---------------------------------------------------------------- how: goes on, asked, held


def choice(requester_look: Look, row: Session | None = None, **changes: Any) -> tuple[Step | None, bool]:
    requester = requester_of(row or session(address=HERS, last_writer="1001"), requester_look)
    given: dict[str, Any] = {"is_long_ago": False, "perhaps_stopped": False, "ended_gateways": 1, "has_admin": False}
    made = choose(requester, requester_look.tail, **(given | changes))
    return made.step, made.is_as_owner


def with_rights(is_owner: bool | None, has_own_rules: bool | None, **changes: Any) -> Look:
    return replace(look(ALICE, **changes), rights=(SenderRights("1001", is_owner, has_own_rules),))


def test_an_ordinary_request_goes_on_without_admin() -> None:
    assert choice(look(ALICE), has_admin=True) == (Step.RESUME, False)


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        (with_rights(False, True), {}),
        (with_rights(True, True), {"has_admin": True}),
        (with_rights(None, False), {}),
        (with_rights(False, None), {}),
        (replace(look(ALICE), rights=()), {}),
        (look(ALICE), {"is_long_ago": True}),
        (look(ALICE), {"perhaps_stopped": True}),
        (look(ALICE), {"ended_gateways": 2}),
        (look(ALICE, kind=TailKind.STOPPED), {}),
        (look(ALICE), {"ask_instead": AskInstead.ALWAYS}),
        (with_rights(True, False, tools_called=frozenset({"cron"})), {"has_admin": False}),
    ],
)
def test_where_a_turn_of_ours_could_do_more_or_too_late_the_requester_is_asked(what: Look, changes: Any) -> None:
    assert choice(what, **changes) == (Step.ASK, False)
    assert choice(what, **{**changes, "ask_instead": AskInstead.NEVER})[0] is (
        Step.RESUME if changes.get("ask_instead") is AskInstead.ALWAYS else None
    )


def test_a_picture_without_words_is_asked_for_again() -> None:
    seen = with_rights(is_owner=False, has_own_rules=False, request=None)
    assert choice(seen) == (Step.ASK, False)


def test_an_owner_goes_on_as_owner_where_the_ladder_has_admin_anyway() -> None:
    assert choice(with_rights(True, False), has_admin=True) == (Step.RESUME, True)
    assert choice(with_rights(True, False, tools_called=OWNER_TOOLS), has_admin=True) == (Step.RESUME, True)
    assert choice(with_rights(True, False, tools_called=frozenset({"exec"}))) == (Step.RESUME, False)


@pytest.mark.parametrize("senders", [(ALICE, BOB), (WEB,), (SCRIPT,)])
@pytest.mark.parametrize("changes", [{}, {"is_long_ago": True}, {"ask_instead": AskInstead.ALWAYS}])
def test_in_a_chat_nothing_is_done_for_who_is_not_proven(senders: tuple[Sender, ...], changes: Any) -> None:
    assert choice(look(*senders), **changes) == (None, False)


@pytest.mark.parametrize("sender", [WEB, SCRIPT])
def test_a_session_without_a_chat_goes_on_and_is_delivered_nowhere(sender: Sender) -> None:
    row = session("agent:main:lost")
    assert choice(look(sender), row) == (Step.RESUME, False)
    assert requester_of(row, look(sender)).route is None
    assert choice(look(sender), row, is_long_ago=True) == (None, False), "nobody's chat is known to ask in"


def test_a_request_of_which_nothing_is_left_is_asked_for_where_one_chat_leads_here() -> None:
    row = session("agent:main:telegram:direct:1001", HERS)
    assert choice(look(), row) == (Step.ASK, False)
    assert choice(look(), session(address=HERS, last_writer="1001")) == (None, False)


def test_the_harmful_wishes_of_a_configuration_change_no_rule() -> None:
    for ask_instead in AskInstead:
        assert choice(with_rights(False, True), ask_instead=ask_instead)[0] is not Step.RESUME
