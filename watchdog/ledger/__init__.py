"""The durable record: what was intended, what was done, what is owed to whom. Nothing else imports ``sqlite3`` for it.

``ledger.SqliteLedger`` is all of it (``service.ledger.Ledger``); ``incidents``, ``operator``, ``outbox``, ``restarts`` and
``gateway_names`` are its operations; ``sqlite`` is the file under them.
"""
