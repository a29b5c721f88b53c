"""All gateways that a configuration means: those it names, those of this machine, those of its lists."""

from __future__ import annotations

from dataclasses import dataclass

from watchdog.config import LoadedConfig
from watchdog.discovery.local_gateways import LocalGateways
from watchdog.discovery.target_lists import TargetLists


@dataclass(slots=True)
class EveryGateway:
    """``spelled_out`` is one look, and blocks as both of its parts do."""

    lists: TargetLists
    local: LocalGateways

    def spelled_out(self, loaded: LoadedConfig, *, with_stopped: bool = False) -> LoadedConfig:
        """``loaded`` with a section for each gateway that one with ``discover`` stands for now; ``with_stopped`` as in
        ``LocalGateways``."""
        # What runs here is found first, so that no list takes its name or its address, after a restart neither.
        found = self.local.spelled_out(loaded, with_stopped=with_stopped)
        return self.lists.spelled_out(found, self.local.names)


def is_followed(loaded: LoadedConfig) -> bool:
    """Some section stands for gateways that come and go."""
    return any(section.discover is not None for section in loaded.config.gateways)
