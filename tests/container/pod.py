"""A real 2026.9.6 gateway and the watchdog, each in a container of its own, in one network namespace.

As ``config/compose.yml`` puts them together: a third container holds the namespace, so that it outlives a kill -9 of the
gateway. The image is built from the Containerfile, on a Debian of its own making (``OPENCLAW_WATCHDOG_BASE``: on that one).

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

from ruamel.yaml import YAML

from tests.e2e.harness.cells import IMAGE, INSIDE, Cell, Fleet
from tests.e2e.harness.conditions import until
from tests.e2e.harness.daemon import QUICK, REPOSITORY
from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.install import debian_with_python
from tests.e2e.harness.ports import PortBlock
from tests.e2e.harness.provider import Provider

OURS = "localhost/openclaw-watchdog:test"
PORT = 18789
STATE = "/var/lib/openclaw-watchdog"
CONFINED = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges")
Line = Mapping[str, Any]


def build(fleet: Fleet) -> None:
    """The image, as docs/container.md says to."""
    base = os.environ.get("OPENCLAW_WATCHDOG_BASE")
    if base is None:
        base = "localhost/debian-python:test"
        fleet.podman("import", str(debian_with_python()), base)
    certificates = (
        "/etc/ssl/certs:/etc/ssl/certs:ro"  # the machine's own, for a package index behind a proxy of its own
    )
    words = ("--isolation", "chroot", "--format", "docker", "--build-arg", f"BASE={base}", "--volume", certificates)
    fleet.run(["podman", "build", *words, "--tag", OURS, str(REPOSITORY)], within=900)


class Pod:
    """Close it: no container of it outlives it."""

    def __init__(self, fleet: Fleet, provider: Provider, folder: Path) -> None:
        self.fleet = fleet
        self.ports = PortBlock()
        name = f"ocw{self.ports.first}"
        self.network, self.watchdog = f"{name}-network", f"{name}-watchdog"
        self.gateway = Cell(fleet, name, self.ports.first, "t0ken" * 6)
        self.config = folder / "config"
        self.state = folder / "state"
        self._lay_out(provider)

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.watchdog, self.gateway.container, self.network):
            with contextlib.suppress(HarnessError):
                self.fleet.podman("rm", "--force", "--time", "0", name)
        self.ports.release()

    def _lay_out(self, provider: Provider) -> None:
        cell = self.gateway
        cell.state_dir.mkdir(parents=True)
        auth = {"mode": "token", "token": cell.token}
        # Not on loopback: the test's own operator comes over the published port.
        settings = {"gateway": {"mode": "local", "bind": "lan", "port": PORT, "auth": auth}}
        (cell.state_dir / "openclaw.json").write_text(json.dumps(settings))
        cell.configure(provider)
        section = {"name": "gateway", "url": f"ws://127.0.0.1:{PORT}", "token": "${OPENCLAW_GATEWAY_TOKEN}"}
        nightly = {"name": "nightly", "match": {"kind": "cron"}, "recovery": {"ladder": ["resume"]}}
        ours = {**QUICK, "gateways": [{**section, "state_dir": str(INSIDE)}], "policies": [nightly]}
        del ours["status_page"]
        self.config.mkdir(parents=True)
        self.state.mkdir(mode=0o700)
        with (self.config / "watchdog.yaml").open("w") as stream:
            YAML().dump(ours, stream)
        for place in (cell.state_dir, self.state):
            for path in (place, *place.rglob("*")):
                shutil.chown(path, 1000, 1000)

    def start_network(self) -> None:
        published = f"127.0.0.1:{self.ports.first}:{PORT}"
        self._run(
            self.network,
            "--publish",
            published,
            "--init",
            "--no-healthcheck",
            "--entrypoint",
            "sleep",
            OURS,
            "infinity",
        )

    def start_gateway(self) -> None:
        inside = ("--env", "HOME=/home/node", "--env", "OPENCLAW_SKIP_CHANNELS=1", "--env", "OPENCLAW_NO_RESPAWN=1")
        mounted = ("--volume", f"{self.gateway.state_dir}:{INSIDE}", "--network", f"container:{self.network}", "--init")
        command = ("node", "dist/index.js", "gateway", "run", "--port", str(PORT))
        self._run(self.gateway.container, *inside, *mounted, IMAGE, *command)

    def start_watchdog(self) -> None:
        places = (
            f"{self.state}:{STATE}",
            f"{self.config}:/etc/openclaw-watchdog:ro",
            f"{self.gateway.state_dir}:{INSIDE}:ro",
        )
        mounted = [word for place in places for word in ("--volume", place)]
        secret = f"OPENCLAW_GATEWAY_TOKEN={self.gateway.token}"
        self._run(self.watchdog, *CONFINED, *mounted, "--env", secret, "--network", f"container:{self.network}", OURS)

    def _run(self, name: str, *words: str) -> None:
        self.fleet.podman("run", "--detach", "--name", name, *words)

    # ------------------------------------------------------------ asking

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
        return int(self.fleet.podman("inspect", "--format", "{{.State.Pid}}", self.watchdog))

    def verb(self, *words: str) -> str:
        """A verb, typed inside."""
        return self.fleet.podman("exec", self.watchdog, "openclaw-watchdog", *words)

    def stop_watchdog(self) -> int:
        """SIGTERM; its exit status."""
        self.fleet.podman("stop", "--time", "90", self.watchdog)
        return int(self.fleet.podman("inspect", "--format", "{{.State.ExitCode}}", self.watchdog))
