"""``config show --session``: which policy, why, and what is in force there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from watchdog.cli.app import app

Type = Callable[..., Result]
CONFIG = """\
gateways:
  - {name: home, url: "ws://127.0.0.1:18789"}
  - {name: work, url: "ws://127.0.0.1:18790"}
policies:
  - name: vip
    match: {key: "agent:*:telegram:direct:42"}
    thresholds: {stuck_after: 10m}
  - name: ops
    match: {agent: ops, gateway: work}
    recovery: {ladder: [notify]}
  - name: telegram
    match: {channel: telegram, kind: direct}
    recovery: {budget: {attempts: 1}}
"""


@pytest.fixture
def show(tmp_path: Path) -> Type:
    config = tmp_path / "watchdog.yaml"
    config.write_text(CONFIG, "utf-8")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["config", "show", *arguments, "--config", str(config)])

    return run


@pytest.mark.parametrize(
    ("arguments", "policy", "because"),
    [
        (["agent:main:telegram:direct:42"], "vip", "key agent:main:telegram:direct:42 matches"),
        (["agent:main:telegram:direct:43"], "telegram", "channel is telegram"),
        (["agent:main:telegram:group:43"], "default", "no policy matches"),
        (["agent:main:main"], "default", "no policy matches"),
        (["agent:main:main", "--channel", "telegram", "--kind", "direct"], "telegram", "kind is direct"),
        (["agent:main:cron:nightly"], "background", "kind is cron"),
        (["agent:main:main", "--archived"], "archived", "it is archived"),
        (["agent:ops:main"], "default", "no policy matches"),
        (["agent:ops:main", "-g", "work"], "ops", "gateway is work"),
    ],
)
def test_by_everything_a_policy_can_match(show: Type, arguments: list[str], policy: str, because: str) -> None:
    found: dict[str, Any] = json.loads(show("--session", *arguments, "--json").stdout)
    assert found["policy"] == policy
    assert because in found["why"]
    words = show("--session", *arguments).stdout
    assert words.startswith(f"{arguments[0]}: policy '{policy}'")


def test_what_is_in_force_there(show: Type) -> None:
    vip = json.loads(show("--session", "agent:main:telegram:direct:42", "--json").stdout)
    assert (vip["thresholds"]["stuck_after"], vip["recovery"]["ladder"]) == ("10m", "[resume, new]")
    other = json.loads(show("--session", "agent:main:telegram:direct:43", "--json").stdout)
    assert other["recovery"]["budget"] == "{attempts: 1, per: 72h}"
    assert [one["policy"] for one in other["passed_over"]] == ["vip", "ops"]


def test_a_key_that_does_not_say_its_channel(show: Type) -> None:
    assert "channel not in the key (the gateway may say it; try --channel)" in show("--session", "agent:main:x").stdout


def test_a_gateway_nobody_configured(show: Type) -> None:
    done = show("--session", "agent:main:main", "-g", "nowhere")
    assert str(done.exception) == "no gateway is called nowhere; configured: home, work."


def test_it_is_said_which_file_is_in_force(show: Type, tmp_path: Path) -> None:
    assert show().stdout.splitlines()[0] == f"# in force: {tmp_path / 'watchdog.yaml'}"


@pytest.mark.parametrize(
    "more", [("--kind", "direct"), ("--channel", "telegram"), ("--gateway", "home"), ("--archived",)]
)
def test_what_a_session_is_says_nothing_without_one(show: Type, more: tuple[str, ...]) -> None:
    done = show(*more)
    assert done.exit_code == 2
    assert f"Invalid value for {more[0]}: say of which session: --session KEY" in done.stderr


@pytest.mark.parametrize("verb", [["config", "show", "--kind", "foo"], ["recover", "KEY", "--step", "foo"]])
def test_how_a_word_was_refused_does_not_show(verb: list[str]) -> None:
    done = CliRunner().invoke(app, verb)
    assert done.exit_code == 2
    assert "'foo' is not one of" in done.stderr
    assert "Value error" not in done.stderr
