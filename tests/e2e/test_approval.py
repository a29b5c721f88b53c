"""A gateway that does not see us come from its own machine wants the device approved: once, by the command we say. On its own
machine nobody is asked at first, and what is asked for later is given by `approve --yes`."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest

from .conftest import MakeWorld
from .harness.daemon import QUICK, Verb, Watchdog
from .harness.failures import Refused
from .harness.releases import RELEASES, V4_2, Release
from .harness.routes import Web
from .harness.runs import in_model_call
from .harness.stuck import by_kill
from .harness.witness import READ, WRITE, DeviceKey
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
            # OpenClaw's command line reads the waiting requests from a file that the gateway writes anew at each try of ours, and
            # gives up when it changes meanwhile (seen on 2026.5.18). In life we try twice a minute, here every second.
            with watchdog.held():
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


def test_what_is_asked_for_first_is_approved_silently(make_world: MakeWorld, tmp_path: Path) -> None:
    signs_in_without_a_person(make_world(V4_2), tmp_path / "watchdog")


def pending(world: World) -> dict[str, Any]:
    """What OpenClaw's own command line lists as waiting, by device."""
    said = world.gateway.openclaw("devices", "list", "--json")
    return {one["deviceId"]: one for one in json.loads(said[said.index("{") :])["pending"]}


def openclaw_on_the_path(world: World, folder: Path) -> dict[str, str]:
    """An environment in which the gateway's owner types `openclaw`, and nothing but their home says where it is: what a variable
    names does not say whose it is, and then nothing is given."""
    folder.mkdir()
    program = folder / "openclaw"
    command = shlex.join([str(world.gateway.installation.node), str(world.gateway.installation.script)])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "OPENCLAW_CONFIG_PATH": "", "OPENCLAW_STATE_DIR": ""}


def test_approve_gives_what_waits_for_this_device_and_nothing_else(make_world: MakeWorld, tmp_path: Path) -> None:
    """First it only observes, so that it is let in for no more than that; later it is to act. Another device waits beside it."""
    world = make_world(V4_2)
    there = {"name": "home", "url": world.gateway.url}  # the token is in OpenClaw's own files
    observing = {"gateways": [there], "recovery": {"mode": "observe"}}
    path = openclaw_on_the_path(world, tmp_path / "bin")
    watchdog = Watchdog(world.gateway, tmp_path / "watchdog", extra=observing, environment=path)
    said = watchdog.verb("check")
    assert said.code == 0, said.out + said.err
    rival = DeviceKey()
    world.gateway.witness(scopes=READ, key=rival).close()
    with pytest.raises(Refused, match="pairing required"):
        world.gateway.witness(scopes=WRITE, key=rival)

    watchdog.configure({**watchdog.settings, "recovery": QUICK["recovery"]})
    (waits,) = watchdog.verb("approve", "--json").json()["approvals"]
    ours = DeviceKey((watchdog.folder / "state" / "device.pem").read_bytes()).id
    before = pending(world)
    assert set(before) == {ours, rival.id}
    assert (waits["request"], waits["is_here"], waits["approved"]) == (before[ours]["requestId"], True, None)

    given = watchdog.verb("approve", "--yes")
    assert given.code == 0, given.out + given.err
    assert given.out.startswith("home: approved, for new, resume (")
    assert pending(world) == {rival.id: before[rival.id]}
    with pytest.raises(Refused, match="pairing required"):
        world.gateway.witness(scopes=WRITE, key=rival)
    (line,) = watchdog.verb("history", "--json").json()["operator"]
    assert line["what"] == "approve"

    (stuck,) = by_kill(world, [in_model_call(world, Web("agent:main:afterwards"))])
    with watchdog:
        assert watchdog.wait_for("recovery.succeeded", session=stuck.key, within=300)["step"] == "resume"
        assert watchdog.stop() == 0
