"""A gateway's answers in the shape that somebody needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from watchdog.gateway.wire.decoder import Undecodable, decode
from watchdog.service import errors

Call = Callable[[str, dict[str, Any]], Awaitable[msgspec.Raw]]
"""Sends a request (method, parameters) and waits for its answer. Raises ``GatewayError`` leaves."""
LARGEST = 2 * 1024 * 1024
"""Bytes of an answer that is no list of sessions and no history. The largest one asked for, a configuration, has some 10 KB."""
_Shape = TypeVar("_Shape")


def decoded(payload: msgspec.Raw, shape: type[_Shape], method: str) -> _Shape:
    """``payload``, the answer to ``method``, as a ``shape``. Raises ``AnswerUnreadable`` when it has another one, or is
    larger than ``LARGEST``: values in memory take thirty times the room that they take on the wire."""
    size = memoryview(payload).nbytes
    if size > LARGEST:  # guard: wire: the size of an answer
        raise errors.AnswerUnreadable(f"{method} was answered with {size} bytes, more than is read.")
    try:
        return decode(msgspec.json.Decoder(shape), payload)
    except Undecodable as problem:
        raise errors.AnswerUnreadable(f"the answer to {method} cannot be read ({problem}).") from problem
