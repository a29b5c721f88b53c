"""This machine as OpenClaw's own files describe it: where everything that discovers gateways asks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.gateway.discovery import DiscoveredGateway, Discovery, discover, discover_all
from watchdog.gateway.gateway_lock import Processes
from watchdog.gateway.openclaw_config import ConfigPlace


@dataclass(frozen=True, slots=True)
class Machine:
    """One environment, home and host. Every question reads the files afresh and blocks for a few milliseconds."""

    env: Mapping[str, str] = field(repr=False)
    home: Path
    host: Processes
    tmp_dirs: tuple[Path, ...] | None = None
    """Where gateways before 2026.9 keep their locks; None: TMPDIR of ``env``, then ``/tmp``."""

    def meant(self) -> DiscoveredGateway:
        """The gateway the environment means. Raises ``DiscoveryError`` leaves."""
        return discover(self.env, self.home, self.host, uid=os.getuid(), tmp_dirs=self.tmp_dirs)

    def gateways(self, also: Iterable[ConfigPlace] = ()) -> Discovery:
        """Every gateway of this user; ``also`` in places that an earlier look led to."""
        return discover_all(self.env, self.home, self.host, uid=os.getuid(), tmp_dirs=self.tmp_dirs, also=also)
