"""What somebody else sent is decoded in one place: repaired where only half an emoji is the matter, refused otherwise."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.gateway.wire.decoder import MOST_REPAIRED, MOST_STEPS, Undecodable, decode, repaired

ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
HALF = "\ud83d"


class Shape(msgspec.Struct):
    name: str = ""
    rest: msgspec.Raw = msgspec.Raw(b"null")


def replaced(text: str) -> str:
    """As UTF-16 with ``errors="replace"`` has it: pairs joined, U+FFFD for what is alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


pieces = st.sampled_from(
    ["\\", "\\\\", "\\\\\\", "\\u", "\\ud83d", "\\uDE00", "\\uD83D\\uDe00", "\\\\ud83d", "\\\\\\ud83d", "\\ud83", "ud83d", "\\n",
     "\\u0041", '\\"', "�", "é", "😀", "x", "\\uDBFF", "\\udfff\\udfff"]
)  # fmt: skip
odd_texts = st.lists(st.sampled_from(["\ud83d", "\ude00", "\\", "u", "d83d", "\\ud83d", '"', "é", "😀", "\n"])).map(
    "".join
)


@given(st.text() | st.text(st.characters(categories=["Cs"])) | odd_texts)
def test_a_repaired_text_is_what_utf_16_makes_of_it(text: str) -> None:
    """As JavaScript writes it, and with every character escaped."""
    for sent in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        assert decode(ANYTHING, sent) == replaced(text)
        assert decode(ANYTHING, json.dumps(text).encode()) == replaced(text)


@given(st.lists(pieces, max_size=40).map("".join))
def test_any_escapes_whatever_stands_beside_them(body: str) -> None:
    """The witness is the standard library, which lets lone surrogates pass."""
    sent = f'"{body}"'
    try:
        expected = replaced(json.loads(sent))
    except ValueError:
        with pytest.raises(Undecodable):
            decode(ANYTHING, sent.encode())
    else:
        assert decode(ANYTHING, sent.encode()) == expected


@given(st.lists(pieces, max_size=60).map("".join))
def test_the_work_grows_with_the_size_and_not_faster(body: str) -> None:
    sent = f'"{body}'.encode() + b' \\ud83d"'
    assert repaired(sent, most_steps=len(sent)) is not None


@pytest.mark.parametrize("unit", [b"\\ud83d", b"\\\\ud83d", b"\\\\" * 50 + b"\\ud83d"])
def test_who_sends_more_than_anybody_means_to_is_not_repaired(unit: bytes) -> None:
    sent = b'"' + unit * (MOST_STEPS // unit.count(b"\\") + 1) + b'\\ud83d"'
    assert repaired(sent) is None
    assert repaired(sent, most_steps=len(sent)) is not None
    with pytest.raises(Undecodable):
        decode(ANYTHING, sent)


def test_what_is_larger_than_a_frame_is_not_repaired() -> None:
    assert repaired(b'"\\ud83d' + b" " * MOST_REPAIRED) is None


@pytest.mark.parametrize(
    "sent",
    [
        b'{"name":"a","rest":"\\ud83d"}',
        b'{"name":"a","skipped":{"deep":["\\ud83d"]}}',
        b'{"name":"a","skipped":"\xed\xa0\xbd"}',
        b'{"name":"a","rest":["\xff"]}',
        '{"name":"a","skipped":"\ud83d"}',
    ],
)
def test_half_an_emoji_in_a_field_that_nobody_reads(sent: bytes | str) -> None:
    """msgspec refuses the whole document for it, with the words of a document that was cut."""
    assert decode(msgspec.json.Decoder(Shape), sent).name == "a"


def test_what_was_repaired_can_be_decoded_further() -> None:
    rest = decode(msgspec.json.Decoder(Shape), b'{"rest":{"text":"half \\ud83d"}}').rest
    assert decode(ANYTHING, rest) == {"text": "half �"}


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b'{"name":7}',
        b'{"name":7,"rest":"\\ud83d"}',
        b'{"name":"\\ud83d","name":7}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"skipped":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'"\\ud83d",' + b"[" * 100_000,
        b'["\\ud83d",' + b"[" * 100_000 + b"]" * 100_001,
        b'{"name":"\\ud83d"',
        b"\xff",
        "\ud83d",
        "{" + HALF,
    ],
)
def test_whatever_is_wrong_is_one_error_without_a_word_of_it(sent: bytes | str) -> None:
    with pytest.raises(Undecodable) as refused:
        decode(msgspec.json.Decoder(Shape), sent)
    assert len(str(refused.value)) < 80
    assert "ud83d" not in str(refused.value)


class Counting(msgspec.Struct):
    """Counts how often it is made."""

    name: str = ""

    def __post_init__(self) -> None:
        MADE.append(self.name)


MADE: list[str] = []


def test_sound_traffic_is_decoded_once_and_not_looked_at() -> None:
    """A sound document beyond every limit of the repair is decoded all the same."""
    MADE.clear()
    sent = b'{"name":"' + b"\\ud83d\\ude00" * (MOST_STEPS + 1) + b'"}'
    assert decode(msgspec.json.Decoder(Counting), sent).name == "😀" * (MOST_STEPS + 1)
    assert len(MADE) == 1
