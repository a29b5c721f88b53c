"""The Containerfile, the compose file and the Kubernetes manifests: what they name exists, and none asks for more rights than
it needs. That they work is seen by ``make container``, which runs all of them."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import typer.core
import typer.main
from ruamel.yaml import YAML
from typer.testing import CliRunner

from tests.container.pod import CONFINED, IDLE, build
from tests.e2e.harness.cells import Fleet
from tests.unit.status.support import Scripted
from watchdog.cli.app import app
from watchdog.config import LoadedConfig, parse
from watchdog.status.server import Feed, application, host_is_ours

from .kubernetes_schema import misfits

REPOSITORY = Path(__file__).parents[3]
COMPOSE = REPOSITORY / "config/compose.yml"
MANIFESTS = sorted((REPOSITORY / "config").glob("kubernetes-*.yaml"))
STATE = "/var/lib/openclaw-watchdog"
ENV = {"HOME": STATE, "OPENCLAW_GATEWAY_TOKEN": "t" * 16}


def _instructions() -> list[tuple[str, str]]:
    text = (REPOSITORY / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def _last_stage() -> dict[str, str]:
    every = _instructions()
    begins = max(number for number, (word, _) in enumerate(every) if word == "FROM")
    return dict(every[begins:])


def _documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(path))


def _grace() -> int:
    (seconds,) = re.findall(
        r"^TimeoutStopSec=(\d+)$", (REPOSITORY / "systemd/openclaw-watchdog.service").read_text(), re.M
    )
    return int(seconds)


def _manifest(path: Path) -> tuple[LoadedConfig, Any, Any]:
    """The configuration in it, its pod, and the watchdog's container there."""
    config_map, workload = _documents(path)
    (text,) = config_map["data"].values()
    assert workload["spec"]["replicas"] == 1, "two would recover the same sessions"
    pod = workload["spec"]["template"]["spec"]
    (container,) = [one for one in pod["containers"] if one["name"] == "watchdog"]
    return parse(text, env=ENV), pod, container


def _mounts(container: Any) -> dict[str, bool]:
    return {one["mountPath"]: one.get("readOnly", False) for one in container["volumeMounts"]}


# ---------------------------------------------------------------- the image


def test_the_base_is_the_builders_choice() -> None:
    every = _instructions()
    assert every[0][0] == "ARG"
    assert every[0][1].startswith("BASE=")
    assert [rest.split()[0] for word, rest in every if word == "FROM"] == ["${BASE}", "${BASE}"]


def test_it_does_not_run_as_root_and_keeps_its_state_in_the_volume() -> None:
    stage = _last_stage()
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage["USER"]), "a number: Kubernetes cannot judge a name"
    assert stage["VOLUME"] == STATE
    env = dict(pair.split("=", 1) for pair in stage["ENV"].split())
    assert env["STATE_DIRECTORY"] == env["HOME"] == STATE
    assert env["OPENCLAW_WATCHDOG_CONFIG"] == "/etc/openclaw-watchdog/watchdog.yaml"
    assert list(stage)[-1] == "CMD"
    assert list(stage).index("USER") > list(stage).index("RUN")


def test_its_health_check_and_its_command_are_verbs_of_ours() -> None:
    stage = _last_stage()
    root = typer.main.get_command(app)
    assert isinstance(root, typer.core.TyperGroup)
    context = typer.Context(root)
    (entry,) = json.loads(stage["ENTRYPOINT"])
    (run,) = json.loads(stage["CMD"])
    assert root.get_command(context, run) is not None
    program, verb, option = json.loads(stage["HEALTHCHECK"].partition("CMD ")[2])
    assert (program, verb, option) == (entry, "status", "--live")
    assert CliRunner().invoke(app, [verb, option, "--help"]).exit_code == 0


def test_its_labels_are_what_the_package_says_of_itself() -> None:
    """And not where its source is: that is known to whoever builds it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    said = dict(re.findall(r'org\.opencontainers\.image\.([a-z]+)="([^"]+)"', _last_stage()["LABEL"]))
    assert said == {
        "title": project["name"],
        "description": project["description"],
        "licenses": project["license"],
        "version": project["version"],
    }


def test_what_it_copies_is_there_also_in_the_sdist() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    shipped = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    copied = [
        name for word, rest in _instructions() if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]
    ]
    assert len(copied) > 6
    for name in copied:
        assert (REPOSITORY / name).exists(), name
        assert f"/{name.partition('/')[0]}" in [*shipped, "/pyproject.toml", "/hatch_build.py"], name
    assert {"/Containerfile", "/.containerignore"} <= set(shipped)


def test_what_it_copies_is_what_the_build_is_given() -> None:
    """podman reads no more than this; whoever adds a COPY adds it there."""
    lines = (REPOSITORY / ".containerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    copied = {
        name.rstrip("/")
        for word, rest in _instructions()
        if word == "COPY" and "--from" not in rest
        for name in rest.split()[:-1]
    }
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert set(rules[1:]) - {f"!{name}" for name in copied} == {"**/__pycache__"}


# ---------------------------------------------------------------- compose


def test_the_compose_file_puts_the_watchdog_beside_the_gateway_and_lends_it_nothing() -> None:
    (compose,) = _documents(COMPOSE)
    services = compose["services"]
    shared = services["watchdog"]["network_mode"]
    assert services["gateway"]["network_mode"] == shared
    assert shared.removeprefix("service:") in services
    for name in ("watchdog", "network"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert not {"privileged", "cap_add", "user", "pid"} & set(services[name])
    mounts = [one.split(":") for one in services["watchdog"]["volumes"]]
    assert {inside: mode for _, inside, *mode in mounts} == {
        STATE: [],
        "/etc/openclaw-watchdog": ["ro"],
        "/home/node/.openclaw": ["ro"],
    }
    assert {outside for outside, *_ in mounts if "/" not in outside} <= set(compose["volumes"])
    assert services["watchdog"]["stop_grace_period"] == f"{_grace()}s"
    build = services["network"]["build"]
    assert (COMPOSE.parent / build["context"] / build["dockerfile"]).exists(), (
        "docker looks for no Containerfile by itself"
    )
    assert services["network"]["healthcheck"] == {"disable": True}


def _typed(document: str, beginning: str) -> list[list[str]]:
    """The commands of a document that begin so, word by word."""
    text = (REPOSITORY / document).read_text("utf-8").replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith(beginning)]


def _values(words: list[str], option: str) -> list[str]:
    return [words[at + 1] for at, word in enumerate(words) if word == option]


def _rest(words: list[str]) -> list[str]:
    """Of a ``podman run``, without what is another's each time: its name, and what it is joined to."""
    each = {"--name", "--publish", "--env", "--network", "--volume"}
    dropped = {at + step for at, word in enumerate(words) if word in each for step in (0, 1)}
    return [word for at, word in enumerate(words) if at not in dropped and word not in ("podman", "run", "--detach")]


def test_the_podman_commands_do_what_the_compose_file_does_and_what_make_container_tries() -> None:
    (compose,) = _documents(COMPOSE)
    services = compose["services"]
    commands = {_values(words, "--name")[0]: words for words in _typed("docs/container.md", "podman run ")}
    assert list(commands) == list(services)
    for name, words in commands.items():
        assert _values(words, "--volume") == services[name].get("volumes", [])
        assert _values(words, "--publish") == services[name].get("ports", [])
        assert _values(words, "--env") == list(services[name].get("environment", []))
        assert _values(words, "--network") == ([] if name == "network" else ["container:network"])
        assert ("--read-only" in words) == bool(services[name].get("read_only"))
    watchdog = commands["watchdog"]
    assert _rest(watchdog) == [*CONFINED, "openclaw-watchdog"], "word for word what `make container` types"
    assert _rest(commands["network"]) == [*IDLE, "openclaw-watchdog", "infinity"]
    assert _rest(commands["gateway"]) == ["$OPENCLAW_IMAGE"]
    assert f"{_values(watchdog, '--stop-timeout')[0]}s" == services["watchdog"]["stop_grace_period"]


def test_the_image_is_built_as_the_document_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listening:
        """A fleet that builds nothing."""

        typed: ClassVar[list[str]] = []

        def run(self, words: list[str], **_: object) -> None:
            self.typed.extend(words)

    monkeypatch.setenv("OPENCLAW_WATCHDOG_BASE", "some-base")
    build(cast("Fleet", Listening()))
    (shown,) = _typed("docs/container.md", "podman build ")
    assert shown[:2] == Listening.typed[:2] == ["podman", "build"]
    assert _values(Listening.typed, "--format") == _values(shown, "--format") == ["docker"]
    assert {word for word in shown if word.startswith("--")} <= set(Listening.typed)
    assert (shown[-1], Listening.typed[-1]) == (".", str(REPOSITORY))


# ---------------------------------------------------------------- Kubernetes


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_is_what_kubernetes_takes(path: Path) -> None:
    """Field by field, by its own schema; `make container` runs the pods."""
    assert [misfit for document in _documents(path) for misfit in misfits(document)] == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("automountServiceAccountToken: false", "automountServiceAccountTokens: false", "no such field"),
        ("readOnlyRootFilesystem: true", 'readOnlyRootFilesystem: "true"', "'true' is no"),
        ("replicas: 1", "replicas: one", "'one' is no"),
        ("{httpGet: {path: /livez, port: page}", "{httpGet: {path: /livez}", ".port is missing"),
        ("selector: {matchLabels: {app: openclaw}}", "", ".selector is missing"),
        ("capabilities: {drop: [ALL]}", "capabilities: {drop: ALL}", "'ALL' is no"),
        ("{requests: {storage: 5Gi}}", "{requests: {storage: [5Gi]}}", "nothing that may stand there"),
    ],
)
def test_what_kubernetes_refuses_is_noticed(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    text = (REPOSITORY / "config/kubernetes-sidecar.yaml").read_text("utf-8")
    assert right in text
    broken = tmp_path / "broken.yaml"
    broken.write_text(text.replace(right, wrong))
    found = [misfit for document in _documents(broken) for misfit in misfits(document)]
    assert found
    assert all(said in one for one in found), found


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_asks_for_no_rights(path: Path) -> None:
    _, pod, container = _manifest(path)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == _last_stage()["USER"]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["terminationGracePeriodSeconds"] == _grace()


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifests_configuration_is_one_and_its_state_is_kept(path: Path) -> None:
    loaded, pod, container = _manifest(path)
    assert all("status page has no password" in str(warning) for warning in loaded.warnings), "as its comment says, too"
    (workload,) = [one for one in _documents(path) if one["kind"] == "StatefulSet"]
    claims = {one["metadata"]["name"] for one in workload["spec"]["volumeClaimTemplates"]}
    names = claims | {one["name"] for one in pod["volumes"]}
    assert {one["name"] for one in container["volumeMounts"]} <= names
    (state,) = [one["name"] for one in container["volumeMounts"] if one["mountPath"] == STATE]
    assert state in claims
    mounts = _mounts(container)
    assert [place for place, is_read_only in mounts.items() if not is_read_only] == [STATE]
    (section,) = loaded.config.gateways
    assert section.state_dir is None or mounts[str(section.state_dir)], "the gateway's files are only read"


def _probes(container: Any) -> Iterator[tuple[str, Any]]:
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        if kind in container:
            yield kind, container[kind]["httpGet"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_its_probes_are_answered(path: Path) -> None:
    loaded, _, container = _manifest(path)
    page = loaded.config.status_page
    assert page is not None
    (port,) = container["ports"]
    assert port["containerPort"] == page.port
    assert host_is_ours(f"10.42.0.7:{page.port}", page.host, page.port), "the kubelet asks by the pod's address"
    site: Any = application(Scripted(), Feed(), page.host, page.port)
    served = {route.path for route in site._app.routes}
    probes = dict(_probes(container))
    for kind, asked in probes.items():
        assert asked["port"] == port["name"]
        assert asked["path"] in served
        assert asked["path"] == ("/readyz" if kind == "readinessProbe" else "/livez")
    assert {"startupProbe", "livenessProbe"} <= set(probes)


def test_a_side_car_never_takes_its_gateway_out_of_service() -> None:
    """A container that is not ready makes its whole pod not ready."""
    for path in MANIFESTS:
        _, pod, container = _manifest(path)
        assert ("readinessProbe" in container) == (len(pod["containers"]) == 1), path.name
