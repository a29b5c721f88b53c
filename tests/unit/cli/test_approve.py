"""``approve``: what waits for this device is printed, and given only where it was asked for and can be proved."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from openclaw_simulator.profiles import V2026_4_2
from openclaw_simulator.server import SimulatedGateway
from openclaw_simulator.world import World
from tests.unit.cli.gateways import Type, code_of, section, served, typing, write_config
from watchdog.adapters.clock import SystemClock

OBSERVE = "recovery: {mode: observe}\n"


class Owner:
    """``openclaw`` on the PATH: what it was called with, and the gateway of which it approves what waits."""

    def __init__(self, folder: Path, gateway: SimulatedGateway) -> None:
        self.folder, self.gateway = folder, gateway
        self.asked, self.over = folder / "asked", threading.Event()
        self.obeys = True
        self.calls: list[str] = []
        program = folder / "bin" / "openclaw"
        program.parent.mkdir()
        program.write_text(
            "#!/bin/sh\n"
            f'echo "$OPENCLAW_CONFIG_PATH $*" > {self.asked}.new && mv {self.asked}.new {self.asked}\n'
            f"while [ -e {self.asked} ]; do sleep 0.02; done\n"
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
    assert "home: an approval waits, for new, resume:\n" in done.stdout
    assert (
        f"OPENCLAW_CONFIG_PATH={here} OPENCLAW_STATE_DIR={here.parent} openclaw devices approve {request}\n"
        in done.stdout
    )
    assert owner.calls == []


def test_what_waits_is_given_and_proved(owner: Owner, here: Path, gateway: SimulatedGateway, tmp_path: Path) -> None:
    enter = _typing(gateway, tmp_path)
    enter("unpause")
    done = enter("approve", "--yes")
    assert (done.stdout, code_of(done)) == ("home: approved, for new, resume\n", 0)
    ((_, scopes),) = gateway.access.paired.items()
    assert "operator.write" in scopes
    (call,) = owner.calls
    assert call.startswith(f"{here} devices approve ")
    (line,) = json.loads(enter("history", "--json").stdout)["operator"]
    assert (line["what"], line["detail"]) == ("approve", "gateway home: for new, resume")
    assert enter("approve", "--yes").stdout == "no approval waits for this device\n"


@pytest.mark.parametrize(("fault", "words"), [("disobeys", "still wants an approval"), ("refused", "unknown request")])
def test_what_did_not_help_is_not_called_approved(
    owner: Owner, here: Path, gateway: SimulatedGateway, tmp_path: Path, fault: str, words: str
) -> None:
    owner.obeys = False
    if fault == "refused":
        (tmp_path / "refused").touch()
    enter = _typing(gateway, tmp_path)
    enter("unpause")
    done = enter("approve", "--yes")
    assert code_of(done) == 1
    assert "approved, for" not in done.stdout
    assert words in done.stderr
    assert json.loads(enter("history", "--json").stdout)["operator"] == []


def test_a_gateway_that_is_not_known_to_be_here_is_printed_alone(
    owner: Owner, gateway: SimulatedGateway, tmp_path: Path
) -> None:
    done = _typing(gateway, tmp_path)("approve", "--yes")
    assert code_of(done) == 1
    assert (
        "home: an approval waits, for new, resume, by its account on its machine:\n  openclaw devices approve "
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
        enter = typing(write_config(tmp_path, section("home", gateway), section("old", other)))
        refused = enter("approve", "--yes")
        assert code_of(refused) == 1
        assert "approvals wait on home and old: say which with --gateway, or --all" in refused.stderr
        assert owner.calls == []
        one = enter("approve", "--yes", "--gateway", "home")
        assert "home: approved" in one.stdout
        rest = enter("approve", "--yes", "--all")
        assert code_of(rest) == 1
        assert "old: an approval waits" in rest.stdout


def test_a_gateway_that_is_away_is_said(tmp_path: Path) -> None:
    done = typing(write_config(tmp_path, "{name: away, url: 'ws://127.0.0.1:1', token: x}"))("approve")
    assert code_of(done) == 1
    assert "no approval waits" not in done.stdout
    assert "away: " in done.stderr
