"""Real OpenClaw gateways, brought into known states, for the tests to watch the watchdog by.

Where to start reading: `world.py` puts one gateway, one mock model provider, one witness and (if wanted) one IRC network
with a person on it together; `stuck.py` and `healthy.py` bring sessions of such a world into a state and prove on the
wire that they are in it. Below those:

    releases.py    what the harness must know about each OpenClaw release
    install.py     npm installs in a cache folder; the Debian ngircd
    provider.py    the model: how it behaves is chosen by words in the turn, and every request is kept
    settings.py    the gateway's config document
    gateways.py    one gateway process: start, kill, stop, freeze, thaw, restart in place
    witness.py     an independent operator connection; shares no code with the watchdog
    irc.py         an IRC server on loopback and a person who writes and listens
    runs.py        beginning turns and following them
    waiting.py     every wait is on a condition, with a bound

Nothing here imports the watchdog: the harness says what is so, the tests compare the watchdog with it.
"""
