"""No traceback without a home, on a terminal that has only ASCII, and into a stream that is closed."""

from __future__ import annotations

import io
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console, ConsoleDimensions

from tests.e2e.harness.conditions import until
from tests.unit.cli.gateways import write_config
from tests.unit.cli.test_status import served
from tests.unit.status.support import NOW, full_document
from watchdog.cli import streams
from watchdog.cli.render import top_frame
from watchdog.config import parse
from watchdog.core.printable import read
from watchdog.daemon.assembly import StateFolderUnusable, home_folder, state_folder
from watchdog.ledger.ledger import SqliteLedger
from watchdog.ledger.sqlite_open import ledger_path
from watchdog.service.ledger import Quarantine
from watchdog.status.publisher import address_file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir(mode=0o700)
    with SqliteLedger.open(ledger_path(tmp_path / "state")) as ledger:
        at = datetime(2026, 11, 20, tzinfo=UTC)
        for key in ("agent:main:main", "agent:main:ünï"):
            opened = ledger.open_incident(gateway="home", session=key, session_id="s", reason="NoActiveRun", at=at)
            ledger.quarantine(Quarantine("home", key, "s", at, "why", opened.id))
    return write_config(tmp_path, "{name: home, url: 'ws://127.0.0.1:1', token: x}")


def shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    program = shlex.join([sys.executable, "-m", "watchdog"])
    return subprocess.run(
        ["sh", "-c", line.replace("WATCHDOG", program)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
        timeout=60,
    )


def test_a_history_in_ascii_and_its_keys_can_be_pasted_back(config: Path) -> None:
    done = shell(f"WATCHDOG history --config {config}", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    words = shlex.split(next(line for line in done.stdout.splitlines() if r"\xfc" in line))
    word = next(word for word in words if word.startswith("agent:"))
    assert read(word) == "agent:main:ünï"


def test_a_picture_keeps_its_columns_in_ascii() -> None:
    streams.prepare()
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, "ascii", errors="openclaw-watchdog", write_through=True)
    console = Console(file=stream, width=80, height=24, force_terminal=True, color_system=None)
    console.print(top_frame(dict(full_document()), NOW.wall, ConsoleDimensions(80, 24)))
    lines = buffer.getvalue().decode("ascii").splitlines()
    assert any("agent:main:irc:direct:bob" in line for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_a_closed_stream_goes_nowhere_and_the_status_is_right(config: Path, closed: str) -> None:
    done = shell(f"WATCHDOG check --config {config} {closed}")
    assert done.returncode == 3
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture
def left() -> Iterator[int]:
    """A pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize(
    ("verb", "status"),
    [("status", 141), ("top", 141), ("history", 141), ("history --json", 141), ("--help", 141), ("check", 3)],
)
def test_a_reader_that_leaves_early_ends_it_quietly(config: Path, left: int, verb: str, status: int) -> None:
    """As other programs in a pipe; of ``check`` the status is the answer."""
    with served(full_document()) as port:
        config.write_text(config.read_text("utf-8") + f"status_page: {{listen: '127.0.0.1:{port}'}}\n", "utf-8")
        words = [*verb.split(), *(["--config", str(config)] if verb != "--help" else [])]
        done = subprocess.run(
            [sys.executable, "-m", "watchdog", *words],
            stdout=left,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == status
    assert "Broken" not in done.stderr
    assert done.stderr == "" or verb == "check", "which says that the gateway is not there"


def test_a_daemon_whose_log_nobody_reads_goes_on_watching(config: Path, left: int) -> None:
    """As after `run 2>&1 | head -1`. What is wrong with the file is said before there is a log, and stops it no more than that."""
    config.chmod(0o644)
    config.write_text(config.read_text("utf-8") + "status_page: {listen: '127.0.0.1:0'}\n", "utf-8")
    daemon = subprocess.Popen(
        [sys.executable, "-m", "watchdog", "run", "--config", str(config)], stdout=left, stderr=left
    )
    try:
        until(
            "it serves its page",
            lambda: address_file(config.parent / "state").exists() or daemon.poll() is not None,
            within=60,
        )
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0
    finally:
        daemon.kill()
        daemon.wait()


def test_a_refused_configuration_is_one_though_nobody_reads_why(config: Path, left: int) -> None:
    config.write_text("pol_every: 30s\n", "utf-8")
    words = [sys.executable, "-m", "watchdog", "run", "--config", str(config)]
    assert subprocess.run(words, stdout=left, stderr=left, check=False, timeout=60).returncode == 78


def test_a_reader_gets_what_it_wanted(config: Path) -> None:
    done = shell(f"WATCHDOG config show --config {config} | head -1")
    assert done.stdout.startswith("# in force: ")
    assert done.stderr == ""


def test_without_a_home_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(path: str | os.PathLike[str]) -> str:
        return os.fspath(path)  # as it is for a user id without an account

    monkeypatch.setattr(os.path, "expanduser", nobody)
    for name in ("HOME", "XDG_STATE_HOME", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    assert home_folder({}) == Path("/nonexistent")
    assert home_folder({"HOME": "/home/ada"}) == Path("/home/ada")
    with pytest.raises(StateFolderUnusable, match="set HOME, or state_dir"):
        state_folder(parse("", env={}), {})
