"""Container runtimes, played by a script on the PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchdog.discovery import containers
from watchdog.discovery.containers import Containers, ContainerTrouble


def play(folder: Path, script: str) -> Containers:
    runtime = folder / "docker"
    runtime.write_text(f"#!/bin/sh\n{script}\n")
    runtime.chmod(0o755)
    return Containers({"PATH": f"{folder}:/usr/bin:/bin"})


def why(asked: Containers, *names: str) -> list[str]:
    return [str(answer) for answer in asked.inspect("docker", names).values() if isinstance(answer, ContainerTrouble)]


def test_all_are_asked_for_at_once_and_one_that_is_gone_is_no_trouble_for_the_others(tmp_path: Path) -> None:
    """docker names them with a slash, podman without; both show those they have and end with an error."""
    asked = play(
        tmp_path,
        """[ "$*" = "container inspect a gone b c" ] || exit 9
        echo '[{"Name": "/a", "Id": "1"}, {"Name": "b", "Id": "2"}, {"Name": "c", "Id": "3"}]'
        echo 'Error: no such container gone' >&2; echo 'something else at the end' >&2; exit 125""",
    )
    answers = asked.inspect("docker", ["a", "gone", "b", "c"])
    assert [answer.get("Id") for answer in answers.values() if isinstance(answer, dict)] == ["1", "2", "3"]
    assert str(answers["gone"]) == "Error: no such container gone"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo first >&2; echo 'permission denied' >&2; exit 1", "permission denied"),
        ("exit 3", "docker ended with 3"),
        ("echo hello", "docker answered something else"),
        ("echo '{}'", "docker answered something else"),
        ("echo '[]'", "nothing was said of cell"),
        ("""echo '[{"Name": "/cell-2"}, {}, 7]'""", "nothing was said of cell"),
    ],
)
def test_what_is_no_answer(tmp_path: Path, script: str, reason: str) -> None:
    assert why(play(tmp_path, script), "cell") == [reason]


def test_a_runtime_that_is_not_installed(tmp_path: Path) -> None:
    assert why(Containers({"PATH": str(tmp_path)}), "a", "b") == ["docker cannot be run: no such file or directory"] * 2


def test_a_runtime_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "LONGEST", 0.2)
    asked = tmp_path / "asked"
    hanging = play(tmp_path, f"echo once >> {asked}; exec sleep 20")
    for _ in range(3):
        assert why(hanging, "cell") == ["docker did not answer in 0 s"]
    assert asked.read_text() == "once\n", "many cells do not each wait for it"
