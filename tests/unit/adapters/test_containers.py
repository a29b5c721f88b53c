"""Container runtimes, played by a script on the PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchdog.adapters import containers
from watchdog.adapters.containers import Containers, ContainerTrouble


def play(folder: Path, script: str) -> Containers:
    runtime = folder / "docker"
    runtime.write_text(f"#!/bin/sh\n{script}\n")
    runtime.chmod(0o755)
    return Containers({"PATH": f"{folder}:/usr/bin:/bin"})


def test_the_one_container_asked_for(tmp_path: Path) -> None:
    asked = play(tmp_path, """[ "$*" = "container inspect cell" ] && echo '[{"Id": "1"}]'""")
    assert asked.inspect("docker", "cell") == {"Id": "1"}


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo first >&2; echo 'permission denied' >&2; exit 1", "^permission denied$"),
        ("exit 3", "ended with 3"),
        ("echo hello", "something else"),
        ("echo '[]'", "something else"),
        ("echo '[{}, {}]'", "something else"),
    ],
)
def test_what_is_no_answer(tmp_path: Path, script: str, why: str) -> None:
    with pytest.raises(ContainerTrouble, match=why):
        play(tmp_path, script).inspect("docker", "cell")


def test_a_runtime_that_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(ContainerTrouble, match="cannot be run: no such file"):
        Containers({"PATH": str(tmp_path)}).inspect("podman", "cell")


def test_a_runtime_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "LONGEST", 0.2)
    asked = tmp_path / "asked"
    hanging = play(tmp_path, f"echo once >> {asked}; exec sleep 20")
    for _ in range(3):
        with pytest.raises(ContainerTrouble, match="did not answer"):
            hanging.inspect("docker", "cell")
    assert asked.read_text() == "once\n", "many cells do not each wait for it"
