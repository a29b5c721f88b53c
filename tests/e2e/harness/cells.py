"""Real cells of a real `openclaw fleet`: 2026.9.6 in podman containers, in a home and a container storage of their own.

The image is made here, of the machine's own Node.js and the libraries it needs; OpenClaw itself is mounted into it, read
only. Fleet knows nothing of either: it starts what the official image starts (`node dist/index.js gateway …`).

Seen on 2026.9.6 with podman 4.3: the published port reaches the gateway from the bridge's address, not from loopback, so
that no operator is let in before a person approves the device (`podman exec CONTAINER node dist/index.js devices …`).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.e2e.harness.conditions import until

from .failures import HarnessError
from .install import container_runtime, installed, path_with
from .ports import PortBlock
from .provider import Provider
from .releases import V9_6
from .settings import merged, settings_for
from .witness import DeviceKey, Witness

IMAGE = "localhost/openclaw:test"
INSIDE = Path("/home/node/.openclaw")
"""A cell's state folder as the cell sees it (2026.9.6)."""


class NoContainers(HarnessError):
    """No container can be run on this machine; why is the message."""


class Fleet:
    """One user's fleet. Raises ``NoContainers``. Close it: no container, network or mount of it outlives it."""

    def __init__(self, folder: Path) -> None:
        container_runtime()
        self.installation = installed(V9_6)
        self.home = folder / "home"
        self._storage = folder / "storage"
        # At most 50 characters: with a longer one podman (4.3) starts nothing again, since what it calls at a container's end
        # gets this as an option, and ends with "the specified runroot is longer than 50 characters".
        self._running = Path(tempfile.mkdtemp(prefix="ocw-"))
        self._ports: list[PortBlock] = []
        self._tenants: list[str] = []
        self.home.mkdir(parents=True)
        modules = self.installation.script.parent.parent
        (folder / "containers.conf").write_text(
            f'[containers]\nvolumes = ["{modules}:/opt/node_modules:ro"]\n'
            # As this process has them: a container may not raise them everywhere.
            'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
            f'[network]\nnetwork_config_dir = "{folder}/networks"\n'
            '[engine]\nruntime = "runc"\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\n'
        )
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self._storage}/graph"\nrunroot = "{self._running}"\n'
        )
        foreign = ("OPENCLAW_", "CLAWDBOT_", "NODE_", "npm_")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
            "HOME": str(self.home),
            "TMPDIR": str(folder),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "PATH": path_with(self.installation.node),
            "NO_COLOR": "1",
        }
        try:
            self._make_image()
        except BaseException:  # whatever ends it, a skip or Ctrl-C: mounts would outlive this process
            self.close()
            raise

    def close(self) -> None:
        """By name: whatever else podman runs on this machine is not ours."""
        while self._tenants:
            name = f"openclaw-cell-{self._tenants.pop()}"
            for words in (("rm", "--force", "--time", "0", name), ("network", "rm", "--force", f"{name}-net")):
                with contextlib.suppress(HarnessError):
                    self.podman(*words)
        with contextlib.suppress(HarnessError):
            self.run(["umount", str(self._storage / "graph" / "overlay")])  # podman leaves it mounted on itself
        shutil.rmtree(self._storage, ignore_errors=True)
        shutil.rmtree(self._running, ignore_errors=True)
        while self._ports:
            self._ports.pop().release()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ commands

    def openclaw(self, *words: str, within: float = 240) -> str:
        """`openclaw fleet …` as its owner types it."""
        return self.run([str(self.installation.node), str(self.installation.script), *words], within=within)

    def podman(self, *words: str, stdin: bytes | None = None) -> str:
        return self.run(["podman", *words], stdin=stdin)

    def run(self, command: list[str] | str, *, stdin: bytes | None = None, within: float = 240) -> str:
        """A command in this user's environment; what it printed. Raises ``HarnessError`` with what it said."""
        words = shlex.split(command) if isinstance(command, str) else command
        try:
            done = subprocess.run(
                words, env=self.environment, cwd=self.home, input=stdin or b"", capture_output=True, timeout=within
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise HarnessError(f"{words[:4]}: {problem}") from None
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise HarnessError(f"{words[:4]} ended with {done.returncode}: {said[-1500:]}")
        return done.stdout.decode()

    # ------------------------------------------------------------ making

    def create(self, tenant: str, provider: Provider) -> Cell:
        """A cell that talks to the mock model, running. `provider` must listen on more than loopback."""
        ports = PortBlock()
        self._ports.append(ports)
        self._tenants.append(tenant)
        words = ("--runtime", "podman", "--image", IMAGE, "--port", str(ports.first), "--no-start", "--json")
        made = json.loads(self.openclaw("fleet", "create", tenant, *words))
        cell = Cell(self, tenant, int(made["port"]), str(made["token"]))
        cell.configure(provider)
        self.openclaw("fleet", "start", tenant)
        cell.wait_ready()
        return cell

    def _make_image(self) -> None:
        changes = ("USER=node", "WORKDIR=/opt/node_modules/openclaw", "ENV PATH=/bin")
        try:
            self.podman(
                "import",
                *(f"--change={change}" for change in changes),
                "-",
                IMAGE,
                stdin=_root_of(self.installation.node),
            )
            self.podman("run", "--rm", "--init", "--cap-drop=ALL", IMAGE, "node", "--version")
        except HarnessError as problem:
            raise NoContainers(f"no container can be run here: {problem}") from None


class Cell:
    """One cell: a complete gateway in its container."""

    def __init__(self, fleet: Fleet, tenant: str, port: int, token: str) -> None:
        self.fleet = fleet
        self.tenant = tenant
        self.url = f"ws://127.0.0.1:{port}"
        self.token = token
        self.container = f"openclaw-cell-{tenant}"
        self.state_dir = fleet.home / ".openclaw" / "fleet" / "cells" / tenant
        self.release = V9_6
        self._key = DeviceKey()

    @property
    def belonging(self) -> dict[str, str]:
        """The environment of the fleet's owner, whose programs find the cell by themselves."""
        return self.fleet.environment

    def configure(self, provider: Provider) -> None:
        """Lay the mock model over what fleet wrote; the file stays its container user's."""
        path = self.state_dir / "openclaw.json"
        ours = settings_for(V9_6, port=18789, token="", home=INSIDE, provider=provider)
        del ours["gateway"]
        ours["models"]["providers"]["mock"]["baseUrl"] = f"http://host.containers.internal:{provider.port}/v1"
        path.write_text(json.dumps(merged(json.loads(path.read_text()), ours), indent=1))

    def wait_ready(self, *, within: float = 240) -> None:
        """Until it answers a sign-in, if only by asking for approval."""

        def answers() -> bool:
            try:
                Witness(self.url, self.token, key=self._key, patience=10).close()
            except HarnessError as problem:
                return "pairing required" in str(problem)
            return True

        until(f"cell {self.tenant} answers sign-ins", answers, within=within, every=0.5)

    def operator(self) -> Witness:
        """An operator with a device of its own, approved by its person; a fresh connection."""
        if not any(one["deviceId"] == self._key.id for one in self._devices()["paired"]):
            self.wait_ready()  # and leaves a request behind
            (request,) = [one for one in self._devices()["pending"] if one["deviceId"] == self._key.id]
            self.devices("approve", str(request["requestId"]))
        return Witness(self.url, self.token, key=self._key)

    def devices(self, *words: str) -> str:
        return self.fleet.podman("exec", self.container, "node", "dist/index.js", "devices", *words)

    def _devices(self) -> dict[str, Any]:
        said = self.devices("list", "--json")
        found: dict[str, Any] = json.loads(said[said.index("{") :])
        return found

    def crash(self) -> None:
        """kill -9 of everything in it."""
        self.fleet.podman("kill", "--signal", "KILL", self.container)

    def report(self) -> str:
        with contextlib.suppress(HarnessError):
            return self.fleet.podman("logs", "--tail", "40", self.container)
        return "(no log)"


def _root_of(node: Path) -> bytes:
    """A file system with this Node.js, a shell, and one user, as a tar archive."""
    made = io.BytesIO()
    shell = Path("/bin/sh")
    with tarfile.open(fileobj=made, mode="w") as tar:
        for folder, mode, owner in (("tmp", 0o1777, 0), ("home/node", 0o755, 1000), ("etc", 0o755, 0)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
            tar.addfile(entry)
        _add(tar, "etc/passwd", b"root:x:0:0::/:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n", 0o644)
        _add(tar, "bin/node", node.read_bytes(), 0o755)
        _add(tar, "bin/sh", shell.read_bytes(), 0o755)
        for library in sorted({*_libraries(node), *_libraries(shell)}):
            _add(tar, library.lstrip("/"), Path(library).read_bytes(), 0o755)
    return made.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _libraries(program: Path) -> list[str]:
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True, timeout=30).stdout
    return [word for line in listed.splitlines() for word in line.split() if word.startswith("/")]
