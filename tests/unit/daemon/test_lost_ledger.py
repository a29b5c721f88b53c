"""A ledger that was made anew has lost its history: somebody is told, once, whenever it is found out."""

from __future__ import annotations

import asyncio
import fcntl
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.daemon.test_reload import CONFIG, Desk, desk
from tests.unit.daemon.test_reminders import told
from watchdog.config import load
from watchdog.core.model import GatewayPhase
from watchdog.core.policy import Step
from watchdog.core.recovery import AttemptState
from watchdog.daemon.assembly import Builder
from watchdog.daemon.loop import Daemon
from watchdog.daemon.places import places_of
from watchdog.ledger.ledger import SqliteLedger
from watchdog.ledger.sqlite_open import ledger_path
from watchdog.service.errors import LedgerInUse, LedgerUnavailable
from watchdog.service.events import Event, MemoryLog
from watchdog.service.ledger import MessageKind
from watchdog.service.null_meter import NullMeter
from watchdog.service.pass_report import PassReport
from watchdog.service.secret import MASK

__all__ = ["desk", "told"]
LOST = "The ledger's history is lost"


async def test_a_ledger_made_anew_while_the_spare_was_in_use_is_no_good_news(
    desk: Desk, told: tuple[int, list[dict[str, Any]]]
) -> None:
    port, found = told
    target = f"notify: [{{name: phone, url: 'json+http://127.0.0.1:{port}/x', on: quarantined}}]\n"
    desk.file.write_text(desk.text("10m") + target, "utf-8")
    await desk.logged(Event.CONFIG_LOADED)
    path = ledger_path(desk.file.parent / "state")
    damaged = path.with_name("damaged")
    damaged.write_text("no database")
    damaged.replace(path)
    await desk.logged(Event.LEDGER_UNAVAILABLE)
    path.unlink()
    await desk.logged(Event.LEDGER_RESTORED)
    async with asyncio.timeout(60):
        while len(found) < 2:  # noqa: ASYNC110 - the webhook is another thread's
            await asyncio.sleep(0.02)
    await desk.passes(3)
    assert [one["title"] for one in found] == ["No recoveries: the ledger cannot be written", LOST]
    assert "release --lost-history" in found[1]["body"]


def test_one_that_vanished_while_nobody_ran_is_told_at_the_start_and_not_at_the_next(tmp_path: Path) -> None:
    path = ledger_path(tmp_path / "state")
    for life in range(3):
        daemon = _daemon(tmp_path)
        daemon._settle_earlier_life()
        now = daemon.parts.clock.now().wall
        owed = [one.message for one in daemon.parts.ledger.due_messages("phone", now)]
        daemon.parts.close()
        assert [(one.kind, one.title) for one in owed] == ([(MessageKind.LEDGER, LOST)] if life else [])
        if not life:
            path.unlink()
    with SqliteLedger.open(path) as ledger:
        assert ledger.lost_history_at is not None


def _daemon(tmp_path: Path) -> Daemon:
    file, env = tmp_path / "watchdog.yaml", {"HOME": str(tmp_path)}
    file.touch(mode=0o600)
    file.write_text(CONFIG.format(url="ws://127.0.0.1:1", token="t" * 16, stuck_after="10m", folder=tmp_path))
    return Daemon(Builder(load(file, env=env), env, MemoryLog(), NullMeter()).parts(is_observing=True))


def _lost(tmp_path: Path) -> Daemon:
    _daemon(tmp_path).parts.close()
    ledger_path(tmp_path / "state").unlink()
    return _daemon(tmp_path)


def _owed(daemon: Daemon) -> list[str]:
    return [one.message.title for one in daemon.parts.ledger.due_messages("phone", daemon.parts.clock.now().wall)]


async def test_a_ledger_that_is_busy_at_the_start_owes_it_after_a_pass(tmp_path: Path) -> None:
    daemon = _lost(tmp_path)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SqliteLedger, "owe", _busy)
            daemon._settle_earlier_life()
            assert _owed(daemon) == []
        await daemon._after_pass(PassReport("home", daemon.parts.clock.now(), GatewayPhase.CONNECTED))
        assert _owed(daemon) == [LOST]
    finally:
        daemon.parts.close()


@pytest.mark.parametrize("away", ["settle_start_up", "name_gateways"])
def test_no_deed_before_an_earlier_life_is_settled_where_the_ledger_was_away(tmp_path: Path, away: str) -> None:
    before = _daemon(tmp_path)
    now = before.parts.clock.now().wall
    before.parts.ledger.name_gateways({"called otherwise": places_of(before.parts.loaded)["home"]}, now)
    made = before.parts.ledger.open_incident(
        gateway="called otherwise", session="agent:main:main", session_id=None, reason="NoActiveRun", at=now
    )
    attempt = before.parts.ledger.plan_attempt(made.id, Step.RESUME, now, before=None, before_tail=None)
    assert before.parts.ledger.claim_attempt(attempt.id, now)
    before.parts.close()
    daemon = _daemon(tmp_path)
    ledger = daemon.parts.ledger
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SqliteLedger, away, _busy)
            assert daemon._settle_earlier_life() == ()
            assert not ledger.is_writable()
        assert ledger.is_writable()
        ((incident, left),) = ledger.attempts_in_flight("home")
        assert (incident.gateway, left.state) == ("home", AttemptState.INDETERMINATE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SqliteLedger, away, _busy)
            assert ledger.is_writable(), "it is done once"
    finally:
        daemon.parts.close()


async def test_a_name_that_is_new_after_an_edit_is_known_before_any_deed_too(tmp_path: Path) -> None:
    daemon = _daemon(tmp_path)
    ledger = daemon.parts.ledger
    try:
        daemon._settle_earlier_life()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SqliteLedger, "name_gateways", _busy)
            patch.setattr(SqliteLedger, "settle_start_up", _busy)  # what this life has in flight stays as it is
            await daemon._apply_gateways(daemon.parts.loaded)
            assert not ledger.is_writable()
            patch.setattr(SqliteLedger, "name_gateways", lambda *_: ())
            assert ledger.is_writable()
        daemon.stop("the test is over")
        for name in list(daemon._runners):
            await daemon._end(name)
    finally:
        daemon.parts.close()


def test_a_loss_of_long_ago_is_no_news(tmp_path: Path) -> None:
    daemon = _lost(tmp_path)
    long_ago = daemon.parts.clock.now().wall - timedelta(days=30)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SqliteLedger, "lost_history_at", property(lambda _: long_ago))
            daemon._settle_earlier_life()
        assert _owed(daemon) == []
    finally:
        daemon.parts.close()


def _busy(*_: object) -> int:
    raise LedgerUnavailable("the ledger is busy")


async def test_a_daemon_whose_ledger_another_owns_now_stops_and_says_who(desk: Desk) -> None:
    path = ledger_path(desk.file.parent / "state")
    lock = path.with_name("ledger.sqlite.lock")
    lock.unlink()
    fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.pwrite(fd, b"12345\n", 0)
        stopping = await desk.logged(Event.DAEMON_STOPPING)
        assert "is owned by process 12345" in str(stopping["reason"])
        await desk.logged(Event.DAEMON_STOPPED)
        with pytest.raises(LedgerInUse):
            await desk.task
    finally:
        os.close(fd)


def test_no_password_of_a_database_is_shown_wherever_it_came_from(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PGPASSWORD": "from-the-environment"}
    file = tmp_path / "watchdog.yaml"
    file.touch(mode=0o600)
    text = CONFIG.format(url="ws://127.0.0.1:1", token="t" * 16, stuck_after="10m", folder=tmp_path)
    file.write_text(f"{text}ledger: 'postgresql://ann:of%20the%20url@127.0.0.1:1/x?sslpassword=of-the-key'\n")
    builder = Builder(load(file, env=env), env, MemoryLog(), NullMeter())
    builder.parts(is_observing=True).close()
    for secret in ("from-the-environment", "of%20the%20url", "of the url", "of-the-key"):
        assert builder.secrets.scrub(f"it said {secret} there") == f"it said {MASK} there"
