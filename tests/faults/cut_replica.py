"""``python -m watchdog``, with the fuse of ``tests/unit/crash``: ``CUT_AFTER`` (a number of effects, or one's name) and ``CUT_HOW``
(SIGKILL, SIGSTOP) say when and how. Effects are written into ``effects`` in the working folder."""

from __future__ import annotations

import os
import signal

from tests.unit.crash.cut_daemon import Cut
from watchdog.cli import main

if __name__ == "__main__":
    after = os.environ.get("CUT_AFTER", "")
    record = os.open("effects", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    how = signal.Signals[os.environ.get("CUT_HOW", "SIGKILL")]
    Cut(int(after) if after.isdecimal() else after or None, record, how).install()
    main()
