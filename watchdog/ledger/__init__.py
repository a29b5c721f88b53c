"""The durable record: what was intended, what was done, what is owed to whom. Nothing else speaks SQL for it.

``ledger.SqlLedger`` is all of it (``service.ledger.Ledger``); it inherits its operations from ``incidents``, ``operator``,
``outbox`` and ``gateway_names`` and has a record of ``restarts``. Under them is a ``store``: the file in ``sqlite``, or the
database in ``postgres``; ``place`` says which.
"""
