"""The fault matrix: everything around the watchdog is broken in turn, and what happened is measured (``make faults``).

Each test is one row. What its row says comes out of the test: counts of model calls, messages at a webhook, states in the
ledger. The daemon is always the real program in a process of its own; gateways are real where the fault is theirs, and
otherwise simulated ones on real sockets. Two rows need hours and are lived through in virtual time; they say so.
"""
