"""The wheel and the sdist, built for real, and the wheel installed into an environment of its own.

Hermetic: nothing is downloaded. What the wheel says it needs is lent to the new environment out of this one, and nothing
else is, so that a forgotten dependency is missed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from email.parser import Parser
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from watchdog.config.generate import delivered

REPOSITORY = Path(__file__).parents[3]
PACKAGES = (REPOSITORY / "watchdog", REPOSITORY / "openclaw_simulator")
pytestmark = pytest.mark.timeout(300)


def _run(argv: Sequence[str | Path], cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OPENCLAW"))}
    return subprocess.run(
        [str(one) for one in argv], cwd=cwd, env={**environment, **env}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both; the wheel is made out of the sdist, as ``python -m build`` does."""
    folder = tmp_path_factory.mktemp("dist")
    done = _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("openclaw_watchdog-*-py3-none-any.whl")
    return found


def _requirements(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name


def _closure(names: Iterator[str]) -> dict[str, metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found[name] = metadata.distribution(name)
            waiting += _requirements(found[name].requires or [])
    return found


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of a fresh environment with the wheel and what it says it needs."""
    root = tmp_path_factory.mktemp("installed")
    done = _run([sys.executable, "-m", "venv", "--without-pip", root], root)
    assert done.returncode == 0, done.stderr
    python = root / "bin/python"
    install: list[str | Path] = [
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
        wheel,
    ]
    done = _run([sys.executable, *install], root)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        lines = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist") or []
    (site,) = root.glob("lib/python*/site-packages")
    for needed in _closure(_requirements(lines)).values():
        for top in {file.parts[0] for file in needed.files or () if file.parts[0] not in ("..", "__pycache__")}:
            link = site / top
            if not link.exists():
                link.symlink_to(Path(str(needed.locate_file(top))))
    assert not (site / "pytest").exists()
    return root / "bin"


def test_the_wheel_holds_the_whole_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    there = {name for name in names if ".data/" not in name}
    wanted = {
        str(file.relative_to(REPOSITORY))
        for package in PACKAGES
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    delivered = {f"watchdog/config/delivered/{name}" for name in ("grafana-dashboard.json", "prometheus-alerts.yml")}
    assert there == wanted | delivered
    assert [name.partition(".data/data/")[2] for name in names if ".data/" in name] == [
        "share/man/man1/openclaw-watchdog.1"
    ]
    assert {"watchdog/py.typed", "watchdog/status/page/page.html", "watchdog/status/page/page.css"} <= there


def test_the_sdist_holds_what_an_operator_and_a_packager_want(built: Path) -> None:
    """Documents, and the tests with what they read."""
    (archive,) = built.glob("openclaw_watchdog-*.tar.gz")
    with tarfile.open(archive) as opened:
        there = {name.partition("/")[2] for name in opened.getnames()}
    wanted = {str(file.relative_to(REPOSITORY)) for folder in ("config", "systemd", "launchd")
              for file in (REPOSITORY / folder).iterdir()}  # fmt: skip
    wanted |= {
        "Containerfile",
        "constraints.txt",
        "README.md",
        "docs/README.md",
        "docs/page-light.webp",
        "docs/decisions/README.md",
    }
    assert wanted | {"hatch_build.py", "CHANGELOG.md", "LICENSE", "pyproject.toml", "watchdog/core/verdict.py"} <= there
    wanted = {
        str(file.relative_to(REPOSITORY))
        for folder in ("docs", "tests", ".ci", ".github")
        for file in (REPOSITORY / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert len(wanted) > 300
    assert wanted | {"Makefile", ".pre-commit-config.yaml"} <= there
    assert not any(name.startswith((".venv", ".git/", "build/")) or "__pycache__" in name for name in there)


def test_the_entry_point_works_and_watchdog_is_ours(place: Path, tmp_path: Path) -> None:
    said = _run([place / "openclaw-watchdog", "--version"], tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("openclaw-watchdog ")
    where = _run([place / "python", "-c", "import watchdog; print(watchdog.__file__)"], tmp_path).stdout.strip()
    assert Path(where).is_relative_to(place.parent)
    assert (Path(where).parent / "core/verdict.py").exists()


def test_every_verb_can_be_imported_without_development_tools(place: Path, tmp_path: Path) -> None:
    code = """
import importlib, pkgutil, watchdog
names = [found.name for found in pkgutil.walk_packages(watchdog.__path__, "watchdog.") if "__main__" not in found.name]
for name in names:
    if name != "watchdog.ledger.postgres":  # needs an extra
        importlib.import_module(name)
print(len(names))
"""
    others = "default::DeprecationWarning"  # ours are errors in every other test
    done = _run([place / "python", "-W", "error", "-W", others, "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("example", "watchdog.example.yaml"),
        ("dashboard", "grafana-dashboard.json"),
        ("alerts", "prometheus-alerts.yml"),
        ("schema", "schema.json"),
    ],
)
def test_the_delivered_files_are_printed_by_it(place: Path, tmp_path: Path, what: str, name: str) -> None:
    done = _run([place / "openclaw-watchdog", "config", what], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (REPOSITORY / "config" / name).read_text("utf-8")


def _metadata(monkeypatch: pytest.MonkeyPatch, repository: str) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("hatch_build", REPOSITORY / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    monkeypatch.setenv(hook.VARIABLE, repository)
    found: dict[str, Any] = {"version": "1.2.3"}
    hook.Addresses(str(REPOSITORY), {}).update(found)
    return found


def test_a_release_says_where_its_repository_is(monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    plain = _metadata(monkeypatch, "")
    assert (plain["urls"], plain["readme"]["text"]) == ({}, readme)
    found = _metadata(monkeypatch, "https://git.example.org/you/watchdog/")
    assert set(found["urls"]) == {"Changelog", "Documentation", "Issues", "Repository", "Runbooks"}
    at = "https://git.example.org/you/watchdog"
    text = found["readme"]["text"]
    assert f"({at}/raw/v1.2.3/docs/page-light.webp)" in text
    assert f"({at}/blob/v1.2.3/docs/evidence.md#what-it-promises)" in text
    links = [re.findall(r"\]\(([^)\s]+)\)", one) for one in (readme, text)]
    assert len(links[0]) == len(links[1]) > 15
    assert [link for link in links[1] if not link.startswith("https://")] == []
    for address in found["urls"].values():
        file = address.partition("/blob/v1.2.3/")[2]
        assert (REPOSITORY / file).exists(), address


def test_its_alerts_lead_there(monkeypatch: pytest.MonkeyPatch) -> None:
    said = EmailMessage()
    said["Project-URL"] = "Repository, https://git.example.org/you/watchdog"
    monkeypatch.setattr(metadata, "metadata", lambda name: said)
    assert delivered("prometheus-alerts.yml") == (REPOSITORY / "config/prometheus-alerts.yml").read_text("utf-8")
    said["Project-URL"] = "Runbooks, https://git.example.org/runbooks.md"
    assert "runbook_url: https://git.example.org/runbooks.md#openclawgatewaydown" in delivered("prometheus-alerts.yml")
    assert "docs/runbooks.md" not in delivered("prometheus-alerts.yml")


def test_a_service_can_be_installed_from_it(place: Path, tmp_path: Path) -> None:
    """The unit is written by the package: no file of the repository is needed."""
    env = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    made = _run([place / "openclaw-watchdog", "init"], tmp_path, **env)
    assert made.returncode == 0, made.stderr
    shown = _run([place / "openclaw-watchdog", "service", "install", "--print"], tmp_path, **env)
    assert shown.returncode == 0, shown.stderr
    command = f"{place}/openclaw-watchdog"
    assert command in shown.stdout
    assert str(tmp_path / "config/openclaw-watchdog/watchdog.yaml") in shown.stdout
    checked = _run([place / "openclaw-watchdog", "config", "check", "--json"], tmp_path, **env)
    assert json.loads(checked.stdout)["ok"] is True
