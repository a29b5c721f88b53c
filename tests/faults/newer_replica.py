"""``python -m watchdog`` of a version to come, whose ledger has one table more."""

from __future__ import annotations

from watchdog.cli import main
from watchdog.ledger import schema
from watchdog.ledger.postgres import PostgresStore

TO_COME: schema.Migration = ("CREATE TABLE to_come (only_row INTEGER PRIMARY KEY) STRICT",)

if __name__ == "__main__":
    defaults = PostgresStore.__init__.__kwdefaults__
    assert defaults is not None
    defaults["migrations"] = (*schema.MIGRATIONS, TO_COME)
    main()
