"""Every stable OpenClaw release from 2026.3.24 on, one after the other: ``make releases``.

Each is installed, signed in to, watched while it works, cut off by kill -9, and deleted again; what was seen goes into
``record.json``, and from there into ``docs/compatibility.md``. It takes hours and is never part of CI.

    published.py  which releases there are, how each is installed, and which one is worth trying next
    trial.py      one release, from its install to its end; a process of its own, so that it can be bounded
    observed.py   the shapes and facts that are seen on the way, held against what the watchdog believes
    record.py     the record, and the document that is made of it
    __main__.py   one after the other
"""
