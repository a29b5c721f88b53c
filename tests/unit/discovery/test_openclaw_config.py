from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.discovery.support import Machine
from watchdog.discovery.openclaw_config import (
    ConfigBroken,
    ConfigUnreadable,
    DiscoveryError,
    expand,
    gateway_environment,
    locate,
    parse_dotenv,
    profiles,
    read_config,
    section,
)

needs_permissions = pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")

# ---------------------------------------------------------------- places


@pytest.mark.parametrize(
    ("env", "files", "config", "state_dir", "profile"),
    [
        ({}, [], ".openclaw/openclaw.json", ".openclaw", None),
        ({}, [".openclaw/openclaw.json"], ".openclaw/openclaw.json", ".openclaw", None),
        ({}, [".clawdbot/clawdbot.json"], ".clawdbot/clawdbot.json", ".clawdbot", None),
        ({}, [".clawdbot/openclaw.json", ".openclaw/logs/x"], ".clawdbot/openclaw.json", ".openclaw", None),
        ({}, [".openclaw/openclaw.json", ".clawdbot/clawdbot.json"], ".openclaw/openclaw.json", ".openclaw", None),
        ({}, [".openclaw/clawdbot.json"], ".openclaw/clawdbot.json", ".openclaw", None),
        ({"OPENCLAW_STATE_DIR": "~/elsewhere"}, [], "elsewhere/openclaw.json", "elsewhere", None),
        ({"OPENCLAW_STATE_DIR": "~/s"}, [".openclaw/openclaw.json"], "s/openclaw.json", "s", None),
        ({"OPENCLAW_STATE_DIR": "  "}, [".openclaw/openclaw.json"], ".openclaw/openclaw.json", ".openclaw", None),
        ({"OPENCLAW_STATE_DIR": "~/.openclaw-work"}, [], ".openclaw-work/openclaw.json", ".openclaw-work", "work"),
        (
            {"OPENCLAW_PROFILE": "work"},
            [".openclaw/openclaw.json"],
            ".openclaw-work/openclaw.json",
            ".openclaw-work",
            "work",
        ),
        ({"OPENCLAW_PROFILE": "Default"}, [".openclaw/openclaw.json"], ".openclaw/openclaw.json", ".openclaw", None),
        ({"OPENCLAW_PROFILE": "../evil"}, [], ".openclaw/openclaw.json", ".openclaw", None),
        ({"OPENCLAW_CONFIG_PATH": "~/a.json", "OPENCLAW_STATE_DIR": "~/b"}, ["b/openclaw.json"], "a.json", "b", None),
        (
            {"OPENCLAW_HOME": "~/other"},
            [".openclaw/openclaw.json"],
            "other/.openclaw/openclaw.json",
            "other/.openclaw",
            None,
        ),
        ({"OPENCLAW_HOME": "undefined"}, [], ".openclaw/openclaw.json", ".openclaw", None),
    ],
)
def test_where_openclaw_looks(
    machine: Machine, env: dict[str, str], files: list[str], config: str, state_dir: str, profile: str | None
) -> None:
    for name in files:
        machine.config({}, name)
    place = locate(env, machine.home)
    assert place.config_path == machine.home / config
    assert place.state_dir == machine.home / state_dir
    assert place.profile == profile
    assert place.is_explicit == ("OPENCLAW_CONFIG_PATH" in env)


def test_every_profile_and_no_backup(machine: Machine) -> None:
    for name in (
        ".openclaw",
        ".openclaw-work",
        ".openclaw-2nd_one",
        ".clawdbot",
        ".openclaw.bak",
        ".openclaw-bad name",
    ):
        machine.config({}, f"{name}/openclaw.json")
    (machine.home / ".openclaw-empty").mkdir()
    found = [(place.state_dir.name, place.profile) for place in profiles(machine.home)]
    assert found == [
        (".openclaw", None),
        (".clawdbot", None),
        (".openclaw-2nd_one", "2nd_one"),
        (".openclaw-work", "work"),
    ]


def test_paths_are_expanded_like_openclaw_does() -> None:
    home = Path("/h/me")
    assert expand("~", home) == home
    assert expand("~/x/../y", home) == Path("/h/me/y")
    assert expand("~other/x", home) == Path("/h/me/~other/x")
    assert expand(" /etc/a.json ", home) == Path("/etc/a.json")


# ---------------------------------------------------------------- reading


def test_json5_is_read(machine: Machine) -> None:
    path = machine.config("\ufeff// mine\n{gateway: {port: 19001, auth: {token: 'a',},}, /* big */ agents: {x: .5}}")
    config = read_config(path)
    assert config == {"gateway": {"port": 19001, "auth": {"token": "a"}}}
    assert section(config, "gateway", "auth") == {"token": "a"}
    assert section(config, "gateway", "port") == {}


def test_half_an_emoji_is_repaired(machine: Machine) -> None:
    """OpenClaw reads it; without this its gateway was not found."""
    path = machine.config(r'{gateway: {port: 19001, auth: {token: "half \ud83d, whole \ud83d\ude00"}}}')
    assert read_config(path) == {"gateway": {"port": 19001, "auth": {"token": "half �, whole 😀"}}}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('{\n "gateway": {\n  "auth": {"token": "sekrit"},\n', 2, "unclosed object"),
        ('{\n "gateway": {"auth": {"token": "sekr', 2, "unclosed string"),
        ("{a: 1\n b: 2}", 2, "expected comma"),
        ('{"gateway": {"auth": {"token": "sekrit"}}}\n}', 1, "extra data"),
        ("", 1, "no JSON data found"),
        ("   \n\n", 1, "no JSON data found"),
    ],
)
def test_a_half_written_file_is_named_with_its_line_and_nothing_of_it_is_shown(
    machine: Machine, text: str, line: int, says: str
) -> None:
    path = machine.config(text)
    with pytest.raises(ConfigBroken) as caught:
        read_config(path)
    error: BaseException | None = caught.value
    assert caught.value.line is not None
    assert abs(caught.value.line - line) <= (2 if not text.strip() else 0)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{path}, line ")
    assert str(caught.value).endswith("; finish or undo the edit.")
    while error is not None:  # pyjson5's own error carries what was parsed so far
        assert "sekr" not in f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__


@given(st.text(max_size=60), st.integers(min_value=0, max_value=60))
def test_any_text_is_a_config_or_a_clear_error(tmp_path_factory: pytest.TempPathFactory, noise: str, cut: int) -> None:
    whole = '{"gateway": {"port": 1, "auth": {"token": "t"}}}'
    path = tmp_path_factory.mktemp("c") / "openclaw.json"
    path.write_text(whole[:cut] + noise, encoding="utf-8", errors="surrogatepass")
    try:
        assert isinstance(read_config(path), dict)
    except DiscoveryError as error:
        assert str(error).startswith(str(path))  # noqa: PT017


def test_what_is_not_an_object_or_not_utf8_is_broken(machine: Machine) -> None:
    with pytest.raises(ConfigBroken, match="not a JSON object"):
        read_config(machine.config("[1]"))
    path = machine.config("")
    path.write_bytes(b'{\n "a": "\xff"}')
    with pytest.raises(ConfigBroken, match="line 2: byte 9 is not UTF-8"):
        read_config(path)


def test_a_folder_a_fifo_and_a_null_byte_are_unreadable(machine: Machine) -> None:
    folder = machine.home / "folder.json"
    folder.mkdir()
    fifo = machine.home / "fifo.json"
    os.mkfifo(fifo)
    for path in (folder, fifo, machine.home / "a\0b"):
        with pytest.raises(ConfigUnreadable):
            read_config(path)


@needs_permissions
def test_a_file_of_somebody_else_is_unreadable(machine: Machine) -> None:
    path = machine.config({})
    path.chmod(0)
    with pytest.raises(
        ConfigUnreadable, match=r"cannot be read \(permission denied\); run the watchdog as the gateway's user"
    ):
        read_config(path)


# ---------------------------------------------------------------- $include


def test_includes_are_merged_and_own_keys_win(machine: Machine) -> None:
    machine.config("{port: 1, auth: {mode: 'token', token: 'inner'}}", ".openclaw/parts/gateway.json5")
    machine.config("{auth: {token: 'second'}}", ".openclaw/parts/auth.json5")
    machine.config("{gateway: {$include: ['./gateway.json5', './auth.json5'], port: 2}, agents: {$include: './nope'}}",
                   ".openclaw/parts/base.json5")  # fmt: skip
    path = machine.config("{$include: './parts/base.json5', env: {vars: {A: 'b'}}}")
    assert read_config(path) == {
        "gateway": {"port": 2, "auth": {"mode": "token", "token": "second"}},
        "env": {"vars": {"A": "b"}},
    }


def test_a_broken_include_of_another_section_does_not_matter(machine: Machine) -> None:
    machine.config("{half", ".openclaw/agents.json5")
    assert read_config(machine.config("{gateway: {port: 7}, agents: {$include: './agents.json5'}}")) == {
        "gateway": {"port": 7}
    }


@pytest.mark.parametrize(
    ("include", "says"),
    [
        ("'../../outside.json5'", "leaves the configuration's folder"),
        ("'/etc/hostname'", "leaves the configuration's folder"),
        ("'./link.json5'", "leaves the configuration's folder"),
        ("'./missing.json5'", "does not exist"),
        ("'./openclaw.json'", "circular"),
        ("5", "leaves the configuration's folder"),
    ],
)
def test_a_bad_include_is_a_clear_error(machine: Machine, include: str, says: str) -> None:
    (machine.root / "outside.json5").write_text("{}")
    path = machine.config(f"{{gateway: {{$include: {include}}}}}")
    (path.parent / "link.json5").symlink_to(machine.root / "outside.json5")
    with pytest.raises(ConfigBroken, match=says):
        read_config(path)


def test_include_roots_open_other_folders(machine: Machine) -> None:
    shared = machine.root / "shared"
    shared.mkdir()
    (shared / "gateway.json5").write_text("{port: 3}")
    path = machine.config(f"{{gateway: {{$include: '{shared}/gateway.json5'}}}}")
    assert read_config(path, include_roots=(shared,)) == {"gateway": {"port": 3}}


# ---------------------------------------------------------------- environment


def test_dotenv_files_are_read_as_the_npm_package_reads_them() -> None:
    text = """
# comment
PLAIN=one # two
export EXPORTED=yes
EMPTY=
QUOTED="a \\"b\\"\\nc # d"
SINGLE='a # $X'
BACK=`x"y'`
COLON: value
  SPACED = trimmed\t
URL=http://h/?a=b
NOT A LINE
"""
    assert parse_dotenv(text) == {
        "PLAIN": "one",
        "EXPORTED": "yes",
        "EMPTY": "",
        "QUOTED": 'a \\"b\\"\nc # d',
        "SINGLE": "a # $X",
        "BACK": "x\"y'",
        "COLON": "value",
        "SPACED": "trimmed",
        "URL": "http://h/?a=b",
    }


@given(st.text(max_size=200))
def test_any_dotenv_is_read(text: str) -> None:
    assert all(isinstance(value, str) for value in parse_dotenv(text).values())


def test_the_environment_wins_over_dotenv_over_the_config() -> None:
    texts = ("A=dotenv\nB=dotenv\nC=dotenv\n", "C=second\nD=second\n")
    config = {
        "env": {"vars": {"B": "vars", "D": "vars", "E": "vars"}, "E": "direct", "F": "direct", "shellEnv": {"x": 1}}
    }
    env = gateway_environment({"A": "process", "B": ""}, config, texts)
    assert env == {"A": "process", "B": "dotenv", "C": "dotenv", "D": "second", "E": "vars", "F": "direct"}
