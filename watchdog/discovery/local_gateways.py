"""Which gateways a section with ``discover: local`` stands for, and how that follows the machine.

The one the environment means is watched whatever it does, under the section's own name: it is the one a person named.
Every other is watched from the first look that finds its process alive, so that an old profile that nobody starts is
never told as down. From then on it is a gateway like any other, and its being down is told, until it is let go of:
when its configuration (of a fleet cell: its row in the registry) is gone in two looks and no process of it lives; when it was found by its lock file alone and no
process of it has lived for a day; when another section names it. What cannot be read changes nothing.

Where other sections are for all that is here, it stands for none: a gateway has one name and one watch.

A fleet cell whose token cannot be read is never watched, and said once.

Limit: who was seen alive is kept in memory, so a gateway that went down before this process started is not known to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Container, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from watchdog.config import GatewaySection, LoadedConfig
from watchdog.core.model import Moment
from watchdog.discovery.found import Cell, DiscoveredGateway
from watchdog.discovery.openclaw_config import ConfigPlace, is_there
from watchdog.discovery.profiles import Discovery
from watchdog.gateway.wire.addresses import is_local, is_same_place, port_of
from watchdog.service.events import Event, Log
from watchdog.service.ports import Clock

LOCK_GONE_FOR = timedelta(hours=24)
"""Without a live process for this long, a gateway that no profile configures is no longer one of this machine's."""
LOOKS_WITHOUT_CONFIG = 2
"""A configuration may be missing for a moment while it is being replaced."""
_LONGEST_NAME = 64

LookAround = Callable[[Iterable[ConfigPlace]], Discovery]


class LocalGateway(GatewaySection):
    """The section of one gateway that a ``discover: local`` stands for: found by its own configuration, each time."""

    place: ConfigPlace
    """Where its configuration and state are."""
    cell: Cell | None = None
    """It is this cell of ``openclaw fleet``."""


@dataclass(slots=True)
class _Known:
    """A gateway that was seen alive."""

    section: LocalGateway
    port: str
    is_elsewhere: bool
    alive_at: Moment
    looks_without_config: int = 0


@dataclass(slots=True)
class LocalGateways:
    """``spelled_out`` is one look. Blocks for some milliseconds of file reading: give it a thread of its own."""

    look_around: LookAround
    clock: Clock
    log: Log
    _known: dict[str, _Known] = field(default_factory=dict)
    _said: frozenset[str] = frozenset()

    @property
    def names(self) -> Collection[str]:
        """Of those that are watched, without the one that the environment means."""
        return [known.section.name for known in self._known.values()]

    def spelled_out(self, loaded: LoadedConfig, *, with_stopped: bool = False) -> LoadedConfig:
        """``loaded`` with a section for each gateway that its ``discover: local`` stands for now.

        ``with_stopped``: also for gateways that were never seen alive. Without such a section, ``loaded`` itself.
        """
        sections = loaded.config.gateways
        for_all = next((section for section in sections if stands_for_all(section)), None)
        if for_all is None:
            self._known.clear()
            return loaded
        others = [section for section in sections if section is not for_all]
        known_places = [known.section.place for known in self._known.values() if known.section.cell is None]
        found = self.look_around(known_places)
        self._say(found, others)
        self._take(found, for_all, others, with_stopped=with_stopped)
        self._let_go(found)
        here: list[GatewaySection] = [known.section for known in self._known.values()]
        if not _is_taken(found, others) and (found.meant is not None or not here):
            here = [for_all, *here]
        spelled = [one for section in sections for one in (here if section is for_all else [section])]
        return replace(loaded, config=loaded.config.model_copy(update={"gateways": tuple(spelled)}))

    def _take(
        self, found: Discovery, for_all: GatewaySection, others: list[GatewaySection], *, with_stopped: bool
    ) -> None:
        now = self.clock.now()
        configured = {section.name for section in (for_all, *others)}
        for known in self._known.values():  # a reload may give one of their names to a section
            name = _own_name(known.section.name, known.port, configured)
            known.section = known.section.model_copy(update={"name": name})
        for gateway in found.gateways:
            key = os.path.realpath(gateway.config_path)
            earlier = self._known.get(key)
            if gateway.config_path == found.meant or not is_local(gateway.url) or _is_named(gateway, others):
                self._known.pop(key, None)
            elif earlier is not None:
                earlier.looks_without_config = 0
                if gateway.is_alive:
                    earlier.alive_at = now
            elif gateway.is_alive or with_stopped:
                port = port_of(gateway.url)
                taken = {*configured, *(one.section.name for one in self._known.values())}
                section = LocalGateway(
                    name=_own_name(gateway.name, port, taken), place=gateway.place, cell=gateway.cell
                )
                self._known[key] = _Known(section, port, gateway.is_elsewhere, now)

    def _let_go(self, found: Discovery) -> None:
        now = self.clock.now()
        alive = {os.path.realpath(gateway.config_path) for gateway in found.gateways if gateway.is_alive}
        for key, known in list(self._known.items()):
            if key in alive:
                continue
            if not _is_configured(known.section, found):
                known.looks_without_config += 1
            is_gone = known.looks_without_config >= LOOKS_WITHOUT_CONFIG
            if is_gone or (known.is_elsewhere and now.since(known.alive_at) >= LOCK_GONE_FOR):
                del self._known[key]

    def _say(self, found: Discovery, others: list[GatewaySection]) -> None:
        """What cannot be used is said once, and again when it was usable in between."""
        problems = {str(problem) for path, problem in found.unusable.items() if path != found.meant}
        for gateway in found.gateways:
            if gateway.missing is not None and not _is_named(gateway, others):
                problems.add(str(gateway.missing))
        for problem in sorted(problems - self._said):
            self.log.event(Event.CONFIG_REFUSED, reason=problem, in_force="every other gateway")
        self._said = frozenset(problems)


def stands_for_all(section: GatewaySection) -> bool:
    """The section is for every gateway of this machine, not for one."""
    return section.discover is not None and section.target_list is None


def _own_name(name: str, port: str, taken: Container[str]) -> str:
    """With its port when another has that name."""
    if name[:_LONGEST_NAME] not in taken:
        return name[:_LONGEST_NAME]
    return f"{name[: _LONGEST_NAME - len(port) - 1]}-{port}"


def _is_configured(section: LocalGateway, found: Discovery) -> bool:
    """Its configuration exists; a cell's is its row in the registry, since its folder outlives it."""
    if section.cell is None:
        return is_there(section.place.config_path)
    return section.cell.registry in found.unusable or any(gateway.cell == section.cell for gateway in found.gateways)


def _is_named(gateway: DiscoveredGateway, others: list[GatewaySection]) -> bool:
    # guard: single: discovery leaves out what a section names
    return any(section.url is not None and is_same_place(section.url, gateway.url) for section in others)


def _is_taken(found: Discovery, others: list[GatewaySection]) -> bool:
    """Another section is for the gateway that the environment means: two watches would each act on it."""
    if any(section.url is None for section in others):
        return True
    meant = next((gateway for gateway in found.gateways if gateway.config_path == found.meant), None)
    return meant is not None and _is_named(meant, others)
