"""The OpenClaw session watchdog: finds sessions that are marked running while nothing runs, recovers them, proves it.

One direction::

    gateway says  ->  evidence  ->  verdict  ->  policy + blockers  ->  plan  ->  executor  ->  ledger, outbox
    (observation)     (signals)     (health)     (may we? how?)        (step)    (deed)        (what was done, what is owed)

Nothing flows back except through the ledger and the next observation. Start reading at ``service.watch.Watch.pass_once``,
which walks that line once; ``core`` decides, ``gateway`` speaks OpenClaw, ``discovery`` finds gateways,
``service`` runs; ``ledger``, ``notify``, ``status``, ``replay`` and ``gateway_restart`` are one feature each;
``adapters`` touch the outside, ``config`` is the YAML, ``daemon`` puts it together, ``cli`` is what people type.
Beside the package, ``openclaw_simulator`` is a gateway in a box.

What must hold whatever happens:

- UNKNOWN never leads to a deed, and a proof of life outweighs any number of proofs of death (``core.evidence``).
- A run is aged by what we observed of it, on the monotonic clock, never by what its row says (``core.tracking``).
- Right before a deed the session is looked at again, and must be the same run (``service.executor``).
- A deed is committed and claimed in the ledger before it is sent, and sent at most once (``core.recovery.LIFE``).
- It worked when a later look shows it, not when the gateway says "ok" (``core.recovery.verify``).
- What a person stopped, finished or just wrote is theirs (``core.innocence``, ``core.blockers``).
"""

__version__ = "1.0.0"
PROGRAM = "openclaw-watchdog"
"""The command; what folders of ours are called; who we say that we are."""
