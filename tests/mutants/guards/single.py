"""One gateway, one watch: however many names lead to it, and whatever it is called."""

from __future__ import annotations

from .kinds import CORE, SERVICE, Guard

REFUSALS = ("tests/unit/config/test_refusals.py",)
ONE_WATCH = ("tests/unit/daemon/test_one_watch.py",)
LOCAL = ("tests/unit/discovery/test_local_gateways.py",)
SAME = (CORE + "test_same_process.py",)
ONE_RUN = ("tests/unit/ledger/test_one_run.py",)
NAMES = ("tests/unit/ledger/test_names.py",)
TWO_NAMES = (SERVICE + "test_two_names.py",)
_WATCHED, _INCIDENTS = "watchdog/daemon/one_watch.py", "watchdog/ledger/incidents.py"
_SAME, _GATEWAYS = "watchdog/core/same_process.py", "watchdog/ledger/gateway_names.py"

GUARDS: tuple[Guard, ...] = (
    Guard(
        "single: two sections whose addresses say so",
        "rule 19",
        "watchdog/config/checks.py",
        "        if earlier == position:\n            continue\n",
        "        continue\n",
        tests=REFUSALS,
    ),
    Guard(
        "single: discovery leaves out what a section names",
        "rule 19",
        "watchdog/discovery/local_gateways.py",
        "    return any(section.url is not None and is_same_place(section.url, gateway.url) for section in others)\n",
        "    return False\n",
        tests=LOCAL,
    ),
    Guard(
        "single: one boot id is one process behind two names",
        "rule 19",
        _SAME,
        "        return one.boot_id == other.boot_id\n",
        "        return False\n",
        tests=SAME,
    ),
    Guard(
        "single: without boot ids, what both say of themselves is",
        "rule 19",
        _SAME,
        "    return all(here == there for here, there in told) and abs(one.began - other.began) <= START_APART\n",
        "    return False\n",
        tests=SAME,
    ),
    Guard(
        "single: without a boot id only a session of both proves it",
        "rule 19",
        _WATCHED,
        "share_session=bool(_session_ids(one) & _session_ids(other)))",
        "share_session=True)",
        tests=ONE_WATCH,
    ),
    Guard(
        "single: another boot id is another process",
        "rule 19",
        _SAME,
        "        return one.boot_id == other.boot_id\n",
        "        return True\n",
        tests=SAME,
    ),
    Guard(
        "single: a claim goes by the run",
        "rule 19",
        _INCIDENTS,
        'if mine is None or _holder(transaction, mine["incident"], mine["gateway"], mine["run"], at) is not None:',
        "if mine is None:",
        tests=(*ONE_RUN, *TWO_NAMES),
    ),
    Guard(
        "single: one key for one deed",
        "rule 19",
        _INCIDENTS,
        'f"ocw-{incident_id}-{number}" if run is None else _idempotency_key(transaction, run)',
        'f"ocw-{incident_id}-{number}"',
        tests=ONE_RUN,
    ),
    Guard(
        "single: who holds the run is said before anything is planned",
        "rule 19",
        "watchdog/service/plan.py",
        "    if holder is None:\n        return None\n",
        "    if holder is None or True:\n        return None\n",
        tests=TWO_NAMES,
    ),
    Guard(
        "single: a gateway with another name keeps its past",
        "rule 19",
        _GATEWAYS,
        "    for before, after in renamed:\n",
        "    for before, after in ():\n",
        tests=NAMES,
    ),
    Guard(
        "single: a stop goes along with the name",
        "rule 16",
        _GATEWAYS,
        '    transaction.execute("UPDATE OR IGNORE stops SET gateway = ? WHERE gateway = ?", after, before)\n',
        "",
        tests=NAMES,
    ),
    Guard(
        "single: a stopped conversation is stopped under any name",
        "rule 16",
        _INCIDENTS,
        "WHERE gateway = ? OR session_id IS NOT NULL ORDER BY id",
        "WHERE gateway = ? ORDER BY id",
        tests=("tests/unit/ledger/test_contract.py",),
    ),
)
