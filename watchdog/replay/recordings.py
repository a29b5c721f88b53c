"""The recordings of a daemon's gateways: one recorder each, and its two files on disk, ``<state>/recordings/<gateway>.jsonl``
and its predecessor ``<gateway>.jsonl.1`` (not ``.1.jsonl``: a gateway may be called ``home.1``).

Invariants: readable by us only (0600, in a folder of 0700); never more than ``2 * LIMIT`` bytes per gateway, and never more
than ``Shelf.most`` in the folder, whoever's they are: the oldest goes first; a line is in the file whole or not at all, except
for the last one after a crash; the disk's last ``RESERVE`` bytes are left to the ledger, which needs them more. Nothing is
fsynced: what a power cut takes of a recording is not missed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from watchdog.config import LoadedConfig
from watchdog.replay.recorder import Recorder
from watchdog.service.events import Log
from watchdog.service.ports import Clock
from watchdog.service.redaction import Secrets

LIMIT = 8 * 1024 * 1024
"""Bytes of one file."""
RESERVE = 32 * 1024 * 1024
"""Free bytes below which nothing is recorded."""
_SPARE = 10
"""A file is followed by the next one when less than a tenth of it is free."""
_WHOLE_LINES = 8
"""A file takes so many whole lines, however small its gateway's share of the folder is: what it begins with, and what follows."""
MIB = 1024 * 1024


def recordings_folder(state_dir: Path) -> Path:
    return state_dir / "recordings"


def earlier_part(path: Path) -> Path:
    """Where the recording before this one lies, if there is one."""
    return path.with_name(f"{path.name}.1")


class Shelf:
    """The folder's bound: ``most`` bytes in all its recordings together, those of gateways that are gone too.

    Each gateway's files stay within its share, so that none takes another's room. Room that is still wanting is made by
    dropping what is oldest: of the files that nobody writes to the one that was written to last the longest ago, then of
    those that are written to the one that was begun first. Its recorder begins anew with its next pass.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most = folder, most
        self.gateways = 0
        """Who shares it."""
        self._used: int | None = None
        """Bytes, or more than there are: what was replaced or taken away is not counted off. None: not looked yet."""
        self._open: dict[Path, Callable[[], None]] = {}
        """What is written to, in the order in which it was begun, and how it is closed."""

    @property
    def share(self) -> int:
        """Bytes of one file, of the two that a gateway has."""
        return self.most // (2 * max(1, self.gateways))

    def opened(self, path: Path, close: Callable[[], None]) -> None:
        self._open[path] = close

    def closed(self, path: Path) -> None:
        self._open.pop(path, None)

    def take(self, count: int, path: Path) -> None:
        """Make room for ``count`` bytes more, without dropping ``path`` while it is written to. Raises ``OSError`` where that
        cannot be."""
        if self._used is None or self._used + count > self.most:
            self._used = self._make_room(count, path)
        self._used += count

    def _make_room(self, count: int, path: Path) -> int:
        found = self._found()
        used = sum(size for _, size, _ in found)
        if used + count <= self.most:
            return used
        goal = self.most - self.most // 20  # so that the next lines need not look again
        begun = {path: number for number, path in enumerate(self._open)}
        found.sort(key=lambda one: (begun[one[0]], 0.0) if one[0] in begun else (-1, one[2]))
        for other, size, _ in found:
            if used + count <= goal:
                break
            if (close := self._open.get(other)) is not None:
                if other == path:
                    continue
                close()
            with suppress(FileNotFoundError):
                other.unlink()
            used -= size
        if used + count > self.most:
            raise OSError(
                errno.EFBIG, f"the gateway's sessions do not fit into the {self.most} bytes of all recordings"
            )
        return used

    def _found(self) -> list[tuple[Path, int, float]]:
        """Every recording of the folder: where, how large, when it was last written to."""
        found = []
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith((".jsonl", ".jsonl.1")):
                    with suppress(FileNotFoundError):
                        facts = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(facts.st_mode):
                            found.append((self.folder / entry.name, facts.st_size, facts.st_mtime))
        return found


class RecordingFile:
    """``recorder.Tape``. The folder is made with the first line."""

    def __init__(
        self, folder: Path, gateway: str, *, limit: int = LIMIT, reserve: int = RESERVE, shelf: Shelf | None = None
    ) -> None:
        self.path = folder / f"{gateway}.jsonl"
        self._most = limit
        self._reserve = reserve
        self._shelf = shelf
        self._begins_with = 0
        self._descriptor: int | None = None
        self._size = 0

    @property
    def _limit(self) -> int:
        if self._shelf is None:
            return self._most
        most = min(self._most, self._shelf.most // 2)
        return min(most, max(self._shelf.share, _WHOLE_LINES * self._begins_with))

    def is_due_anew(self) -> bool:
        if self._descriptor is None or self._limit - self._size < self._limit // _SPARE:
            return True
        try:
            return not os.path.samestat(os.fstat(self._descriptor), os.stat(self.path))  # noqa: PTH116 - one call
        except OSError:
            return True

    def append(self, text: bytes, *, anew: bool) -> bool:
        try:
            self._check_room()
            if anew:
                self._begins_with = len(text)
                self.close()
                self._take(len(text))
                self._begin(len(text))
            if self._descriptor is None:
                return False  # dropped since the pass began
            if self._size + len(text) > self._limit:
                self.close()
                return False
            if not anew:
                self._take(len(text))
            self._write(text)
        except OSError:
            self.close()
            raise
        return True

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if self._shelf is not None:
                self._shelf.closed(self.path)
            os.close(descriptor)

    def _take(self, count: int) -> None:
        if self._shelf is not None:
            self._shelf.take(count, self.path)

    def _check_room(self) -> None:
        place = self.path.parent if self.path.parent.exists() else self.path.parent.parent
        disk = os.statvfs(place)
        if disk.f_bavail * disk.f_frsize < self._reserve:
            raise OSError(errno.ENOSPC, f"less than {self._reserve // 1024**2} MiB are free on the disk of {self.path}")

    def _begin(self, needed: int) -> None:
        """Go on at the end of what an earlier life left, or in a new file when that is full."""
        if needed > self._limit:
            raise OSError(errno.EFBIG, f"the gateway's sessions do not fit into {self._limit} bytes")
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and size + needed + 1 > self._limit - self._limit // _SPARE:
                os.replace(self.path, earlier_part(self.path))  # noqa: PTH105 - beside the other os calls
                os.close(descriptor)
                descriptor = os.open(self.path, flags, 0o600)
                size = 0
            os.fchmod(descriptor, 0o600)
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                size += os.write(descriptor, b"\n")  # a crash cut the last line short
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor, self._size = descriptor, size
        if self._shelf is not None:
            self._shelf.opened(self.path, self.close)

    def _write(self, text: bytes) -> None:
        assert self._descriptor is not None
        try:
            written = os.write(self._descriptor, text)
        except OSError:
            self._cut_back()
            raise
        if written != len(text):
            self._cut_back()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def _cut_back(self) -> None:
        assert self._descriptor is not None
        with suppress(OSError):
            os.ftruncate(self._descriptor, self._size)


class Recordings:
    """Nothing is made on disk before a gateway is first looked at."""

    def __init__(self, folder: Path, clock: Clock, log: Log, secrets: Secrets) -> None:
        self.folder, self.clock, self.log, self.secrets = folder, clock, log, secrets
        self._shelf = Shelf(folder, LIMIT)
        self._recorders: dict[str, Recorder] = {}

    def begin(self, gateway: str, loaded: LoadedConfig) -> Recorder:
        """The recorder for a new watch over this gateway; an earlier one's file is closed and gone on with."""
        self.end(gateway)
        recorder = Recorder(
            gateway,
            RecordingFile(self.folder, gateway, shelf=self._shelf),
            self.clock,
            self.log,
            loaded.config.poll_every,
            self.secrets.scrub,
            is_on=loaded.config.recording,
        )
        self._recorders[gateway] = recorder
        self._bound(loaded)
        return recorder

    def end(self, gateway: str) -> None:
        """It is not watched any more; what was recorded of it stays until its room is needed."""
        if (recorder := self._recorders.pop(gateway, None)) is not None:
            recorder.close()
            self._shelf.gateways = len(self._recorders)

    def configure(self, loaded: LoadedConfig) -> None:
        """Follow a reload: recording may be switched on and off, and be given another bound."""
        self._bound(loaded)
        for recorder in self._recorders.values():
            recorder.is_on = loaded.config.recording
            if not recorder.is_on:
                recorder.close()

    def _bound(self, loaded: LoadedConfig) -> None:
        self._shelf.most = loaded.config.recordings_mib * MIB
        self._shelf.gateways = len(self._recorders)

    def close(self) -> None:
        for recorder in self._recorders.values():
            recorder.close()
