"""One gateway, one watch: however many names lead to it, and whatever it is called."""

from __future__ import annotations

from tests.mutants.mutations import ALWAYS, DROP, NEVER, value

from .kinds import CORE, SERVICE, Guard

REFUSALS = ("tests/unit/config/test_refusals.py",)
ONE_WATCH = ("tests/unit/daemon/test_one_watch.py",)
LOCAL = ("tests/unit/discovery/test_local_gateways.py",)
SAME = (CORE + "test_same_process.py",)
ONE_RUN = ("tests/unit/ledger/test_one_run.py",)
NAMES = ("tests/unit/ledger/test_names.py",)
POSTGRESQL = ("tests/unit/ledger/test_postgresql.py",)
DEED_ORDER = (SERVICE + "test_deed_order.py",)
TWO_NAMES = (SERVICE + "test_two_names.py",)

GUARDS: tuple[Guard, ...] = (
    Guard("single: two sections whose addresses say so", "rule 19", ALWAYS, tests=REFUSALS),
    Guard("single: discovery leaves out what a section names", "rule 19", value("False"), tests=LOCAL),
    Guard("single: one boot id is one process behind two names", "rule 19", value("False"), tests=SAME),
    Guard("single: without boot ids, what both say of themselves is", "rule 19", value("False"), tests=SAME),
    Guard("single: without a boot id only a session of both proves it", "rule 19", value("True"), tests=ONE_WATCH),
    Guard("single: another boot id is another process", "rule 19", value("True"), tests=SAME),
    Guard("single: a claim goes by the run", "rule 19", DROP, tests=(*ONE_RUN, *TWO_NAMES)),
    Guard("single: one key for one deed", "rule 19", ALWAYS, tests=ONE_RUN),
    Guard("single: an intent that was never claimed gives its key back", "rule 19", value("()"), tests=DEED_ORDER),
    Guard("single: an intent that was never claimed ends with its incident", "rule 19", NEVER, tests=ONE_RUN),
    Guard("single: who holds the run is said before anything is planned", "rule 19", ALWAYS, tests=TWO_NAMES),
    Guard("single: a gateway with another name keeps its past", "rule 19", value("()"), tests=NAMES),
    Guard("single: what was sent to another place is proven by its mark alone", "rule 18", DROP, tests=NAMES),
    Guard("single: two names for one gateway have one past", "rule 19", NEVER, tests=NAMES),
    Guard("single: of two names for one gateway either may be kept", "rule 19", NEVER, tests=(*NAMES, *ONE_WATCH)),
    Guard("single: a refused name is asked before it is watched again", "rule 19", value("True"), tests=ONE_WATCH),
    Guard("single: a stop goes along with the name", "rule 16", DROP, tests=NAMES),
    Guard(
        "single: a stopped conversation is stopped under any name",
        "rule 16",
        value("[stop for stop in known if stop.gateway == gateway]"),
        tests=("tests/unit/ledger/test_contract.py",),
    ),
    Guard("single: a database has one owner", "rule 19", NEVER, tests=POSTGRESQL),
    Guard("single: only the session that holds the lock writes", "rule 19", NEVER, tests=POSTGRESQL),
    Guard("single: a session that others share is nobody's lock", "rule 19", NEVER, tests=POSTGRESQL),
    Guard("single: a transaction that the server took back is no success", "rule 19", NEVER, tests=POSTGRESQL),
    Guard("single: a database replaced, or an older copy of it, is not written to", "rule 19", NEVER, tests=POSTGRESQL),
    Guard("single: another database than last time is a loss", "rule 19", NEVER, tests=POSTGRESQL),
    Guard(
        "single: no deed before an earlier life is settled",
        "rule 19",
        NEVER,
        tests=("tests/unit/daemon/test_lost_ledger.py",),
    ),
    Guard(
        "single: a write that failed since is no proof",
        "rule 19",
        value("self._file.wrote_within(unless_written_within)"),
        tests=("tests/unit/ledger/test_probes.py",),
    ),
)
