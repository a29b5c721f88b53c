"""Text of others, whatever it is: it prints, it can be told apart, and a key comes back as it was."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.hostile import ANY_TEXT, CALLS, HOSTILE, ORDINARY, hostile, is_printable
from watchdog.core.printable import escaped, json_visible, meant, read, shown_key, shown_name, unaddressed, visible


@hostile
@given(ANY_TEXT)
def test_a_key_comes_back_as_it_was(key: str) -> None:
    for is_message in (False, True):
        text = escaped(key, is_message=is_message)
        assert is_printable(text)
        assert read(text) == key
        assert shlex.split(shown_key(key, is_message=is_message)) == [text]


@hostile
@given(ANY_TEXT)
def test_words_print_and_are_not_escaped_twice(text: str) -> None:
    once = visible(text)
    assert is_printable(once)
    assert visible(once) == once


@given(ANY_TEXT, ANY_TEXT)
def test_two_keys_never_look_the_same(one: str, other: str) -> None:
    assert (shown_key(one) == shown_key(other)) is (one == other)


@hostile
@given(ANY_TEXT)
def test_no_key_is_an_option_of_a_command(key: str) -> None:
    assert not escaped(key).startswith("-")


@pytest.mark.parametrize("key", ORDINARY)
def test_ordinary_keys_stay_as_they_are(key: str) -> None:
    assert visible(key) == escaped(key) == shown_key(key) == shown_key(key, is_message=True) == unaddressed(key) == key


def test_what_an_escape_looks_like() -> None:
    assert escaped("\x1b\u202e\U000e0041") == "\\x1b\\u202e\\U000e0041"
    assert escaped("C:\\home") == "C:\\home", "nothing would be read in it"
    assert escaped("\\x41") == "\\\\x41"
    assert escaped("-rf") == "\\x2drf"
    assert shown_key("agent:main:irc:direct:a b") == "'agent:main:irc:direct:a b'"


@hostile
@given(ANY_TEXT)
@example('Team"  agent:main:main  "')
def test_a_name_prints_and_cannot_end_its_quotes(name: str) -> None:
    said = shown_name(name)
    assert is_printable(said)
    assert (said.count("“"), said.count("”")) == ((1, 1) if name else (0, 0))
    assert '"' not in said, "what the quotes are in ASCII"


@pytest.mark.parametrize("text", ["\u200b", "\u3164", "\ufe0f", "\u00ad", "\u2800", "\u034f", "\u2060"])
def test_what_cannot_be_seen_is_escaped(text: str) -> None:
    escape = f"\\x{ord(text):02x}" if ord(text) < 256 else f"\\u{ord(text):04x}"
    assert visible(f"a{text}b") == f"a{escape}b"


@pytest.mark.parametrize("key", HOSTILE)
def test_pasted_into_a_shell_it_is_one_word_and_the_same_key(key: str) -> None:
    words = f"{shown_key(key)} {shown_key(key, is_message=True)}"
    done = subprocess.run(["sh", "-c", f"printf '%s\\n' {words}"], check=True, capture_output=True, text=True)
    assert [read(word) for word in done.stdout.split("\n")[:-1]] == [key, key]


@hostile
@given(ANY_TEXT)
def test_what_is_pasted_means_what_was_printed(key: str) -> None:
    others = {"agent:main:main", "\x1b", "\\x1b"}
    assert meant(escaped(key), {key, *others}) == key


def test_what_is_typed_as_it_is_means_it_too() -> None:
    assert meant("a\\x41", {"a\\x41"}) == "a\\x41", "nobody has the key aA"
    assert meant("a\\x41", {"a\\x41", "aA"}) == "aA", "printed, the other would be a\\\\x41"
    assert meant("\x1b", {"\x1b"}) == "\x1b"
    assert meant("no such", {"a"}) == "no such"


@example("@everyone @here <!channel> <@U1> @alice [x](http://y) <a href=x>")
@example("mail@everyone x@here a@4915")
@given(ANY_TEXT)
def test_a_message_calls_nobody(text: str) -> None:
    for said in (unaddressed(text), unaddressed(f"Stuck: {shown_key(text, is_message=True)} on home")):
        assert not CALLS.search(said)
        assert is_printable(said.replace("\n", ""))
        assert unaddressed(said) == said


@hostile
@given(ANY_TEXT)
def test_a_command_in_a_message_is_not_changed_by_what_takes_calls_out(key: str) -> None:
    line = f"  openclaw-watchdog explain {shown_key(key, is_message=True)}"
    assert unaddressed(line) == line


@given(st.recursive(ANY_TEXT, lambda inner: st.dictionaries(ANY_TEXT, inner, max_size=3), max_leaves=5))
def test_json_says_the_same_and_prints(document: object) -> None:
    text = json_visible(json.dumps(document, ensure_ascii=False, indent=1))
    assert is_printable(text.replace("\n", ""))
    assert json.loads(text) == json.loads(json.dumps(document))
