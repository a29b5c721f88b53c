"""Each way a ledger can be sick, for real: no deed, one clear sentence, and it comes back when the cause is gone."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.descriptors import none_left
from watchdog.ledger.ledger import LedgerRefused, SqliteLedger
from watchdog.service.errors import LedgerUnavailable

from .conftest import SmallDisk
from .support import T0, at, in_child, lost_at, opened, planned, problem_of, query, started, stuck

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no database at all": lambda content: b"<html>503</html>" * 400,
    "header overwritten": lambda content: b"\0" * 100 + content[100:],
    "middle overwritten": lambda content: content[:4096] + b"\xa5" * (len(content) - 4096),
    "one page far from the header": lambda content: content[:-4096] + b"\xa5" * 4096,
    "cut short": lambda content: content[: len(content) // 2],
}


@pytest.fixture(params=DAMAGES)
def damaged(request: pytest.FixtureRequest, path: Path) -> bytes:
    with SqliteLedger.open(path, owner=True) as ledger:
        for n in range(50):
            started(ledger, opened(ledger, str(n)))
    content = DAMAGES[request.param](path.read_bytes())
    path.write_bytes(content)
    return content


# ---------------------------------------------------------------- damaged


def test_a_damaged_ledger_is_explained_and_left_alone(damaged: bytes, path: Path) -> None:
    for owner in (True, False):
        with pytest.raises(LedgerUnavailable, match=r"damaged .*move it away with `mv .*ledger\.db\.damaged`"):
            SqliteLedger.open(path, owner=owner)
    assert path.read_bytes() == damaged


def test_a_damaged_ledger_moved_away_while_we_run_is_replaced_and_the_loss_is_told(damaged: bytes, path: Path) -> None:
    with SqliteLedger.open(path, owner=True, tolerant=True, wall=lambda: T0) as ledger:
        assert not ledger.is_writable()
        assert "damaged" in problem_of(ledger)
        with pytest.raises(LedgerUnavailable):
            ledger.charges("home", T0)
        path.rename(path.with_name("ledger.db.damaged"))
        assert ledger.is_writable()
        assert not problem_of(ledger)
        assert lost_at(ledger) == T0
        assert opened(ledger).is_open
    assert path.with_name("ledger.db.damaged").read_bytes() == damaged


def test_damage_found_while_running(owned: SqliteLedger, path: Path) -> None:
    for n in range(50):
        started(owned, opened(owned, str(n)))
    query(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    with owned._file.reading() as transaction:
        transaction.execute("PRAGMA shrink_memory")  # what is cached is not read again
    with pytest.raises(LedgerUnavailable, match="damaged"):
        owned.open_incidents()
    assert not owned.is_writable()
    assert "move it away" in problem_of(owned)
    path.rename(path.with_name("ledger.db.damaged"))
    assert owned.is_writable()
    assert lost_at(owned) == T0


def test_a_ledger_emptied_under_us_starts_afresh_and_says_so(owned: SqliteLedger, path: Path) -> None:
    started(owned, opened(owned))
    owned.close()
    path.write_bytes(b"")
    with SqliteLedger.open(path, owner=True, wall=lambda: T0) as ledger:
        assert lost_at(ledger) == T0


def test_a_folder_in_the_place_of_the_ledger(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(LedgerUnavailable, match="is not a file"):
        SqliteLedger.open(path, owner=True)
    with pytest.raises(LedgerUnavailable, match="is not a file"):
        SqliteLedger.open_read_only(path)


def test_a_file_in_the_place_of_the_folder(path: Path) -> None:
    path.parent.write_text("in the way")
    with pytest.raises(LedgerUnavailable, match=str(path)):
        SqliteLedger.open(path, owner=True)


def test_a_word_that_this_version_does_not_know(owned: SqliteLedger, path: Path) -> None:
    started(owned, opened(owned))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE attempts SET step = 'dance'")
    with pytest.raises(LedgerRefused, match="dance"):
        owned.open_incidents()
    assert owned.is_writable()


# ---------------------------------------------------------------- full


def fill(folder: Path) -> Path:
    """Until not one more byte fits."""
    ballast = folder / "ballast"
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while True:
                    os.write(fd, b"x" * size)
    finally:
        os.close(fd)
    return ballast


def write_until_refused(ledger: SqliteLedger) -> LedgerUnavailable:
    def write() -> None:
        for n in range(10_000):
            ledger.owe([stuck(f"key-{n}")], T0)

    with pytest.raises(LedgerUnavailable) as caught:
        write()
    return caught.value


def test_a_full_disk(small_disk: SmallDisk) -> None:
    folder = small_disk("1m")
    with SqliteLedger.open(folder / "ledger.db", owner=True, wall=lambda: T0) as ledger:
        incident = opened(ledger)
        attempt = planned(ledger, incident)
        ballast = fill(folder)

        assert "full; make room below" in str(write_until_refused(ledger))

        written = len(ledger.due_messages("phone", T0, limit=10_000))
        assert ledger.incident(incident.id) is not None, "what is known can still be read"
        assert problem_of(ledger)
        for _ in range(3):
            with pytest.raises(LedgerUnavailable, match="full"):
                ledger.owe([stuck("key-x" + "y" * 20_000)], T0)
        ballast.unlink()
        assert ledger.is_writable()
        assert not problem_of(ledger)
        assert len(ledger.due_messages("phone", T0, limit=10_000)) == written, "nothing half written"
        assert ledger.claim_attempt(attempt.id, at(9))
        assert lost_at(ledger) is None


def test_a_disk_full_from_the_start(small_disk: SmallDisk) -> None:
    folder = small_disk("1m")
    ballast = fill(folder)
    path = folder / "ledger.db"
    with pytest.raises(LedgerUnavailable, match="full"):
        SqliteLedger.open(path, owner=True)
    with SqliteLedger.open(path, owner=True, tolerant=True) as ledger:
        assert not ledger.is_writable()
        assert "full" in problem_of(ledger)
        ballast.unlink()
        assert ledger.is_writable()
        assert lost_at(ledger) is None, "there was none to lose"


def test_every_size_of_disk(small_disk: SmallDisk) -> None:
    """Wherever it hits (file, -wal, -shm, lock): a clear sentence or success, and no torn ledger."""
    folder = small_disk("1m")
    for kilobytes in range(0, 200, 8):
        ballast = fill(folder)
        os.truncate(ballast, max(0, ballast.stat().st_size - kilobytes * 1024))
        path = folder / f"{kilobytes}.db"
        with SqliteLedger.open(path, owner=True, tolerant=True) as ledger:
            assert "full" in str(write_until_refused(ledger))
        ballast.unlink()
        with SqliteLedger.open(path, owner=True) as ledger:
            assert ledger.is_writable()
            assert lost_at(ledger) is None
        for file in folder.iterdir():
            file.unlink()


# ---------------------------------------------------------------- not writable


def test_a_file_system_turned_read_only(small_disk: SmallDisk) -> None:
    folder = small_disk("4m")

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)

    path = folder / "ledger.db"
    with SqliteLedger.open(path, owner=True) as ledger:
        incident = opened(ledger)
    remount("ro")
    with pytest.raises(LedgerUnavailable, match="writable by uid"):
        SqliteLedger.open(path, owner=True)
    with SqliteLedger.open_read_only(path) as reader:
        assert reader.open_incidents() == [incident]
    with SqliteLedger.open(path, owner=True, tolerant=True) as ledger:
        assert not ledger.is_writable()
        remount("rw")
        assert ledger.is_writable()
        assert ledger.open_incidents() == [incident]


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A folder that uid 65534 can reach, also when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="ocw-nobody-"))
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    yield folder
    shutil.rmtree(folder)


def as_nobody(body: Callable[[], None]) -> int:
    """Without root's right to write everywhere."""

    def dropped() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        body()

    return in_child(dropped)


def test_a_read_only_file_and_folder(nobodys: Path) -> None:
    path = nobodys / "state" / "ledger.db"

    def body() -> None:
        with SqliteLedger.open(path, owner=True, wall=lambda: T0) as ledger:
            incident = opened(ledger)
        for sealed in (path, path.parent):
            usual = sealed.stat().st_mode
            sealed.chmod(usual & 0o555)
            with (
                pytest.raises(LedgerUnavailable, match=f"writable by uid {os.geteuid()}"),
                SqliteLedger.open(path) as ledger,
            ):
                ledger.audit(T0, "x", "x", "x")
            with SqliteLedger.open(path, owner=True, tolerant=True) as ledger:
                assert not ledger.is_writable()
                assert problem_of(ledger)
                sealed.chmod(usual)
                assert ledger.is_writable()
                assert not problem_of(ledger)
                assert ledger.open_incidents() == [incident]
                assert lost_at(ledger) is None

    assert as_nobody(body) == 0


def test_a_ledger_of_somebody_else(nobodys: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs two users")
    path = nobodys / "ledger.db"
    with SqliteLedger.open(path, owner=True):
        pass

    def body() -> None:
        with pytest.raises(LedgerUnavailable, match="uid 65534"):
            SqliteLedger.open(path, owner=True)
        with pytest.raises(LedgerUnavailable, match="uid 65534"):
            SqliteLedger.open_read_only(path)

    assert as_nobody(body) == 0


def test_locked_by_another_process_for_too_long(path: Path) -> None:
    with (
        SqliteLedger.open(path, owner=True, busy_timeout=timedelta(milliseconds=30)) as ledger,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        attempt = planned(ledger, opened(ledger))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match="locked by another process"):
            ledger.claim_attempt(attempt.id, at(2))
        assert not ledger.is_writable()
        assert ledger.charges("home", T0) == 0, "reading goes on"
        other.execute("ROLLBACK")
        assert ledger.is_writable()
        assert ledger.claim_attempt(attempt.id, at(3))


def test_our_own_shortage_of_descriptors_is_said_as_that(path: Path) -> None:
    with (
        none_left(),
        pytest.raises(LedgerUnavailable, match=r"cannot be used: this process has no file descriptors left"),
    ):
        SqliteLedger.open(path, owner=True)
    with SqliteLedger.open(path, owner=True, tolerant=True, wall=lambda: T0) as ledger:
        assert ledger.is_writable()
