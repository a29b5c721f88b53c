"""Who may come in changes while the watchdog is at work; and the gateway comes back as another version."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.e2e.harness.conditions import until
from tests.e2e.harness.install import installed
from tests.e2e.harness.releases import V3_24, V5_18, V9_6
from tests.e2e.harness.routes import PrivateChat
from tests.e2e.harness.runs import in_model_call, in_stream
from tests.e2e.harness.witness import ADMIN
from tests.e2e.harness.world import World
from tests.faults.tally import reckon

from .report import Row
from .stories import cut, deeds, forget, nothing_for, recovered, watching, web
from .webhook import Webhook

pytestmark = pytest.mark.gateways


@pytest.mark.faults("gateway token rotated")
def test_rotated_token(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on(f"gateway {V3_24.version}")
    with World(V3_24, tmp_path / "gateway") as world:
        run = in_model_call(world, web("cut"))
        token_file = tmp_path / "token"
        token_file.touch(0o600)
        token_file.write_text(world.gateway.token)
        entry = {"name": "home", "url": world.gateway.url, "token_file": str(token_file)}
        extra = {"gateways": [{**entry, "state_dir": str(world.gateway.state_dir)}]}
        with watching(world, tmp_path / "watchdog", hook, extra) as watchdog:
            watchdog.wait_for("cycle.finished", running=1)
            world.kill()
            world.gateway.token = secrets.token_hex(16)
            world.gateway.reconfigure({"gateway": {"auth": {"token": world.gateway.token}}})
            forget(world, [run])
            world.start()
            refused = watchdog.wait_for("gateway.unhealthy", phase="refused")
            nothing_for(world, watchdog, 8)
            token_file.write_text(world.gateway.token)
            result = recovered(world, watchdog, hook, [run.key])
            leaks = sum(watchdog.text.count(each) for each in (world.gateway.token, token_file.read_text()))
            row.saw(f"said: {str(refused['reason']).split(': ', 1)[-1][:60]}…; with the new token: {result.sentence()}")
            row.lost([*result.losses, *(["a token stands in the log"] if leaks else [])])
            assert watchdog.stop() == 0


@pytest.mark.faults("our device revoked on the gateway")
def test_revoked_device(row: Row, hook: Webhook, tmp_path: Path) -> None:
    """The main session of a chat app: there the deed is signed in as a paired device (2026.3.24 to 2026.5.18)."""
    row.on(f"gateway {V3_24.version}, chat over IRC")
    route = PrivateChat()
    with World(V3_24, tmp_path / "gateway", chat=True) as world:
        cut(world, [in_model_call(world, route)])
        with watching(world, tmp_path / "watchdog", hook) as watchdog:
            watchdog.wait_for("recovery.succeeded", session=route.key, within=240)
            ours = paired(world)
            assert ours, "no device of the watchdog's is paired"
            for device in ours:
                remove(world, device)
            gone = not paired(world)
            cut(world, [in_model_call(world, route)])
            watchdog.wait_for("recovery.succeeded", session=route.key, count=2, within=240)
            result = reckon(watchdog, hook, world.provider).require([route.key], "recovered")
            again = paired(world)
            row.saw(
                f"{len(ours)} device of ours removed ({'gone' if gone else 'still there'}), "
                f"{len(again)} paired again by the next deed; {result.sentence()}"
            )
            row.lost(result.losses)
            assert watchdog.stop() == 0


PAIRING = (*ADMIN, "operator.pairing")


def paired(world: World) -> list[str]:
    """Ids of paired devices; nobody but the watchdog pairs one here."""
    with world.gateway.witness(scopes=PAIRING) as witness:
        devices = witness.call("device.pair.list")["paired"]
    return [str(device["deviceId"]) for device in devices]


def remove(world: World, device: str) -> None:
    with world.gateway.witness(scopes=PAIRING) as witness:
        witness.call("device.pair.remove", {"deviceId": device})


@pytest.mark.faults("gateway upgraded from 2026.5.18 to 2026.9.6")
def test_upgrade(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on("both gateways, one state folder")
    with World(V5_18, tmp_path / "gateway") as world:
        runs = [in_model_call(world, web("cut-0")), in_stream(world, web("cut-1"))]
        with watching(world, tmp_path / "watchdog", hook) as watchdog:
            watchdog.wait_for("cycle.finished", running=2)
            world.terminate()
            forget(world, runs)
            world.gateway.installation, world.gateway.release, world.release = installed(V9_6), V9_6, V9_6
            world.start()
            seen = watchdog.wait_for("gateway.connected", version=V9_6.version)
            keys = [run.key for run in runs]

            def rows() -> dict[str, str]:
                return {key: str(world.row(key).get("status")) for key in keys}

            until("nothing runs any more", lambda: "running" not in rows().values(), within=420, every=2)
            result = reckon(watchdog, hook, world.provider)
            row.saw(f"seen as {seen['version']}; rows {rows()}; {deeds(watchdog)} deed(s), {result.sentence()}")
            row.lost(result.losses)
            row.lost(f"{key}: {status}" for key, status in rows().items() if status != "done")
            assert watchdog.stop() == 0
