"""The recordings of a daemon's gateways: one recorder each, and what a reload changes about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from watchdog.config import LoadedConfig
from watchdog.replay.recorder import Recorder
from watchdog.replay.recording_file import RecordingFile
from watchdog.service.events import Log
from watchdog.service.ports import Clock
from watchdog.service.redaction import Secrets


@dataclass(slots=True)
class Recordings:
    """Nothing is made on disk before a gateway is first looked at."""

    folder: Path
    clock: Clock
    log: Log
    secrets: Secrets
    _recorders: dict[str, Recorder] = field(default_factory=dict)

    def begin(self, gateway: str, loaded: LoadedConfig) -> Recorder:
        """The recorder for a new watch over this gateway; an earlier one's file is closed and gone on with."""
        if (earlier := self._recorders.pop(gateway, None)) is not None:
            earlier.close()
        recorder = Recorder(
            gateway,
            RecordingFile(self.folder, gateway),
            self.clock,
            self.log,
            loaded.config.poll_every,
            self.secrets.scrub,
            is_on=loaded.config.recording,
        )
        self._recorders[gateway] = recorder
        return recorder

    def configure(self, loaded: LoadedConfig) -> None:
        """Follow a reload: recording may be switched on and off."""
        for recorder in self._recorders.values():
            recorder.is_on = loaded.config.recording
            if not recorder.is_on:
                recorder.close()

    def close(self) -> None:
        for recorder in self._recorders.values():
            recorder.close()
