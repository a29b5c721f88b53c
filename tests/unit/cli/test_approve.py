"""``approve``: what waits for this device is printed, and given only where it was asked for and can be proved."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openclaw_simulator.profiles import V2026_4_2
from openclaw_simulator.server import SimulatedGateway
from openclaw_simulator.world import World
from tests.unit.cli.gateways import Type, code_of, section, served, typing, write_config
from watchdog.adapters.clock import SystemClock

OBSERVE = "recovery: {mode: observe}\n"
ASKED = "operator.read, operator.write, operator.admin"


class Owner:
    """``openclaw`` on the PATH: what it was called with, and the gateway of which it lists and approves what waits. ``edit``
    changes the list first, whose shape is that of 2026.3.24 and 9.6."""

    def __init__(self, folder: Path, gateway: SimulatedGateway) -> None:
        self.folder, self.gateway = folder, gateway
        self.asked, self.over = folder / "asked", threading.Event()
        self.obeys = True
        self.edit: Callable[[list[dict[str, Any]]], object] = lambda _pending: None
        self.calls: list[str] = []
        program = folder / "bin" / "openclaw"
        program.parent.mkdir()
        program.write_text(
            "#!/bin/sh\n"
            f'echo "$OPENCLAW_CONFIG_PATH $*" > {self.asked}.new && mv {self.asked}.new {self.asked}\n'
            f"while [ -e {self.asked} ]; do sleep 0.02; done\n"
            f"[ $2 = list ] && cat {folder}/list && exit 0\n"
            f"[ -e {folder}/refused ] && echo 'unknown request' >&2 && exit 1\nexit 0\n"
        )
        program.chmod(0o755)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while not self.over.wait(0.02):
            if self.asked.exists():
                self.calls.append(self.asked.read_text().strip())
                access = self.gateway.access
                pending = [
                    {
                        "requestId": request,
                        "deviceId": device,
                        "displayName": "openclaw-watchdog",
                        "clientId": "gateway-client",
                        "role": "operator",
                        "roles": ["operator"],
                        "scopes": sorted(scopes),
                        "isRepair": False,
                        "ts": 1795970186470,
                    }
                    for device, (request, scopes) in access.pending.items()
                ]
                self.edit(pending)
                (self.folder / "list").write_text(json.dumps({"pending": pending, "paired": []}))
                request = self.calls[-1].rpartition(" ")[2]
                for device, (waiting, _) in list(access.pending.items()):
                    if waiting == request and self.obeys:
                        access.approve(device)
                self.asked.unlink()

    def end(self) -> None:
        self.over.set()
        self.thread.join()


@pytest.fixture
def gateway() -> Iterator[SimulatedGateway]:
    with served(World(V2026_4_2, SystemClock().now().wall, 1)) as one:
        yield one


@pytest.fixture
def owner(gateway: SimulatedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Owner]:
    """On the gateway's machine, whose device was paired to look and now wants more."""
    made = Owner(tmp_path, gateway)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.delenv("OPENCLAW_STATE_DIR", raising=False)
    monkeypatch.delenv("OPENCLAW_CONFIG_PATH", raising=False)
    assert code_of(_typing(gateway, tmp_path, OBSERVE)("check")) in (0, 1, 2)
    yield made
    made.end()


def _typing(gateway: SimulatedGateway, folder: Path, more: str = "") -> Type:
    return typing(write_config(folder, section("home", gateway), more=more))


def _typing_there(gateway: SimulatedGateway, folder: Path) -> Type:
    """With the token out of OpenClaw's own files, so that whose the port is can be looked up."""
    return typing(write_config(folder, f"{{name: home, url: '{gateway.url}'}}"))


@pytest.fixture
def here(gateway: SimulatedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """OpenClaw's own files lead to the gateway."""
    port = int(gateway.url.rpartition(":")[2])
    path = tmp_path / ".openclaw" / "openclaw.json"
    path.parent.mkdir(mode=0o700)
    path.write_text(json.dumps({"gateway": {"port": port, "auth": {"mode": "token", "token": gateway.access.token}}}))
    path.chmod(0o600)
    return path


def test_nothing_waits(owner: Owner, gateway: SimulatedGateway, tmp_path: Path) -> None:
    enter = _typing(gateway, tmp_path, OBSERVE)
    assert enter("approve", "--yes").stdout == "no approval waits for this device\n"
    assert json.loads(enter("approve", "--json").stdout) == {"approvals": [], "unasked": []}
    assert owner.calls == []


def test_what_waits_is_printed_and_not_given(
    owner: Owner, here: Path, gateway: SimulatedGateway, tmp_path: Path
) -> None:
    done = _typing(gateway, tmp_path)("approve")
    ((request, _),) = gateway.access.pending.values()
    assert code_of(done) == 0
    assert f"home: an approval waits, for new, resume ({ASKED}):\n" in done.stdout
    assert (
        f"OPENCLAW_CONFIG_PATH={here} OPENCLAW_STATE_DIR={here.parent} openclaw devices approve {request}\n"
        in done.stdout
    )
    assert owner.calls == []


def test_what_waits_is_given_and_proved(owner: Owner, here: Path, gateway: SimulatedGateway, tmp_path: Path) -> None:
    enter = _typing_there(gateway, tmp_path)
    enter("unpause")
    done = enter("approve", "--yes")
    held = ", ".join(sorted(ASKED.split(", ")))
    assert (done.stdout, code_of(done)) == (f"home: approved, for new, resume ({held})\n", 0)
    ((_, scopes),) = gateway.access.paired.items()
    assert "operator.write" in scopes
    listing, giving = owner.calls
    assert listing == f"{here} devices list --json"
    assert giving.startswith(f"{here} devices approve ")
    (line,) = json.loads(enter("history", "--json").stdout)["operator"]
    assert (line["what"], line["detail"]) == ("approve", f"gateway home: for new, resume ({held})")
    assert enter("approve", "--yes").stdout == "no approval waits for this device\n"


@pytest.mark.parametrize(
    ("fault", "words", "tried"),
    [
        ("disobeys", "not proven to be approved: the gateway still wants an approval", 1),
        ("refused", "unknown request", 0),
    ],
)
def test_what_did_not_help_is_not_called_approved(
    owner: Owner, here: Path, gateway: SimulatedGateway, tmp_path: Path, fault: str, words: str, tried: int
) -> None:
    owner.obeys = False
    if fault == "refused":
        (tmp_path / "refused").touch()
    enter = _typing_there(gateway, tmp_path)
    enter("unpause")
    done = enter("approve", "--yes")
    assert code_of(done) == 1
    assert "approved, for" not in done.stdout
    assert words in done.stderr
    written = json.loads(enter("history", "--json").stdout)["operator"]
    assert len(written) == tried, "what OpenClaw took is written down, whatever the next sign-in shows"


def test_a_gateway_that_is_not_known_to_be_here_is_printed_alone(
    owner: Owner, gateway: SimulatedGateway, tmp_path: Path
) -> None:
    done = _typing(gateway, tmp_path)("approve", "--yes")
    assert code_of(done) == 1
    assert (
        f"home: an approval waits, for new, resume ({ASKED}), by its account on its machine:\n  openclaw devices approve "
        in done.stdout
    )
    assert "home: not approved: it is not on this machine, or another account's" in done.stderr
    assert owner.calls == []


def test_several_are_given_only_where_all_are_asked_for(
    owner: Owner, here: Path, gateway: SimulatedGateway, tmp_path: Path
) -> None:
    with served(World(V2026_4_2, SystemClock().now().wall, 1)) as other:
        looking = write_config(tmp_path, section("home", gateway), section("old", other), more=OBSERVE)
        typing(looking)("check")
        enter = typing(write_config(tmp_path, f"{{name: home, url: '{gateway.url}'}}", section("old", other)))
        refused = enter("approve", "--yes")
        assert code_of(refused) == 1
        assert "approvals wait on home and old: say which with --gateway, or --all" in refused.stderr
        assert owner.calls == []
        one = enter("approve", "--yes", "--gateway", "home")
        assert "home: approved" in one.stdout
        rest = enter("approve", "--yes", "--all")
        assert code_of(rest) == 1
        assert "old: an approval waits" in rest.stdout


FORGERIES: dict[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
    "another device's": (lambda pending: pending[0].update(deviceId="ab" * 32), "another device's: abab"),
    "another role": (lambda pending: pending[0].update(role="node"), "another role: node, operator"),
    "one role more": (lambda pending: pending[0].update(roles=["operator", "node"]), "another role: node, operator"),
    "no role": (lambda pending: pending[0].pop("role"), "another role: none, operator"),
    "one scope more": (lambda pending: pending[0]["scopes"].append("operator.pairing"), "operator.pairing"),
    "no scopes": (lambda pending: pending[0].pop("scopes"), "its scopes are not those that this device asks for: none"),
    "another id": (lambda pending: pending[0].update(requestId="other"), "shows 0 requests with the id"),
    "twice": (lambda pending: pending.append(dict(pending[0])), "shows 2 requests with the id"),
    "another shape": (lambda pending: pending[0].update(scopes="operator.read"), "cannot be read"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_is_not_ours_as_it_was_asked_for_is_printed_and_not_given(
    owner: Owner, here: Path, gateway: SimulatedGateway, tmp_path: Path, forgery: str
) -> None:
    owner.edit, words = FORGERIES[forgery]
    done = _typing_there(gateway, tmp_path)("approve", "--yes")
    assert code_of(done) == 1
    assert "home: an approval waits" in done.stdout
    assert words in done.stderr
    assert owner.calls == [f"{here} devices list --json"]
    assert len(gateway.access.pending) == 1


def test_what_a_port_names_whose_owner_nobody_looked_up_is_not_given(
    owner: Owner, here: Path, gateway: SimulatedGateway, tmp_path: Path
) -> None:
    """Its own token and no state_dir: whoever listens there is meant."""
    done = _typing(gateway, tmp_path)("approve", "--yes")
    assert code_of(done) == 1
    assert (
        "not checked which account owns its port: its url is named in the configuration, without a state_dir"
        in done.stderr
    )
    assert owner.calls == []


def test_a_gateway_that_is_away_is_said(tmp_path: Path) -> None:
    done = typing(write_config(tmp_path, "{name: away, url: 'ws://127.0.0.1:1', token: x}"))("approve")
    assert code_of(done) == 1
    assert "no approval waits" not in done.stdout
    assert "away: " in done.stderr
