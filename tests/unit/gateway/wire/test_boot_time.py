"""A gateway's start is never told later than it was, whatever its clocks went through."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.model import Moment
from watchdog.gateway.wire.boot_time import NOISE, Boots, Reading

BEGINNING = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass
class Laptop:
    """A host with a gateway and a watchdog on it: two clocks, of which one stands still while it sleeps."""

    awake: timedelta = timedelta(0)
    asleep: timedelta = timedelta(0)
    stepped: timedelta = timedelta(0)
    started_awake: timedelta = timedelta(0)
    started_at: datetime = BEGINNING
    boots: Boots = field(default_factory=Boots)

    @property
    def now(self) -> Moment:
        return Moment(1000 + self.awake.total_seconds(), self.wall)

    @property
    def wall(self) -> datetime:
        return BEGINNING + self.awake + self.asleep + self.stepped

    def start_gateway(self) -> None:
        self.started_awake, self.started_at = self.awake, self.wall

    def sign_in(self, *, has_lock: bool = False) -> datetime | None:
        uptime = self.awake - self.started_awake
        lock = self.started_at if has_lock else None
        return self.boots.booted_at(Reading(self.now, self.wall - uptime, uptime, lock))


def test_an_ordinary_start_is_taken_as_said() -> None:
    host = Laptop(awake=HOUR)
    host.start_gateway()
    host.awake += MINUTE
    assert host.sign_in() == host.sign_in(has_lock=True) == BEGINNING + HOUR


def test_after_a_sleep_the_start_stays_what_it_was() -> None:
    host = Laptop(awake=HOUR)
    assert host.sign_in() == BEGINNING
    host.asleep += 8 * HOUR
    host.awake += MINUTE
    assert host.sign_in() == BEGINNING
    host.asleep += HOUR
    assert host.sign_in() == BEGINNING


def test_a_sleep_before_our_first_look_is_seen_by_the_lock_file() -> None:
    host = Laptop(awake=HOUR, asleep=8 * HOUR)
    assert host.sign_in(has_lock=True) == BEGINNING


def test_an_uptime_that_began_anew_is_another_process() -> None:
    host = Laptop(awake=HOUR)
    host.sign_in()
    host.asleep += 8 * HOUR
    host.awake += MINUTE
    host.start_gateway()
    host.awake += MINUTE
    assert host.sign_in() == host.started_at


def test_how_long_it_answered_counts_as_uptime() -> None:
    """It was seen 5 s after its start, answered for a minute, was killed, and is seen 20 s after its next start."""
    host = Laptop()
    host.awake += timedelta(seconds=5)
    host.sign_in()
    host.awake += MINUTE
    host.boots.note_answer(host.now)
    host.start_gateway()
    host.awake += timedelta(seconds=20)
    assert host.sign_in() == host.started_at


def test_what_may_be_the_same_process_keeps_the_earlier_start() -> None:
    host = Laptop()
    host.awake += timedelta(seconds=5)
    host.sign_in()
    host.awake += HOUR  # nothing was heard of it, and it has been up for longer than before when it is back
    host.start_gateway()
    host.awake += MINUTE
    assert host.sign_in() == BEGINNING


def test_a_clock_set_forward_does_not_make_it_younger_and_set_back_is_followed() -> None:
    host = Laptop(awake=HOUR)
    host.sign_in()
    host.stepped = 2 * HOUR
    assert host.sign_in() == host.sign_in(has_lock=True) == BEGINNING
    host.stepped = -2 * HOUR
    assert host.sign_in() == BEGINNING - 2 * HOUR


def test_a_gateway_that_does_not_say_has_no_start() -> None:
    now = Laptop().now
    assert Boots().booted_at(Reading(now, None, HOUR, BEGINNING)) is None
    assert Boots().booted_at(Reading(now, BEGINNING, None)) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["awake", "asleep", "restart", "sign in", "answer"]),
            st.integers(0, 100_000).map(lambda seconds: timedelta(seconds=seconds)),
        ),
        max_size=30,
    ),
    st.booleans(),
)
def test_never_later_than_it_was(course: list[tuple[str, timedelta]], has_lock: bool) -> None:
    """On one host, whatever it goes through after our first look at a process; before it, with the lock file."""
    host = Laptop()
    host.sign_in(has_lock=has_lock)
    for what, span in course:
        if what == "awake":
            host.awake += span
        elif what == "asleep":
            host.asleep += span
        elif what == "restart":
            host.start_gateway()
            if not has_lock:
                host.sign_in()
        elif what == "answer":
            host.boots.note_answer(host.now)
        else:
            said = host.sign_in(has_lock=has_lock)
            assert said is not None
            assert said <= host.started_at + NOISE


def test_a_clock_that_is_set_back_makes_no_other_process() -> None:
    host = Laptop(awake=HOUR)
    host.start_gateway()
    host.awake += HOUR
    host.sign_in()
    host.stepped -= 90 * MINUTE
    assert host.sign_in() == BEGINNING + HOUR - 90 * MINUTE
    assert host.boots.processes == 0


def test_an_uptime_that_begins_anew_makes_one_whatever_the_clock() -> None:
    host = Laptop(awake=HOUR)
    host.start_gateway()
    host.awake += HOUR
    host.sign_in()
    host.stepped -= 90 * MINUTE
    host.start_gateway()
    host.awake += MINUTE
    host.sign_in()
    assert host.boots.processes == 1
