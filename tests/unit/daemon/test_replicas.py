"""What the daemon of a replica has that one alone has not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.ledgers import memory_ledger
from tests.unit.daemon.test_reload import CONFIG
from watchdog.adapters.clock import SystemClock
from watchdog.config import load
from watchdog.daemon.assembly import Builder
from watchdog.ledger.place import LedgerPlace
from watchdog.service.events import MemoryLog
from watchdog.service.null_meter import NullMeter


@pytest.mark.parametrize("is_shared", [True, False])
def test_what_is_owed_in_the_spare_ledger_is_carried_over_by_the_daemon_of_a_replica(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_shared: bool
) -> None:
    """Alone, each watch does that."""
    file, env = tmp_path / "watchdog.yaml", {"HOME": str(tmp_path)}
    file.touch(mode=0o600)
    text = CONFIG.format(url="ws://127.0.0.1:1", token="t" * 16, stuck_after="10m", folder=tmp_path)
    file.write_text(text + "ledger: postgresql://db.example/watchdog\n" + ("replicas: {}\n" if is_shared else ""))
    ledger = memory_ledger(SystemClock())
    monkeypatch.setattr(LedgerPlace, "open", lambda *_, **__: ledger)
    parts = Builder(load(file, env=env), env, MemoryLog(), NullMeter()).parts(is_observing=True)
    assert parts.teller.spare is (parts.spare if is_shared else None)
    parts.close()
