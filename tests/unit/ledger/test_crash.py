"""Killed after the n-th effect, for every n: what was reported is there, what was not is there wholly or not at all.

Effects are each SQL statement and each return to the caller. The process is real and so is the SIGKILL. Limit: this shows
that no order of kills tears the ledger; a power cut is SQLite's and the disk's promise (WAL, FULL).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from watchdog.core.policy import Step
from watchdog.core.recovery import AttemptState
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.ledger import Outcome

from .support import RUN, T0, at, child, die, exit_code, in_child, opened, quarantine_of, query, stuck

Facts = list[list[tuple[object, ...]]]


def story(path: Path, trace: Callable[[str], None], returned: Callable[[], None]) -> None:
    """A session's whole trouble, one call of the ledger after the other."""
    ledger = SqliteLedger.open(path, owner=True, trace=trace, wall=lambda: T0)
    returned()
    assert ledger.is_writable()
    returned()
    incident = ledger.open_incident(
        gateway="home", session="main", session_id="sid", reason="OwnerGone", at=T0, messages=[stuck("opened")]
    )
    returned()
    endings = (AttemptState.INEFFECTIVE, AttemptState.REFUSED, AttemptState.INDETERMINATE)
    for number, ending in enumerate(endings, start=1):
        attempt = ledger.plan_attempt(incident.id, Step.RESUME, at(number), before=RUN, before_tail="t")
        returned()
        assert ledger.claim_attempt(attempt.id, at(number))
        returned()
        ledger.note_run(attempt.id, f"run-{number}")
        returned()
        assert ledger.settle_attempt(
            attempt.id, ending, at(number), reason="Seen", messages=[stuck(f"settled-{number}")]
        )
        returned()
    assert ledger.settle_attempt(attempt.id, AttemptState.SUCCEEDED, at(9), reason="Done", messages=[stuck("good")])
    returned()
    owed = ledger.due_messages("phone", at(9))
    returned()
    ledger.mark_failed(owed[0].id, "phone", at(10), "HTTP 503", at(20))
    returned()
    ledger.mark_delivered(owed[0].id, "phone", at(20))
    returned()
    ledger.pause(at=at(21), until=None, gateway=None, session=None, reason="upgrade", who="ann")
    returned()
    ledger.unpause(at=at(22), gateway=None, session=None, who="ann")
    returned()
    ledger.quarantine(quarantine_of(incident=incident.id), [stuck("quarantined")])
    returned()
    healed = opened(ledger, "healed", seconds=50)
    returned()
    ledger.close_incident(healed.id, Outcome.CLEARED, at(51), [stuck("closed")])
    returned()
    ledger.release("home", "main", at(52), who="ann", why="upgraded")
    returned()
    ledger.prune(at(1000))
    returned()
    ledger.close()


def facts(path: Path) -> Facts:
    """All that the ledger says, without what differs from file to file."""
    return [
        query(path, sql)
        for sql in (
            "SELECT last FROM incident_days",
            "SELECT gateway, session, outcome, closed_at FROM incidents",
            "SELECT number, state, started_at, settled_at, reason, run_id, is_charged, forgiven_at FROM attempts",
            "SELECT dedupe_key FROM messages ORDER BY id",
            "SELECT target, tries, delivered_at FROM deliveries",
            "SELECT name FROM targets",
            "SELECT gateway, released_at FROM quarantines",
            "SELECT ended_at FROM pauses",
            "SELECT what FROM audit",
        )
    ]


NOTHING: Facts = [[] for _ in range(9)]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, list[Facts]]:
    """How many effects the story has, and the facts after each of its calls."""
    path = tmp_path_factory.mktemp("reference") / "ledger.db"
    effects = count()
    after: list[Facts] = []

    def returned() -> None:
        next(effects)
        after.append(facts(path))

    def trace(_: str) -> None:
        next(effects)

    story(path, trace, returned)
    return next(effects), after


def test_cut_at_every_effect(reference: tuple[int, list[Facts]], tmp_path: Path) -> None:
    total, after = reference
    assert total > 100
    for n in range(total):
        path = tmp_path / str(n) / "ledger.db"
        read_end, write_end = os.pipe()

        def body(n: int = n, path: Path = path, write_end: int = write_end) -> None:
            effects = count()

            def effect() -> None:
                if next(effects) == n:
                    die()

            def returned() -> None:
                effect()  # written, and the caller never heard of it
                os.write(write_end, b".")

            story(path, lambda _: effect(), returned)

        code = in_child(body)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as acknowledgements:
            acknowledged = len(acknowledgements.read())
        assert code == -9, f"effect {n} was never reached"
        _is_consistent(path, n, acknowledged, after)


def _is_consistent(path: Path, n: int, acknowledged: int, after: list[Facts]) -> None:
    with SqliteLedger.open(path, owner=True, wall=lambda: T0) as ledger:  # migrates what is missing, checks the file
        assert ledger.lost_history_at is None, f"cut at {n}: a crash is not a loss"
        allowed = [after[acknowledged - 1] if acknowledged else NOTHING, after[min(acknowledged, len(after) - 1)]]
        assert facts(path) in allowed, f"cut at {n}, {acknowledged} calls acknowledged"

        in_flight = ledger.attempts_in_flight("home")
        assert len(in_flight) <= 1
        assert {one.id for one in ledger.settle_start_up(at(100))} == {attempt.id for _, attempt in in_flight}
    for _ in range(2):
        with SqliteLedger.open(path, owner=True, wall=lambda: T0) as ledger:
            owed = ledger.settle_start_up(at(200))
            assert len(owed) == len(in_flight), "three starts settle the same"
            assert all(not ledger.claim_attempt(one.id, at(201)) for one in owed), "never sent again"
            assert ledger.is_writable()


def test_killed_while_writing_at_any_time(tmp_path: Path) -> None:
    """Not between statements but inside them: a child writes as fast as it can until it is shot."""
    for round_number in range(12):
        path = tmp_path / str(round_number) / "ledger.db"
        with SqliteLedger.open(path, owner=True):
            pass
        read_end, write_end = os.pipe()

        def write_on(path: Path = path, write_end: int = write_end) -> None:
            with SqliteLedger.open(path, owner=True) as mine:
                for n in count():
                    mine.owe([stuck(str(n))], T0)
                    os.write(write_end, b".")

        pid = child(write_on)
        os.close(write_end)
        with os.fdopen(read_end, "rb", buffering=0) as acknowledgements:
            seen = 0
            while seen < 20 + 7 * round_number:
                seen += len(acknowledgements.read(1))
            os.kill(pid, 9)
            assert exit_code(pid) == -9
            seen += len(acknowledgements.read())
        with SqliteLedger.open(path, owner=True) as ledger:
            assert len(ledger.due_messages("phone", T0, limit=10_000)) in (seen, seen + 1)
