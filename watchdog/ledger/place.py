"""Where a ledger is kept: in a file of the state folder, or in a PostgreSQL database. Opened in one way."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.ledger.ledger import SqliteLedger, SqlLedger
from watchdog.ledger.sqlite_open import ledger_path
from watchdog.ledger.store import Access
from watchdog.service.errors import LedgerMisconfigured
from watchdog.service.ports import Clock

if TYPE_CHECKING:
    from watchdog.ledger.postgres import PostgresStore


@dataclass(frozen=True, slots=True)
class LedgerPlace:
    """``url``: of the database, perhaps with a password; None: the file."""

    folder: Path
    clock: Clock
    url: str | None = field(default=None, repr=False)

    @property
    def path(self) -> Path:
        return ledger_path(self.folder)

    @property
    def exists(self) -> bool:
        """There is something to open. A database says itself what it lacks."""
        return self.url is not None or self.path.exists()

    def open(self, *, owner: bool = False, tolerant: bool = False, share_term: timedelta | None = None) -> SqlLedger:
        """As ``SqliteLedger.open``. ``share_term``: of the leases of the owners that share a
        database; None: it has one. Of a file there is one owner."""
        if self.url is None:
            return SqliteLedger.open(
                self.path,
                owner=owner,
                tolerant=tolerant,
                wall=lambda: self.clock.now().wall,
                monotonic=lambda: self.clock.now().monotonic,
            )
        access = Access.OWNER if owner else Access.WRITER
        return SqlLedger.connected(self._store(self.url, access, share_term), tolerant=tolerant)

    def open_read_only(self) -> SqlLedger:
        """As ``SqliteLedger.open_read_only``."""
        if self.url is None:
            return SqliteLedger.open_read_only(self.path, wall=lambda: self.clock.now().wall)
        return SqlLedger.connected(self._store(self.url, Access.READER))

    def _store(self, url: str, access: Access, share_term: timedelta | None = None) -> PostgresStore:
        try:
            from watchdog.ledger.postgres import LongestWaits, PostgresStore
        except ImportError:
            raise LedgerMisconfigured(
                "ledger: for PostgreSQL openclaw-watchdog needs psycopg; install openclaw-watchdog[postgresql]."
            ) from None
        if share_term is None:
            return PostgresStore(url, access, self.clock, self.folder)
        # A lease must not end only because a connection did.
        limits = LongestWaits(pause=min(LongestWaits().pause, share_term / timedelta(seconds=6)))
        return PostgresStore(url, access, self.clock, self.folder, limits=limits, is_shared=True)
