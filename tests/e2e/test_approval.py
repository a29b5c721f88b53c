"""A gateway that does not see us come from its own machine wants the device approved: once, by the command we say. On its own
machine nobody is asked."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import psutil
import pytest

from .harness.daemon import Verb, Watchdog
from .harness.failures import Refused
from .harness.releases import RELEASES, V4_2, Release
from .harness.witness import READ, DeviceKey
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


def signs_in_without_a_person(world: World, folder: Path) -> None:
    """A watchdog that this gateway has never seen: `doctor` and `run` want no approval, deeds are granted, and a connection
    that signs in to read holds no more than that. For any release."""
    watchdog = Watchdog(world.gateway, folder)
    said = watchdog.verb("doctor")
    assert said.code == 0, said.out
    assert "operator.admin granted" in said.out
    assert "operator.write granted" in said.out
    with watchdog:
        watchdog.wait_for("gateway.connected", gateway="home")
        assert not watchdog.events("gateway.unhealthy")
        assert watchdog.stop() == 0
    key = DeviceKey((folder / "state" / "device.pem").read_bytes())
    with world.gateway.witness(scopes=READ, key=key) as polling, pytest.raises(Refused, match=r"operator\.write"):
        polling.call("sessions.abort", {"key": "agent:main:nobody"})


def test_what_is_asked_for_first_is_approved_silently(tmp_path: Path) -> None:
    with World(V4_2, tmp_path / "gateway") as world:
        signs_in_without_a_person(world, tmp_path / "watchdog")
