"""The connections of the status page: none stays open for nothing, and there are never more than a fixed number.

uvicorn times out a connection only between two requests, and refuses requests (503) instead of connections. So a
connection that never says anything would stay for ever, and a thousand of them would use up the process's file descriptors.

Invariants: a connection has ``request_within`` to say what it wants, however little it sends at a time, and
``read_within`` to take what was written to it. A new connection is always let in; when there are too many, the oldest that
asks for nothing is dropped for it, then the oldest that does not read.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from watchdog.status.limits import Limits

KEEP_ALIVE = 5
"""Seconds without a byte between two requests (uvicorn's own timer)."""
ACCEPT_AT_ONCE = 16
"""Connections taken in one turn of the event loop: those are open before the first of them can be dropped."""

_numbers = count()


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP protocol, held to limits."""

    def __init__(self, *args: Any, limits: Limits, **more: Any) -> None:
        super().__init__(*args, **more)
        self._limits = limits
        self._number = next(_numbers)
        self._deadline: asyncio.TimerHandle | None = None
        self._cannot_write = False
        self._is_dropped = False

    # ---------------------------------------------------------------- what the transport says

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._make_room()
        self._watch()

    def data_received(self, data: bytes) -> None:
        was_asking = self._is_asking
        super().data_received(data)
        if self._is_asking and not was_asking:
            self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._cannot_write = True
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cannot_write = False
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_dropped = True
        self._watch()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: who does not read is not waited for."""
        if self._does_not_read:
            self.drop()
        else:
            super().shutdown()

    # ---------------------------------------------------------------- limits

    @property
    def _is_asking(self) -> bool:
        """A request has come, and its answer is not complete."""
        cycle: Any = self.cycle  # None before the first request, whatever its annotation says
        return cycle is not None and not cycle.response_complete

    @property
    def _does_not_read(self) -> bool:
        return self._cannot_write or (not self._is_asking and self.transport.get_write_buffer_size() > 0)

    @property
    def _worth(self) -> tuple[int, int]:
        """What is dropped first is the least."""
        return (1 if self._does_not_read else 2 if self._is_asking else 0, self._number)

    def _make_room(self) -> None:
        known = [one for one in self.connections if isinstance(one, BoundedProtocol) and not one._is_dropped]
        others = sorted((one for one in known if one is not self), key=lambda one: one._worth)
        for one in others[: max(0, len(known) - self._limits.most)]:
            one.drop()

    def _watch(self) -> None:
        """Set the deadline anew, by what the other side has to do next."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._is_dropped:
            return
        if self._does_not_read:
            self._deadline = self.loop.call_later(self._limits.read_within, self.drop)
        elif not self._is_asking:
            self._deadline = self.loop.call_later(self._limits.request_within, self.drop)

    def drop(self) -> None:
        """Close it now, whatever has not been read."""
        self._is_dropped = True
        self._watch()
        self.transport.abort()
