"""Polls that were told what changed: they read less, and find what nobody told them of all the same."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, cast

import pytest

from watchdog.gateway.events import Heard, Told
from watchdog.gateway.glance import MOST_SOUGHT
from watchdog.gateway.listening import Listener
from watchdog.gateway.lister import Lister

from .test_events import changed
from .test_glance import Box


@dataclass
class Ears:
    """Hands over what it was given to hand over."""

    heard: Heard = field(default_factory=Heard)
    has_gap: bool = False

    def told(self) -> Told:
        told, gap = self.heard.take(), self.has_gap
        self.has_gap = False
        return replace(told, has_gap=gap)

    def note_poll(self, churn: int) -> None: ...


@dataclass
class ToldBox(Box):
    """Every ``put`` is told of, unless it is said otherwise."""

    ears: Ears = field(default_factory=Ears)

    def __post_init__(self) -> None:
        listener = cast(Listener, self.ears)
        self.lister = Lister(
            self.answer, self.clock, main_key=None, counts_pages=True, clock_base=None, listener=listener
        )

    def put(self, key: str, *, age: float = 0.0, told: bool = True, **fields: Any) -> None:
        super().put(key, age=age, **fields)
        if told:
            self.tell(key)

    def tell(self, key: str) -> None:
        self.ears.heard.hear(changed({"sessionKey": key, "reason": "patch", "session": self.rows[key]}))


async def _box(count: int = 2000, **changes: Any) -> ToldBox:
    box = ToldBox(**changes)
    box.crowd(count)
    assert (await box.glance()).is_sweep
    await box.glance()
    return box


def _limits(box: Box) -> list[int]:
    return [params["limit"] for params in box.asked]


# ---------------------------------------------------------------- reading less


@pytest.mark.parametrize("has_offset", [True, False])
async def test_where_nothing_happened_one_row_is_read(*, has_offset: bool) -> None:
    box = await _box(has_offset=has_offset)
    for _ in range(3):
        snapshot = await box.glance()
        assert _limits(box) == [1]
        assert box.says(snapshot)
        assert not snapshot.is_sweep


@pytest.mark.parametrize("has_offset", [True, False])
async def test_what_changed_is_read_at_once_and_nothing_else(*, has_offset: bool) -> None:
    box = await _box(has_offset=has_offset)
    for number in range(40):
        box.put(f"k{number * 40:05d}", age=number / 2)
    box.put("new")
    snapshot = await box.glance()
    assert _limits(box) == [42]
    assert box.says(snapshot)


async def test_what_runs_is_read_with_it() -> None:
    box = await _box()
    box.put("k00010", status="running", hasActiveRun=True)
    for number in range(7):
        box.put(f"k{number:05d}")
    await box.glance()
    for _ in range(5):
        snapshot = await box.glance()
        assert _limits(box) == [8]
        assert "k00010" not in snapshot.carried


# ---------------------------------------------------------------- missing nothing


@pytest.mark.parametrize("has_offset", [True, False])
async def test_what_nobody_told_of_costs_one_request_more(*, has_offset: bool) -> None:
    box = await _box(has_offset=has_offset)
    box.put("k01500", told=False, status="running", hasActiveRun=True)
    snapshot = await box.glance()
    assert len(box.asked) == 2
    assert box.says(snapshot)
    assert not snapshot.is_sweep


async def test_a_row_that_changed_in_silence_is_read_if_an_event_says_so() -> None:
    box = await _box()
    box.rows["k01500"] |= {"status": "running", "hasActiveRun": False}
    box.rows["k00700"] |= {"status": "running", "hasActiveRun": False}
    box.tell("k01500")
    snapshot = await box.glance()
    assert {"k01500", "k00700"} - snapshot.carried == {"k01500"}
    assert next(row for row in snapshot.sessions if row.key == "k01500").status == "running"


async def test_somebody_works_on_a_row_that_is_said_to_be_at_rest() -> None:
    box = await _box()
    box.rows["k01500"] |= {"status": "running", "hasActiveRun": False}
    box.ears.heard.hear(changed({"sessionKey": "k01500", "stream": "lifecycle"}, "agent"))
    assert "k01500" not in (await box.glance()).carried


async def test_without_offsets_a_row_far_down_is_left_to_the_next_sweep() -> None:
    """2026.5.18 lists from the top only: to look at one row all those above it would be read."""
    box = await _box(has_offset=False)
    box.rows["k00700"] |= {"status": "running", "hasActiveRun": False}
    box.rows["k00100"] |= {"status": "running", "hasActiveRun": False}
    box.tell("k00700")
    await box.glance()
    assert _limits(box) == [2]
    box.tell("k00100")
    assert "k00100" not in (await box.glance()).carried


async def test_an_event_that_says_nothing_new_makes_nobody_look() -> None:
    box = await _box()
    for number in range(300):
        box.tell(f"k{number:05d}")
    await box.glance()
    assert _limits(box) == [1]


@pytest.mark.parametrize("has_offset", [True, False])
async def test_events_alone_never_make_a_poll_read_everything(*, has_offset: bool) -> None:
    """Rows that are gone, rows that were never listed, hundreds of rows all over the list."""
    box = await _box(has_offset=has_offset)
    del box.rows["k00500"]
    heard = box.ears.heard
    heard.hear(changed({"sessionKey": "k00500", "reason": "delete", "status": "failed"}))
    heard.hear(changed({"sessionKey": "agent:main:unlisted", "status": "running"}))
    for number in range(0, 2000, 5):
        heard.hear(changed({"sessionKey": f"k{number:05d}", "status": "failed"}))
    snapshot = await box.glance()
    assert not snapshot.is_sweep
    assert len(box.asked) <= 3 + MOST_SOUGHT


async def test_an_event_is_believed_only_when_a_list_agrees() -> None:
    box = await _box()
    heard = box.ears.heard
    heard.hear(changed({"sessionKey": "k00900", "status": "running", "hasActiveRun": False, "updatedAt": box.now_ms}))
    heard.hear(changed({"sessionKey": "invented", "status": "running"}))
    assert box.says(await box.glance())


async def test_lost_events_make_it_read_everything_once() -> None:
    box = await _box()
    box.ears.has_gap = True
    snapshot = await box.glance()
    assert snapshot.is_sweep
    assert box.lister.why_swept == "events were lost"
    assert not (await box.glance()).is_sweep
    assert box.lister.why_swept is None


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_is_lost_or_made_up_every_poll_says_what_is_so(seed: int) -> None:
    """With every event, with some, with others: the rows are those of the gateway, poll by poll."""
    rng = Random(seed)
    box = ToldBox(has_offset=seed % 2 == 0)
    box.crowd(rng.choice((3, 30, 300)))
    heard_of = rng.choice((0.0, 0.3, 0.9, 1.0))
    keys = [*box.rows, "new-1", "new-2"]
    for _ in range(60):
        for _ in range(rng.choice((0, 0, 1, 3, 20))):
            is_busy = rng.random() < 0.4
            status = "running" if is_busy else "done"
            box.put(rng.choice(keys), told=rng.random() < heard_of, status=status, hasActiveRun=is_busy)
            box.clock.seconds += 0.2
        for key, row in box.rows.items():
            if row["status"] == "running" and rng.random() < 0.1:
                row |= {"status": rng.choice(("done", "running")), "hasActiveRun": False}
                if rng.random() < heard_of:
                    box.tell(key)
        if rng.random() < 0.1:
            made_up = {"sessionKey": rng.choice(keys), "status": "running", "updatedAt": rng.choice((0, box.now_ms))}
            box.ears.heard.hear(changed(made_up))
        assert box.says(await box.glance(after=rng.choice((2.0, 30.0))))
