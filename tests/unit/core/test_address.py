"""A chat is the same chat in every spelling of its address."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.address import chat_of, is_same_place
from watchdog.core.model import ReplyAddress


@given(chat=st.sampled_from(["-100600", "#g1", "alice", "C0123"]), thread=st.sampled_from([None, "1", "11"]))
def test_every_spelling_of_a_place_is_that_place(chat: str, thread: str | None) -> None:
    plain = ReplyAddress("irc", chat, None, thread)
    for to in (f"irc:{chat}", f"channel:{chat}", f"irc:channel:{chat}", chat.upper()):
        assert is_same_place(plain, replace(plain, to=to, account_id="default"))
    if thread is not None:
        assert chat_of(ReplyAddress("irc", f"irc:{chat}:topic:{thread}")) == chat_of(plain)
    assert not is_same_place(plain, replace(plain, thread_id="12"))
    assert not is_same_place(plain, replace(plain, to="irc:somebody-else"))
    assert not is_same_place(plain, replace(plain, channel="telegram"))
