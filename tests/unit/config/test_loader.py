"""Which file is read, and what is said when it cannot be."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.config import Config, ConfigError, Problem, load, parse, search_paths, user_folder
from watchdog.config.generate import FOLDER

OTHER = "poll_every: 31s\n"


class Places:
    """A home, a working folder and a system folder, all empty."""

    def __init__(self, root: Path) -> None:
        self.cwd, self.home, self.system = root / "cwd", root / "home", root / "etc"
        for folder in (self.cwd, self.home / ".config/openclaw-watchdog", self.system):
            folder.mkdir(parents=True)
        self.env = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / ".config")}
        self.user_file = self.home / ".config/openclaw-watchdog/watchdog.yaml"

    def poll_every(self, path: str | None = None, **env: str) -> tuple[float, Path | None]:
        loaded = load(path, env=self.env | env, cwd=self.cwd, system_folder=self.system)
        return loaded.config.poll_every.total_seconds(), loaded.source

    def refused(self, path: str | None = None, **env: str) -> str:
        with pytest.raises(ConfigError) as caught:
            self.poll_every(path, **env)
        return str(caught.value)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def written(file: Path, seconds: int) -> Path:
    file.write_text(f"poll_every: {seconds}s\n")
    return file


def test_the_first_place_wins(places: Places) -> None:
    files = {
        1: places.cwd / "asked.yaml",
        2: places.cwd / "variable.yaml",
        3: places.cwd / "watchdog.yaml",
        4: places.user_file,
        5: places.system / "watchdog.yaml",
    }
    for seconds, file in files.items():
        written(file, seconds)
    variable = {"OPENCLAW_WATCHDOG_CONFIG": "variable.yaml"}
    assert places.poll_every("asked.yaml", **variable) == (1, files[1])
    assert places.poll_every(**variable) == (2, files[2])
    assert places.poll_every(OPENCLAW_WATCHDOG_CONFIG="") == (3, files[3])
    files[3].unlink()
    assert places.poll_every() == (4, files[4])
    files[4].unlink()
    assert places.poll_every() == (5, files[5])
    files[5].unlink()
    assert places.poll_every() == (30, None)


def test_a_command_that_is_pasted_elsewhere_names_the_file_it_would_not_find(places: Places) -> None:
    def to_name(path: str | None = None) -> Path | None:
        return load(path, env=places.env, cwd=places.cwd, system_folder=places.system).to_name

    assert to_name() is None, "there is no file to name"
    system = written(places.system / "watchdog.yaml", 5)
    assert to_name() is None
    assert to_name(str(system)) is None, "however it was named, it is found"
    user = written(places.user_file, 4)
    assert to_name() is None
    assert to_name(str(system)) == system, "another would be found"
    user.unlink()
    assert to_name(str(written(places.cwd / "asked.yaml", 1).name)) == places.cwd / "asked.yaml"
    assert to_name(str(written(places.cwd / "watchdog.yaml", 3))) == places.cwd / "watchdog.yaml"


def test_without_a_file_the_defaults_are_in_force_and_the_search_is_told(places: Places) -> None:
    loaded = load(env=places.env, cwd=places.cwd, system_folder=places.system)
    assert loaded.config == Config()
    assert loaded.searched == (places.cwd / "watchdog.yaml", places.user_file, places.system / "watchdog.yaml")
    assert loaded.warnings == ()


def test_the_real_search_path() -> None:
    env = {"HOME": "/home/me", "XDG_CONFIG_HOME": "/x"}
    assert search_paths(env, Path("/w")) == (
        Path("/w/watchdog.yaml"),
        Path("/x/openclaw-watchdog/watchdog.yaml"),
        Path("/etc/openclaw-watchdog/watchdog.yaml"),
    )
    assert user_folder({}) is None
    assert user_folder({"HOME": "/h", "XDG_CONFIG_HOME": "relative"}) == user_folder({"HOME": "/h"})


def test_the_users_folder_is_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert user_folder(os.environ) == platformdirs.user_config_path("openclaw-watchdog", appauthor=False)


def test_on_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert user_folder({"HOME": "/Users/me"}) == Path("/Users/me/Library/Application Support/openclaw-watchdog")


def test_a_named_file_that_is_missing_is_refused(places: Places) -> None:
    assert places.refused("nowhere.yaml") == "nowhere.yaml: there is no such file"
    assert places.refused(OPENCLAW_WATCHDOG_CONFIG="/n/w.yaml") == (
        "/n/w.yaml: there is no such file ($OPENCLAW_WATCHDOG_CONFIG names it)"
    )
    folder = str(places.cwd)
    assert places.refused(OPENCLAW_WATCHDOG_CONFIG=folder) == (
        f"{folder}: cannot be read: is a directory ($OPENCLAW_WATCHDOG_CONFIG names it)"
    )
    assert places.refused("~nobody-of-this-name/w.yaml") == "~nobody-of-this-name/w.yaml: there is no such file"
    written(places.cwd / "watchdog.yml", 5)
    assert places.refused("watchdog.yaml") == "watchdog.yaml: there is no such file (did you mean 'watchdog.yml'?)"


def test_a_file_that_everybody_may_write_is_read_only_when_it_is_named(places: Places) -> None:
    file = written(places.user_file, 5)
    file.chmod(0o666)
    assert places.refused() == (
        f"{file}: it can be written by everybody, so it is not read (chmod o-w, or name it with --config if it is meant)"
    )
    assert places.poll_every(str(file)) == (5, file)
    here = written(places.cwd / "watchdog.yaml", 6)
    assert places.poll_every() == (6, here)
    here.chmod(0o666)
    assert places.refused().startswith(f"{file}: "), "the next place is looked at, and refused"
    file.chmod(0o600)
    loaded = load(env=places.env, cwd=places.cwd, system_folder=places.system)
    assert (loaded.source, [problem.file for problem in loaded.warnings]) == (file, [str(here)])


def test_a_file_of_another_account_is_not_obeyed(places: Places) -> None:
    file, owner, other = written(places.user_file, 5), os.getuid(), os.getuid() + 1
    if owner == 0:  # what is root's is everybody's
        owner = 12001
        os.chown(file, owner, owner)
    with pytest.raises(ConfigError, match=rf"belongs to uid {owner}, not to uid {other}, so it is not read"):
        load(env=places.env, cwd=places.cwd, system_folder=places.system, uid=other)
    loaded = load(file, env=places.env, cwd=places.cwd, uid=other)
    assert (loaded.source, loaded.was_found) == (file, False), "named"


def test_a_file_with_the_wrong_ending_is_pointed_out(places: Places) -> None:
    stray = written(places.cwd / "watchdog.yml", 5)
    loaded = load(env=places.env, cwd=places.cwd, system_folder=places.system)
    assert [str(problem) for problem in loaded.warnings] == [
        f"{stray}: this file is not read (rename it to watchdog.yaml)"
    ]


def test_what_is_no_readable_text_is_refused(places: Places) -> None:
    assert places.refused(".") == ".: cannot be read: is a directory"
    (places.cwd / "loop.yaml").symlink_to("loop.yaml")
    assert places.refused("loop.yaml") == "loop.yaml: cannot be read: too many levels of symbolic links"
    (places.cwd / "latin.yaml").write_bytes(b"log: {}\nstate_dir: caf\xe9\n")
    assert places.refused("latin.yaml") == "latin.yaml:2:15: this is not UTF-8 text (save the file as UTF-8)"
    (places.cwd / "wide.yaml").write_bytes("poll_every: 5s".encode("utf-16"))
    assert places.refused("wide.yaml") == "wide.yaml:1:1: this is not UTF-8 text (save the file as UTF-8)"
    (places.cwd / "big.yaml").write_bytes(b"#" * 2_000_000)
    assert places.refused("big.yaml") == "big.yaml: larger than 1 MiB: this is not a configuration"
    assert "cannot be read" in places.refused("/proc/self/mem") if Path("/proc/self/mem").exists() else True


def test_an_unreadable_usual_place_is_not_passed_over(places: Places) -> None:
    (places.cwd / "watchdog.yaml").mkdir()
    written(places.user_file, 5)
    assert places.refused() == "watchdog.yaml: cannot be read: is a directory"


def test_problems_name_the_file_as_the_user_knows_it(places: Places) -> None:
    (places.cwd / "watchdog.yaml").write_text("poll_every: 5\n")
    assert places.refused().startswith("watchdog.yaml:1:13: ")
    assert places.refused("./watchdog.yaml").startswith("watchdog.yaml:1:13: ")
    assert places.refused(str(places.cwd / "watchdog.yaml")).startswith(f"{places.cwd}/watchdog.yaml:1:13: ")


def test_a_byte_order_mark_and_windows_line_ends_are_fine(places: Places) -> None:
    (places.cwd / "watchdog.yaml").write_bytes(b"\xef\xbb\xbfpoll_every: 5s\r\nlog: {level: info}\r\n")
    assert places.poll_every()[0] == 5


def test_relative_paths_start_at_the_file(places: Places) -> None:
    file = places.home / "w.yaml"
    file.write_text(
        "state_dir: ledger/../state\ngateways: [{state_dir: ~/.openclaw, token_file: t}, {name: b, discover: local, state_dir: none}]"
    )
    config = load(file, env=places.env, cwd=places.cwd).config
    assert config.state_dir == places.home / "state"
    assert config.gateways[0].state_dir == places.home / ".openclaw"
    assert config.gateways[0].token_file == str(places.home / "t")
    assert config.gateways[1].state_dir == "none"


@pytest.mark.parametrize(
    ("text", "mode", "is_told"),
    [
        ("gateways: [{token: hunter2}]", 0o644, True),
        ("gateways: [{token: hunter2}]", 0o640, True),
        ("gateways: [{token: hunter2}]", 0o600, False),
        ("gateways: [{token: '${TOKEN}'}]", 0o644, False),
        ("gateways: [{token_file: /run/token}]", 0o644, False),
        ("notify: ['tgram://hunter2']", 0o644, True),
        ("heartbeat_url: https://hc-ping.com/hunter2", 0o644, True),
        ("ledger: postgresql://ann:hunter2@db/x", 0o644, True),
        ("ledger: postgresql://ann@db/x", 0o644, False),
    ],
)
def test_a_secret_that_others_can_read_is_told(places: Places, text: str, mode: int, is_told: bool) -> None:
    file = places.cwd / "watchdog.yaml"
    file.write_text(text)
    file.chmod(mode)
    loaded = load(env=places.env, cwd=places.cwd)
    said = [str(problem) for problem in loaded.warnings]
    expected = (
        "watchdog.yaml: other users of this machine can read the secrets in this file "
        "(chmod 600 watchdog.yaml, or use ${NAME} or token_file)"
    )
    assert said == ([expected] if is_told else [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "gateways: [{name: home}]\npolicies:\n  - match: {gateway: hoem, kind: main}\n",
            "w:3:22: policy 'policy-1' is for a gateway 'hoem', and none is called so (did you mean 'home'?)",
        ),
        (
            "policies:\n  - name: tg\n    match: {channel: telegram}\n",
            (
                "w:2:5: policy 'tg' also acts on the cron, subagent, acp and archived sessions it matches "
                "(if that is meant, give it a ladder; if not, say which kind, and archived: false)"
            ),
        ),
        (
            "recovery: {budget: {attempts: 1}}",
            "w:1:31: the budget of 1 ends before the ladder's 2 deeds do",
        ),
        (
            "gateways: [{url: 'wss://gw.example.org', state_dir: /srv/openclaw}]",
            (
                "w:1:53: state_dir is read on this machine, and the url names another: lock files would mislead "
                "(state_dir: none)"
            ),
        ),
        (
            "gateways: [{url: 'ws://127.0.0.1'}]",
            "w:1:18: this url has no port, so 80 is used (OpenClaw's own is 18789)",
        ),
        (
            "status_page: {listen: '0.0.0.0:18795'}",
            "w:1:23: the status page has no password, and other machines can reach it there",
        ),
        (
            "recovery: {resume_message: 'Go on { request }'}",
            "w:1:28: resume_message: '{ request }' is not filled in here (filled in: {request}, {interrupted_at})",
        ),
        (
            "gateways: [{discover: {http: 'http://a.example/x'}}]",
            (
                "w:1:30: this list could be changed on its way, so it is not read "
                "(use https://, or say insecure: true beside discover)"
            ),
        ),
    ],
)
def test_what_loads_and_was_probably_not_meant_is_told(text: str, expected: str) -> None:
    assert [str(problem) for problem in parse(text, file="w", env={}).warnings] == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "policies: [{match: {channel: telegram}, recovery: {ladder: [resume]}}]",
        "policies: [{match: {channel: telegram}, recovery: {mode: observe}}]",
        "policies: [{match: {channel: telegram, kind: direct}}]",
        "policies: [{match: {key: 'agent:*'}}]",
        "policies: [{match: {channel: telegram}}]\nrecovery: {ladder: [notify]}",
        "gateways: [{name: home}]\npolicies: [{match: {gateway: 'h*', kind: main}}]",
        "status_page: {listen: '[::1]:0'}",
        "gateways: [{discover: {http: 'https://a.example/x'}}, {discover: {http: 'http://localhost/x'}}]",
        "gateways: [{discover: {http: 'http://a.example/x'}, insecure: true}, {discover: {http: '${LIST}'}}]",
    ],
)
def test_what_was_meant_is_not_remarked_on(text: str) -> None:
    assert parse(text, env={}).warnings == ()


EXAMPLE = (FOLDER / "watchdog.example.yaml").read_text()


@given(end=st.integers(0, len(EXAMPLE)))
def test_a_half_written_file_loads_or_is_refused(end: int) -> None:
    """An editor saves in the middle of a reload: any beginning of the file is read or refused, never a crash."""
    for text in (EXAMPLE[:end], EXAMPLE[:end].replace("#", "")):
        assert all(problem.line for problem in problems_of(text))


def problems_of(text: str) -> tuple[Problem, ...]:
    try:
        parse(text, file="w.yaml", env={})
    except ConfigError as error:
        return error.problems
    return ()


def test_nothing_of_the_values_stays_in_the_loaded_document() -> None:
    loaded = parse("gateways: [{token: hunter2}]", env={})
    assert loaded.document.root is None
    assert "hunter2" not in repr(loaded)


def test_a_later_problem_finds_its_place() -> None:
    loaded = parse("log: {}\nstatus_page: {listen: 127.0.0.1:80}\n", file="w.yaml", env={})
    problem = loaded.problem_at(("status_page", "listen"), "the port is in use")
    assert str(problem) == "w.yaml:2:23: the port is in use"
