"""What the daemon of a replica has that one alone has not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes.ledgers import memory_ledger
from tests.postgresql import Server
from tests.unit.daemon.test_reload import CONFIG
from watchdog.adapters.clock import SystemClock
from watchdog.adapters.notes import HandoffNotes
from watchdog.config import load
from watchdog.core.leases import SHARDS
from watchdog.daemon.assembly import Builder
from watchdog.ledger.place import LedgerPlace
from watchdog.service.errors import LeaseLost
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


def test_a_handoff_note_is_written_to_the_database_by_who_owns_the_gateway_and_by_nobody_else(
    tmp_path: Path, server: Server
) -> None:
    file, env = tmp_path / "watchdog.yaml", {"HOME": str(tmp_path)}
    file.touch(mode=0o600)
    text = CONFIG.format(url="ws://127.0.0.1:1", token="t" * 16, stuck_after="10m", folder=tmp_path)
    file.write_text(f"{text}ledger: {server.emptied()}\nreplicas: {{term: 30s}}\n")
    parts = Builder(load(file, env=env), env, MemoryLog(), NullMeter()).parts(is_observing=False)
    try:
        assert parts.shares is not None
        parts.shares.beat()
        (watch,) = parts.build_watches(parts.loaded, {"home"})
        at = parts.clock.now().wall
        incident = watch.ledger.open_incident(gateway="home", session="s", session_id=None, reason="r", at=at)
        assert "table note_texts" in watch.executor.notes.save(incident.id, 1, "what was asked")
        assert not (tmp_path / "state" / "handoff").exists()
        parts.ledger.leases.beat("another", "another", {}, timedelta(hours=1))
        parts.shares.record.release(parts.shares.replica, dict.fromkeys(range(SHARDS + 1), 1))
        parts.ledger.leases.take("another", SHARDS + 1, timedelta(hours=1))
        with pytest.raises(LeaseLost):
            watch.executor.notes.save(incident.id, 1, "something else that was asked")
    finally:
        parts.close()


def test_beside_a_file_handoff_notes_are_files(tmp_path: Path) -> None:
    file, env = tmp_path / "watchdog.yaml", {"HOME": str(tmp_path)}
    file.touch(mode=0o600)
    file.write_text(CONFIG.format(url="ws://127.0.0.1:1", token="t" * 16, stuck_after="10m", folder=tmp_path))
    parts = Builder(load(file, env=env), env, MemoryLog(), NullMeter()).parts(is_observing=False)
    try:
        (watch,) = parts.watches
        assert isinstance(watch.executor.notes, HandoffNotes)
        assert watch.executor.notes.folder == parts.ledger.folder / "handoff"  # type: ignore[operator]
    finally:
        parts.close()
