"""Owner signals: proofs of life, and what is no proof of death."""

from __future__ import annotations

from tests.mutants.mutations import DROP, NEVER, value

from .kinds import EVIDENCE, GATEWAY, Guard

GUARDS: tuple[Guard, ...] = (
    Guard("active flag is life", "long silent tool", NEVER, ("140671", "144574"), EVIDENCE),
    Guard(
        "version gate of the flag",
        "invisible channel run",
        value("(2026, 5, 12)"),
        ("98257-live-telegram", "85532"),
        (GATEWAY + "test_capabilities.py",),
    ),
    Guard("blind flag is unknown", "invisible channel run", NEVER, ("98257-live-telegram", "82382-busy"), EVIDENCE),
    Guard("missing flag is unknown", "missing fields", NEVER, ("flag-missing",), EVIDENCE),
    Guard("listed run ids are life", "missing fields", NEVER, ("run-ids-listed",), EVIDENCE),
    Guard("run in flight by history", "invisible channel run", NEVER, ("run-in-flight-by-history",), EVIDENCE),
    Guard(
        "lock of the gateway is life",
        "invisible channel run",
        NEVER,
        ("98257-live-irc-run-3-24", "62981-cli"),
        EVIDENCE,
    ),
    Guard("lock of another process is life", "invisible channel run", NEVER, ("62981-run-by-the-cli",), EVIDENCE),
    Guard("unreadable lock is unknown", "missing fields", NEVER, ("60258-lock-unreadable",), EVIDENCE),
    Guard("no lock proves nothing since 5.18", "invisible channel run", NEVER, ("98257-live-telegram",), EVIDENCE),
    Guard("a program's run holds no lock", "invisible channel run", NEVER, ("live-claude-cli-run-4-14",), EVIDENCE),
    Guard(
        "a program may take over without a word in the row",
        "invisible channel run",
        NEVER,
        ("live-run-by-fallback-to-a-program",),
        EVIDENCE,
    ),
    Guard("refused abort is life", "invisible channel run", NEVER, ("98257-live-web-run",), EVIDENCE),
    Guard(
        "no abort probe where it kills",
        "invisible channel run",
        value("FIRST_WITH_STATUS <= version"),
        ("measured-lock-made",),
        (GATEWAY + "test_capabilities.py",),
    ),
    Guard(
        "busy gateway proves nothing", "invisible channel run", DROP, ("98257-live-telegram", "82382-busy"), EVIDENCE
    ),
    Guard("set clock of the gateway", "host sleep or clock jump", NEVER, ("gateway-clock-set-back",), EVIDENCE),
    Guard("alive under another key", "one session under two keys", NEVER, ("83484-alive",), EVIDENCE),
)
