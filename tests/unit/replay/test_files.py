"""The recording on disk: bounded, private, whole lines; full disks, torn lines, foreign and newer files."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.builders import REQUEST, dead, lenient, tail_of
from tests.fakes.clock import START
from tests.fakes.world import POLL
from tests.unit.replay.tape import TapedWorld, recorded, told
from watchdog.core.model import Look, Session, Status
from watchdog.core.policy import PolicyBook, Step
from watchdog.core.requester import requester_of
from watchdog.replay import recorder as recorder_module
from watchdog.replay.codec import look_data, look_of, session_data, session_of
from watchdog.replay.lines import MARK
from watchdog.replay.player import Player
from watchdog.replay.reader import NotARecording, Recording
from watchdog.replay.recorder import Recorder
from watchdog.replay.recordings import LIMIT, RESERVE, RecordingFile, earlier_part
from watchdog.service.events import Event

KEY = dead().key


class FullDisk:
    """A tape on a disk that is full until told otherwise."""

    def __init__(self, tape: RecordingFile) -> None:
        self.tape = tape
        self.is_full = False
        self.tries = 0

    def is_due_anew(self) -> bool:
        return self.tape.is_due_anew()

    def append(self, text: bytes, *, anew: bool) -> bool:
        self.tries += 1
        if self.is_full:
            self.tape.close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.tape.append(text, anew=anew)

    def close(self) -> None:
        self.tape.close()


async def a_life(folder: Path, minutes: float = 30) -> TapedWorld:
    world = TapedWorld.in_folder(folder)
    world.gateway.put(dead())
    await world.live(minutes=minutes)
    return world


async def play(*paths: Path) -> Player:
    player = Player(Recording(paths), PolicyBook())
    await player.play()
    return player


def sizes_in(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.iterdir()]


def notes(player: Player) -> list[str]:
    return player.recording.notes.lines


# ---------------------------------------------------------------- writing


async def test_only_we_may_read_it(tmp_path: Path) -> None:
    world = await a_life(tmp_path / "recordings", minutes=2)
    assert stat.S_IMODE(world.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(world.file.parent.stat().st_mode) == 0o700


async def test_a_quiet_gateway_costs_almost_nothing(tmp_path: Path) -> None:
    world = TapedWorld.in_folder(tmp_path)
    for number in range(200):
        world.gateway.put(dead(f"agent:main:irc:direct:{number}", status=Status.DONE))
    await world.live(minutes=2)
    before = world.file.stat().st_size
    await world.live(hours=8)
    assert (world.file.stat().st_size - before) / 960 < 100


async def test_two_files_of_bounded_size_each_to_be_read_on_its_own(tmp_path: Path) -> None:
    limit = 40_000
    world = TapedWorld.in_folder(tmp_path)
    tape = RecordingFile(tmp_path, "home", limit=limit, reserve=0)
    recorder = Recorder("home", tape, world.clock, world.log, POLL, str)
    world.watch = recorded(world.watch, tmp_path, recorder)
    rng = Random(1)
    for number in range(20):
        world.gateway.put(dead(f"agent:main:irc:direct:{number}", has_active_run=True))
    for _ in range(400):
        world.gateway.change(f"agent:main:irc:direct:{rng.randrange(20)}", total_tokens=rng.randrange(10**6))
        await world.live(seconds=30)
        sizes = sizes_in(tmp_path)
        assert len(sizes) <= 2
        assert max(sizes) <= limit
    assert earlier_part(world.file).exists()
    newer, both = await play(world.file), await play(earlier_part(world.file), world.file)
    assert notes(newer) == notes(both) == []
    assert len(newer.log.lines) > 0
    assert not world.log.of(Event.RECORDING_UNAVAILABLE)


async def test_what_is_not_granted_for_days_is_written_once_for_each_whole_line(tmp_path: Path) -> None:
    world = TapedWorld.in_folder(tmp_path)
    tape = RecordingFile(tmp_path, "home", limit=20_000, reserve=0)
    world.watch = recorded(world.watch, tmp_path, Recorder("home", tape, world.clock, world.log, POLL, str))
    world.gateway.scope_problems[Step.NEW] = "It needs operator.admin, said at length."
    world.gateway.put(dead())
    await world.live(hours=2)
    assert earlier_part(world.file).exists()
    for path in (earlier_part(world.file), world.file):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        whole, told = sum("whole" in line for line in lines), sum("at length" in json.dumps(line) for line in lines)
        assert whole <= told <= whole + 1, "each part can be read on its own"


NEW_ONLY = PolicyBook(default=lenient(ladder=(Step.NEW,)))


async def test_a_right_that_is_given_in_a_pass_in_which_nothing_else_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its step was taken out of the ladder meanwhile, so that nothing is said of it when it is granted."""
    monkeypatch.setattr(recorder_module, "WHOLE_AGAIN", 10**6)  # no whole line that would say it once more
    world = TapedWorld.in_folder(tmp_path, book=NEW_ONLY)
    world.gateway.scope_problems[Step.NEW] = "It needs operator.admin."
    await world.live(minutes=5)
    world.watch.take_book(PolicyBook(default=lenient(ladder=(Step.NOTIFY,))))
    await world.live(minutes=5)
    world.gateway.scope_problems.clear()
    world.watch.take_book(NEW_ONLY)
    await world.live(minutes=5)
    world.gateway.put(dead())
    await world.until_deed()
    played = await world.replayed(NEW_ONLY)
    was, would = ([one for one in told(side) if "recovery." in str(one[1])] for side in (played.was, played.would))
    assert "recovery.started" in [one[1] for one in was]
    assert would == was, "the ladder of then was another one for a while, and nothing was stuck"


async def test_what_a_pass_said_of_a_right_is_said_again_when_that_pass_is_not_written(tmp_path: Path) -> None:
    world = TapedWorld.in_folder(tmp_path)
    recorder = Recorder("home", RecordingFile(tmp_path, "home", reserve=0), world.clock, world.log, POLL, str)
    world.watch = recorded(world.watch, tmp_path, recorder)
    await world.live(minutes=5)
    recorder.begin(world.clock.now(), world.watch.ledger)
    recorder.scope("new", "It needs operator.admin.")
    recorder.begin(world.clock.now(), world.watch.ledger)  # the ledger failed: the pass begins once more
    recorder.scope("new", "It needs operator.admin.")
    recorder.end(is_writable=True)
    assert "operator.admin" in world.file.read_text().splitlines()[-1]


def test_no_gateway_s_recording_is_the_earlier_part_of_another_s(tmp_path: Path) -> None:
    names = ("home", "home.1", "home.jsonl", "home.jsonl.1")
    paths = [RecordingFile(tmp_path, name).path for name in names]
    assert len({*paths, *map(earlier_part, paths)}) == 2 * len(names)


async def test_both_parts_together_are_one_story(tmp_path: Path) -> None:
    world = TapedWorld.in_folder(tmp_path)
    tape = RecordingFile(tmp_path, "home", limit=7_500, reserve=0)
    world.watch = recorded(world.watch, tmp_path, Recorder("home", tape, world.clock, world.log, POLL, str))
    world.gateway.put(dead())
    await world.live(minutes=25)
    assert earlier_part(world.file).exists()
    played = await Player(Recording([earlier_part(world.file), world.file]), PolicyBook()).play()
    assert played.lives == 1
    assert told(played.would) == told(played.was)
    assert Event.RECOVERY_STARTED in [one.name for one in played.would]


async def test_a_full_disk_is_told_once_and_recording_goes_on_when_there_is_room(tmp_path: Path) -> None:
    world = TapedWorld.in_folder(tmp_path)
    tape = FullDisk(RecordingFile(tmp_path, "home", reserve=0))
    world.watch = recorded(world.watch, tmp_path, Recorder("home", tape, world.clock, world.log, POLL, str))
    world.gateway.put(dead())
    await world.live(minutes=5)
    tape.is_full = True
    await world.live(minutes=30)
    assert world.steps, "the watching goes on"
    assert [line["reason"] for line in world.log.of(Event.RECORDING_UNAVAILABLE)] == [os.strerror(errno.ENOSPC)]
    tape.is_full = False
    await world.live(minutes=5)
    assert len(world.log.of(Event.RECORDING_RESTORED)) == 1
    assert len(world.log.of(Event.RECORDING_UNAVAILABLE)) == 1
    played = await Player(Recording([world.file]), PolicyBook()).play()
    assert played.passes == 20
    assert played.notes == []


def test_the_disk_s_last_bytes_are_left_to_the_ledger(tmp_path: Path) -> None:
    tape = RecordingFile(tmp_path, "home", reserve=2**62)
    with pytest.raises(OSError, match="are free") as caught:
        tape.append(b"{}\n", anew=True)
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []
    assert LIMIT == 8 * 1024 * 1024
    assert RESERVE >= LIMIT


def test_a_line_that_the_disk_took_half_of_is_cut_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tape = RecordingFile(tmp_path, "home", reserve=0)
    assert tape.append(b'{"one": 1}\n', anew=True)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, text: write(descriptor, text[: len(text) // 2]))
    with pytest.raises(OSError, match="space"):
        tape.append(b'{"two": 2}\n', anew=False)
    assert tape.path.read_bytes() == b'{"one": 1}\n'


async def test_a_file_taken_away_is_begun_afresh(tmp_path: Path) -> None:
    world = await a_life(tmp_path, minutes=5)
    world.file.rename(tmp_path / "kept.jsonl")
    await world.live(minutes=5)
    for name in ("kept.jsonl", "home.jsonl"):
        assert notes(await play(tmp_path / name)) == []


def test_a_recording_behind_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("precious")
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "home.jsonl").symlink_to(target)
    with pytest.raises(OSError, match=r"[Ss]ymbolic|levels"):
        RecordingFile(folder, "home", reserve=0).append(b"{}\n", anew=True)
    assert target.read_text() == "precious"


async def test_switched_off_nothing_is_written(tmp_path: Path) -> None:
    world = TapedWorld.in_folder(tmp_path)
    recorder = world.watch.recorder
    assert isinstance(recorder, Recorder)
    recorder.is_on = False
    world.gateway.put(dead())
    await world.live(minutes=30)
    assert sizes_in(tmp_path) == []
    recorder.is_on = True
    await world.live(minutes=5)
    assert notes(await play(world.file)) == []


# ---------------------------------------------------------------- reading


async def test_a_last_line_that_is_not_finished_is_left_out_with_a_note(tmp_path: Path) -> None:
    world = await a_life(tmp_path, minutes=5)
    whole = (await Player(Recording([world.file]), PolicyBook()).play()).passes
    with world.file.open("ab") as stream:
        stream.write(world.file.read_bytes().splitlines()[-1][:20])
    played = await Player(Recording([world.file]), PolicyBook()).play()
    assert played.passes == whole
    assert played.notes == ["home.jsonl: the last line is not finished (a crash, or it is being written) and left out."]


async def test_the_next_life_goes_on_behind_a_torn_line(tmp_path: Path) -> None:
    world = await a_life(tmp_path, minutes=5)
    recorder = world.watch.recorder
    assert isinstance(recorder, Recorder)
    recorder.close()
    world.file.write_bytes(world.file.read_bytes()[:-30])
    world.die_and_start_again()
    await world.live(minutes=5)
    played = await Player(Recording([world.file]), PolicyBook()).play()
    assert (played.passes, played.lives) == (19, 2)
    assert len(played.notes) == 1


async def test_behind_a_broken_line_everything_up_to_the_next_whole_one_is_left_out(tmp_path: Path) -> None:
    world = await a_life(tmp_path, minutes=5)
    world.die_and_start_again()
    await world.live(minutes=5)
    lines = world.file.read_bytes().splitlines(keepends=True)
    lines[3] = b"\xff" + lines[3][1:]
    world.file.write_bytes(b"".join(lines))
    played = await Player(Recording([world.file]), PolicyBook()).play()
    assert played.passes == 2 + 10
    assert "line 4 cannot be read" in played.notes[0]
    assert len(played.notes) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a recording of openclaw-watchdog"),
        (b"hello\n", "is not a recording of openclaw-watchdog"),
        (b'{"incidents": []}\n', "is not a recording of openclaw-watchdog"),
        (b"[" * 100_000 + b"\n", "is not a recording of openclaw-watchdog"),
        (Random(1).randbytes(3000), "is not a recording of openclaw-watchdog"),
        (
            json.dumps({MARK: 2, "program": "3.1.0"}).encode() + b"\n",
            "newer openclaw-watchdog (3.1.0, recording format 2",
        ),
        (json.dumps({MARK: 1, "gateway": "home", "life": "1", "poll_every": 1}).encode() + b"\n", "holds no pass"),
    ],
)
async def test_what_is_no_recording_is_said_in_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(NotARecording) as caught:
        await play(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def whole_recording(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("fuzz")
    asyncio.run(a_life(folder, minutes=26))
    return (folder / "home.jsonl").read_bytes().splitlines(keepends=True)


@settings(max_examples=60)
@given(data=st.data())
def test_any_damage_is_survived_without_a_deed_more(
    data: st.DataObject, whole_recording: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bytes changed, lines gone, doubled or swapped, values of another type: read as far as it goes, no crash."""
    lines = list(whole_recording)
    position = data.draw(st.integers(0, len(lines) - 1))
    what = data.draw(st.sampled_from(["bytes", "gone", "doubled", "swapped", "value"]))
    if what == "bytes":
        line = bytearray(lines[position])
        for _ in range(data.draw(st.integers(1, 4))):
            line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
        lines[position] = bytes(line)
    elif what == "gone":
        del lines[position]
    elif what == "doubled":
        lines.insert(position, lines[position])
    elif what == "swapped":
        other = data.draw(st.integers(0, len(lines) - 1))
        lines[position], lines[other] = lines[other], lines[position]
    else:
        line_data = json.loads(lines[position])
        key = data.draw(st.sampled_from(sorted(line_data)))
        line_data[key] = data.draw(
            st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.integers(), max_size=4))
        )
        lines[position] = json.dumps(line_data).encode() + b"\n"
    path = tmp_path_factory.mktemp("damaged") / "home.jsonl"
    path.write_bytes(b"".join(lines))
    try:
        played = asyncio.run(Player(Recording([path]), PolicyBook()).play())
    except NotARecording:
        return
    assert sum(one.name is Event.RECOVERY_STARTED for one in played.would) <= 1


def test_a_recording_keeps_who_is_who_and_nobodys_name() -> None:
    """The person of a chat stays that chat's person, and who wrote last stays who asked."""
    for key in ("agent:main:irc:direct:alice", "agent:main:main", "agent:main:irc:group:#g1"):
        row, look = dead(key), Look(tail=tail_of())
        kept_row = session_of(key, json.loads(json.dumps(session_data(row))))
        data = look_data(look, key, str)
        kept_look = look_of(json.loads(json.dumps(data)), START)
        before, after = requester_of(row, look), requester_of(kept_row, kept_look)
        assert (after.kind, after.message) == (before.kind, before.message)
        assert (after.route is None) == (before.route is None)
        assert REQUEST not in json.dumps(data)
        assert "Alice" not in json.dumps(data)
        assert "~alice@127.0.0.1" not in json.dumps([data, session_data(row)])


def test_rows_keep_what_judging_needs_and_nothing_of_a_person() -> None:
    row = dead(
        name="Alice Ames", last_run_error="the model said: hello Alice", active_run_ids=("r1",), child_keys=("a", "b")
    )
    data = session_data(row)
    assert "Alice" not in json.dumps(data)
    assert "irc:alice" in json.dumps(data), "its key names that chat anyway"
    main = session_data(dead("agent:main:main"))
    assert "alice" not in json.dumps(main)
    assert main["reply_address"]["channel"] == "irc"
    back = session_of(row.key, json.loads(json.dumps(data)))
    assert isinstance(back, Session)
    assert (back.started_at, back.active_run_ids, back.child_keys, back.kind) == (
        row.started_at,
        row.active_run_ids,
        row.child_keys,
        row.kind,
    )
