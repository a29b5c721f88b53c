"""Polls that ask only for what can have changed: what they must never miss, and when they read everything after all."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
import pytest

from tests.fakes.clock import ManualClock
from tests.unit.gateway.shapes import raw
from watchdog.core.model import Snapshot
from watchdog.gateway.sessions.incremental import OVERLAP, SURPLUS_EVERY
from watchdog.gateway.sessions.pages import LONGEST_READING, MOST_BYTES, PAGE_SIZE
from watchdog.gateway.sessions.poll import SessionPoller
from watchdog.service import errors

Row = dict[str, Any]
NOW_MS = 1_795_164_548_000


@dataclass
class Box:
    """A gateway that only lists: rows newest first, pinned ones before all others, as measured on 2026.9.6."""

    clock: ManualClock = field(default_factory=ManualClock)
    rows: dict[str, Row] = field(default_factory=dict)
    asked: list[Row] = field(default_factory=list)
    has_offset: bool = True
    shift_ms: int = 0
    """How far the gateway's clock was set."""
    unsorted: bool = False
    broken: int = 0
    """So many answers that cannot be read come next."""
    refuses: bool = False
    seconds_a_page: float = 0.01
    padding: int = 0
    """Blanks behind every answer."""
    lister: SessionPoller = field(init=False)

    def __post_init__(self) -> None:
        self.lister = SessionPoller(self.answer, self.clock, main_key=None, counts_pages=True, clock_base=None)

    @property
    def now_ms(self) -> int:
        return NOW_MS + round(self.clock.now().monotonic * 1000) + self.shift_ms

    def put(self, key: str, *, age: float = 0.0, **fields: Any) -> None:
        """A row, touched ``age`` seconds ago; without an age, now."""
        self.rows[key] = {"key": key, "status": "done", "updatedAt": self.now_ms - round(age * 1000)} | fields

    def crowd(self, count: int) -> Box:
        """So many sessions at rest, one a minute."""
        for number in range(count):
            self.put(f"k{number:05d}", age=60 * (number + 1))
        return self

    async def answer(self, params: Row) -> Any:
        self.asked.append(params)
        assert self.has_offset or "offset" not in params, "5.18 refuses it"
        self.clock.advance(self.seconds_a_page)
        if self.refuses:
            raise errors.RateLimited("home: asked too often.")
        if self.broken:
            self.broken -= 1
            return msgspec.Raw(b"{")
        rows = sorted(self.rows.values(), key=lambda row: (-row.get("pinnedAt", 0), -row["updatedAt"], row["key"]))
        if self.unsorted:
            rows.reverse()
        first = params.get("offset", 0)
        page = rows[first : first + params["limit"]]
        more = first + len(page) < len(rows)
        document = {"ts": self.now_ms, "count": len(page), "totalCount": len(rows), "hasMore": more, "sessions": page}
        answer = raw(document | ({"nextOffset": first + len(page) if more else None} if self.has_offset else {}))
        return msgspec.Raw(bytes(answer) + b" " * self.padding) if self.padding else answer

    async def incremental(self, *always_read: str, after: float = 30.0) -> Snapshot:
        """A poll so many seconds later; ``asked`` then holds its requests alone."""
        self.clock.advance(after)
        self.asked.clear()
        return await self.lister.incremental(always_read)

    def says(self, snapshot: Snapshot) -> bool:
        """The snapshot shows every row as the gateway has it now."""
        seen = {row.key: (row.status.value, row.updated_at, row.has_active_run) for row in snapshot.sessions}
        return seen == {
            key: (row["status"], datetime.fromtimestamp(row["updatedAt"] / 1000, UTC), row.get("hasActiveRun"))
            for key, row in self.rows.items()
        }


# ---------------------------------------------------------------- what it asks for


async def test_the_first_poll_reads_everything_and_the_next_only_the_top() -> None:
    box = Box().crowd(3000)
    first = await box.incremental()
    assert (first.is_sweep, len(box.asked), first.carried) == (True, 3000 // PAGE_SIZE, frozenset())
    second = await box.incremental()
    assert len(box.asked) == 1
    assert "offset" not in box.asked[0]
    assert box.asked[0]["limit"] <= 20
    assert not second.is_sweep
    assert second.is_complete
    assert len(second.carried) >= 2980
    assert box.says(second)
    assert second.size_bytes < first.size_bytes / 100


async def test_what_changed_is_read_and_the_rest_is_carried() -> None:
    box = Box().crowd(2000)
    await box.incremental()
    for number in (7, 700, 1900):
        box.put(f"k{number:05d}", status="running", hasActiveRun=True)
    box.put("new", status="failed")
    snapshot = await box.incremental()
    assert box.says(snapshot)
    assert not snapshot.carried & {"k00007", "k00700", "k01900", "new"}
    assert not snapshot.is_sweep


async def test_a_busy_gateway_takes_more_pages_and_still_not_all() -> None:
    box = Box().crowd(5000)
    await box.incremental()
    for number in range(300):
        box.put(f"k{number * 13:05d}", age=number / 20)
    snapshot = await box.incremental()
    assert box.says(snapshot)
    assert not snapshot.is_sweep
    assert 1 < len(box.asked) < 10


async def test_a_row_that_shows_up_late_is_within_the_overlap() -> None:
    box = Box().crowd(2000)
    await box.incremental()
    stamped = box.now_ms - round(OVERLAP.total_seconds() * 1000) + 1000
    box.rows["k01500"] |= {"status": "running", "updatedAt": stamped}
    assert box.says(await box.incremental())


@pytest.mark.parametrize("has_offset", [True, False])
async def test_what_runs_is_read_every_time_however_far_down(*, has_offset: bool) -> None:
    """No ``updatedAt`` moves when a terminal write is lost (2026.9.6): the row lies where it lay, with another flag."""
    box = Box(has_offset=has_offset).crowd(3000)
    box.rows["k01200"] |= {"status": "running", "hasActiveRun": True}
    await box.incremental()
    for _ in range(3):
        await box.incremental()
        box.put("k02999")
    box.rows["k01200"]["hasActiveRun"] = False
    snapshot = await box.incremental()
    assert "k01200" not in snapshot.carried
    assert box.says(snapshot)
    if has_offset:
        assert not snapshot.is_sweep
        assert sum(params["limit"] for params in box.asked) < 60


@pytest.mark.parametrize(
    "silent",
    [
        {"status": "queued"},
        {"status": "running"},
        {"status": "a-new-word"},
        {"hasActiveRun": True},
        {"activeRunIds": ["r1"]},
        {"hasActiveSubagentRun": True},
    ],
    ids=lambda silent: next(iter(silent)) + "-" + str(next(iter(silent.values()))),
)
async def test_whatever_may_change_in_silence_is_never_carried(silent: Row) -> None:
    box = Box().crowd(3000)
    box.rows["k02000"] |= silent
    await box.incremental()
    assert "k02000" not in (await box.incremental()).carried


async def test_what_the_watch_is_keen_on_is_never_carried() -> None:
    box = Box().crowd(3000)
    await box.incremental()
    assert "k02000" in (await box.incremental()).carried
    assert "k02000" not in (await box.incremental("k02000")).carried


async def test_pinned_rows_stand_in_front_and_hide_nothing() -> None:
    box = Box().crowd(2000)
    box.put("old-pin", age=500_000, pinned=True, pinnedAt=5)
    box.put("older-pin", age=900_000, pinned=True, pinnedAt=4)
    await box.incremental()
    box.put("k01500", status="running")
    snapshot = await box.incremental()
    assert not snapshot.is_sweep
    assert box.says(snapshot)


async def test_a_row_from_the_future_hides_nothing() -> None:
    box = Box().crowd(2000)
    box.put("future", age=-10_000_000)
    await box.incremental()
    box.put("k01500", status="running")
    assert box.says(await box.incremental())


# ---------------------------------------------------------------- when it reads everything after all


async def test_a_row_too_few_is_looked_for_everywhere() -> None:
    """Put back from an archive, for example: it is new to us, and old."""
    box = Box().crowd(2000)
    await box.incremental()
    box.put("old", age=77_777, status="running", hasActiveRun=False)
    snapshot = await box.incremental()
    assert snapshot.is_sweep
    assert box.says(snapshot)


async def test_a_running_row_that_is_gone_is_missed_at_once() -> None:
    box = Box().crowd(2000)
    box.rows["k01500"] |= {"status": "running"}
    await box.incremental()
    await box.incremental()
    del box.rows["k01500"]
    snapshot = await box.incremental()
    assert snapshot.is_sweep
    assert snapshot.lacks("k01500")


async def test_rows_at_rest_that_are_gone_wait_for_a_sweep_and_are_not_called_gone_before() -> None:
    box = Box().crowd(2000)
    await box.incremental()
    del box.rows["k01500"]
    snapshot = await box.incremental()
    assert not snapshot.is_sweep
    assert not snapshot.lacks("k01500")
    assert not snapshot.lacks("never-seen"), "only a list that was just read whole says that something is gone"
    snapshot = await box.incremental(after=SURPLUS_EVERY.total_seconds())
    assert snapshot.is_sweep
    assert snapshot.lacks("k01500")


async def test_rows_out_of_order_are_not_trusted() -> None:
    box = Box().crowd(2000)
    await box.incremental()
    box.unsorted = True
    box.put("k01500", status="running", hasActiveRun=False)
    snapshot = await box.incremental()
    assert snapshot.is_sweep
    assert box.says(snapshot)


@pytest.mark.parametrize("seconds", [-3600, -20, 20, 3600])
async def test_a_gateway_whose_clock_was_set_is_read_whole(seconds: int) -> None:
    """Set back, everything new is stamped older than what was read before."""
    box = Box().crowd(2000)
    await box.incremental()
    box.shift_ms = seconds * 1000
    box.put("k01500", status="running", hasActiveRun=False)
    snapshot = await box.incremental()
    assert snapshot.is_sweep
    assert box.says(snapshot)


async def test_a_row_that_cannot_be_read_is_never_built_upon() -> None:
    box = Box().crowd(2000)
    await box.incremental()
    box.put("k01500", status={"not": "a word"})
    for _ in range(2):
        snapshot = await box.incremental()
        assert snapshot.is_sweep
        assert [row.key for row in snapshot.malformed] == ["k01500"]


async def test_one_stored_list_of_another_connection_is_never_built_upon() -> None:
    box = Box().crowd(500)
    await box.incremental()
    box.lister = SessionPoller(box.answer, box.clock, main_key=None, counts_pages=True, clock_base=None)
    assert (await box.incremental()).is_sweep


async def test_after_a_poll_that_failed_everything_is_read() -> None:
    box = Box().crowd(2000)
    await box.incremental()
    box.refuses = True
    with pytest.raises(errors.RateLimited):
        await box.incremental()
    box.refuses = False
    assert (await box.incremental()).is_sweep


async def test_a_small_list_is_one_request_and_a_sweep() -> None:
    box = Box().crowd(8)
    await box.incremental()
    for _ in range(3):
        snapshot = await box.incremental()
        assert (snapshot.is_sweep, len(box.asked)) == (True, 1)
        assert box.says(snapshot)


async def test_pages_of_a_sweep_are_spread_out_and_those_before_a_deed_are_not() -> None:
    pages = 10
    box = Box().crowd(pages * PAGE_SIZE)
    began = box.clock.now().monotonic
    await box.lister.whole()
    assert box.clock.now().monotonic - began == pytest.approx(pages * 0.01)
    began = box.clock.now().monotonic
    snapshot = await box.lister.whole(is_hurried=False)
    assert box.clock.now().monotonic - began == pytest.approx((2 * pages - 1) * 0.01)
    assert snapshot.latency == timedelta(seconds=0.01), "one answer, not the whole sweep"


# ---------------------------------------------------------------- the law


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("has_offset", [True, False])
async def test_after_any_history_a_glance_shows_what_a_sweep_would(seed: int, *, has_offset: bool) -> None:
    """Sessions come, go, start, end and lose their owner in silence; at rest, a row that is gone may linger."""
    rng = Random(seed)
    box = Box(has_offset=has_offset).crowd(rng.choice((40, 300, 700)))
    await box.incremental()
    glances = 0
    for _ in range(25):
        for _ in range(rng.randrange(0, 12)):
            key = rng.choice(list(box.rows))
            row = box.rows[key]
            match rng.randrange(6):
                case 0:
                    box.put(f"n{rng.random()}", status="running", hasActiveRun=True)
                case 1:
                    box.put(key, status="running", hasActiveRun=True)
                case 2 | 3 if row["status"] == "running":
                    row["hasActiveRun"] = False
                case 4 if row["status"] == "running":
                    box.put(key, status=rng.choice(("done", "failed")), hasActiveRun=False)
                case 5 if rng.random() < 0.2:
                    del box.rows[key]
                case _:
                    box.put(key, status=row["status"], hasActiveRun=row.get("hasActiveRun"))
        snapshot = await box.incremental(after=rng.choice((2.0, 30.0, 60.0)))
        glances += not snapshot.is_sweep
        seen = {row.key: (row.status.value, row.has_active_run) for row in snapshot.sessions}
        assert snapshot.is_complete
        lingering = seen.keys() - box.rows.keys()
        assert lingering <= snapshot.carried
        assert not [key for key in lingering if seen[key][0] == "running"]
        assert {key: seen.get(key) for key in box.rows} == {
            key: (row["status"], row.get("hasActiveRun")) for key, row in box.rows.items()
        }
    assert glances or len(box.rows) < 650


# ---------------------------------------------------------------- what a poll may cost


async def test_a_page_that_cannot_be_read_in_a_glance_makes_it_a_sweep() -> None:
    box = Box().crowd(50)
    await box.lister.incremental(())
    sound, box.broken = box.asked[:], 1
    snapshot = await box.lister.incremental(())
    assert snapshot.is_complete
    assert snapshot.is_sweep
    assert len(snapshot.sessions) == 50
    assert len(box.asked) == len(sound) + 2


async def test_a_reading_that_takes_too_long_is_ended_and_that_is_said() -> None:
    box = Box().crowd(2000)
    box.seconds_a_page = LONGEST_READING.total_seconds() / 4
    snapshot = await box.lister.whole()
    assert not snapshot.is_complete
    assert 0 < len(snapshot.sessions) < 2000
    assert "takes too long" in snapshot.malformed[-1].reason
    assert len(box.asked) == 5


async def test_a_reading_of_too_many_bytes_is_ended_and_that_is_said() -> None:
    box = Box().crowd(2000)
    box.padding = MOST_BYTES // 3
    snapshot = await box.lister.whole()
    assert not snapshot.is_complete
    assert "too large" in snapshot.malformed[-1].reason
    assert len(box.asked) == 3
