"""What the link's and the client's tests share: two devices."""

from __future__ import annotations

from watchdog.gateway.wire.identity import DeviceIdentity
from watchdog.service.secret import Secret

TOKEN = "tok-test-0123456789abcdef"
PASSWORD = "hunter2-hunter2"
OURS = DeviceIdentity.of(b"\1" * 32)
STRANGER = DeviceIdentity.of(b"\2" * 32)


def secret() -> Secret:
    return Secret(TOKEN)
