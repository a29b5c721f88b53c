"""A real 2026.9.6 gateway and the watchdog, each in a container of its own, in one network namespace or on a bridge.

As ``config/compose.yml`` puts them together: a third container holds the namespace, so that it outlives a kill -9 of the
gateway. On a bridge each has its own, and the watchdog has nothing of the gateway's files. The image is built from the Containerfile, on a Debian of its own making (``OPENCLAW_WATCHDOG_BASE``: on that one).

Seen with podman 4.3: a container that joins another's network (``--network container:NAME``) stays in the old one when that
other is started anew. Without systemd podman runs no health check by itself; ``podman healthcheck run`` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from tests.e2e.harness.cells import IMAGE, INSIDE, Cell, Fleet
from tests.e2e.harness.conditions import until
from tests.e2e.harness.daemon import QUICK, REPOSITORY
from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.install import debian_with_python
from tests.e2e.harness.ports import PortBlock
from tests.e2e.harness.provider import Provider

OURS = "localhost/openclaw-watchdog:test"
OURS_ON = "localhost/debian-python:test"
THEIRS = "localhost/openclaw-gateway:test"
"""A gateway's image that starts its gateway by itself, as the official one does."""
PORT = 18789
STATE = "/var/lib/openclaw-watchdog"
NAME_ON_BRIDGE = "gateway"
"""As docs/container.md calls it."""
SOURCE = "https://git.example.org/you/watchdog"
LABELS = "org.opencontainers.image"
IDLE = ("--init", "--read-only", "--cap-drop=ALL", "--no-healthcheck", "--entrypoint", "sleep")
"""How docs/container.md runs what holds the network."""
CONFINED = (
    *("--init", "--stop-timeout", "90"),
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
)
"""How it runs the watchdog, in its order."""
TOKEN = "OPENCLAW_GATEWAY_TOKEN"
Line = Mapping[str, Any]


def base() -> str:
    """What the image is built on."""
    return os.environ.get("OPENCLAW_WATCHDOG_BASE", OURS_ON)


def build(fleet: Fleet) -> None:
    """The image, as docs/container.md says to."""
    if base() == OURS_ON:
        fleet.podman("import", str(debian_with_python()), OURS_ON)
    certificates = (
        "/etc/ssl/certs:/etc/ssl/certs:ro"  # the machine's own, for a package index behind a proxy of its own
    )
    words = ["--isolation", "chroot", "--format", "docker", "--build-arg", f"BASE={base()}", "--volume", certificates]
    words += ["--label", f"{LABELS}.source={SOURCE}"]
    fleet.run(["podman", "build", *words, "--tag", OURS, str(REPOSITORY)], within=900)


def labels(fleet: Fleet) -> dict[str, str]:
    """What the image says of itself to a registry or a scanner, without the names' common beginning."""
    said: dict[str, str] = json.loads(fleet.podman("inspect", "--format", "{{json .Config.Labels}}", OURS))
    return {name.removeprefix(f"{LABELS}."): text for name, text in said.items() if name.startswith(f"{LABELS}.")}


def furnish(cell: Cell, provider: Provider) -> None:
    """The state folder of a gateway that talks to the mock model, as its account's own."""
    cell.state_dir.mkdir(parents=True, exist_ok=True)
    auth = {"mode": "token", "token": cell.token}
    # Not on loopback: the test's own operator comes over the published port.
    settings = {"gateway": {"mode": "local", "bind": "lan", "port": PORT, "auth": auth}}
    (cell.state_dir / "openclaw.json").write_text(json.dumps(settings))
    cell.configure(provider)
    for path in (cell.state_dir, *cell.state_dir.rglob("*")):
        shutil.chown(path, 1000, 1000)


def write_config(folder: Path, section: Mapping[str, Any]) -> None:
    """``watchdog.yaml`` for one gateway, with the thresholds of a trial."""
    nightly = {"name": "nightly", "match": {"kind": "cron"}, "recovery": {"ladder": ["resume"]}}
    ours = {**QUICK, "gateways": [dict(section)], "policies": [nightly]}
    del ours["status_page"]
    folder.mkdir(parents=True)
    with (folder / "watchdog.yaml").open("w") as stream:
        YAML().dump(ours, stream)


def make_gateways_image(fleet: Fleet) -> None:
    """``THEIRS``, of the one that the cells have."""
    recipe = f"""\
FROM {IMAGE}
ENV HOME=/home/node OPENCLAW_SKIP_CHANNELS=1 OPENCLAW_NO_RESPAWN=1
CMD ["node", "dist/index.js", "gateway", "run", "--port", "{PORT}"]
"""
    nothing = fleet.home / "nothing"
    nothing.mkdir(exist_ok=True)
    words = ("build", "--isolation", "chroot", "--tag", THEIRS, "--file", "-", str(nothing))
    fleet.podman(*words, stdin=recipe.encode())


class Pair:
    """A gateway's container and the watchdog's, whoever started them."""

    def __init__(self, fleet: Fleet, gateway: Cell, watchdog: str) -> None:
        self.fleet = fleet
        self.gateway = gateway
        self.watchdog = watchdog

    def crash(self) -> None:
        """kill -9 of everything in the gateway's container."""
        self.gateway.crash()

    def bring_back(self) -> None:
        """The gateway's container, after that."""
        self.fleet.podman("start", self.gateway.container)

    def lines(self, event: str, **fields: object) -> list[Line]:
        """What the watchdog logged, of this event and with these fields."""
        said = self.fleet.run(f"sh -c 'podman logs {self.watchdog} 2>&1'")
        found: Iterator[Line] = (json.loads(line) for line in said.splitlines() if line.startswith("{"))
        return [
            line for line in found if line["event"] == event and all(line.get(key) == fields[key] for key in fields)
        ]

    def wait_for(self, event: str, *, within: float = 120, count: int = 1, **fields: object) -> Line:
        def seen() -> Line | None:
            found = self.lines(event, **fields)
            return found[count - 1] if len(found) >= count else None

        return until(f"{event} {fields}", seen, within=within, every=0.5)

    def is_healthy(self) -> bool:
        """What podman, docker or an orchestrator finds out."""
        try:
            self.fleet.podman("healthcheck", "run", self.watchdog)
        except HarnessError:
            return False
        return True

    def pid(self) -> int:
        """The daemon's, under podman's own first process (``--init``)."""
        init = int(self.fleet.podman("inspect", "--format", "{{.State.Pid}}", self.watchdog))
        (daemon,) = psutil.Process(init).children()
        return int(daemon.pid)

    def verb(self, *words: str) -> str:
        """A verb, typed inside."""
        return self.fleet.podman("exec", self.watchdog, "openclaw-watchdog", *words)

    def stop_watchdog(self) -> int:
        """SIGTERM; its exit status. How long it may take is said where it is run."""
        self.fleet.podman("stop", self.watchdog)
        return int(self.fleet.podman("inspect", "--format", "{{.State.ExitCode}}", self.watchdog))


class Pod(Pair):
    """Both by podman alone. Close it: no container or network of it outlives it."""

    def __init__(self, fleet: Fleet, provider: Provider, folder: Path, *, is_bridged: bool = False) -> None:
        self.is_bridged = is_bridged
        self.ports = PortBlock()
        name = f"ocw{self.ports.first}-{'bridge' if is_bridged else 'beside'}"
        self.network = f"{name}-network"
        super().__init__(fleet, Cell(fleet, name, self.ports.first, "t0ken" * 6), f"{name}-watchdog")
        fleet.environment[TOKEN] = self.gateway.token  # as `export` in docs/container.md: podman takes it from there
        self.config = folder / "config"
        self.state = folder / "state"
        self._lay_out(provider)

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.watchdog, self.gateway.container, self.network):
            with contextlib.suppress(HarnessError):
                self.fleet.podman("rm", "--force", "--time", "0", name)
        if self.is_bridged:
            with contextlib.suppress(HarnessError):
                self.fleet.podman("network", "rm", "--force", self.network)
        self.ports.release()

    def _lay_out(self, provider: Provider) -> None:
        furnish(self.gateway, provider)
        section: dict[str, Any] = {"name": "gateway", "token": "${OPENCLAW_GATEWAY_TOKEN}"}
        if self.is_bridged:
            section |= {"url": f"ws://{NAME_ON_BRIDGE}:{PORT}", "insecure": True}
        else:
            section |= {"url": f"ws://127.0.0.1:{PORT}", "state_dir": str(INSIDE)}
        write_config(self.config, section)
        self.state.mkdir(mode=0o700)
        shutil.chown(self.state, 1000, 1000)

    @property
    def _published(self) -> tuple[str, str]:
        """For the test's own operator."""
        return ("--publish", f"127.0.0.1:{self.ports.first}:{PORT}")

    def start_network(self) -> None:
        if self.is_bridged:
            self.fleet.podman("network", "create", self.network)
            return
        self._run(self.network, *self._published, *IDLE, OURS, "infinity")

    def start_gateway(self) -> None:
        inside = ("--env", "HOME=/home/node", "--env", "OPENCLAW_SKIP_CHANNELS=1", "--env", "OPENCLAW_NO_RESPAWN=1")
        mounted = ("--volume", f"{self.gateway.state_dir}:{INSIDE}", "--init")
        joined = (
            ("--network", self.network, "--network-alias", NAME_ON_BRIDGE, *self._published)
            if self.is_bridged
            else ("--network", f"container:{self.network}")
        )
        command = ("node", "dist/index.js", "gateway", "run", "--port", str(PORT))
        self._run(self.gateway.container, *inside, *mounted, *joined, IMAGE, *command)

    def start_watchdog(self) -> None:
        places = [f"{self.state}:{STATE}", f"{self.config}:/etc/openclaw-watchdog:ro"]
        places += [] if self.is_bridged else [f"{self.gateway.state_dir}:{INSIDE}:ro"]
        mounted = [word for place in places for word in ("--volume", place)]
        joined = self.network if self.is_bridged else f"container:{self.network}"
        self._run(self.watchdog, *CONFINED, *mounted, "--env", TOKEN, "--network", joined, OURS)

    def _run(self, name: str, *words: str) -> None:
        self.fleet.podman("run", "--detach", "--name", name, *words)
