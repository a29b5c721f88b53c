"""What a list of targets says: whoever writes it may mean harm, and nothing of it is taken for more than it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.config import GatewaySection, parse
from watchdog.config.references import expand
from watchdog.config.targets import MOST_TARGETS, ListUnreadable, read_targets, section_for

FOLDER = Path("/etc/lists")


def text(*targets: str, **labels: str) -> str:
    return json.dumps([{"targets": targets, "labels": labels}])


def one(target: str, **labels: str) -> GatewaySection:
    read = read_targets(text(target, **labels), FOLDER)
    assert read.problems == []
    (found,) = read.targets
    return found


def problem(target: str, *, is_remote: bool = False, **labels: str) -> str:
    read = read_targets(text(target, **labels), None if is_remote else FOLDER, is_remote=is_remote)
    assert read.targets == []
    (said,) = read.problems
    return said


@pytest.mark.parametrize(
    ("target", "url", "name"),
    [
        ("cell-7.example:18789", "wss://cell-7.example:18789", "cell-7.example-18789"),
        ("cell-7.example", "wss://cell-7.example", "cell-7.example"),
        ("127.0.0.1:18789", "ws://127.0.0.1:18789", "127.0.0.1-18789"),
        ("[::1]:18789", "ws://[::1]:18789", "1-18789"),
        ("ws://cell:80", "ws://cell:80", "cell-80"),
        ("wss://all.example/cells/7", "wss://all.example/cells/7", "all.example-cells-7"),
    ],
)
def test_an_address_and_the_name_that_follows_from_it(target: str, url: str, name: str) -> None:
    found = one(target)
    assert (found.url, found.name) == (url, name)


def test_labels_that_count_and_those_that_are_somebody_elses() -> None:
    found = one(
        "a:1", name="home", token_file="tokens/a", url="ws://evil:1", token="t", insecure="true", state_dir="/x"
    )
    assert (found.name, found.token_file) == ("home", "/etc/lists/tokens/a")
    assert (found.url, found.token, found.insecure, found.state_dir) == ("wss://a:1", None, False, None)
    assert one("a:1", token_file="/run/a").token_file == "/run/a"
    assert (one("a:1", name="", token_file="").name, one("a:1", token_file="").token_file) == ("a-1", None)


@pytest.mark.parametrize(
    "target",
    [
        "",
        " a:1",
        "a:1\n",
        "user:password@a:1",
        "https://a:1",
        "a:1?token=x",
        "${HOME}:1",
        "$HOME",
        "a b",
        "é.example:1",
        "a:123456",
        "a:70000",
        "a:0",
        "-a:1",
        "../a:1",
        "[::1",
        "a" * 300,
    ],
)
def test_what_is_no_address_names_no_gateway_and_is_not_quoted(target: str) -> None:
    said = problem(target)
    assert said.startswith("target 1 of entry 1 ")
    assert "password" not in said
    assert "HOME" not in said


@pytest.mark.parametrize("name", ["a b", "x" * 65, "-a", "a\n", "ä", "../a", "{a}"])
def test_a_name_is_one_that_a_configured_gateway_could_have(name: str) -> None:
    assert "has no usable name" in problem("a:1", name=name)


def test_a_token_file_has_nothing_of_the_environment_in_its_path() -> None:
    """A file that is not there is named, in the log and in messages."""
    for file in ("/x/${SECRET}", "${SECRET}"):
        assert expand(str(one("a:1", token_file=file).token_file), {"SECRET": "s3cret"}).endswith("${SECRET}")


@pytest.mark.parametrize("file", ["a\nb", "a\x00b"])
def test_a_token_file_is_one_that_could_be_configured(file: str) -> None:
    assert "has no usable token_file" in problem("a:1", token_file=file)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "127.0.0.1",
        "127.9.9.9",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "[::]",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
    ],
)
def test_an_inventory_elsewhere_names_none_of_this_machine(host: str) -> None:
    assert "is of this machine" in problem(f"{host}:18789", is_remote=True)
    assert "is of this machine" in problem(f"ws://{host}:18789", is_remote=True)


def test_a_list_that_came_over_http_names_no_file_here() -> None:
    read = read_targets(text("a:1", token_file="/etc/shadow"), None)
    assert [target.token_file for target in read.targets] == [None]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "null",
        "[1]",
        '[{"targets": "a:1"}]',
        '[{"labels": {}}]',
        '[{"targets": [1]}]',
        '[{"targets": ["a:1"]}',
        '[{"targets": ["a:1"], "labels": {"name": 1}}]',
        "[" * 100_000,
        '["\\ud800"]',
    ],
)
def test_what_is_no_list_is_none_as_a_whole(body: str) -> None:
    with pytest.raises(ListUnreadable, match="is no list of targets"):
        read_targets(body, FOLDER)


_ADDRESSES = st.text(st.sampled_from("a1.:[]/@?#$%{}-_ws\x00é"), max_size=12) | st.sampled_from(["ws://[::1]:1", "b:1"])
_LABELS = st.dictionaries(st.sampled_from(["name", "token_file", "x"]), st.text(max_size=6))
_GROUPS = st.fixed_dictionaries({"targets": st.lists(_ADDRESSES, max_size=4)}, optional={"labels": _LABELS})


@given(st.lists(_GROUPS, max_size=3), st.booleans())
def test_whatever_it_says_every_target_is_used_or_named_as_a_problem(groups: list[Any], is_remote: bool) -> None:
    read = read_targets(json.dumps(groups), None if is_remote else FOLDER, is_remote=is_remote)
    assert len({target.name for target in read.targets}) == len({target.url for target in read.targets})
    assert all(target.url is not None and target.token is None for target in read.targets)
    written = [target for group in groups for target in group["targets"]]
    assert len(read.targets) + len(read.problems) <= len(written)
    assert bool(read.targets or read.problems) is bool(written)


def test_bytes_that_are_no_text_are_no_list() -> None:
    with pytest.raises(ListUnreadable):
        read_targets(b'[{"targets": ["\xff"]}]', None)


def test_a_list_has_an_end() -> None:
    assert len(read_targets(text(*(f"a{n}:1" for n in range(MOST_TARGETS))), None).targets) == MOST_TARGETS
    with pytest.raises(ListUnreadable, match="names more than"):
        read_targets(text(*(f"a{n}:1" for n in range(MOST_TARGETS + 1))), None)


def test_one_target_that_cannot_be_used_costs_only_itself() -> None:
    read = read_targets(text("a:1", "b b", "c:1"), FOLDER)
    assert [target.name for target in read.targets] == ["a-1", "c-1"]
    assert len(read.problems) == 1


def test_of_two_with_one_name_neither_is_taken() -> None:
    """Which of them is meant is not for us to guess."""
    read = read_targets(text("a:1", "b:1", name="x"), FOLDER)
    assert read.targets == []
    assert read.problems == [f"target {place} of entry 1 is called x, and so is another" for place in (1, 2)]


def test_one_address_is_one_target() -> None:
    read = read_targets(
        json.dumps([{"targets": ["a:1", "a:1"]}, {"targets": ["A.:1"], "labels": {"name": "x"}}]), FOLDER
    )
    assert [target.name for target in read.targets] == ["a-1"]
    assert read.problems == ["target 1 of entry 2 has the address of target 1 of entry 1"]


# ---------------------------------------------------------------- with its section


def section(inner: str) -> GatewaySection:
    return parse(f"gateways: [{{{inner}}}]", env={"HOME": "/home/me"}).config.gateways[0]


def test_what_the_section_says_is_for_each_and_a_label_comes_first() -> None:
    all_of = section("discover: {file: x.json}, token_file: /run/all, insecure: true, tls: {ca_file: /ca}")
    found = section_for(one("a:1"), all_of)
    assert (found.token_file, found.insecure, found.tls) == ("/run/all", True, all_of.tls)
    assert section_for(one("ws://a:1"), all_of).tls is None
    assert section_for(one("a:1", token_file="/run/a"), all_of).token_file == "/run/a"
    password = section("discover: {file: x.json}, password: '${P}'")
    assert section_for(one("a:1"), password).password == password.password
    assert section_for(one("a:1", token_file="/run/a"), password).password is None


def test_the_address_decides_on_the_token_and_not_the_name() -> None:
    over_http = section("discover: {http: 'https://x/y', token_dir: /run/tokens}")
    for target, file in {
        "Cell.Example": "cell.example:443",
        "ws://cell.example/7": "cell.example:80",
        "cell.example:18789": "cell.example:18789",
        "[fd00::1]:1": "[fd00::1]:1",
    }.items():
        (read,) = read_targets(text(target, name="other", token_file="/etc/shadow"), None).targets
        assert section_for(read, over_http).token_file == f"/run/tokens/{file}"
    (read,) = read_targets(text("a:1"), None).targets
    assert section_for(read, section("discover: {http: 'https://x/y'}")).token_file is None
