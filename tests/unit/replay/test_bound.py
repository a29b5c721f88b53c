"""All recordings together: one bound for the folder, an equal share for each gateway, and the oldest is dropped first."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from tests.fakes.builders import dead
from tests.fakes.clock import ManualClock
from tests.fakes.world import POLL
from tests.unit.replay.tape import TapedWorld, recorded
from watchdog.config import ConfigError, LoadedConfig, parse
from watchdog.core.policy import PolicyBook
from watchdog.replay.player import Player
from watchdog.replay.reader import Recording
from watchdog.replay.recorder import Recorder
from watchdog.replay.recordings import LIMIT, MIB, RecordingFile, Recordings, Shelf, earlier_part
from watchdog.service.events import Event, MemoryLog
from watchdog.service.redaction import Secrets

GATEWAYS = 'gateways: [{name: home, url: "ws://127.0.0.1:1", token: abcdefgh, state_dir: none}]\n'


def configured(text: str = "") -> LoadedConfig:
    return parse(GATEWAYS + text, env={})


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def put(tape: RecordingFile, text: bytes) -> None:
    """As a recorder does: anew where that is due, and anew the next time where there was no room."""
    if not tape.append(text, anew=tape.is_due_anew()):
        assert tape.append(text, anew=True)


def shelved(folder: Path, most: int, *names: str) -> list[RecordingFile]:
    shelf = Shelf(folder, most)
    shelf.gateways = len(names)
    return [RecordingFile(folder, name, reserve=0, shelf=shelf) for name in names]


@pytest.mark.parametrize("gateways", [1, 3, 40])
def test_however_much_is_recorded_the_folder_stays_within_its_bound(tmp_path: Path, gateways: int) -> None:
    most, rng = 50_000, Random(1)
    tapes = shelved(tmp_path, most, *(f"g{number}" for number in range(gateways)))
    for _ in range(1000):
        put(rng.choice(tapes), b"x" * rng.randrange(20, 120) + b"\n")
        assert size_of(tmp_path) <= most
    assert size_of(tmp_path) > most // 3, "and its room is used"
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {f"g{number}" for number in range(gateways)}


def test_who_has_much_to_tell_takes_nobody_else_s_share(tmp_path: Path) -> None:
    loud, quiet = shelved(tmp_path, 100_000, "loud", "quiet")
    for number in range(1000):
        put(loud, b"x" * 900 + b"\n")
        if number % 50 == 0:
            put(quiet, b"%d\n" % number)
    assert quiet.path.read_bytes().split() == [b"%d" % number for number in range(0, 1000, 50)]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 25_000


def test_what_was_written_to_the_longest_ago_goes_first_and_gateways_that_are_gone_before_others(
    tmp_path: Path,
) -> None:
    for age, name in enumerate(["gone.jsonl", "home.jsonl.1", "away.jsonl.1", "away.jsonl"]):
        (tmp_path / name).write_bytes(b"x" * 1000)
        os.utime(tmp_path / name, (age, age))
    (tmp_path / "notes.txt").write_bytes(b"x" * 9000)
    home, office = shelved(tmp_path, 5000, "home", "office")
    assert home._shelf is not None
    home._shelf.gateways = 1  # so that both may take more than there is
    put(home, b"x" * 400)
    put(office, b"x" * 400)
    assert len(names_in(tmp_path)) == 7
    dropped = ["gone.jsonl", "home.jsonl.1", "away.jsonl.1", "away.jsonl"]
    for number in range(1, 5):
        while dropped[number - 1] in names_in(tmp_path):
            put(office, b"x" * 100)
        assert set(dropped[number:]) <= set(names_in(tmp_path)), "one after the other"
    assert {"home.jsonl", "office.jsonl", "notes.txt"} <= set(names_in(tmp_path))


def test_where_all_are_written_to_the_one_begun_first_goes_and_begins_anew(tmp_path: Path) -> None:
    first, second, third = shelved(tmp_path, 3000, "first", "second", "third")
    for tape in (first, second, third):
        put(tape, b"x" * 900)  # more than a share: a gateway's own whole line
    put(third, b"x" * 500)
    assert names_in(tmp_path) == ["second.jsonl", "third.jsonl"]
    assert not first.append(b"late\n", anew=False), "its pass was under way"
    assert first.is_due_anew()
    put(first, b"y" * 900)
    assert names_in(tmp_path) == ["first.jsonl", "third.jsonl"]
    assert first.path.read_bytes() == b"y" * 900


def test_a_smaller_bound_than_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "home.jsonl").write_bytes(b"x" * 50_000)
    (tmp_path / "home.jsonl.1").write_bytes(b"x" * 50_000)
    (home,) = shelved(tmp_path, 10_000, "home")
    put(home, b"y" * 100)
    assert size_of(tmp_path) == 100


def test_what_does_not_fit_at_all_is_refused_and_nothing_is_left_open(tmp_path: Path) -> None:
    (home,) = shelved(tmp_path, 1000, "home")
    with pytest.raises(OSError, match="do not fit"):
        home.append(b"x" * 600, anew=True)
    assert home.is_due_anew()
    put(home, b"x" * 100)


def test_a_link_in_the_folder_is_neither_counted_nor_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"x" * 5000)
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "odd.jsonl").symlink_to(tmp_path / "precious")
    (home,) = shelved(folder, 1000, "home")
    for _ in range(50):
        put(home, b"x" * 100)
    assert (tmp_path / "precious").stat().st_size == 5000
    assert (folder / "odd.jsonl").is_symlink()


async def test_what_is_left_can_be_played(tmp_path: Path) -> None:
    shelf, rng = Shelf(tmp_path, 25_000), Random(1)
    shelf.gateways = 2
    worlds = []
    for name in ("home", "office"):
        world = TapedWorld.in_folder(tmp_path)
        tape = RecordingFile(tmp_path, name, reserve=0, shelf=shelf)
        world.watch = recorded(world.watch, tmp_path, Recorder(name, tape, world.clock, world.log, POLL, str))
        for number in range(6):
            world.gateway.put(dead(f"agent:main:irc:direct:{number}", has_active_run=True))
        worlds.append((name, world))
    for _ in range(100):
        for _, world in worlds:
            world.gateway.change(f"agent:main:irc:direct:{rng.randrange(6)}", total_tokens=rng.randrange(10**6))
            await world.live(seconds=30)
            assert size_of(tmp_path) <= 25_000
    for name, world in worlds:
        assert not world.log.of(Event.RECORDING_UNAVAILABLE)
        path = tmp_path / f"{name}.jsonl"
        parts = [one for one in (earlier_part(path), path) if one.exists()]
        player = Player(Recording(parts), PolicyBook())
        await player.play()
        assert player.recording.notes.lines == []
        assert player.log.lines


# ---------------------------------------------------------------- as it is configured


def test_the_bound_comes_from_the_configuration_and_follows_a_reload(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path, ManualClock(), MemoryLog(), Secrets())
    loaded = configured()
    assert loaded.config.recordings_mib == 1024
    tapes = []
    for number in range(100):
        recorder = recordings.begin(f"g{number}", loaded)
        assert isinstance(recorder.tape, RecordingFile)
        tapes.append(recorder.tape)
    shelf = recordings._shelf
    assert (shelf.most, shelf.gateways) == (1024 * MIB, 100)
    assert shelf.share < LIMIT, "so that a hundred do not take more together"
    recordings.configure(configured("recordings_mib: 1\n"))
    assert shelf.most == MIB
    for _ in range(30):
        for tape in tapes:
            put(tape, b"x" * 999 + b"\n")
    assert size_of(tmp_path) <= MIB
    for number in range(99):
        recordings.end(f"g{number}")
    assert shelf.share == MIB // 2
    recordings.close()


def test_a_gateway_that_is_gone_has_no_file_open_and_keeps_its_recording(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path, ManualClock(), MemoryLog(), Secrets())
    tape = recordings.begin("home", configured()).tape
    assert tape.append(b"{}\n", anew=True)
    recordings.end("home")
    assert tape.is_due_anew(), "it is closed"
    assert names_in(tmp_path) == ["home.jsonl"]


@pytest.mark.parametrize("wrong", ["0", "-1", "1.5", "true", "10MiB"])
def test_a_bound_is_a_whole_number_of_mib(wrong: str) -> None:
    with pytest.raises(ConfigError, match="recordings_mib"):
        configured(f"recordings_mib: {wrong}\n")
