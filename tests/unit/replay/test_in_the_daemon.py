"""The recorders of a daemon: one file a gateway, switched on and off by a reload, gone on with by a new watch."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.builders import dead
from tests.fakes.world import World
from tests.unit.replay.tape import recorded
from watchdog.config import parse
from watchdog.replay.reader import Recording
from watchdog.replay.recordings import Recordings
from watchdog.service.redaction import Secrets

CONFIG = "gateways: [{{name: home, url: 'ws://127.0.0.1:1'}}]\nrecording: {}\n"


async def test_a_reload_switches_recording_off_and_on(tmp_path: Path) -> None:
    on, off = (parse(CONFIG.format(word), env={}) for word in ("true", "false"))
    world = World()
    world.gateway.put(dead())
    recordings = Recordings(tmp_path / "recordings", world.clock, world.log, Secrets())
    world.watch = recorded(world.watch, tmp_path, recordings.begin("home", on))
    recording = Recording([tmp_path / "recordings" / "home.jsonl"])
    await world.live(minutes=5)
    assert len(list(recording.passes())) == 10
    recordings.configure(off)
    await world.live(minutes=5)
    assert len(list(recording.passes())) == 10
    recordings.configure(on)
    await world.live(minutes=5)
    world.watch = recorded(world.watch, tmp_path, recordings.begin("home", on))
    await world.live(minutes=5)
    recordings.close()
    assert len(list(recording.passes())) == 30
    assert recording.notes.lines == []
    assert len({one.life for one in recording.passes()}) == 2
