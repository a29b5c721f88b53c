"""What the watchdog needs itself is taken away: its ledger's disk, the ledger, its place as the only one, its config.

Each story has two stuck chats: one is recovered before the fault or held by it, and everything owed must come in the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness.conditions import stays, until
from tests.e2e.harness.daemon import Watchdog
from tests.fakes.stuck_gateway import stuck_world
from tests.faults.tally import reckon

from .report import Row
from .simulation import Simulation
from .webhook import Webhook

VERSION = "2026.3.24"
STAGE = f"daemon process, simulated {VERSION}"
KEYS = ("agent:main:irc:direct:alice", "agent:main:irc:direct:bob")
REQUESTS = {key: f"list the bridges, for {key}" for key in KEYS}


def settings(hook: Webhook, **recovery: Any) -> dict[str, Any]:
    return {
        "poll_every": "300ms",
        "thresholds": {"stuck_after": "1s", "confirm_for": "500ms", "startup_grace": "1s"},
        "recovery": {"verify_within": "10s", "backoff": ["500ms"], **recovery},
        "notify": [hook.url],
    }


@pytest.fixture
def gateway(tmp_path: Path, row: Row) -> Iterator[Simulation]:
    row.on(STAGE)
    with Simulation(lambda: stuck_world(VERSION, REQUESTS), tmp_path / "gateway") as made:
        yield made


def sends(gateway: Simulation) -> int:
    return len(gateway.ask(lambda noting: noting.sent()))


def twice(gateway: Simulation) -> list[str]:
    counts = gateway.ask(lambda noting: noting.sends_by_key())
    return [f"{key} was sent {count} times" for key, count in counts.items() if count > 1]


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted by root")
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Not a byte is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        for size in (65536, 4096, 1):
            try:
                while stream.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return ballast


@pytest.mark.faults("disk of the ledger full")
def test_full_disk(row: Row, hook: Webhook, gateway: Simulation, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        extra = {**settings(hook), "state_dir": str(disk / "state")}
        extra["thresholds"]["startup_grace"] = "6s"
        with Watchdog(gateway, tmp_path / "watchdog", extra=extra) as watchdog:
            watchdog.wait_for("session.stuck", count=2)
            ballast = fill(disk)
            watchdog.wait_for("ledger.unavailable")
            until("somebody is told of it", lambda: hook.of("ledger"), within=30)
            looks = gateway.ask(lambda noting: noting.looks())
            stays("nothing is sent", lambda: sends(gateway) == 0, for_seconds=8)
            looked = gateway.ask(lambda noting: noting.looks()) - looks
            row.saw(
                f"disk full: {sends(gateway)} deeds, {looked} looks meanwhile, {len(hook.of('ledger'))} message of it"
            )
            ballast.unlink()
            watchdog.wait_for("ledger.restored")
            for key in KEYS:
                watchdog.wait_for("recovery.succeeded", session=key)
            result = reckon(watchdog, hook).require(KEYS, "recovered")
            row.saw(f"room again: {result.sentence()}")
            row.lost([*result.losses, *twice(gateway)])
            row.lost([] if looked else ["it stopped looking"])
            assert watchdog.stop() == 0


@pytest.mark.faults("ledger deleted while running")
def test_deleted(row: Row, hook: Webhook, gateway: Simulation, tmp_path: Path) -> None:
    extra = settings(hook)
    extra["policies"] = [{"name": "later", "match": {"key": KEYS[1]}, "recovery": {"mode": "observe"}}]
    with Watchdog(gateway, tmp_path / "watchdog", extra=extra) as watchdog:
        watchdog.wait_for("recovery.succeeded", session=KEYS[0])
        watchdog.wait_for("recovery.held", session=KEYS[1])
        for path in (tmp_path / "watchdog" / "state").glob("ledger.sqlite*"):
            if not path.name.endswith(".lock"):
                path.unlink()
        until("somebody is told of it", lambda: hook.of("ledger"), within=60)
        watchdog.configure({name: value for name, value in watchdog.settings.items() if name != "policies"})
        watchdog.signal(signal.SIGHUP)
        watchdog.wait_for("config.loaded", count=2)
        held = watchdog.wait_for("recovery.held", session=KEYS[1], blockers=["history_lost"], within=60)
        stays("nothing is sent", lambda: sends(gateway) == 1, for_seconds=4)
        row.saw(
            f"told {len(hook.of('ledger'))} time(s); new deeds held by {held['blockers'][0]}: {sends(gateway) - 1} sent"
        )
        done = watchdog.verb("release", "--lost-history")
        assert done.code == 0, done.err
        watchdog.wait_for("recovery.succeeded", session=KEYS[1])
        result = reckon(watchdog, hook).require([KEYS[1]], "recovered")
        row.saw(f"after `release --lost-history`: {result.sentence()}")
        row.lost([*result.losses, *twice(gateway)])
        assert watchdog.stop() == 0


@pytest.mark.faults("two daemons on one ledger")
def test_two_daemons(row: Row, hook: Webhook, gateway: Simulation, tmp_path: Path) -> None:
    folder = tmp_path / "watchdog"
    with Watchdog(gateway, folder, extra=settings(hook)) as first:
        first.wait_for("daemon.started")
        second = first.verb("run", within=60)
        assert str(first.pid) in second.err, second.err
        for key in KEYS:
            first.wait_for("recovery.succeeded", session=key)
        row.saw(f"the second ended with {second.code} and named the first's pid")
        first.kill()
        first.start()
        first.wait_for("daemon.started", count=2)
        result = reckon(first, hook).require(KEYS, "recovered")
        row.saw(f"{result.sentence()}; after kill -9 of the first a third took over")
        row.lost([*result.losses, *twice(gateway)])
        assert first.stop() == 0


@pytest.mark.faults("SIGHUP with a broken file")
def test_broken_reload(row: Row, hook: Webhook, gateway: Simulation, tmp_path: Path) -> None:
    extra = settings(hook)
    extra["thresholds"]["startup_grace"] = "5s"
    with Watchdog(gateway, tmp_path / "watchdog", extra=extra) as watchdog:
        watchdog.wait_for("session.stuck", count=2)
        good = watchdog.config_path.read_text()
        watchdog.config_path.write_text(good + "\nrecovry: {mode: observe}\n")
        watchdog.signal(signal.SIGHUP)
        refused = watchdog.wait_for("config.refused")
        for key in KEYS:
            watchdog.wait_for("recovery.succeeded", session=key)
        row.saw(f"refused ({str(refused['reason']).split('/')[-1]}), the old file stayed in force")
        watchdog.config_path.write_text(good)
        result = reckon(watchdog, hook).require(KEYS, "recovered")
        row.saw(result.sentence())
        row.lost([*result.losses, *twice(gateway)])
        assert watchdog.stop() == 0


def test_nothing_of_a_small_disk_is_left(tmp_path: Path) -> None:
    """The mount itself, so that a broken row does not leave one behind."""
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        assert shutil.disk_usage(disk).free == 0
    assert list((tmp_path / "disk").iterdir()) == []
