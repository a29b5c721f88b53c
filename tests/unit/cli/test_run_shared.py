"""``run --observe`` of one among replicas: refused before anything starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from watchdog.cli import run
from watchdog.cli.app import main
from watchdog.service import descriptors

SHARED = """
gateways: [{url: 'wss://gw.example.org'}]
ledger: 'postgresql://127.0.0.1:1/watchdog'
replicas: {}
"""


@pytest.mark.parametrize("words", [("--observe",), ()])
def test_an_observing_replica_is_refused(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "watchdog.yaml"
    file.touch(mode=0o600)
    file.write_text(SHARED)

    class BuiltError(Exception):
        """It would start."""

    def build(*_: object, **__: object) -> object:
        raise BuiltError

    monkeypatch.setattr(run, "Builder", build)
    monkeypatch.setattr(descriptors, "raise_limit", lambda: None)
    monkeypatch.setattr(run, "give_large_blocks_back", lambda: None)
    monkeypatch.setattr(sys, "argv", ["openclaw-watchdog", "run", *words, "--config", str(file)])
    if not words:
        with pytest.raises(BuiltError):
            main()
        return
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert "run --observe does not go with replicas" in line
    assert "recovery: {mode: observe}" in line
