"""Whether two names lead to one gateway, by what was said at the two sign-ins.

A boot id (2026.9.x) is drawn anew at every start: the same one is the same process. Earlier versions have none. There, as
long as nothing that they say of themselves differs, two sign-ins that count the same time since the start, and a session
that both list, are taken for one process. Paths alone say nothing: every container has its ``/root/.openclaw``. So do
starts: ten containers start in one second. A session id is random, and a copied machine has its own host name or start.

Limit: what is not sure is two gateways. Two watches then stay, and the ledger keeps them from acting on one run twice.
"""

from __future__ import annotations

from collections.abc import Hashable

from watchdog.core.model import ProcessSigns

START_APART = 1.0
"""Seconds between two readings of one start: the way of an answer, and a busy event loop. Each is taken on our monotonic
clock, so nobody's wall clock counts."""


def must_agree(signs: ProcessSigns) -> Hashable:
    """Where this differs, ``is_same_process`` is False: among thousands only those few have to be compared that agree in it."""
    return signs.boot_id if signs.boot_id is not None else (signs.version, signs.host)


def is_same_process(one: ProcessSigns, other: ProcessSigns, *, share_session: bool) -> bool:
    """``share_session``: some session id is listed by both."""
    if one.boot_id is not None or other.boot_id is not None:
        # guard: single: one boot id is one process behind two names
        # guard: single: another boot id is another process
        return one.boot_id == other.boot_id
    if not share_session or one.began is None or other.began is None:
        return False
    told = [(one.version, other.version), (one.host, other.host)]
    told += [
        (here, there)
        for here, there in ((one.config_path, other.config_path), (one.state_dir, other.state_dir))
        if here is not None and there is not None  # 2026.5.18 says it to admins only
    ]
    # guard: single: without boot ids, what both say of themselves is
    return all(here == there for here, there in told) and abs(one.began - other.began) <= START_APART
