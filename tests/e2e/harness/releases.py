"""What the harness must know about each OpenClaw release: how to install it and which states it can be brought into.

This is deliberately not the watchdog's own table of capabilities: two tables written apart can disagree, one cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Release:
    """One OpenClaw version."""

    version: str
    node: int
    """Major version of Node.js it is run with."""
    overrides: tuple[tuple[str, str], ...] = ()
    """npm overrides without which the install or the start fails."""
    npm_flags: tuple[str, ...] = ()
    tells_active_runs: bool = True
    """Rows carry `hasActiveRun`."""
    resumes_on_boot: bool = False
    """Ordinary sessions found running at boot are resumed by the gateway itself."""
    keeps_sessions_in_sqlite: bool = False
    locks_transcripts: bool = False
    """`<sessionId>.jsonl.lock` is held for the whole of a run."""
    restarts_on_sigusr1: bool = True
    agents_without_skills: bool = False
    """With skills, every second turn of a session fails."""
    needless_plugins: tuple[str, ...] = ()
    """Bundled, on by default, and busy at start (this one has npm fetch a program from the network)."""
    gives_up_silent_models: bool = False
    """A model that says nothing for two minutes is asked again, unless its provider has a time limit of its own."""
    ends_silent_runs: bool = False
    """A run that has been silent for six minutes is ended, unless ``diagnostics.stuckSessionAbortMs`` says otherwise, which
    came with 2026.5.12."""
    gives_up_after_a_minute: bool = False
    """The same after one minute, whatever the run's own limit is, unless ``agents.defaults.llm.idleTimeoutSeconds`` says
    otherwise. Its row stays ``running`` then (2026.4.2)."""
    empties_transcript: bool = False
    """While a run goes on its session's file is empty: the gateway takes the last answer out of it at the start of a turn (seen
    on 2026.5.2; in its source, and not in that of 4.29 and 5.3-1)."""
    silent_in_groups: bool = False
    """What the model says to a group is not posted unless it uses a tool for it (its changelog: the default from 2026.4.27
    on, and taken back in 2026.5.18)."""
    bundles_irc: bool = True
    private_topics_in_main: bool = False
    """A topic in a private chat has no session of its own."""
    lock_under_state_dir: bool = False
    """The gateway's own lock file; otherwise it lies in the temporary folder of the system."""


# linkedom from 0.18.13 on depends on a package that is gone from the registry; libsignal (WhatsApp only) comes from git.
_GONE = (("linkedom", "0.18.12"), ("libsignal", "npm:empty-npm-package@1.0.0"))
_NO_PEERS = ("--omit=peer", "--legacy-peer-deps")

V3_24 = Release(
    "2026.3.24",
    22,
    _GONE,
    _NO_PEERS,
    tells_active_runs=False,
    locks_transcripts=True,
)
V4_2 = replace(V3_24, version="2026.4.2")
"""The last that approves a device on its own machine with what it asks for first, and for nothing later. Not among ``RELEASES``:
its door alone is tried."""
V4_14 = Release(
    "2026.4.14",
    22,
    _GONE,
    _NO_PEERS,
    needless_plugins=("acpx",),
    tells_active_runs=False,
    locks_transcripts=True,
)
V5_18 = Release(
    "2026.5.18",
    22,
    _GONE,
    agents_without_skills=True,
    gives_up_silent_models=True,
    ends_silent_runs=True,
    private_topics_in_main=True,
)
V9_6 = Release(
    "2026.9.6",
    26,
    resumes_on_boot=True,
    keeps_sessions_in_sqlite=True,
    restarts_on_sigusr1=False,
    agents_without_skills=True,
    bundles_irc=False,
    lock_under_state_dir=True,
)
V8_2 = replace(V9_6, version="2026.8.2")
"""Not among ``RELEASES``: only what it does at a tombstone is tried."""
RELEASES = (V3_24, V4_14, V5_18, V9_6)


def release(version: str) -> Release:
    return next(known for known in (*RELEASES, V4_2) if known.version == version)
