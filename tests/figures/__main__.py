"""``python -m tests.figures`` (``make figures``): docs/evidence.md and the tables of other documents anew, of their words and the records."""

from __future__ import annotations

from tests.figures import record

if __name__ == "__main__":
    record.write()
