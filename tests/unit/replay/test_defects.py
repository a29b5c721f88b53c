"""A recorder with a defect: the pass it cannot note is left out, and nobody who is watched or who watches notices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from tests.fakes.builders import dead
from tests.fakes.world import POLL
from tests.unit.replay.tape import TapedWorld, recorded
from watchdog.core.model import GatewayPhase, MalformedRow, Moment
from watchdog.core.policy import PolicyBook, Step
from watchdog.replay.player import Player
from watchdog.replay.reader import Recording
from watchdog.replay.recorder import Recorder
from watchdog.replay.recordings import RecordingFile
from watchdog.service import errors
from watchdog.service.events import Event
from watchdog.service.ledger import Ledger

WORDS = "words of a person"


class Defect:
    """Raises, when it is on, wherever it was built in."""

    def __init__(self) -> None:
        self.is_on = False

    def strike(self) -> None:
        if self.is_on:
            raise RuntimeError(WORDS)


class DefectiveTape:
    def __init__(self, tape: RecordingFile, *, asked: Defect, written: Defect, closed: Defect) -> None:
        self.tape, self.asked, self.written, self.closed = tape, asked, written, closed

    def is_due_anew(self) -> bool:
        self.asked.strike()
        return self.tape.is_due_anew()

    def append(self, text: bytes, *, anew: bool) -> bool:
        self.written.strike()
        return self.tape.append(text, anew=anew)

    def close(self) -> None:
        self.closed.strike()
        self.tape.close()


class DefectiveClock:
    def __init__(self, now: Callable[[], Moment], defect: Defect) -> None:
        self._now, self.defect = now, defect

    def now(self) -> Moment:
        self.defect.strike()
        return self._now()

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a recorder does not wait")


class BrokenWorld(TapedWorld):
    """Whose recorder has a defect in each of its parts; those in ``struck`` can be switched on."""

    def build(self, folder: Path, struck: frozenset[str]) -> Defect:
        defect, none = Defect(), Defect()

        def at(part: str) -> Defect:
            return defect if part in struck else none

        def scrub(text: str) -> str:
            at("scrub").strike()
            return text

        tape = DefectiveTape(
            RecordingFile(folder, "home", reserve=0), asked=at("asked"), written=at("written"), closed=at("closed")
        )
        clock = DefectiveClock(self.clock.now, at("clock"))
        self.watch = recorded(self.watch, folder, Recorder("home", tape, clock, self.log, POLL, scrub))
        return defect


def _world(folder: Path, *struck: str) -> tuple[BrokenWorld, Defect]:
    world = BrokenWorld()
    world.folder = folder
    defect = world.build(folder, frozenset(struck))
    world.gateway.put(dead())
    # Something to scrub in every list.
    world.gateway.malformed = (MalformedRow(7, "not an object", None),)
    return world, defect


@pytest.mark.parametrize("part", ["scrub", "asked", "written", "clock"])
async def test_the_watching_goes_on_and_the_recording_after_it(part: str, tmp_path: Path) -> None:
    world, defect = _world(tmp_path, part)
    await world.live(minutes=5)
    defect.is_on = True
    world.gateway.restart()
    await world.live(minutes=40)
    assert world.steps == [Step.RESUME]
    assert world.states == [("resume", "succeeded")]
    assert all(report.is_good for report in world.reports)
    told = [line["reason"] for line in world.log.of(Event.RECORDING_UNAVAILABLE)]
    assert told == ["RuntimeError"]
    assert WORDS not in repr(world.log.lines)
    defect.is_on = False
    world.gateway.put(dead("agent:main:irc:direct:later"))
    await world.live(minutes=30)
    assert world.steps == [Step.RESUME, Step.RESUME]
    assert len(world.log.of(Event.RECORDING_RESTORED)) == 1
    assert len(world.log.of(Event.RECORDING_UNAVAILABLE)) == 1
    played = await Player(Recording([world.file]), PolicyBook()).play()
    assert played.notes == []
    assert [one.session for one in played.would if one.name is Event.RECOVERY_STARTED] == [
        one.session for one in played.was if one.name is Event.RECOVERY_STARTED
    ]


@pytest.mark.parametrize("method", ["connect", "list"])
async def test_the_gateway_s_own_error_is_what_the_watch_hears(method: str, tmp_path: Path) -> None:
    world, defect = _world(tmp_path, "scrub", "clock")
    await world.live(minutes=2)
    defect.is_on = True
    world.gateway.drop(errors.GatewayClosed("home: gone.", 1006))
    hangs = errors.GatewayUnresponsive("home: it hangs.")
    world.gateway.failing[method] = hangs
    report = await world.look()
    assert report.phase is GatewayPhase.UNRESPONSIVE
    assert report.error is hangs


@pytest.mark.parametrize("method", ["look", "prepare", "perform", "health"])
async def test_a_refusal_is_what_the_watch_hears(method: str, tmp_path: Path) -> None:
    world, defect = _world(tmp_path, "scrub")
    await world.live(minutes=2)
    defect.is_on = True
    refused = errors.RequestRefused("home: no.", code="NO")
    world.gateway.failing[method] = refused
    await world.live(minutes=30)
    assert method in world.gateway.calls
    assert {report.error for report in world.reports} <= {None, refused}


async def test_a_defect_in_what_is_told_of_the_ledger_is_no_ledger_error(tmp_path: Path) -> None:
    world, _ = _world(tmp_path)
    recorder = world.watch.recorder
    assert isinstance(recorder, Recorder)
    recorder.begin(world.clock.now(), cast(Ledger, object()))
    recorder.end(is_writable=True)
    assert [line["reason"] for line in world.log.of(Event.RECORDING_UNAVAILABLE)] == ["AttributeError"]
    assert not world.file.exists()

    class Broken:
        def pauses(self, _at: object) -> None:
            raise errors.LedgerUnavailable("the disk is full")

    with pytest.raises(errors.LedgerUnavailable):
        recorder.begin(world.clock.now(), cast(Ledger, Broken()))


def test_closing_raises_nothing(tmp_path: Path) -> None:
    world, defect = _world(tmp_path, "closed")
    recorder = world.watch.recorder
    assert isinstance(recorder, Recorder)
    defect.is_on = True
    recorder.close()
    assert [line["reason"] for line in world.log.of(Event.RECORDING_UNAVAILABLE)] == ["RuntimeError"]
