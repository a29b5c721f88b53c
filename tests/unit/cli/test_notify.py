"""``notify test``: every target is tried, each one's result is told, no URL ever is."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
import respx
from typer.testing import CliRunner, Result

from watchdog.cli.app import app
from watchdog.cli.shared import Leave


def run(tmp_path: Path, targets: str, *options: str) -> Result:
    path = tmp_path / "watchdog.yaml"
    path.write_text(f"notify: {targets}\n")
    path.chmod(0o600)
    return CliRunner().invoke(app, ["notify", "test", "--config", str(path), *options])


def code_of(done: Result) -> int:
    return done.exception.code if isinstance(done.exception, Leave) else done.exit_code


@respx.mock
def test_all_targets_take_it(tmp_path: Path) -> None:
    one = respx.post("https://one.test/hook").mock(httpx.Response(200))
    two = respx.post("https://two.test/hook").mock(httpx.Response(204))
    done = run(tmp_path, '["https://one.test/hook", {url: "https://two.test/hook", on: [quarantined]}]')
    assert code_of(done) == 0, done.output
    assert done.stdout == "webhook-1: delivered\nwebhook-2: delivered\n"
    assert one.called
    assert two.called
    sent = json.loads(one.calls[0].request.content)
    assert sent["kind"] == "test"
    assert "Nothing is wrong" in sent["body"]


@respx.mock
def test_one_that_fails(tmp_path: Path) -> None:
    respx.post("https://one.test/hook-secret").mock(httpx.Response(404))
    respx.post("https://two.test/hook").mock(httpx.Response(200))
    done = run(tmp_path, '["https://one.test/hook-secret", "https://two.test/hook"]', "--json")
    assert code_of(done) == 1
    document = json.loads(done.stdout)
    assert document == {
        "ok": False,
        "targets": [
            {"target": "webhook-1", "ok": False, "problem": "it answered 404"},
            {"target": "webhook-2", "ok": True, "problem": None},
        ],
    }
    assert "hook-secret" not in done.output


@respx.mock
def test_a_missing_secret_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK_URL", raising=False)
    respx.post("https://two.test/hook").mock(httpx.Response(200))
    done = run(tmp_path, '["${HOOK_URL}", "https://two.test/hook"]')
    assert code_of(done) == 1
    assert "notify[0]: FAILED: " in done.stdout
    assert "HOOK_URL" in done.stdout
    assert "webhook-1: delivered" in done.stdout


@respx.mock
def test_the_watched_gateway_itself_is_not_tried_and_the_others_are(tmp_path: Path) -> None:
    respx.post("https://two.test/hook").mock(httpx.Response(200))
    done = run(
        tmp_path,
        "['http://127.0.0.1:18789/hooks/x', 'https://two.test/hook']\ngateways: [{url: 'ws://localhost:18789'}]",
    )
    assert code_of(done) == 1
    assert "webhook-1: FAILED: notify target webhook-1 is a watched gateway itself" in done.stdout
    assert "webhook-2: delivered" in done.stdout


def test_nobody_to_tell(tmp_path: Path) -> None:
    done = run(tmp_path, "[]")
    assert code_of(done) == 1
    assert "no target is configured" in done.stderr
