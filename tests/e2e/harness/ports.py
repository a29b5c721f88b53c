"""Loopback ports for gateways, safe between test processes.

A gateway takes its port and, before 2026.9, two ports above. Blocks of ten are handed out below the range from which the
system picks ports for outgoing connections; a block belongs to whoever holds the lock on its file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import tempfile
from pathlib import Path

from .failures import HarnessError

_FIRST, _LAST, _STEP = 26_000, 31_990, 10


class PortBlock:
    """Ten ports nobody else uses until `release`."""

    def __init__(self) -> None:
        folder = Path(tempfile.gettempdir()) / f"openclaw-watchdog-e2e-ports-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for first in range(_FIRST, _LAST, _STEP):
            lock = os.open(folder / str(first), os.O_CREAT | os.O_RDWR, 0o600)
            if _lock_now(lock) and not any(is_taken(port) for port in range(first, first + _STEP)):
                self.first, self._lock = first, lock
                return
            os.close(lock)
        raise HarnessError(f"no ten free ports in a row between {_FIRST} and {_LAST}")

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _lock_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_taken(port: int) -> bool:
    """Whether somebody listens there (a port in TIME_WAIT is not taken)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                return True
            raise
    return False
