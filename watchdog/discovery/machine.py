"""This machine as OpenClaw's own files describe it: where everything that discovers gateways asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from watchdog.discovery.containers import Containers, ContainerTrouble
from watchdog.discovery.fleet_cells import ContainerUnseen, Inspect, look_at, read_registry, registry_of
from watchdog.discovery.found import Cell, DiscoveredGateway
from watchdog.discovery.gateway_lock import Processes
from watchdog.discovery.openclaw_config import (
    ConfigPlace,
    DiscoveryError,
    ForeignFile,
    GatewayNotFound,
    locate,
    state_folders,
)
from watchdog.discovery.profiles import Discovery, discover, discover_all
from watchdog.service.ownership import owner_of


@dataclass(frozen=True, slots=True)
class Machine:
    """One environment, home and host. Questions read the files afresh and block for a few milliseconds; where there are
    fleet cells, ``everything`` asks a container runtime for all of them, which may take seconds."""

    env: Mapping[str, str] = field(repr=False)
    home: Path
    host: Processes
    tmp_dirs: tuple[Path, ...] | None = None
    """Where gateways before 2026.9 keep their locks; None: TMPDIR of ``env``, then ``/tmp``."""
    on_foreign: Callable[[str], None] = lambda _sentence: None
    """Takes, at every look, what was found and is not used because of whose it is."""
    _cells: dict[Cell, DiscoveredGateway] = field(default_factory=dict, repr=False)

    def meant(self) -> DiscoveredGateway:
        """The gateway the environment means. Raises ``DiscoveryError`` leaves."""
        found = discover(self.env, self.home, self.host, uid=os.getuid(), tmp_dirs=self.tmp_dirs)
        self._say(found.foreign)
        return found

    def gateways(self, also: Iterable[ConfigPlace] = ()) -> Discovery:
        """Every gateway of this user that is no fleet cell; ``also`` in places that an earlier look led to."""
        found = discover_all(self.env, self.home, self.host, uid=os.getuid(), tmp_dirs=self.tmp_dirs, also=also)
        self._say(found.foreign)
        for gateway in found.gateways:
            self._say(gateway.foreign)
        return found

    def _say(self, foreign: Iterable[ForeignFile]) -> None:
        for problem in foreign:
            self.on_foreign(str(problem))

    def everything(self, also: Iterable[ConfigPlace] = ()) -> Discovery:
        """``gateways`` and the fleet cells of this user, which are remembered for ``cell``."""
        found = self.gateways(also)
        rows, unread = self._registered()
        unusable = {**found.unusable, **unread}
        inspect = _inspector(Containers(self.env), rows)
        cells = {cell: look_at(cell, inspect) for cell in rows}
        self._cells.update(cells)  # asked from another thread: a cell that is still there is never missing in between
        for gone in self._cells.keys() - cells.keys():
            if gone.registry not in unusable:
                del self._cells[gone]
        gateways = (*found.gateways, *cells.values())
        is_named = locate(self.env, self.home).is_explicit
        # That nothing else runs here is no problem where cells are all there is, and nothing else was named.
        of_others = () if cells and not found.unusable and not is_named else found.problems
        problems = (*of_others, *unread.values())
        return replace(found, gateways=gateways, problems=problems, unusable=unusable)

    def known_cells(self) -> tuple[Cell, ...]:
        """The fleet cells in the registries of this user that can be read; no container runtime is asked."""
        return self._registered()[0]

    def _registered(self) -> tuple[tuple[Cell, ...], Mapping[Path, DiscoveryError]]:
        """Every cell, and the registries that cannot be read."""
        rows: list[Cell] = []
        unread: dict[Path, DiscoveryError] = {}
        named = locate(self.env, self.home).state_dir if (self.env.get("OPENCLAW_STATE_DIR") or "").strip() else None
        for folder in dict.fromkeys(state_folders(self.env, self.home)):
            registry = registry_of(folder)
            owner = owner_of((registry, folder), os.getuid(), self.host, is_named=folder == named)
            try:
                rows += read_registry(registry, owner)
            except DiscoveryError as problem:
                unread[registry] = problem
        return tuple(rows), unread

    def cell(self, cell: Cell) -> DiscoveredGateway:
        """This cell as the last look saw it, so that a connect never waits for a container runtime.

        Raises ``DiscoveryError`` leaves.
        """
        if not self._cells:
            self.everything()
        found = self._cells.get(cell)
        if found is None:
            raise GatewayNotFound(f"fleet cell {cell.tenant}", f"{cell.registry} has it no more", "take it out")
        if found.missing is not None:
            raise found.missing
        return found


def _inspector(containers: Containers, cells: Iterable[Cell]) -> Inspect:
    """Each runtime is asked once, for all of its cells."""
    names: dict[str, list[str]] = {}
    for cell in cells:
        names.setdefault(cell.runtime, []).append(cell.container_name)
    answers = {runtime: containers.inspect(runtime, wanted) for runtime, wanted in names.items()}

    def inspect(runtime: str, name: str) -> Mapping[str, object]:
        answer = answers[runtime][name]
        if isinstance(answer, ContainerTrouble):
            raise ContainerUnseen(str(answer))
        return answer

    return inspect
