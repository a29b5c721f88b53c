"""The Kubernetes manifests as they are delivered, played by ``podman kube play``, which knows pods and no StatefulSets.

So this does what Kubernetes makes of one: the pod of its template under its name with ``-0``, and a claim for each of its claim
templates. Changed are the images' names; added is, for each container, under which loopback port of this machine the test finds it.

Seen with podman 4.3.1, and nothing of ours:

- A ``Secret`` cannot be played: a variable from one wants podman's own, in JSON (``podman secret create``).
- A claim whose volume is there already ends the playing. So nothing is played twice; a pod is stopped, and started again.
- ``containerPort`` alone publishes the port on every address of the machine.
- It asks no probe: of an HTTP liveness probe it makes ``curl http://localhost:0/livez`` in the container, since it does not know
  named ports, and there is no curl. ``startupProbe``, ``readinessProbe``, ``fsGroup`` and ``terminationGracePeriodSeconds`` it
  passes over. The test asks what the manifest says, where a kubelet would: at the pod's address.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML

from tests.e2e.harness.cells import INSIDE, Cell, Fleet
from tests.e2e.harness.daemon import REPOSITORY
from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.ports import PortBlock
from tests.e2e.harness.provider import Provider

from .pod import OURS, PORT, THEIRS, Pair, furnish, make_gateways_image

MANIFESTS = {path.stem.removeprefix("kubernetes-"): path for path in (REPOSITORY / "config").glob("kubernetes-*.yaml")}
IMAGES = {"YOUR-GATEWAY-IMAGE": THEIRS, "YOUR-REGISTRY/openclaw-watchdog": OURS}
Document = dict[str, Any]


def as_pod(manifest: Path, published: Mapping[str, tuple[int, int]]) -> list[Document]:
    """What Kubernetes makes of its StatefulSet, to be played. ``published``: container -> its port, and where this machine has it."""
    config_map, workload = (dict(one) for one in YAML(typ="safe", pure=True).load_all(manifest))
    name, template = workload["metadata"]["name"], copy.deepcopy(workload["spec"]["template"])
    claims = []
    for claim in workload["spec"]["volumeClaimTemplates"]:
        mounted = claim["metadata"]["name"]
        made = {**claim, "metadata": {**claim["metadata"], "name": f"{mounted}-{name}-0"}}
        claims.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **made})
        volume = {"name": mounted, "persistentVolumeClaim": {"claimName": made["metadata"]["name"]}}
        template["spec"].setdefault("volumes", []).append(volume)
    for container in template["spec"]["containers"]:
        container["image"] = IMAGES[container["image"]]
        inside, outside = published[container["name"]]
        (port,) = container.setdefault("ports", [{"containerPort": inside}])
        port |= {"hostIP": "127.0.0.1", "hostPort": outside}
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": f"{name}-0"}}
    return [config_map, *claims, pod]


class Played(Pair):
    """Close it: no container, volume, secret or network of it outlives it."""

    def __init__(self, fleet: Fleet, provider: Provider, manifest: Path, folder: Path) -> None:
        self._ports = PortBlock()
        self._provider = provider
        first = self._ports.first
        self.documents = as_pod(manifest, {"gateway": (PORT, first), "watchdog": (18795, first + 1)})
        self.pod = str(self.documents[-1]["metadata"]["name"])
        self.network = f"ocw{first}-kube"
        self.has_gateway = "gateway" in self._containers
        gateway = Cell(fleet, self.network, first, "t0ken" * 6)
        gateway.container = f"{self.pod}-gateway" if self.has_gateway else f"{self.network}-gateway"
        super().__init__(fleet, gateway, f"{self.pod}-watchdog")
        self._file = folder / "played.yaml"
        writer = YAML()
        with self._file.open("w") as stream:
            writer.dump_all(self.documents, stream)
        make_gateways_image(fleet)
        fleet.podman("network", "create", self.network)
        token = json.dumps({"token": base64.b64encode(gateway.token.encode()).decode()})
        fleet.podman("secret", "create", "openclaw", "-", stdin=token.encode())

    @property
    def _containers(self) -> dict[str, Any]:
        return {one["name"]: one for one in self.documents[-1]["spec"]["containers"]}

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None:
        volumes = [one["metadata"]["name"] for one in self.documents if one["kind"] != "Pod"]  # a ConfigMap's, too
        for words in (
            ("pod", "rm", "--force", "--time", "0", self.pod),
            ("rm", "--force", "--time", "0", self.gateway.container),
            ("volume", "rm", "--force", *volumes),
            ("secret", "rm", "openclaw"),
            ("network", "rm", "--force", self.network),
        ):
            with contextlib.suppress(HarnessError):
                self.fleet.podman(*words)
        self._ports.release()

    def start_gateway(self) -> None:
        """In a pod of its own, behind the name of its Service."""
        furnish(self.gateway, self._provider)
        words = (
            "--network",
            self.network,
            "--network-alias",
            "openclaw",
            "--publish",
            f"127.0.0.1:{self._ports.first}:{PORT}",
        )
        volume = ("--volume", f"{self.gateway.state_dir}:{INSIDE}")
        self.fleet.podman("run", "--detach", "--init", "--name", self.gateway.container, *words, *volume, THEIRS)

    def play(self) -> None:
        """``podman kube play``; what the gateway of a side-car's pod needs lies in its claim before it starts."""
        self.fleet.podman("kube", "play", "--network", self.network, "--start=false", str(self._file))
        if self.has_gateway:
            volume = f"openclaw-{self.pod}"
            place = self.fleet.podman("volume", "inspect", "--format", "{{.Mountpoint}}", volume)
            self.gateway.state_dir = Path(place.strip())
            furnish(self.gateway, self._provider)
        self.start()

    def start(self) -> None:
        self.fleet.podman("pod", "start", self.pod)

    def stop(self) -> int:
        """The watchdog's exit status."""
        self.fleet.podman("pod", "stop", self.pod)
        return int(self.inspected("watchdog")["State"]["ExitCode"])

    def inspected(self, container: str) -> dict[str, Any]:
        (found,) = json.loads(self.fleet.podman("inspect", f"{self.pod}-{container}"))
        return dict(found)

    def crash(self) -> None:
        """kill -9 of its first process, and so of all; nobody asked podman for it."""
        os.kill(int(self.inspected("gateway")["State"]["Pid"]), signal.SIGKILL)

    def bring_back(self) -> None:
        """The engine does, as a pod's `restartPolicy` says when it says nothing."""

    # ------------------------------------------------------------ the probes

    @property
    def address(self) -> str:
        """The pod's, where a kubelet asks."""
        infra = self.fleet.podman("pod", "inspect", "--format", "{{.InfraContainerID}}", self.pod).strip()
        (found,) = json.loads(self.fleet.podman("inspect", infra))
        return str(found["NetworkSettings"]["Networks"][self.network]["IPAddress"])

    def probes(self) -> dict[str, int]:
        """What the manifest asks of the watchdog -> the HTTP status it gets."""
        container = self._containers["watchdog"]
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        asked = {kind: said["httpGet"] for kind, said in container.items() if kind.endswith("Probe")}
        return {kind: self._asked(f"{self.address}:{ports[get['port']]}{get['path']}") for kind, get in asked.items()}

    def _asked(self, where: str) -> int:
        with httpx.Client(trust_env=False, timeout=5) as client:
            return client.get(f"http://{where}").status_code

    def is_healthy(self) -> bool:
        return self.probes()["livenessProbe"] == httpx.codes.OK
