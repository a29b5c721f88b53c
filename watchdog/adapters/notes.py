"""Handoff notes in files (in PostgreSQL: ``ledger.note_texts``): what a person's conversation was about, saved before a step that loses it.

Invariants: a note is whole or not there, on disk before ``save`` returns, readable by us only, and never overwritten: the
same text is the same file, another text for the same attempt gets a name of its own. Limit: a note left by a crash
between file and ledger is listed nowhere but in its folder. Notes hold a person's words: no log, no message has them.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from watchdog.service.errors import LedgerUnavailable

_NAME = re.compile(r"(?P<incident>[A-Za-z0-9_-]+)-a(?P<number>\d+)(?:\.\d+)?\.md")


class HandoffNotes:
    """``ports.Notes`` in ``<state>/handoff/``."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "handoff"

    def save(self, incident: str, number: int, text: str) -> str:
        """Write it durably; returns its absolute path. ``LedgerUnavailable`` when that cannot be done: no deed then."""
        content = text.encode("utf-8", "replace")
        stem = f"{re.sub(r'[^A-Za-z0-9_-]', '_', incident)}-a{number}"
        try:
            self._make_folder()
            return str(self._placed(stem, content).absolute())
        except OSError as error:
            raise LedgerUnavailable(self._sentence(error)) from error

    def prune(self, before: datetime, is_kept: Callable[[str], bool] = lambda _incident: False) -> int:
        """Remove notes last written before ``before``, and what a crash left half-written; not those whose incident
        ``is_kept``. Files that are not ours stay. Returns how many notes went."""
        removed = 0
        try:
            for path in sorted(self.folder.iterdir()):
                match = _NAME.fullmatch(path.name)
                is_torn = path.name.startswith(".") and path.name.endswith(".tmp")
                if match is None and not is_torn:
                    continue
                if path.stat(follow_symlinks=False).st_mtime >= before.timestamp():
                    continue
                if match is None or not is_kept(match["incident"]):
                    path.unlink()
                    removed += match is not None
        except FileNotFoundError:
            return removed
        except OSError as error:
            raise LedgerUnavailable(self._sentence(error)) from error
        return removed

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(self.folder.stat().st_mode) & 0o077:
            self.folder.chmod(0o700)

    def _placed(self, stem: str, content: bytes) -> Path:
        torn = self.folder / f".{stem}.{os.getpid()}.tmp"
        with suppress(FileNotFoundError):
            torn.unlink()
        try:
            _write(torn, content)
            for copy in range(1, 1000):
                path = self.folder / (f"{stem}.md" if copy == 1 else f"{stem}.{copy}.md")
                try:
                    path.hardlink_to(torn)  # unlike a rename, this fails when the name is taken
                except FileExistsError:
                    if path.read_bytes() == content:
                        return path
                    continue
                _sync_folder(self.folder)
                return path
        finally:
            with suppress(OSError):
                torn.unlink()
        raise FileExistsError(errno.EEXIST, "too many notes of this name", str(self.folder))

    def _sentence(self, error: OSError) -> str:
        return (
            f"The handoff notes in {self.folder} cannot be kept ({error.strerror or error}); "
            f"make room there and make the folder writable by uid {os.geteuid()}."
        )


def _write(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
