"""What the service manager is told, in systemd's words (sd_notify), and how often it wants to hear from us.

Without systemd (no NOTIFY_SOCKET) every method does nothing. Telling never raises: a supervisor that does not listen is not
a reason to stop watching. ``watchdog_ping`` belongs after a completed cycle and nowhere else.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import timedelta

from watchdog.service.ports import Clock


class Supervisor:
    """One per process. Other supervisors (launchd) are told nothing; they watch the process itself."""

    def __init__(self, clock: Clock, environ: Mapping[str, str] = os.environ) -> None:
        self._clock = clock
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._environ = environ

    @property
    def is_listening(self) -> bool:
        """Whether there is a systemd to tell."""
        return self._address[:1] in ("/", "@") and hasattr(socket, "AF_UNIX")

    def ready(self) -> None:
        """Start-up (or a reload) is over: we watch."""
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """One line that ``systemctl status`` shows."""
        self._tell(f"STATUS={' '.join(text.split())}")

    def watchdog_ping(self) -> None:
        self._tell("WATCHDOG=1")

    def expect_ping_within(self, span: timedelta) -> None:
        """Ask for more time between pings than the unit says: a reload may have made the passes rarer. Never less,
        never where there was no limit."""
        limit = self.watchdog_interval()
        if limit is not None and span > limit:
            self._tell(f"WATCHDOG_USEC={int(span.total_seconds() * 1_000_000)}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def reloading(self) -> None:
        """A reload begins; ``ready`` must follow. systemd wants CLOCK_MONOTONIC, which the Clock's is on Linux."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={int(self._clock.now().monotonic * 1_000_000)}")

    def watchdog_interval(self) -> timedelta | None:
        """How often at the latest systemd wants ``watchdog_ping`` (WatchdogSec); None: it does not, or not of us."""
        pid, span = self._environ.get("WATCHDOG_PID", ""), self._environ.get("WATCHDOG_USEC", "")
        if not span.isdecimal() or int(span) == 0 or (pid and pid != str(os.getpid())):
            return None
        return timedelta(microseconds=int(span))

    def _tell(self, message: str) -> None:
        if not self.is_listening:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(1.0)
                channel.sendto(message.encode("utf-8", "replace"), address)
        except OSError:
            return
