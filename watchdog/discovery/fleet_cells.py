"""The cells of ``openclaw fleet``: complete gateways in containers of this machine, one for each tenant.

Read in docs and source of 2026.9.6 (``docs/cli/fleet.md``, ``src/fleet/registry``, ``cell-profile``, ``containers``), and
measured there with podman 4.3, created to removed; with docker, not. Fleet is experimental; versions before have none.

- The registry is table ``fleet_cells`` of ``$STATE/state/openclaw.sqlite``, in the state folder of whoever ran ``fleet``.
  Its row outlives a stop and ends with ``fleet rm``; the folder of a cell may outlive both.
- A cell listens on ``127.0.0.1:<host_port>``; its state is ``$STATE/fleet/cells/<tenant>``, mounted into the container.
- Its token is in no file: only in the container's environment, which ``docker|podman container inspect`` shows to those
  who may. ``fleet`` itself reads it there, and so do we, when the labels say that the container is this cell's.
- Its gateway sees us come from the container network's bridge (10.89.1.1, say), not from loopback: nobody is let in before
  the device is approved, inside the container.

Limits: where the container cannot be inspected, a cell has a url and no token, and nobody knows whether it runs. Process
ids inside it mean nothing here, so no pid is ever given. The database is opened read-only and never created; without a
``-wal`` beside it nobody has it open, and it is read as it lies, so that no file appears next to it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from watchdog.discovery.credentials import SecretSource
from watchdog.discovery.found import Cell, DiscoveredGateway
from watchdog.discovery.openclaw_config import ConfigUnreadable, DiscoveryError, ForeignFile, is_there
from watchdog.service.ownership import NotTrusted, Owner
from watchdog.service.secret import Secret

RUNTIMES = ("docker", "podman")
_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_PATIENCE = 1.0
"""Seconds to wait for a writer."""
_QUERY = "select tenant_id, runtime, host_port, container_name, data_dir from fleet_cells order by tenant_id"

Inspect = Callable[[str, str], Mapping[str, object]]
"""What a runtime (``docker``, ``podman``) says of the container of this name. Raises ``ContainerUnseen``."""


class ContainerUnseen(Exception):
    """The runtime says nothing of a container; the reason is the message."""


class CellWithoutToken(DiscoveryError):
    """A cell was found, and its token cannot be read from here."""


def registry_of(state_dir: Path) -> Path:
    return state_dir / "state" / "openclaw.sqlite"


def read_registry(registry: Path, owner: Owner | None = None) -> tuple[Cell, ...]:
    """Every cell in this database; none when it does not exist or knows no fleet. Raises ``ConfigUnreadable``.

    ``owner``: whose it must be (``ForeignFile``); None: whoever's. The database cannot be opened once and judged then; where
    the way to it is of one hand nobody else can exchange it in between.
    """
    try:
        if not registry.is_file():
            return ()
        if owner is not None:
            owner.judge(registry)
        is_open = is_there(registry.with_name(f"{registry.name}-wal"))
        uri = f"{registry.absolute().as_uri()}?mode=ro{'' if is_open else '&immutable=1'}"
        with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE)) as db:
            known = db.execute("select 1 from sqlite_master where type = 'table' and name = 'fleet_cells'").fetchone()
            rows = db.execute(_QUERY).fetchall() if known else []
    except NotTrusted as reason:
        raise ForeignFile.of(registry, reason) from None
    except (sqlite3.Error, OSError) as error:
        raise ConfigUnreadable(
            str(registry),
            f"its fleet cells cannot be read ({getattr(error, 'strerror', None) or error})",
            "name each cell under gateways: with url and token",
        ) from error
    account = owner.uid if owner is not None else None
    return tuple(cell for row in rows if (cell := _cell(registry, account, *row)) is not None)


def look_at(cell: Cell, inspect: Inspect) -> DiscoveredGateway:
    """The cell as it is now. Where its container cannot be looked into, ``missing`` says so."""
    try:
        container = inspect(cell.runtime, cell.container_name)
        config, state = _part(container, "Config"), _part(container, "State")
        labels = _part(config, "Labels")
        if (labels.get("openclaw.fleet.tenant"), labels.get("openclaw.fleet.owner")) != (cell.tenant, cell.owner):
            raise ContainerUnseen("its labels are not this cell's")
        token = _token(config)
        if token is None:
            raise ContainerUnseen("no token is in its environment")
        is_running, missing = state.get("Running") is True, None
    except ContainerUnseen as reason:
        token, is_running = None, False
        missing = CellWithoutToken(
            f"fleet cell {cell.tenant} ({cell.url})",
            f"container {cell.container_name} cannot be looked into for its token ({reason})",
            "name it under gateways: with url and token",
        )
    return DiscoveredGateway(
        name=cell.tenant,
        url=cell.url,
        token_source=SecretSource("the environment of its container", lambda: token) if token is not None else None,
        password=None,
        state_dir=cell.data_dir,
        config_path=cell.config_path,
        owner=cell.account,
        cell=cell,
        is_running_in_container=is_running,
        missing=missing,
        notes=(str(missing),) if missing is not None else (f"A fleet cell, in container {cell.container_name}.",),
    )


def _cell(registry: Path, account: int | None, *row: object) -> Cell | None:
    """A row that is what fleet writes; anything else is not ours to understand."""
    tenant, runtime, port, name, folder = row
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant) or name != f"openclaw-cell-{tenant}":
        return None
    if not isinstance(port, int) or not 0 < port < 65536 or not isinstance(folder, str) or not folder.startswith("/"):
        return None
    if not isinstance(runtime, str) or runtime not in RUNTIMES:
        return None
    return Cell(registry, tenant, runtime, port, f"openclaw-cell-{tenant}", Path(folder), account)


def _token(config: Mapping[str, object]) -> Secret | None:
    env = config.get("Env")
    for line in env if isinstance(env, list) else ():
        if isinstance(line, str) and line.startswith("OPENCLAW_GATEWAY_TOKEN="):
            return Secret.of(line.partition("=")[2])
    return None


def _part(value: Mapping[str, object], key: str) -> Mapping[str, object]:
    part = value.get(key)
    return part if isinstance(part, Mapping) else {}
