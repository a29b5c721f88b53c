"""``python -m watchdog``: the same as ``openclaw-watchdog``."""

from watchdog.cli import main

main()
