"""The figures of the documents: what the measuring commands recorded (``records/``), and docs/evidence.md made of it.

A measuring command with ``--record`` writes its figures and their date into ``records/<name>.json`` and the document anew.
The document's words are in ``evidence.md``, where ``{sim[deeds]:,}`` is a figure of ``records/sim.json``; its tables are in
``document.py``. After a change of either: ``make figures``.
"""
