"""A gateway in a box: OpenClaw as a watchdog meets it, with every version's lies and with ground truth beside them.

Start reading in ``state`` (sessions, people, time) and ``world`` (the parts), then ``profiles`` (what each version does),
``endings`` (how rows come to lie). Three ways to use it:

* ``SimulatedGateway`` (``server``): on a real socket, for ``make demo`` and for tests of the real client;
* ``InProcessGateway`` (in ``tests.simulator``): the same protocol layer in virtual time, for long simulations;
* ``World`` itself: no protocol at all.

    agenda      an event heap on virtual milliseconds          sessions    turns, runs, rows, transcripts as things
    state       the data all parts share; knows none of them   admission   lanes, queues, rows left running
    engine      a run's way from its start to its last step    endings     how it ends and what is written down
    process     start, kill, drain, freeze, boot recovery      outbound    what is said in chat apps, and where
    chatapps    people who write, what can be wrong there      cron        schedules and their log
    people      who asks, and how an author is named           rights      owners, rules by sender, tools offered
    actions     what clients do, and each version's effects    records     deeds, stalls, truth
    rpc         frames in, frames out (sans-I/O)               handshake, methods, calls, payloads, rows, history, events
    faults      seeded schedules, the wire's faults
    scenarios   named worlds with a table of truth

Invariants: nothing here reads a clock or an unseeded source of chance; equal seeds and calls give equal worlds; a row
served is exactly what that version was seen to serve (``tests/unit/openclaw_simulator/measured.json``), true or not.
Limits: see ``LIMITS``.
"""

from openclaw_simulator.profiles import PROFILES, Profile
from openclaw_simulator.world import World

LIMITS = (
    "no events but connect.challenge, tick, shutdown, sessions.changed and agent (no chat, session.message, health)",
    "no files but lock files: no transcripts, stores, gateway lock or logs on disk",
    "9.6: an abort followed by a kill within milliseconds (#146692) is not modelled",
    "9.6: a store lock so long that the gateway loses its own lease (139 s) is not modelled",
    "provider drop-outs are only modelled as retries; fallback models are not",
    "5.18: no ingress spool on disk, and what its own recovery says to a chat is assumed",
    "blocks that a person types to look like the gateway's own are not stripped from their words (3.24, 5.18)",
)

__all__ = ["LIMITS", "PROFILES", "Profile", "World"]
