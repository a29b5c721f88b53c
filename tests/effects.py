"""What has an effect: the ledger's writes and the requests that do something. All others only look."""

from __future__ import annotations

LEDGER_WRITES = frozenset(
    {
        "open_incident",
        "close_incident",
        "plan_attempt",
        "claim_attempt",
        "settle_attempt",
        "note_run",
        "quarantine",
        "release",
        "owe",
        "add_note",
    }
)
"""Methods of the ledger. Its probes (``is_writable``) are none: they leave nothing behind."""
DOING = frozenset(
    {
        "agent",
        "chat.send",
        "sessions.send",
        "sessions.reset",
        "sessions.recover",
        "sessions.abort",
        "chat.abort",
        "send",
    }
)
"""Methods of a gateway."""
