"""Is this host this machine?"""

from __future__ import annotations

import pytest

from watchdog.core.loopback import is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1",
        "127.9.8.7",
        "::1",
        "[::1]",
        "::ffff:127.0.0.1",
        "127.0.0.1.",
    ],
)
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [None, "", "localhost.example", "127.0.0.1.example", "10.0.0.1", "::", "0.0.0.0", "::ffff:10.0.0.1", "127.1"],
)
def test_no_other(host: str | None) -> None:
    assert not is_loopback(host)
