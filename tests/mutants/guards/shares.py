"""Several replicas, one fleet: no two of them act on one gateway."""

from __future__ import annotations

from tests.mutants.mutations import ALWAYS, DROP, NEVER, swap, value

from .kinds import CORE, GATEWAY, SERVICE, Guard

LEASES = ("tests/unit/ledger/test_leases.py",)
SHARES = (SERVICE + "test_shares.py",)
POSTGRESQL = ("tests/unit/ledger/test_postgresql.py",)

GUARDS: tuple[Guard, ...] = (
    Guard(
        "shares: a new owner waits until the earlier one cannot send any more",
        "rule 19",
        ALWAYS,
        tests=(CORE + "test_leases.py",),
    ),
    Guard("shares: no deed on a lease that may end before it is sent", "rule 19", NEVER, tests=SHARES),
    Guard("shares: no deed without a lease that is good for it", "rule 19", NEVER, tests=SHARES),
    Guard("shares: who is no longer the owner writes nothing", "rule 19", NEVER, tests=LEASES),
    Guard("shares: a claim wants the lease to outlive the sending", "rule 19", NEVER, tests=LEASES),
    Guard(
        "shares: every owner has an epoch of its own",
        "rule 19",
        value('"UPDATE shards SET owner = ?, expires_at = ? WHERE id IN (%s)" % _marks(shards)'),
        tests=LEASES,
    ),
    Guard("shares: what one replica has lost no other makes good for", "rule 19", NEVER, tests=POSTGRESQL),
    Guard("shares: another ledger while it runs is a loss, whoever else is there", "rule 19", NEVER, tests=POSTGRESQL),
    Guard(
        "shares: who has not looked at the ledger vouches for nothing",
        "rule 19",
        value("bool(lives)"),
        tests=POSTGRESQL,
    ),
    Guard("shares: an older program does nothing to tables that it does not know", "rule 19", NEVER, tests=POSTGRESQL),
    Guard(
        "shares: a deed is decided on what the ledger says now",
        "rule 19",
        DROP,
        tests=(SERVICE + "test_recent_answers.py",),
    ),
    Guard(
        "shares: an incident is closed on what the ledger says now",
        "rule 19",
        DROP,
        tests=(SERVICE + "test_recent_answers.py",),
    ),
    Guard(
        "shares: what is said of a stuck session is what the ledger says now",
        "rule 19",
        DROP,
        tests=(SERVICE + "test_recent_answers.py",),
    ),
    Guard(
        "shares: what was released is not released again", "rule 19", DROP, tests=(SERVICE + "test_recent_answers.py",)
    ),
    Guard(
        "shares: who is told of once is told of by what the ledger says now",
        "rule 19",
        DROP,
        tests=(SERVICE + "test_recent_answers.py",),
    ),
    Guard(
        "shares: what was read of another's gateways is not what it left behind",
        "rule 19",
        DROP,
        tests=(SERVICE + "test_shares.py",),
    ),
    Guard(
        "shares: what follows a deed is told as things are now",
        "rule 19",
        DROP,
        tests=(SERVICE + "test_recent_answers.py",),
    ),
    Guard(
        "shares: what this process wrote it sees",
        "rule 19",
        DROP,
        tests=("tests/unit/ledger/test_recent_answers.py",),
    ),
    Guard("shares: what is late is not sent", "rule 19", NEVER, tests=(GATEWAY + "recovery/test_late_deeds.py",)),
    Guard(
        "shares: a machine that slept sends nothing late",
        "rule 19",
        NEVER,
        tests=(GATEWAY + "recovery/test_late_deeds.py",),
    ),
    Guard("shares: another owner's attempt is given its time", "rule 19", NEVER, tests=SHARES),
    Guard(
        "shares: what was to be told long ago is no news",
        "rule 8",
        value("one.message.incident is None"),
        tests=SHARES,
    ),
    Guard(
        "shares: who still waits for an earlier owner does not say that all is done",
        "rule 19",
        value("True"),
        tests=SHARES,
    ),
    Guard("shares: after an outage everybody first gets the time to renew", "rule 19", NEVER, tests=SHARES),
    Guard("shares: who is leaving takes nothing", "rule 19", NEVER, tests=SHARES),
    Guard(
        "shares: a shard is let go of when its last pass has ended",
        "rule 19",
        value("set()"),
        tests=("tests/unit/daemon/test_hand_over.py",),
    ),
    Guard(
        "shares: a name means one gateway, whichever replica watches it",
        "rule 19",
        NEVER,
        tests=("tests/unit/config/test_replicas.py",),
    ),
    Guard(
        "shares: a replica that acts on nothing takes no share",
        "rule 19",
        NEVER,
        tests=("tests/unit/cli/test_run_shared.py",),
    ),
    Guard(
        "shares: a note is written under the fence",
        "rule 19",
        swap("own", "ledger"),
        tests=("tests/unit/daemon/test_replicas.py",),
    ),
    Guard(
        "shares: what was sent to another place is proven by its mark alone",
        "rule 18",
        value("gateway not in tenure.settled"),
        tests=LEASES,
    ),
    Guard(
        "shares: who cannot read a list takes no gateway of it from those who can",
        "rule 19",
        NEVER,
        tests=("tests/unit/daemon/test_hand_over.py",),
    ),
    Guard(
        "shares: who has lost the outbox sends no more of its round",
        "rule 8",
        swap("self._is_ours()", "True"),
        tests=("tests/unit/notify/test_delivery.py",),
    ),
    Guard(
        "shares: no clock that is ahead takes a pause or a stop from the others",
        "rule 16",
        value("before"),
        tests=POSTGRESQL,
    ),
    Guard("shares: one replica delivers", "rule 8", value("self._notifier is not None"), tests=SHARES),
)
