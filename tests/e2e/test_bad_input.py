"""What goes wrong at set-up, against a real gateway: one clear sentence, the right exit code, no traceback, and a daemon
that keeps trying where waiting can help."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.loopback import free_port

from .conftest import MakeWorld
from .harness.daemon import Verb, Watchdog
from .harness.releases import V9_6
from .harness.world import World

pytestmark = pytest.mark.e2e


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(V9_6)


@pytest.fixture
def web_server() -> Iterator[int]:
    """Something that speaks HTTP and is no gateway."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def watchdog_with(world: World, folder: Path, **gateway: Any) -> Watchdog:
    entry = {"name": "home", "url": world.gateway.url, "token": "${GATEWAY_TOKEN}", "state_dir": "none", **gateway}
    return Watchdog(world.gateway, folder, extra={"gateways": [{k: v for k, v in entry.items() if v is not None}]})


def require_one_sentence(done: Verb, *words: str) -> None:
    """One line, for a person, with the way out; nothing that looks like a crash."""
    assert "Traceback" not in done.err
    lines = [line for line in done.err.splitlines() if line]
    assert len(lines) == 1, done.err
    for word in words:
        assert word in lines[0], lines[0]


def test_wrong_token(world: World, tmp_path: Path) -> None:
    wrong = watchdog_with(world, tmp_path, token="not-the-token")
    done = wrong.verb("check")
    assert done.code == 3
    require_one_sentence(done, "token or password is wrong", "gateways[].token")
    with wrong:
        line = wrong.wait_for("gateway.unhealthy", phase="refused")
        assert "token or password is wrong" in line["reason"]
        assert "not-the-token" not in wrong.text
        assert wrong.stop() == 0


def test_no_gateway_there_and_then_there_is_one(tmp_path: Path, make_world: MakeWorld) -> None:
    world = make_world(V9_6)
    away = watchdog_with(world, tmp_path / "away", url=f"ws://127.0.0.1:{free_port()}")
    done = away.verb("check")
    assert done.code == 3
    require_one_sentence(done, "cannot connect", "is the gateway running?")
    patient = watchdog_with(world, tmp_path / "patient")
    world.kill()
    try:
        with patient:
            patient.wait_for("gateway.unhealthy", phase="down")
            world.start()
            patient.wait_for("gateway.connected")
            assert patient.stop() == 0
    finally:
        if not world.gateway.is_running:
            world.start()


def test_not_a_gateway(world: World, tmp_path: Path, web_server: int) -> None:
    done = watchdog_with(world, tmp_path, url=f"ws://127.0.0.1:{web_server}").verb("check")
    assert done.code == 3
    require_one_sentence(done, "check the url")


def test_unencrypted_to_another_machine(world: World, tmp_path: Path) -> None:
    done = watchdog_with(world, tmp_path, url="ws://gateway.example:18789").verb("check")
    assert done.code == 3  # to Nagios, anything else would be a state of sessions
    require_one_sentence(done, "watchdog.yaml:", "insecure: true")


def test_half_written_configuration(world: World, tmp_path: Path) -> None:
    broken = watchdog_with(world, tmp_path)
    whole = broken.config_path.read_text()
    broken.config_path.write_text(whole[: whole.index("token") + 20])
    for verb in ("check", "run"):
        done = broken.verb(verb)
        assert done.code == (3 if verb == "check" else 78)
        require_one_sentence(done, "watchdog.yaml:")


def test_token_file_missing_then_written(world: World, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    absent = watchdog_with(world, tmp_path / "watchdog", token=None, token_file=str(token_file))
    done = absent.verb("check")
    assert done.code == 3
    require_one_sentence(done, str(token_file))
    with absent:
        line = absent.wait_for("gateway.unhealthy", phase="refused")
        assert str(token_file) in line["reason"]
        token_file.write_text(world.gateway.token + "\n")
        token_file.chmod(0o600)
        absent.wait_for("gateway.connected")
        assert world.gateway.token not in absent.text
        assert absent.stop() == 0


def test_doctor_says_all_is_well(world: World, tmp_path: Path) -> None:
    done = watchdog_with(world, tmp_path).verb("doctor", "--json")
    assert done.code == 0, done.out
    findings = done.json()["findings"]
    assert {finding["grade"] for finding in findings if finding["subject"] not in ("account", "notify")} == {"OK"}
    assert any("operator.admin granted" in finding["text"] for finding in findings)
    assert world.gateway.token not in done.out
