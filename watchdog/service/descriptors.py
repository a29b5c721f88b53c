"""File descriptors: every socket and open file of this process needs one, and there is a limit.

Without any left nothing can be opened: no connection to a gateway, no file, no message. That is this process's own
shortage and says nothing about who could not be reached.
"""

from __future__ import annotations

import errno
import os
import re
import resource

ENOUGH = 65_536
"""What the soft limit is raised to, where the hard limit allows it."""
MACOS_MOST = 10_240
"""macOS refuses more than OPEN_MAX while the hard limit is "unlimited"."""
A_GATEWAY = 2
"""What is kept open for one gateway: its connection, and the file of its recording."""
BESIDE = 64
"""For the ledger, the log, short connections for deeds, messages and open files."""

_SHORT = frozenset({errno.EMFILE, errno.ENFILE})
_IN_WORDS = re.compile(r"\[Errno (\d+)\]")


def limit() -> int | None:
    """The soft limit; None: there is none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def reachable(enough: int = ENOUGH) -> int:
    """What ``raise_limit`` can come to, by the hard limit of this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return enough if hard == resource.RLIM_INFINITY else min(enough, hard)


def raise_limit(enough: int = ENOUGH) -> int | None:
    """Raise the soft limit to the hard one, but no further than ``enough``; returns the limit now in force. Never raises."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (enough, MACOS_MOST):
        wished = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft == resource.RLIM_INFINITY or wished <= soft:
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wished, hard))
        except (OSError, ValueError):
            continue  # a hardened unit forbids it, or macOS does not take that many
        break
    return limit()


def needed(gateways: int) -> int:
    """What watching so many gateways takes."""
    return A_GATEWAY * gateways + BESIDE


def are_left() -> bool:
    """Whether one more file could be opened now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as problem:
        return problem.errno not in _SHORT
    return True


def is_shortage(problem: BaseException) -> bool:
    """Whether ``problem``, or what it was raised from, comes from a want of descriptors.

    Some libraries hide it (SQLite: "unable to open database file"; a name that cannot be resolved), so one is opened as a
    trial too: who has none left could not have opened anything else either.
    """
    cause: BaseException | None = problem
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError):
            # asyncio puts the answers of several addresses in one text.
            found = {cause.errno} if cause.errno is not None else {int(n) for n in _IN_WORDS.findall(str(cause))}
            if found & _SHORT:
                return True
        cause = cause.__cause__ or cause.__context__
    return not are_left()


def shortage() -> str:
    """The sentence for it."""
    most = limit()
    of = f" of {most}" if most is not None else ""
    return (
        f"this process has no file descriptors left{of}, so it can open nothing; raise LimitNOFILE of its service "
        "(`ulimit -n` in a shell) and restart it"
    )
