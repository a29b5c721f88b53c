"""``make sim``: the real watch, client and ledger in virtual time against seeded worlds of every version.

    timeline     one world's time as an asyncio event loop: a wait costs nothing
    wiring       WebSockets without a network between the real client and the simulated gateway
    lives        the watchdog, killed after its n-th effect and started again on the same ledger
    people       who uses the sessions; weather: what goes wrong; lies: what the gateway says that is not so
    judging      the invariants, with the truth of each instant
    episodes     one seed: a world, its weather, its watchdog, and what came of it

Nothing here is told to the watchdog: it sees frames, lock files and two clocks. The judge sees the world's truth.
"""
