"""The closed set of event names against the contract, and the recording fake."""

from __future__ import annotations

from watchdog.service.events import LEVELS, Event, Log, MemoryLog

CONTRACT = """
daemon.started/stopping/stopped config.loaded/refused gateway.connected/disconnected/restarted/unhealthy cycle.finished
session.suspect/stuck/cleared/long_running recovery.held recovery.started/succeeded/ineffective/refused/indeterminate
session.quarantined/released fleet.breaker_opened/closed
"""
"""The names that users rely on."""


def _contract_names() -> set[str]:
    names = set()
    for word in CONTRACT.split():
        subject, _, verbs = word.partition(".")
        names |= {f"{subject}.{verb}" for verb in verbs.split("/")}
    return names - {"fleet.closed"} | {"fleet.breaker_closed"}


def test_every_name_of_the_contract_exists() -> None:
    assert _contract_names() <= {event.value for event in Event}


def test_every_event_has_a_level() -> None:
    assert set(LEVELS) == set(Event)


def test_the_console_column_is_wide_enough() -> None:
    assert max(len(event.value) for event in Event) <= 24


def test_a_recorded_log_keeps_what_it_is_told() -> None:
    recorded = MemoryLog()
    log: Log = recorded
    log.event(Event.SESSION_STUCK, session="a", name="free to use")
    log.event(Event.CYCLE_FINISHED)
    assert recorded.names == [Event.SESSION_STUCK, Event.CYCLE_FINISHED]
    assert recorded.of(Event.SESSION_STUCK) == [{"session": "a", "name": "free to use"}]
