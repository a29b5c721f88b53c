"""Handoff notes in the ledger's own database, where whichever replica and person needs them finds them.

Invariants, as of files (``adapters.notes``): a note is whole or not there, durable before ``save`` returns, and never overwritten:
the same text is the same row, another text for the same attempt a row of its own. It goes with its incident, and is written under
the same fence as everything else about that. A note holds a person's words. Who may read them is who may read the table, and that
need not be us: nothing here reads it. They never stand in a statement's text (``store.Words``), which servers log when it fails.
"""

from __future__ import annotations

import hashlib

from watchdog.ledger.rows import to_ms
from watchdog.ledger.store import Operations, Words


class LedgerNotes(Operations):
    """``service.ledger.Notes`` in table ``note_texts``."""

    def save(self, incident: str, number: int, text: str) -> str:
        """Returns where to look for it; people read it with ``psql``. ``LedgerError``: it is not kept, no deed then."""
        digest = hashlib.blake2s(text.encode("utf-8", "replace")).hexdigest()
        with self._file.writing() as transaction:
            transaction.execute(
                # Without naming what conflicts: that would need the right to read it.
                "INSERT INTO note_texts (incident, number, digest, words, created_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                incident,
                number,
                digest,
                Words(text),
                to_ms(self._file.wall_now()),
            )
        return f"table note_texts of {self._file.where}, incident {incident}"
