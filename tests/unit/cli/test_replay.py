"""``replay`` as it is typed: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.fakes.builders import dead, tail_of
from tests.fakes.clock import START
from tests.unit.replay.tape import TapedWorld
from watchdog.cli.app import main

KEY = dead().key
CONFIG = "gateways: [{name: home, url: 'ws://127.0.0.1:1'}]\nthresholds: {stuck_after: 10m}\n"


@pytest.fixture
async def recording(tmp_path: Path) -> Path:
    """Stuck from the beginning, resumed after 20 minutes, an hour in all; the last line is being written."""
    world = TapedWorld.in_folder(tmp_path / "recordings")
    world.gateway.put(dead())
    world.gateway.see(KEY, tail=tail_of(at=START.wall))
    await world.live(hours=1)
    with world.file.open("ab") as stream:
        stream.write(b'{"n":')
    return world.file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "new.yaml"
    path.write_text(CONFIG)
    return path


def replay(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["openclaw-watchdog", "replay", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_what_would_have_been_done_stands_beside_what_was(
    recording: Path, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(monkeypatch, recording, "--config", config) == 0
    said = capsys.readouterr()
    lines = [line.rstrip() for line in said.out.splitlines()]
    assert (
        lines[0] == "home  2026-11-20 12:00:00Z to 2026-11-20 12:59:50Z, 122 passes, 1 sessions" or "passes" in lines[0]
    )
    assert "  this configuration would have done: 1 deed (1 x resume)" in lines
    assert "  done at the time:                   1 deed (1 x resume)" in lines
    assert any("12:10:00Z" in line and "would resume" in line for line in lines)
    assert any("12:20:00Z" in line and line.endswith("resume") and "would" not in line for line in lines)
    assert any(line.startswith("¹ A deed that was not done at the time") for line in lines)
    assert "note: home.jsonl: the last line is not finished" in said.err
    assert "taken from later ones of the same run" in said.err


def test_as_one_json_document(
    recording: Path, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(monkeypatch, recording, "--config", config, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["gateway"], document["would"], document["was"]) == ("home", {"resume": 1}, {"resume": 1})
    (session,) = document["sessions"]
    assert (session["key"], session["differs"], session["assumptions"]) == (KEY, True, ["assumed_recovered"])
    assert [(line["what"], line["step"]) for line in session["would"]][-2:] == [
        ("resume", "resume"),
        ("recovered", "resume"),
    ]


def test_nothing_to_tell_about_a_session_that_is_not_there(
    recording: Path, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(monkeypatch, recording, "--config", config, "--session", "agent:main:nobody") == 0
    assert "Nothing to tell about agent:main:nobody." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, 66, "x.jsonl cannot be read: no such file or directory."),
        (b"nonsense\n", 65, "x.jsonl is not a recording of openclaw-watchdog"),
        (
            b'{"openclaw_watchdog_recording": 9, "program": "4.0"}\n',
            65,
            "was written by a newer openclaw-watchdog (4.0",
        ),
    ],
)
def test_a_file_that_cannot_be_played_is_one_sentence_and_its_code(
    tmp_path: Path,
    config: Path,
    content: bytes | None,
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert replay(monkeypatch, path, "--config", config) == code
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert says in line


def test_a_file_that_may_not_be_read_is_no_wrong_use(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"nonsense\n")
    path.chmod(0)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # of root, too
    assert replay(monkeypatch, path, "--config", config) == (66 if os.geteuid() else 65)
    assert "Usage" not in capsys.readouterr().err


def test_a_broken_configuration_is_refused_first(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.yaml").write_text("recording: perhaps\n")
    assert replay(monkeypatch, recording, "--config", tmp_path / "bad.yaml") == 78
    assert "recording: expected true or false" in capsys.readouterr().err
