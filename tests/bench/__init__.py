"""What watching costs, measured on a real gateway: ``make bench``.

Ratios are taken within one run, side by side; absolute figures belong to the machine named above them. Nothing here passes
or fails by the clock: the exit code is 0 unless something could not be run at all.

    crowd.py     many sessions in a real gateway
    spending.py  what a process spends: wall clock, CPU, memory
    polling.py   one poll over the daemon's open socket against `openclaw gateway call`; poller.py is its process
    pages.py     the same list in pages of several sizes: bytes, and the gateway's own CPU
    watching.py  the daemon itself, left alone with many sessions
    glancing.py  polls that read everything against polls that read what can have changed (--glances)
    finding.py   how soon one stuck session among 10,000 is found (--found)
    acting.py    how soon a deed follows the moment it is allowed (--acted)
    scale.py     one daemon and a thousand gateways (--scale); fleet.py is their process
    replicas.py  several daemons on one PostgreSQL, and thousands of gateways: a command of its own
    ledger_reads.py  what a pass asks of a ledger in PostgreSQL (--ledger)
    judging.py   how fast the pure core is
    tables.py    all of it, readable
"""
