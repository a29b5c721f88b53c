"""Who owns the ledger: an exclusive ``flock`` on ``<ledger>.lock``.

Invariant: while ``hold`` has returned and the file is still the one at its path, no other process holds it. Limits:
``flock`` binds only those who ask for it, and a lock file removed by hand lets a second owner in until our next
``hold``, which then finds out and says so. The file is never deleted by us (that would let two owners lock two files of
the same name); its first line is the owner's pid, its second the id of the ledger it last owned, which is how a ledger
that vanished while nobody ran is noticed.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from watchdog.service.errors import LedgerInUse, LedgerUnavailable

_TRIES = 5


class OwnerLock:
    """One process's claim on one ledger."""

    def __init__(self, ledger: Path, shown: str | None = None) -> None:
        """``shown``: how the ledger is called, where it is not the file that the lock lies beside."""
        self.path = ledger.with_name(ledger.name + ".lock")
        self._ledger = shown or ledger
        self._fd: int | None = None
        self.remembered: str | None = None
        """The id of the ledger last owned through this file, as found when we took the lock."""

    def hold(self) -> None:
        """Own it, or keep owning it. ``LedgerInUse``: somebody else does. ``OSError``: the file cannot be used."""
        if self._fd is not None and self._is_at_path(self._fd):
            return
        for _ in range(_TRIES):
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                self._lock(fd)
                if self._is_at_path(fd):
                    self._take(fd)
                    return
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
        raise LedgerUnavailable(f"The lock file {self.path} keeps being replaced; find out which program does that.")

    def remember(self, ledger_id: str) -> None:
        """Write down which ledger is owned, for whoever comes next."""
        if self._fd is not None and self.remembered != ledger_id:
            self._write(self._fd, ledger_id)
            self.remembered = ledger_id

    def release(self) -> None:
        """Let go. The file stays; closing the descriptor is what ends the lock."""
        if self._fd is not None:
            with suppress(OSError):
                os.close(self._fd)
            self._fd = None

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _pid_in(fd)
            who = f"process {pid}" if pid is not None else "another process"
            raise LedgerInUse(
                f"The ledger {self._ledger} is owned by {who}; stop that watchdog first, or give this one its own state_dir.",
                pid,
            ) from None

    def _take(self, fd: int) -> None:
        lines = os.pread(fd, 256, 0).decode("ascii", "replace").splitlines()
        if self.remembered is None and len(lines) > 1 and lines[1]:
            self.remembered = lines[1]
        if stat.S_IMODE(os.fstat(fd).st_mode) & 0o077:
            os.fchmod(fd, 0o600)
        self._write(fd, self.remembered)
        previous, self._fd = self._fd, fd
        if previous is not None:
            os.close(previous)

    @staticmethod
    def _write(fd: int, ledger_id: str | None) -> None:
        # In place, then cut: on a full disk the block already there is reused.
        content = f"{os.getpid()}\n{ledger_id or ''}\n".encode("ascii")
        os.pwrite(fd, content, 0)
        os.ftruncate(fd, len(content))
        os.fsync(fd)

    def _is_at_path(self, fd: int) -> bool:
        try:
            there = self.path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(fd))


def _pid_in(fd: int) -> int | None:
    lines = os.pread(fd, 64, 0).decode("ascii", "replace").splitlines()
    return int(lines[0]) if lines and lines[0].isdecimal() else None
