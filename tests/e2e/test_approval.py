"""A gateway that does not see us come from its own machine wants the device approved: once, by the command we say."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import psutil
import pytest

from .harness.daemon import Verb, Watchdog
from .harness.releases import RELEASES, Release
from .harness.world import World

pytestmark = pytest.mark.e2e

LAN = {"gateway": {"bind": "lan", "controlUi": {"dangerouslyAllowHostHeaderOriginFallback": True}}}
APPROVE = re.compile(r"`openclaw devices approve ([0-9a-f-]+)` on the gateway's machine")


def address() -> str:
    """One of this machine's that is not loopback."""
    for found in psutil.net_if_addrs().values():
        for one in found:
            if one.family is socket.AF_INET and not one.address.startswith(("127.", "169.254.")):
                return str(one.address)
    # A gateway cannot be come to but from loopback then, and from there it wants no approval.
    pytest.skip("this machine has no address but loopback")


def wanted(said: Verb) -> set[str]:
    """The requests that doctor says are to be approved."""
    assert said.code != 0, said.out
    return set(APPROVE.findall(said.out))


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
def test_one_approval_by_the_command_that_is_said(release: Release, tmp_path: Path) -> None:
    with World(release, tmp_path / "gateway", extra=LAN) as world:
        far = {
            "name": "far",
            "url": f"ws://{address()}:{world.gateway.port}",
            "token": "${GATEWAY_TOKEN}",
            "insecure": True,
            "state_dir": "none",
        }
        watchdog = Watchdog(world.gateway, tmp_path / "watchdog", extra={"gateways": [far]})
        with watchdog:
            watchdog.wait_for("gateway.unhealthy", gateway="far", phase="refused")
            # Before 2026.9 every new process has the waiting request renamed: what was said last is what is to be approved.
            (request,) = wanted(watchdog.verb("doctor"))
            world.gateway.openclaw("devices", "approve", request)
            watchdog.wait_for("gateway.connected", gateway="far")
            said = watchdog.verb("doctor")
            assert "devices approve" not in said.out
            assert "granted" in said.out
            assert not [line for line in watchdog.events("gateway.unhealthy") if "step" in line]
            assert watchdog.stop() == 0
