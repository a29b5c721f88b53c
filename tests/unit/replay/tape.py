"""A watch whose passes are recorded on disk, and what came of playing that recording."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.world import World
from watchdog.core.policy import PolicyBook
from watchdog.replay.player import Happening, Played, Player
from watchdog.replay.reader import Recording
from watchdog.replay.recorded_gateway import RecordedGateway, RecordedLog
from watchdog.replay.recorder import Recorder
from watchdog.replay.recordings import RecordingFile
from watchdog.service.events import Event
from watchdog.service.ports import Gateway
from watchdog.service.watch import Watch

Told = tuple[object, ...]


def recorded(watch: Watch, folder: Path, recorder: Recorder | None = None) -> Watch:
    """The same watch before its first pass, with a recorder."""
    gateway = watch.gateway.inner if isinstance(watch.gateway, RecordedGateway) else watch.gateway
    log = watch.log.inner if isinstance(watch.log, RecordedLog) else watch.log
    made = recorder or Recorder(
        gateway.name, RecordingFile(folder, gateway.name, reserve=0), watch.clock, log, watch.pacer.poll_every, str
    )
    recorded_gateway, recorded_log = RecordedGateway(gateway, made), RecordedLog(log, made)
    return Watch(
        recorded_gateway,
        watch.book,
        watch.ledgers.real,
        watch.executor.notes,
        watch.clock,
        recorded_log,
        watch.executor.meter,
        watch.pacer.poll_every,
        watch.is_observing,
        watch.ledgers.spare,
        made,
    )


class TapedWorld(World):
    """A ``World`` whose daemon records; every further life of it goes on in the same file."""

    folder: Path

    @classmethod
    def in_folder(cls, folder: Path, **changes: object) -> TapedWorld:
        world = cls(**changes)  # type: ignore[arg-type]
        world.folder = folder
        world.watch = world.new_watch()
        return world

    def new_watch(self, gateway: Gateway | None = None) -> Watch:
        watch = super().new_watch(gateway)
        return recorded(watch, self.folder) if hasattr(self, "folder") else watch

    @property
    def file(self) -> Path:
        return self.folder / f"{self.gateway.name}.jsonl"

    async def replayed(self, book: PolicyBook | None = None) -> Played:
        return await Player(Recording([self.file]), book or self.book).play()


def told(happenings: list[Happening]) -> list[Told]:
    """Everything a story is made of, comparable between a recording and its replay. Reasons that quote a gateway or an
    operator are not recorded."""
    return [
        (
            one.at,
            one.name.value,
            one.session,
            *(str(one.fields.get(name)) for name in _COMPARED),
            str(one.fields.get("reason")) if one.name not in _QUOTING else "",
        )
        for one in happenings
    ]


_COMPARED = ("incident", "attempt", "step", "blockers", "verified_by", "outcome", "policy")
_QUOTING = {Event.RECOVERY_REFUSED, Event.RECOVERY_INDETERMINATE, Event.RECOVERY_HELD}
