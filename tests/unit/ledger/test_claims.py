"""Exactly one claim wins, whoever tries: two connections, several processes, several threads."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from watchdog.core.recovery import AttemptState
from watchdog.ledger.ledger import SqlLedger
from watchdog.ledger.place import LedgerPlace

from .support import T0, at, attempt_now, child, exit_code, opened, planned

ATTEMPTS = 40
CLAIMANTS = 3


def test_two_connections(kept: LedgerPlace) -> None:
    with kept.open(owner=True) as one, kept.open() as two:
        for n in range(10):
            attempt = planned(one, opened(one, str(n)))
            order = (one, two) if n % 2 else (two, one)
            assert [ledger.claim_attempt(attempt.id, at(2)) for ledger in order] == [True, False]
            assert attempt_now(two, attempt).state is AttemptState.STARTED
        assert one.charges("home", T0) == 10


def test_processes_racing_for_the_same_attempts(kept: LedgerPlace) -> None:
    with kept.open(owner=True) as ledger:
        ids = [planned(ledger, opened(ledger, str(n))).id for n in range(ATTEMPTS)]
    go_read, go_write = os.pipe()
    won_read, won_write = os.pipe()

    def claim_all() -> None:
        os.close(go_write)
        with kept.open() as mine:
            os.read(go_read, 1)  # until the starter closes its end: all begin together
            for attempt_id in ids:
                if mine.claim_attempt(attempt_id, at(5)):
                    os.write(won_write, f"{attempt_id}\n".encode())

    children = [child(claim_all) for _ in range(CLAIMANTS)]
    os.close(go_read)
    os.close(won_write)
    os.close(go_write)
    with os.fdopen(won_read) as won:
        winners = [int(line) for line in won]
    codes = [exit_code(pid) for pid in children]

    assert codes == [0] * CLAIMANTS
    assert sorted(winners) == sorted(ids), "each attempt was won once, and none twice"
    with kept.open(owner=True) as ledger:
        assert ledger.charges("home", T0) == ATTEMPTS


def test_two_programs_that_planned_for_one_session_do_not_both_act(kept: LedgerPlace) -> None:
    with kept.open(owner=True) as daemon, kept.open() as by_hand:
        incident = opened(daemon)
        mine, yours = planned(daemon, incident), planned(by_hand, opened(by_hand))
        assert mine.number != yours.number
        assert by_hand.claim_attempt(yours.id, at(2))
        assert not daemon.claim_attempt(mine.id, at(2))


def test_threads_take_turns_on_one_ledger(ledger: SqlLedger) -> None:
    ids = [planned(ledger, opened(ledger, str(n))).id for n in range(20)]
    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(lambda attempt_id: ledger.claim_attempt(attempt_id, at(3)), ids * 4))
    assert sum(won) == len(ids)
