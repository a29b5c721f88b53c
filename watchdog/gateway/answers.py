"""A gateway's answers in the shape that somebody needs."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from watchdog.gateway.frames import UNREADABLE
from watchdog.service import errors

_Shape = TypeVar("_Shape")


def decoded(payload: msgspec.Raw, shape: type[_Shape]) -> _Shape:
    """``payload`` as a ``shape``. Raises ``RequestRefused`` (code SHAPE) when it has another one."""
    try:
        return msgspec.json.decode(payload, type=shape)
    except UNREADABLE as problem:
        raise errors.RequestRefused(f"the answer cannot be read ({type(problem).__name__}).", code="SHAPE") from problem
