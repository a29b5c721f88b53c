"""The recordings of a daemon's gateways: one recorder each, and its two files on disk, ``<state>/recordings/<gateway>.jsonl``
and its predecessor ``<gateway>.jsonl.1`` (not ``.1.jsonl``: a gateway may be called ``home.1``).

Invariants: readable by us only (0600, in a folder of 0700); never more than ``2 * LIMIT`` bytes per gateway; a line is in
the file whole or not at all, except for the last one after a crash; the disk's last ``RESERVE`` bytes are left to the
ledger, which needs them more. Nothing is fsynced: what a power cut takes of a recording is not missed.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass, field
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


def recordings_folder(state_dir: Path) -> Path:
    return state_dir / "recordings"


def earlier_part(path: Path) -> Path:
    """Where the recording before this one lies, if there is one."""
    return path.with_name(f"{path.name}.1")


class RecordingFile:
    """``recorder.Tape``. The folder is made with the first line."""

    def __init__(self, folder: Path, gateway: str, *, limit: int = LIMIT, reserve: int = RESERVE) -> None:
        self.path = folder / f"{gateway}.jsonl"
        self._limit = limit
        self._reserve = reserve
        self._descriptor: int | None = None
        self._size = 0

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
                self._begin(len(text))
            if self._size + len(text) > self._limit:
                self.close()
                return False
            self._write(text)
        except OSError:
            self.close()
            raise
        return True

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _check_room(self) -> None:
        place = self.path.parent if self.path.parent.exists() else self.path.parent.parent
        disk = os.statvfs(place)
        if disk.f_bavail * disk.f_frsize < self._reserve:
            raise OSError(errno.ENOSPC, f"less than {self._reserve // 1024**2} MiB are free on the disk of {self.path}")

    def _begin(self, needed: int) -> None:
        """Go on at the end of what an earlier life left, or in a new file when that is full."""
        self.close()
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


@dataclass(slots=True)
class Recordings:
    """Nothing is made on disk before a gateway is first looked at."""

    folder: Path
    clock: Clock
    log: Log
    secrets: Secrets
    _recorders: dict[str, Recorder] = field(default_factory=dict)

    def begin(self, gateway: str, loaded: LoadedConfig) -> Recorder:
        """The recorder for a new watch over this gateway; an earlier one's file is closed and gone on with."""
        if (earlier := self._recorders.pop(gateway, None)) is not None:
            earlier.close()
        recorder = Recorder(
            gateway,
            RecordingFile(self.folder, gateway),
            self.clock,
            self.log,
            loaded.config.poll_every,
            self.secrets.scrub,
            is_on=loaded.config.recording,
        )
        self._recorders[gateway] = recorder
        return recorder

    def end(self, gateway: str) -> None:
        """Nobody here watches it any more: its file is not kept open."""
        if (recorder := self._recorders.pop(gateway, None)) is not None:
            recorder.close()

    def configure(self, loaded: LoadedConfig) -> None:
        """Follow a reload: recording may be switched on and off."""
        for recorder in self._recorders.values():
            recorder.is_on = loaded.config.recording
            if not recorder.is_on:
                recorder.close()

    def close(self) -> None:
        for recorder in self._recorders.values():
            recorder.close()
