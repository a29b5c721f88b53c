"""The cells of ``openclaw fleet``: a registry as 2026.9.6 creates it, and what a container runtime says."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from watchdog.discovery.fleet_cells import ContainerUnseen, look_at, read_registry, registry_of
from watchdog.discovery.found import Cell
from watchdog.discovery.openclaw_config import ConfigUnreadable

TOKEN = "0123456789abcdef0123456789abcdef"
CREATE = """CREATE TABLE IF NOT EXISTS fleet_cells (
  tenant_id TEXT NOT NULL PRIMARY KEY,
  created_at_ms INTEGER NOT NULL,
  image TEXT NOT NULL,
  runtime TEXT NOT NULL,
  host_port INTEGER NOT NULL,
  container_name TEXT NOT NULL,
  data_dir TEXT NOT NULL
) STRICT;"""
"""As in the source of 2026.9.6."""


def write_registry(state_dir: Path, *tenants: str, runtime: str = "docker", port: int = 19100) -> Path:
    """A database with these cells and no others, closed when this returns."""
    path = registry_of(state_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as db:
        db.execute(CREATE)
        db.execute("delete from fleet_cells")
        for number, tenant in enumerate(tenants):
            folder = str(state_dir / "fleet" / "cells" / tenant)
            row = (tenant, 1, "image", runtime, port + number, f"openclaw-cell-{tenant}", folder)
            db.execute("insert into fleet_cells values (?, ?, ?, ?, ?, ?, ?)", row)
    db.close()
    return path


def container(cell: Cell, *, is_running: bool = True, owner: str | None = None) -> dict[str, object]:
    """The parts of ``docker container inspect`` that matter."""
    ours = sha256(str(cell.data_dir).encode()).hexdigest()[:32]
    labels = {"openclaw.fleet.tenant": cell.tenant, "openclaw.fleet.owner": owner or ours}
    env = ["HOME=/home/node", f"OPENCLAW_GATEWAY_TOKEN={TOKEN}", "OPENCLAW_STATE_DIR=/home/node/.openclaw"]
    state = {"Status": "running" if is_running else "exited", "Running": is_running}
    return {"Name": f"/{cell.container_name}", "State": state, "Config": {"Env": env, "Labels": labels}}


def play_runtime(folder: Path, *cells: Cell, is_running: bool = True) -> str:
    """A ``docker`` in ``folder`` that knows these containers and no others; the PATH it is found on."""
    folder.mkdir(exist_ok=True)
    known = [container(cell, is_running=is_running) for cell in cells]
    (folder / "known.json").write_text(json.dumps(known))
    ending = "" if cells else "echo no such container >&2; exit 1"
    script = folder / "docker"
    script.write_text(f'#!/bin/sh\ncat "{folder}/known.json"\n{ending}\n')
    script.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_the_cells_of_a_registry(tmp_path: Path) -> None:
    path = write_registry(tmp_path, "acme", "beta")
    acme, beta = read_registry(path)
    assert (acme.tenant, acme.url, acme.runtime) == ("acme", "ws://127.0.0.1:19100", "docker")
    assert acme.config_path == tmp_path / "fleet/cells/acme/openclaw.json"
    assert (beta.container_name, beta.host_port) == ("openclaw-cell-beta", 19101)
    assert [file.name for file in path.parent.iterdir()] == ["openclaw.sqlite"], "nothing appears beside it"


def test_cells_that_a_writer_has_not_checkpointed_yet(tmp_path: Path) -> None:
    path = write_registry(tmp_path, "acme")
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("update fleet_cells set host_port = 20000")
    db.commit()
    assert [cell.host_port for cell in read_registry(path)] == [20000]
    db.close()


def test_no_registry_and_one_that_knows_no_fleet(tmp_path: Path) -> None:
    path = registry_of(tmp_path)
    assert read_registry(path) == ()
    assert not path.parent.exists()
    path.parent.mkdir()
    sqlite3.connect(path).close()
    assert read_registry(path) == ()


def test_a_folder_that_cannot_be_entered_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``Path.is_file`` raises that on Python 3.11. Root enters every folder, so it is played."""

    def forbidden(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_file", forbidden)
    with pytest.raises(ConfigUnreadable, match=r"cannot be read \(Permission denied\)"):
        read_registry(registry_of(tmp_path))


def test_a_registry_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    path = registry_of(tmp_path)
    path.parent.mkdir()
    path.write_text("not a database, whatever its name says; " * 100)
    with pytest.raises(ConfigUnreadable, match="name each cell under gateways"):
        read_registry(path)


@pytest.mark.parametrize(
    "change",
    [
        "tenant_id = '../acme'",
        "container_name = 'postgres'",
        "runtime = '/bin/sh'",
        "host_port = 70000",
        "data_dir = 'relative'",
    ],
)
def test_a_row_that_fleet_would_not_write_is_left_out(tmp_path: Path, change: str) -> None:
    path = write_registry(tmp_path, "acme")
    with sqlite3.connect(path) as db:
        db.execute(f"update fleet_cells set {change}")
    db.close()
    assert read_registry(path) == ()


def test_a_running_cell_with_its_token(tmp_path: Path) -> None:
    (cell,) = read_registry(write_registry(tmp_path, "acme"))
    asked: list[tuple[str, str]] = []

    def inspect(runtime: str, name: str) -> Mapping[str, object]:
        asked.append((runtime, name))
        return container(cell)

    found = look_at(cell, inspect)
    assert asked == [("docker", "openclaw-cell-acme")]
    assert (found.name, found.url, found.is_alive, found.pid) == ("acme", "ws://127.0.0.1:19100", True, None)
    assert found.token_source is not None
    assert found.token_source().reveal() == TOKEN
    assert found.state_dir == tmp_path / "fleet/cells/acme"
    assert TOKEN not in repr(found)


def test_a_stopped_cell(tmp_path: Path) -> None:
    (cell,) = read_registry(write_registry(tmp_path, "acme"))
    found = look_at(cell, lambda _runtime, _name: container(cell, is_running=False))
    assert (found.is_alive, found.missing) == (False, None)


def test_a_container_of_somebody_else_gives_no_token(tmp_path: Path) -> None:
    (cell,) = read_registry(write_registry(tmp_path, "acme"))
    found = look_at(cell, lambda _runtime, _name: container(cell, owner="f" * 32))
    assert (found.is_alive, found.token_source) == (False, None)
    assert "its labels are not this cell's" in str(found.missing)


def test_a_container_that_cannot_be_inspected(tmp_path: Path) -> None:
    (cell,) = read_registry(write_registry(tmp_path, "acme"))

    def inspect(_runtime: str, _name: str) -> Mapping[str, object]:
        raise ContainerUnseen("permission denied")

    found = look_at(cell, inspect)
    assert (found.url, found.is_alive, found.token_source) == ("ws://127.0.0.1:19100", False, None)
    (note,) = found.notes
    assert "(permission denied); name it under gateways: with url and token." in note


@pytest.mark.parametrize("answer", [{}, {"Config": []}, {"Config": {"Labels": None, "Env": "x"}}, {"State": "running"}])
def test_an_answer_of_another_shape_is_no_answer(tmp_path: Path, answer: dict[str, object]) -> None:
    (cell,) = read_registry(write_registry(tmp_path, "acme"))
    assert look_at(cell, lambda _runtime, _name: answer).missing is not None
