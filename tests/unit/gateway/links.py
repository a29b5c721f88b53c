"""Links of ours to a gateway made of wire."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.clock import ManualClock
from watchdog.gateway.wire.connection import Link, Links
from watchdog.gateway.wire.dial import Dial
from watchdog.gateway.wire.endpoint import Endpoint
from watchdog.gateway.wire.protocol import SignInSecrets
from watchdog.service import errors

from .server import WireGateway, running
from .support import OURS, PASSWORD, TOKEN, secret

READ = ("operator.read",)
SOON = 0.08
"""Seconds of patience in tests of things that never answer."""


async def open_link(
    url: str, *, scopes: tuple[str, ...] = READ, patience: float = 5.0, dial: Dial | None = None, **changes: Any
) -> Link:
    """``changes``: of the endpoint."""
    endpoint = Endpoint(url, **({"credentials": SignInSecrets(token=secret())} | changes))
    return await Links("home", OURS, ManualClock(), dial).open(endpoint, scopes, device=None, patience=patience)


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
