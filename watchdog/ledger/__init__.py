"""The durable record: what was intended, what was done, what is owed to whom. Nothing else imports ``sqlite3`` for it.

``ledger.SqliteLedger`` is all of it (``service.ledger.Ledger``); it inherits its operations from ``incidents``, ``operator``,
``outbox`` and ``gateway_names`` and has a record of ``restarts``; ``sqlite`` is the file under them.
"""
