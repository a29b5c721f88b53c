"""``config/compose.yml`` as it is delivered, run by podman-compose in a folder laid out like the repository.

Of an override file come only what a test may not take from others: the host's port, and the image's base, since there may be no
registry. ``OPENCLAW_IMAGE`` and ``OPENCLAW_GATEWAY_TOKEN`` are in the environment, as the file says.

Seen with podman-compose 1.6.0 and podman 4.3: a volume of that name that is there already is used. A container whose first
process is killed is started again (``restart: unless-stopped``); after ``podman kill`` it is not. Debian 12's podman-compose 1.0.3 cannot run this
file: it hands ``service:network`` to podman as it is ("unknown bridge network option: network"), beside a network of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

from tests.e2e.harness.cells import INSIDE, Cell, Fleet
from tests.e2e.harness.daemon import REPOSITORY
from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.install import podman_compose
from tests.e2e.harness.ports import PortBlock
from tests.e2e.harness.provider import Provider

from .pod import PORT, THEIRS, TOKEN, Pair, base, furnish, make_gateways_image, write_config


class Composed(Pair):
    """Close it: no container, volume or network of it outlives it."""

    def __init__(self, fleet: Fleet, provider: Provider, folder: Path) -> None:
        self._program = podman_compose()
        self._ports = PortBlock()
        self.project = f"ocw{self._ports.first}"
        gateway = Cell(fleet, self.project, self._ports.first, "t0ken" * 6)
        gateway.container = self.container("gateway")
        super().__init__(fleet, gateway, self.container("watchdog"))
        self._folder = _repository(folder / "repository") / "config"
        self._override = folder / "override.yml"
        port = f'ports: !override ["127.0.0.1:{self._ports.first}:{PORT}"]'
        self._override.write_text(
            f"services:\n  network:\n    build: {{args: {{BASE: {json.dumps(base())}}}}}\n    {port}\n"
        )
        fleet.environment |= {
            "OPENCLAW_IMAGE": THEIRS,
            TOKEN: gateway.token,
            "BUILDAH_FORMAT": "docker",  # `--format docker`
            "BUILDAH_ISOLATION": "chroot",  # a container in a container may not do more
        }
        make_gateways_image(fleet)
        volume = self._volume("openclaw")
        fleet.podman("volume", "create", volume)
        gateway.state_dir = Path(fleet.podman("volume", "inspect", "--format", "{{.Mountpoint}}", volume).strip())
        furnish(gateway, provider)
        token = "${OPENCLAW_GATEWAY_TOKEN}"
        section = {"name": "gateway", "url": f"ws://127.0.0.1:{PORT}", "token": token, "state_dir": str(INSIDE)}
        write_config(self._folder / "watchdog", section)

    def __enter__(self) -> Composed:
        return self

    def __exit__(self, *_: object) -> None:
        for service in ("watchdog", "gateway", "network"):
            with contextlib.suppress(HarnessError):
                self.fleet.podman("rm", "--force", "--volumes", "--time", "0", self.container(service))
        for words in (
            ("volume", "rm", "--force", self._volume("openclaw"), self._volume("watchdog")),
            ("network", "rm", "--force", f"{self.project}_default"),
        ):
            with contextlib.suppress(HarnessError):
                self.fleet.podman(*words)
        self._ports.release()

    def container(self, service: str) -> str:
        return f"{self.project}_{service}_1"

    def _volume(self, name: str) -> str:
        return f"{self.project}_{name}"

    def compose(self, *words: str) -> str:
        """As typed in the folder of the file."""
        files = ("--file", str(self._folder / "compose.yml"), "--file", str(self._override))
        return self.fleet.run([str(self._program), "--project-name", self.project, *files, *words], within=900)

    def inspected(self, service: str) -> dict[str, Any]:
        (found,) = json.loads(self.fleet.podman("inspect", self.container(service)))
        return dict(found)

    def crash(self) -> None:
        """kill -9 of its first process, and so of all; nobody asked podman for it."""
        os.kill(int(self.inspected("gateway")["State"]["Pid"]), signal.SIGKILL)

    def bring_back(self) -> None:
        """The engine does."""


def _repository(target: Path) -> Path:
    """What the image is built of, and the compose file, where they lie in the repository."""
    rules = (REPOSITORY / ".containerignore").read_text("utf-8").splitlines()
    given = [rule[1:] for rule in rules if rule.startswith("!")]
    for name in (*given, ".containerignore", "Containerfile", "config/compose.yml"):
        here, there = REPOSITORY / name, target / name
        there.parent.mkdir(parents=True, exist_ok=True)
        if here.is_dir():
            shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(here, there)
    return target
