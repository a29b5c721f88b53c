"""Links of ours to a gateway made of wire."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from watchdog.gateway.wire.connection import Link
from watchdog.gateway.wire.protocol import Introduction, SignInSecrets
from watchdog.service import errors

from .server import WireGateway, running
from .support import OURS, PASSWORD, TOKEN, secret

READ = ("operator.read",)
SOON = 0.08
"""Seconds of patience in tests of things that never answer."""


async def open_link(url: str, *, patience: float = 5.0, **changes: Any) -> Link:
    made: dict[str, Any] = {
        "introduction": Introduction(READ),
        "credentials": SignInSecrets(token=secret()),
        "device": OURS,
        "clock": ManualClock(),
        "patience": patience,
    }
    return await Link.open("home", url, **(made | changes))


@contextlib.asynccontextmanager
async def linked(gateway: WireGateway, **changes: Any) -> AsyncIterator[Link]:
    async with running(gateway):
        link = await open_link(gateway.url, **changes)
        try:
            yield link
        finally:
            await link.close()


async def refused_by(url: str, **changes: Any) -> errors.GatewayError:
    """The error with which opening ends; it must be one sentence without the token."""
    with pytest.raises(errors.GatewayError) as refused:
        await open_link(url, **changes)
    is_clean(refused.value)
    return refused.value


def is_clean(error: BaseException) -> None:
    seen: BaseException | None = error
    while seen is not None:
        assert TOKEN not in f"{seen} {seen!r}"
        assert PASSWORD not in f"{seen} {seen!r}"
        seen = seen.__cause__
    assert str(error).startswith("home: ")
    assert "\n" not in str(error)
