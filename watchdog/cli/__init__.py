"""The command line: every verb of the contract, one module per group of verbs.

Facts go to stdout (one JSON document under ``--json``), logs and progress to stderr. No verb shows a traceback for what
an operator or a gateway did wrong: one sentence, and the exit code of the contract.
"""

from __future__ import annotations

from watchdog.cli.app import main

__all__ = ["main"]
