"""When a poll may leave the list out: what the gateway counts, what events told, and how old a list may become."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from watchdog.core.model import Moment
from watchdog.gateway.events import NOTHING_HEARD, Heard, Told
from watchdog.gateway.frames import Event
from watchdog.gateway.lister import Lister
from watchdog.gateway.listing import read_page
from watchdog.gateway.standstill import ASKED_OF, LAST_WRITE, MANY, MOST_ASKED, Counts, is_news
from watchdog.service import errors

T = 1_795_163_800_000
CONFIRM = timedelta(seconds=60)
REST: dict[str, Any] = {
    "key": "agent:main:rest",
    "sessionId": "s1",
    "status": "done",
    "startedAt": T - 9000,
    "updatedAt": T - 5000,
    "endedAt": T - 5000,
    "hasActiveRun": False,
}
LIVE: dict[str, Any] = {
    "key": "agent:main:live",
    "sessionId": "s2",
    "status": "running",
    "startedAt": T - 8000,
    "updatedAt": T - 8000,
    "hasActiveRun": True,
}
ORPHAN: dict[str, Any] = {**LIVE, "key": "agent:main:orphan", "hasActiveRun": False, "activeRunIds": []}


def _page(*rows: dict[str, Any]) -> bytes:
    return json.dumps(
        {"ts": T, "totalCount": len(rows), "hasMore": False, "nextOffset": None, "sessions": rows}
    ).encode()


ROWS = {row.key: row for row in read_page(msgspec.Raw(_page(LIVE, REST, ORPHAN)), None, 0).sessions}


def _told(*payloads: tuple[str, dict[str, Any]]) -> Told:
    heard = Heard()
    heard.take()
    for name, payload in payloads:
        heard.hear(Event(name, msgspec.Raw(json.dumps(payload).encode()), None))
    return heard.peek()


def changed(row: dict[str, Any], **fields: Any) -> tuple[str, dict[str, Any]]:
    return "sessions.changed", {"sessionKey": row["key"], "session": {**row, **fields}}


def works(key: str) -> tuple[str, dict[str, Any]]:
    return "agent", {"sessionKey": key, "stream": "assistant"}


@pytest.mark.parametrize(
    ("news", "said"),
    [
        (False, []),
        (False, [changed(REST, label="a new name", updatedAt=T)]),
        (False, [changed(REST, status="failed", updatedAt=T)]),
        (False, [works(LIVE["key"])]),
        (False, [changed(LIVE, updatedAt=T)]),
        (False, [changed(REST, status="running", hasActiveRun=True), works(REST["key"]), changed(REST, updatedAt=T)]),
        (True, [changed(REST, status="running", startedAt=T)]),
        (True, [changed(REST, hasActiveRun=True)]),
        (True, [changed(REST, sessionId="s9")]),
        (True, [changed(REST, status="queued")]),
        (True, [works(REST["key"])]),
        (True, [changed(REST, updatedAt=T), works(REST["key"])]),
        (True, [changed(LIVE, status="done", hasActiveRun=False, endedAt=T)]),
        (True, [changed(LIVE, hasActiveRun=False)]),
        (True, [changed(LIVE, startedAt=T)]),
        (True, [changed(LIVE, sessionId="s9")]),
        (True, [("sessions.changed", {"sessionKey": "agent:main:new", "session": {"status": "done"}})]),
        (True, [works("agent:main:new")]),
        (True, [works(ORPHAN["key"])]),
    ],
)
def test_what_is_news(news: bool, said: list[tuple[str, dict[str, Any]]]) -> None:
    assert is_news(ROWS, _told(*said)) is news


def test_lost_events_are_news() -> None:
    heard = Heard()
    heard.miss()
    assert is_news(ROWS, heard.peek())


CROWD = [{**REST, "key": f"agent:main:{number}", "updatedAt": T - 10_000 - number} for number in range(MANY - 2)]
LATER = datetime.fromtimestamp(T / 1000, UTC)
EVERYTHING = Told(is_everything=True)
EVERY_RUN = Told(is_every_run=True)


@dataclass(slots=True)
class Ears:
    """A listener that has heard what it is told to have heard."""

    said: Told = NOTHING_HEARD

    def told(self) -> Told:
        return self.said

    def peek(self) -> Told:
        return self.said

    def note_poll(self, churn: int) -> None: ...

    def set_aside(self, keys: Collection[str]) -> None:
        self.said = replace(self.said, worked_on=self.said.worked_on - frozenset(keys))

    def bring_back(self, keys: Collection[str]) -> None:
        self.said = replace(self.said, worked_on=self.said.worked_on | frozenset(keys))


@dataclass(slots=True)
class Stand:
    """A lister over a scripted gateway."""

    counts: Counts | None = field(default_factory=lambda: {"embeddedRuns": 1, "totalActive": 1})
    rows: list[dict[str, Any]] = field(default_factory=lambda: [LIVE, REST])
    has_totals: bool = True
    at: Moment = field(default_factory=lambda: Moment(1000.0, datetime.fromtimestamp(T / 1000, UTC)))
    ears: Ears = field(default_factory=Ears)
    tells_runs: bool = True
    ended: dict[str, datetime | None] = field(default_factory=lambda: {REST["key"]: LATER})
    """What rows say of the turns that are over: when they began."""
    asked: list[str] = field(default_factory=list)
    lister: Lister = field(init=False)

    async def settle(self) -> None:
        """Two lists that show the same, long enough apart."""
        await self.lister.whole(is_hurried=False)
        self.pass_by(LAST_WRITE.total_seconds())
        await self.lister.glance(frozenset())
        self.asked.clear()

    def __post_init__(self) -> None:
        self.lister = Lister(
            self._list,
            self,
            main_key=None,
            counts_pages=True,
            clock_base=None,
            listener=self.ears,  # type: ignore[arg-type]  # all of a Listener that a Lister asks for
            count=self._count,
            ended=self._ended,
            tells_runs=self.tells_runs,
        )

    def now(self) -> Moment:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        self.at = self.at.plus(timedelta(seconds=seconds))

    async def _list(self, params: dict[str, Any]) -> msgspec.Raw:
        self.asked.append("list")
        return msgspec.Raw(_page(*self.rows) if self.has_totals else json.dumps({"sessions": self.rows}).encode())

    async def _count(self) -> Counts | None:
        self.asked.append("count")
        return self.counts

    async def _ended(self, key: str) -> datetime | None:
        self.asked.append(key)
        return self.ended[key]

    async def is_still(self) -> bool:
        return await self.lister.standstill(CONFIRM) is not None

    async def rests_until(self) -> Moment | None:
        """Until when no list is needed; None: for good. Fails where one is needed now."""
        still = await self.lister.standstill(CONFIRM)
        assert still is not None
        return still.until


async def test_before_a_list_nothing_is_known() -> None:
    stand = Stand(ears=Ears(EVERYTHING))
    assert not await stand.is_still()
    assert stand.asked == []


@pytest.mark.parametrize("told", [EVERYTHING, EVERY_RUN])
async def test_events_that_told_everything_or_of_every_run_and_the_same_count_are_enough_for_good(told: Told) -> None:
    stand = Stand(ears=Ears(told))
    await stand.settle()
    stand.pass_by(3600)
    assert await stand.rests_until() is None
    assert stand.asked == ["count"]


@pytest.mark.parametrize("spoil", ["another run", "one more"])
async def test_where_not_all_are_counted_it_must_be_the_same_ones_all_the_time(spoil: str) -> None:
    """One run with an owner is not counted; which one, nobody says."""
    other = {**LIVE, "key": "agent:main:other", "updatedAt": T - 8500}
    stand = Stand(rows=[LIVE, other, REST], ears=Ears(EVERY_RUN))
    await stand.settle()
    assert await stand.rests_until() is None
    if spoil == "another run":
        stand.rows = [LIVE, {**other, "startedAt": T - 1}, REST]
        stand.ears.said = replace(EVERY_RUN, worked_on=frozenset({other["key"]}))
    else:
        stand.counts = {"embeddedRuns": 0, "totalActive": 1}
    await stand.lister.glance(frozenset())
    stand.ears.said = EVERY_RUN
    assert await stand.rests_until() is not None


@pytest.mark.parametrize("told", [EVERYTHING, EVERY_RUN])
@pytest.mark.parametrize("spoil", ["one list", "two close together", "counted no more", "never counted", "another run"])
async def test_what_goes_on_must_have_been_counted_all_the_time(told: Told, spoil: str) -> None:
    """A run whose last write waits is still listed as alive, and ends without changing the count again (2026.9.6). Runs that
    come and go and are counted do not matter."""
    stand = Stand(ears=Ears(told))
    stand.counts = {"totalActive": 2} if spoil == "never counted" else {"embeddedRuns": 1, "totalActive": 2}
    await stand.lister.whole(is_hurried=False)
    if spoil != "one list":
        stand.pass_by(LAST_WRITE.total_seconds() - (1 if spoil == "two close together" else 0))
        if spoil == "counted no more":
            stand.counts = {"embeddedRuns": 0, "totalActive": 2}
        if spoil == "another run":
            stand.ears.said = replace(told, worked_on=frozenset({REST["key"]}))
            stand.rows = [{**REST, "status": "running", "startedAt": T - 1, "hasActiveRun": True}, LIVE]
            stand.counts = {"embeddedRuns": 2, "totalActive": 4}
        await stand.lister.glance(frozenset())
    stand.ears.said = told
    listed_at = stand.at
    assert await stand.rests_until() == (None if spoil == "another run" else listed_at.plus(CONFIRM))


async def test_where_nothing_runs_one_list_is_enough() -> None:
    stand = Stand(ears=Ears(EVERY_RUN), rows=[REST])
    await stand.lister.whole(is_hurried=False)
    stand.pass_by(3600)
    assert await stand.is_still()


async def test_the_count_alone_is_believed_for_a_while() -> None:
    stand = Stand()
    await stand.lister.whole(is_hurried=False)
    listed_at = stand.at
    stand.pass_by(CONFIRM.total_seconds() - 1)
    assert await stand.rests_until() == listed_at.plus(CONFIRM)
    stand.pass_by(1)
    assert not await stand.is_still()
    assert stand.asked == ["count", "list", "count"], "what is not believed is not asked for"


@pytest.mark.parametrize("said", [NOTHING_HEARD, EVERYTHING])
async def test_another_count_is_a_reason_to_list(said: Told) -> None:
    stand = Stand(ears=Ears(said))
    await stand.lister.whole(is_hurried=False)
    for counts in ({"embeddedRuns": 0, "totalActive": 0}, {"embeddedRuns": 0, "cronRuns": 1, "totalActive": 1}, None):
        stand.counts = counts
        assert not await stand.is_still()


async def test_news_is_a_reason_to_list_however_young_the_last_one_is() -> None:
    stand = Stand()
    await stand.lister.whole(is_hurried=False)
    stand.ears.said = Told(worked_on=frozenset({REST["key"]}))
    assert not await stand.is_still()


@pytest.mark.parametrize("told", ["before", "after", "never", "of a label alone"])
async def test_a_run_that_was_not_told_of_ends_that_belief(told: str) -> None:
    stand = Stand(ears=Ears(EVERY_RUN))
    told_by_then = told in ("before", "after")
    if told == "before":  # its row did not say yet when it started
        stand.ears.said = Told(worked_on=frozenset({REST["key"]}), is_every_run=True)
    await stand.lister.whole(is_hurried=False)
    stand.ears.said = EVERY_RUN
    stand.rows = [LIVE, {**REST, "status": "running", "startedAt": T - 1, "hasActiveRun": True}]
    await stand.lister.glance(frozenset())
    if told == "after":  # its event came after the list that showed it
        stand.ears.said = Told(worked_on=frozenset({REST["key"]}), is_every_run=True)
    elif told == "of a label alone":
        stand.ears.said = replace(EVERY_RUN, changes={REST["key"]: {"updatedAt": T}})
    assert await stand.is_still()
    stand.ears.said = EVERY_RUN
    await stand.settle()
    listed_at = stand.at
    assert await stand.rests_until() == (None if told_by_then else listed_at.plus(CONFIRM))
    stand.pass_by(3600)
    assert await stand.is_still() is told_by_then, "for the life of the connection"


async def test_a_gateway_that_is_not_known_to_tell_of_every_run_is_not_believed_for_good() -> None:
    stand = Stand(ears=Ears(EVERY_RUN), tells_runs=False)
    await stand.lister.whole(is_hurried=False)
    stand.pass_by(CONFIRM.total_seconds())
    assert not await stand.is_still()


@pytest.mark.parametrize("news", ["another count", "a run", "no count"])
async def test_where_there_are_many_sessions_news_can_wait_for_a_while(news: str) -> None:
    stand = Stand(rows=[LIVE, REST, *CROWD])
    await stand.lister.whole(is_hurried=False)
    listed_at = stand.at
    if news == "a run":
        stand.ears.said = Told(worked_on=frozenset({REST["key"]}), is_every_run=True)
    else:
        stand.counts = {"totalActive": 7} if news == "another count" else None
    stand.pass_by(CONFIRM.total_seconds() - 1)
    assert await stand.rests_until() == listed_at.plus(CONFIRM)
    stand.pass_by(1)
    assert not await stand.is_still()


TURN = Told(worked_on=frozenset({REST["key"]}), is_every_run=True)


async def _settled(**changes: Any) -> Stand:
    """Many sessions, two lists far enough apart, and then one turn that came and went."""
    stand = Stand(**{"rows": [LIVE, REST, *CROWD], "ears": Ears(EVERY_RUN), **changes})
    await stand.settle()
    stand.ears.said = TURN
    return stand


async def test_where_there_are_many_sessions_one_is_asked_after_rather_than_all_listed() -> None:
    stand = await _settled()
    stand.pass_by(CONFIRM.total_seconds() + 1)  # a list would be due
    assert await stand.rests_until() is None
    assert stand.asked == ["count", REST["key"]]
    stand.asked.clear()
    assert await stand.is_still()
    assert stand.asked == ["count"], "what has been answered is not asked again"


@pytest.mark.parametrize("says", [None, datetime.fromtimestamp(REST["startedAt"] / 1000, UTC)])
async def test_what_goes_on_or_still_speaks_of_the_turn_before_is_listed_when_it_has_waited_long_enough(
    says: datetime | None,
) -> None:
    stand = await _settled(ended={REST["key"]: says})
    listed_at = stand.at
    assert await stand.rests_until() == listed_at.plus(CONFIRM)
    assert stand.ears.said.worked_on == {REST["key"]}, "it is still to be looked at"
    stand.pass_by(CONFIRM.total_seconds())
    assert not await stand.is_still()


async def test_a_second_turn_is_over_when_the_row_speaks_of_a_third() -> None:
    stand = await _settled()
    assert await stand.is_still()
    stand.ears.said = TURN
    await stand.is_still()
    assert stand.ears.said.worked_on == {REST["key"]}, "that is the turn of which it has spoken before"
    stand.ended[REST["key"]] = LATER + timedelta(seconds=1)
    await stand.is_still()
    assert not stand.ears.said.worked_on


async def test_after_the_first_that_goes_on_no_other_is_asked_after() -> None:
    keys = sorted(row["key"] for row in CROWD[:3])
    stand = await _settled(ended={keys[0]: LATER, keys[1]: None})
    stand.ears.said = replace(TURN, worked_on=frozenset(keys))
    await stand.is_still()
    assert stand.asked == ["count", *keys[:2]]
    assert stand.ears.said.worked_on == set(keys[1:])


async def test_a_run_in_question_may_have_been_counted_in_place_of_another() -> None:
    stand = await _settled()
    listed_at = stand.at
    stand.pass_by(CONFIRM.total_seconds() - 1)
    assert await stand.is_still()
    stand.counts = {"embeddedRuns": 0, "totalActive": 0}
    assert await stand.rests_until() == listed_at.plus(CONFIRM)


async def test_news_waits_from_when_all_was_known() -> None:
    stand = await _settled()
    stand.ears.said = EVERY_RUN
    stand.pass_by(CONFIRM.total_seconds() + 1)
    known_at = stand.at
    assert await stand.is_still()
    stand.counts = {"embeddedRuns": 2, "totalActive": 3}
    stand.pass_by(CONFIRM.total_seconds() - 1)
    assert await stand.rests_until() == known_at.plus(CONFIRM)
    stand.pass_by(1)
    assert not await stand.is_still()


async def test_where_not_every_run_is_told_of_asking_after_some_says_little() -> None:
    stand = await _settled(tells_runs=False)
    listed_at = stand.at
    stand.pass_by(CONFIRM.total_seconds() - 1)
    assert await stand.is_still()
    assert await stand.is_still(), "nothing is in question any more, but not all is known"
    for _ in range(2):
        assert await stand.rests_until() == listed_at.plus(CONFIRM)
        stand.counts = {"embeddedRuns": 2, "totalActive": 2}
    stand.pass_by(1)
    assert not await stand.is_still()


async def test_what_begins_while_the_gateway_counts_is_told_anew() -> None:
    stand = await _settled()
    count = stand.lister._count
    assert count is not None

    async def slowly() -> Counts | None:
        counts = await count()
        stand.ears.said = replace(stand.ears.said, worked_on=frozenset({REST["key"]}))
        return counts

    stand.lister._count = slowly
    assert await stand.is_still()
    assert stand.ears.said.worked_on == {REST["key"]}


async def test_where_there_are_fewer_fewer_are_asked_after_and_what_is_left_does_not_wait() -> None:
    stand = await _settled(rows=[LIVE, REST, *CROWD[: 2 * ASKED_OF]])
    assert await stand.is_still()
    assert stand.asked == ["count", REST["key"]]
    stand.ears.said = TURN
    assert not await stand.is_still(), "its row still speaks of the turn before"
    stand.ears.said = replace(TURN, worked_on=frozenset(row["key"] for row in CROWD[:3]))
    assert not await stand.is_still()
    assert stand.asked[2:] == ["count", REST["key"]], "three are too many to be asked after"


@pytest.mark.parametrize("why", ["few sessions", "too many", "unknown", "an orphan", "a change", "another count"])
async def test_what_only_a_list_can_tell_is_not_asked_after(why: str) -> None:
    stand = await _settled(rows=[LIVE, REST, ORPHAN, *(CROWD[: ASKED_OF - 5] if why == "few sessions" else CROWD)])
    if why == "too many":
        stand.ears.said = replace(TURN, worked_on=frozenset(row["key"] for row in CROWD[: MOST_ASKED + 1]))
    elif why in ("unknown", "an orphan"):
        key = "agent:main:new" if why == "unknown" else ORPHAN["key"]
        stand.ears.said = replace(TURN, worked_on=frozenset({REST["key"], key}))
    elif why == "a change":
        stand.ears.said = replace(TURN, changes={CROWD[0]["key"]: {"status": "running"}})
    elif why == "another count":
        stand.counts = {"embeddedRuns": 2, "totalActive": 2}
    await stand.lister.standstill(CONFIRM)
    assert set(stand.asked) <= {"count"}
    stand.pass_by(CONFIRM.total_seconds())
    assert not await stand.is_still()


async def test_a_question_that_fails_leaves_the_news() -> None:
    stand = await _settled()

    async def broken(key: str) -> datetime | None:
        raise errors.GatewayUnresponsive("home: no answer.")

    stand.lister._ended = broken
    with pytest.raises(errors.GatewayUnresponsive):
        await stand.is_still()
    assert stand.ears.said.worked_on == {REST["key"]}


@pytest.mark.parametrize("how", ["asked after", "asked after long before", "a list that failed", "over again"])
async def test_a_run_that_was_told_of_at_any_time_since_the_last_list_was_told_of(how: str) -> None:
    stand = await _settled()
    if how.startswith("asked after"):  # before its row said that it runs
        assert await stand.is_still()
        if how != "asked after":
            stand.ears.said = EVERY_RUN
            await stand.lister.glance(frozenset())
    elif how == "a list that failed":
        lists = stand.lister._ask

        async def refused(params: dict[str, Any]) -> msgspec.Raw:
            raise errors.RateLimited("home: not now.", retry_after=1.0)

        stand.lister._ask = refused
        with pytest.raises(errors.RateLimited):
            await stand.lister.glance(frozenset())
        stand.lister._ask = lists
        stand.asked.clear()
    stand.ears.said = EVERY_RUN
    stand.rows = [{**REST, "status": "running", "startedAt": T - 1, "updatedAt": T, "hasActiveRun": True}, LIVE, *CROWD]
    await stand.lister.glance(frozenset())
    if how == "over again":  # begun while the list was read, and over before this
        stand.ears.said = replace(EVERY_RUN, changes={REST["key"]: {"status": "done"}})
    await stand.is_still()
    stand.ears.said = EVERY_RUN
    await stand.settle()
    assert await stand.rests_until() is None, "it is still believed to tell of every run"


async def test_a_loss_of_events_does_not_wait() -> None:
    stand = Stand(rows=[LIVE, REST, *CROWD])
    await stand.lister.whole(is_hurried=False)
    stand.ears.said = Told(has_gap=True)
    assert not await stand.is_still()


async def test_where_there_are_fewer_sessions_news_does_not_wait() -> None:
    stand = Stand(rows=[LIVE, REST, *CROWD[1:]])
    await stand.lister.whole(is_hurried=False)
    stand.counts = {"totalActive": 7}
    assert not await stand.is_still()


async def test_what_the_count_was_before_a_list_is_what_it_must_be_after_it() -> None:
    """A run that ends while the list is read is in the list and in the count, and is missed at once."""
    stand = Stand(ears=Ears(EVERYTHING))
    await stand.lister.glance(frozenset())
    assert stand.asked[:2] == ["count", "list"]
    await stand.lister.glance(frozenset())
    assert stand.asked[2:4] == ["count", "list"]
    assert await stand.is_still()


@pytest.mark.parametrize("spoil", ["no totals", "no count", "a hurried list"])
async def test_without_a_whole_list_or_a_count_every_poll_lists(spoil: str) -> None:
    stand = Stand(
        ears=Ears(EVERYTHING),
        has_totals=spoil != "no totals",
        counts=None if spoil == "no count" else {"totalActive": 0},
    )
    await stand.lister.whole(is_hurried=False)
    if spoil == "a hurried list":
        await stand.lister.whole()
    assert not await stand.is_still()


async def test_a_list_that_fails_leaves_nothing_to_rest_on() -> None:
    stand = Stand(ears=Ears(EVERYTHING))
    await stand.lister.whole(is_hurried=False)

    async def broken(params: dict[str, Any]) -> msgspec.Raw:
        raise errors.GatewayClosed("home: gone.", 1006)

    lists, stand.lister._ask = stand.lister._ask, broken
    with pytest.raises(errors.GatewayClosed):
        await stand.lister.glance(frozenset())
    assert not await stand.is_still()
    stand.lister._ask, stand.rows = lists, [REST, *CROWD[:50]]
    assert (await stand.lister.glance(frozenset())).is_sweep, "what events told before it is told no more"
