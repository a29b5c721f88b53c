"""What a verb's exit status says: a closed set, and the only one that verbs may leave with.

The numbers are part of the contract with users (scripts, units, Nagios): add, never renumber. One number may say several things, each
of another verb; its names are aliases then. ``docs/reference/exit-statuses.md`` is made of the words below the names.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How it ended."""

    DONE = 0
    """done; `run`: stopped in good order"""
    NOTHING_SUSPECT = 0
    """`check`: ok"""
    RUNS = 0
    """`service status`: it runs"""

    NOT_DONE = 1
    """not done. `recover`: not recovered; `doctor`: something FAILs; `notify test`: a target did not take it, or none is configured; `approve`: a gateway could not be asked, or an approval was not given; `demo`: a stuck session was not recovered, or another was touched; `init`: the file exists; a key that no gateway has, or several"""
    WARNING = 1
    """`check`: something is suspect, or runs long"""

    WRONG_USE = 2
    """wrong use, of every verb but `check`"""
    STUCK = 2
    """`check`: something is stuck"""

    UNKNOWN = 3
    """`check`: unknown, or it could not look (wrong use and a refused configuration included)"""
    NO_DAEMON = 3
    """`status`, `top --once`, `top` in a pipe: no daemon runs; `status --live`: none whose passes end"""
    STOPPED = 3
    """`service status`: it is stopped"""

    NOT_INSTALLED = 4
    """`service status`: it is not installed"""

    NO_RECORDING = 65
    """`replay`: it is no recording that can be read"""
    NOT_OPENED = 66
    """`replay`: it cannot be opened"""

    CANNOT_WORK = 69
    """it can never start, or cannot work here (ledger in use by another watchdog or written by a newer version, no service manager)"""

    CONFIG_REFUSED = 78
    """the configuration is refused, or names no such gateway"""

    READER_LEFT = 141
    """whoever read what it prints left before the end (`… | head -1`), as of other programs in a pipe; `check` keeps its own, and `run` goes on watching, also where nobody reads its log any more"""
