"""The founding incidents, on the real products, with an independent operator as witness.

Each session is stuck for a real reason, is flagged, resumed once and proved; the interrupted request is in what the model
receives, in the same transcript. Beside them, on every version, sessions nobody may touch: one more model call, one
message or a changed row is a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.harness.conditions import monotonic, until

from .harness import healthy
from .harness.daemon import Watchdog
from .harness.healthy import Bystander
from .harness.releases import V3_24, V4_14, V5_18, V9_6, Release
from .harness.routes import Web
from .harness.runs import after_tool_results, in_first_turn, in_model_call, in_stream
from .harness.stuck import (
    CRON_KEY,
    Stuck,
    by_freeze,
    by_kill,
    by_lost_write,
    by_restart_in_place,
    by_run_timeout,
    by_termination,
    lock_transcript,
)
from .harness.world import World

pytestmark = pytest.mark.e2e

PATIENT = {"poll_every": "4s", "thresholds": {"stuck_after": "12s", "startup_grace": "45s"}}
"""For a daemon that watches while the makers still prove their sessions stuck: it must not be quicker than they are. And
a dozen sessions looked at every second keep 2026.5.18 so busy that it calls itself degraded, and nothing is done."""
QUIET_AFTER = 12.0
"""Seconds in which bystanders are watched once more after the last recovery; a dozen polls."""
LONG_TEXT = "Here is what the archive says of them. " * 500
"""More than ``chat.history`` shows of a text unless it is asked for all of it."""


def web(name: str) -> Web:
    return Web(f"agent:main:{name}")


def bystanders_of(world: World) -> list[Bystander]:
    """Everything healthy that looks stuck: streaming, silent, in a tool, begun by another program, queued, stopped."""
    return [
        healthy.slow_stream(world, web("streams")),
        healthy.silent_call(world, web("silent")),
        healthy.long_tool(world, web("tool")),
        healthy.agent_rpc(world, "agent:main:program"),
        healthy.queued_behind(world, web("queued")),
        healthy.stopped_by_user(world, web("stopped")),
        healthy.stopped_by_user(world, web("stopped-silent"), streaming=False),
    ]


def require_held(watchdog: Watchdog, sessions: Sequence[Stuck]) -> None:
    """Each was flagged, and is left to its people: whether to go on with it is in doubt, and there is no chat to ask in."""
    for session in sessions:
        held = watchdog.wait_for("recovery.held", session=session.key, step="resume", within=300)
        assert "requester_unknown" in held["blockers"]


def require_resumed(world: World, watchdog: Watchdog, sessions: Sequence[Stuck]) -> None:
    """Each was flagged, resumed once, and proved by its row; the model saw the request; the transcript went on. But for a
    first turn: nothing of it is left, and nobody's chat is known to ask in, so it is held and reported."""
    lost = [session for session in sessions if session.run.is_first_turn]
    require_held(watchdog, lost)
    sessions = [session for session in sessions if not session.run.is_first_turn]
    for session in sessions:
        watchdog.wait_for("session.stuck", session=session.key, within=300)
    for session in sessions:
        said = watchdog.wait_for("recovery.succeeded", session=session.key, within=300)
        assert said["step"] == "resume"
        assert len(watchdog.events("recovery.started", session=session.key)) == 1
        row = world.await_status(session.key, "done")  # proved by its progress, the new run may go on for a moment
        assert row["sessionId"] == session.row["sessionId"], "resume keeps the transcript"
    by_session = {incident["session"]: incident for incident in watchdog.history()}
    for session in sessions:
        incident = by_session[session.key]
        assert incident["outcome"] == "recovered"
        assert [attempt["state"] for attempt in incident["attempts"]] == ["succeeded"]
        mark = f"[openclaw-watchdog {incident['id']}/1]"
        calls = world.provider.calls_showing(mark)
        assert len(calls) == 1, f"{session.key}: {len(calls)} model calls for one resume turn"
        assert calls[0].shows(session.request), f"{session.key}: the interrupted request is not in the model's input"
    assert not any(watchdog.events("recovery.started", session=session.key) for session in lost)


def test_2026_3_24_eleven_at_once_of_several_kinds(tmp_path: Path) -> None:
    """#59878: runs die, abort says no-active-run (the makers prove it), a restart does not clear the rows."""
    with World(V3_24, tmp_path / "gateway") as world:
        runs = [
            *(in_model_call(world, web(f"call-{number}")) for number in range(3)),
            *(in_stream(world, web(f"stream-{number}")) for number in range(3)),
            *(after_tool_results(world, web(f"loop-{number}")) for number in range(3)),
            in_first_turn(world, web("first-turn")),
            in_model_call(world, web("main")),
        ]
        stuck = by_kill(world, runs)
        bystanders = bystanders_of(world)
        with Watchdog(world.gateway, tmp_path / "watchdog") as watchdog:
            require_resumed(world, watchdog, stuck)
            healthy.stay_untouched(world, bystanders, for_seconds=QUIET_AFTER)
            assert watchdog.stop() == 0


def test_2026_3_24_without_its_files_is_told_not_touched(tmp_path: Path) -> None:
    """From another machine nothing tells a live run from a dead one before a restart: UNKNOWN, whatever the truth."""
    with World(V3_24, tmp_path / "gateway", run_timeout_seconds=30) as world:
        stuck = by_run_timeout(world, web("timed-out"))
        bystander = healthy.stopped_by_user(world, web("stopped"))
        with Watchdog(world.gateway, tmp_path / "watchdog", is_local=False) as watchdog:
            watchdog.wait_for("session.unknown", session=stuck.key)
            calls = len(world.provider.calls)
            healthy.stay_untouched(world, [bystander], for_seconds=QUIET_AFTER)
            assert len(world.provider.calls) == calls
            assert not watchdog.events("recovery.started")


def test_2026_3_24_a_run_that_hit_its_time_limit(tmp_path: Path) -> None:
    """No restart at all: the run times out, the row stays; the configured limit tells it from a Stop."""
    with World(V3_24, tmp_path / "gateway", run_timeout_seconds=30) as world:
        stuck = by_run_timeout(world, web("timed-out"))
        stopped = healthy.stopped_by_user(world, web("stopped-silent"), streaming=False)
        with Watchdog(world.gateway, tmp_path / "watchdog") as watchdog:
            require_resumed(world, watchdog, [stuck])
            healthy.stay_untouched(world, [stopped], for_seconds=QUIET_AFTER)


def test_2026_4_14_killed_in_a_tool_loop(tmp_path: Path) -> None:
    """#70555: tool results are persisted, no answer follows; the resumed turn sees the results."""
    with World(V4_14, tmp_path / "gateway") as world:
        runs = [after_tool_results(world, web("loop"), results=3), in_model_call(world, web("call"))]
        stuck = by_kill(world, runs)
        bystanders = bystanders_of(world)
        with Watchdog(world.gateway, tmp_path / "watchdog") as watchdog:
            require_resumed(world, watchdog, stuck)
            resumed = world.provider.calls_showing("[openclaw-watchdog")
            loop = next(call for call in resumed if call.shows(stuck[0].request))
            assert len(loop.texts("tool")) >= 3, "the tool results of the interrupted turn reach the model again"
            healthy.stay_untouched(world, bystanders, for_seconds=QUIET_AFTER)


def test_2026_4_14_restarted_mid_run_in_the_same_process(tmp_path: Path) -> None:
    """#3245: an in-process restart (a config change) cuts the runs; pid and uptime go on, transcripts look stopped. They are
    told; a request that its person may have stopped in that second is asked for, and in the browser nobody can be asked."""
    with World(V4_14, tmp_path / "gateway") as world:
        runs = [in_model_call(world, web("call")), in_stream(world, web("stream"))]
        with Watchdog(world.gateway, tmp_path / "watchdog", extra=PATIENT) as watchdog:
            watchdog.wait_for("cycle.finished", running=2)
            stuck = by_restart_in_place(world, runs)
            watchdog.wait_for("gateway.disconnected")
            stopped = healthy.stopped_by_user(world, web("stopped"))
            require_held(watchdog, stuck)
            healthy.stay_untouched(world, [stopped], for_seconds=QUIET_AFTER)
            assert not watchdog.events("recovery.started")


def test_2026_4_14_a_session_file_locked_by_a_live_process(tmp_path: Path) -> None:
    """#62981: recognised, told, the lock never deleted, no resume until its holder is gone."""
    with World(V4_14, tmp_path / "gateway") as world:
        (stuck,) = by_kill(world, [in_model_call(world, web("locked"))])
        with Watchdog(world.gateway, tmp_path / "watchdog") as watchdog:
            with lock_transcript(world, stuck) as lock:
                held = watchdog.wait_for("recovery.held", session=stuck.key)
                assert "session_locked" in held["blockers"]
                assert str(lock.pid) in held["reason"]
                calls = len(world.provider.calls)
                healthy.stay_untouched(world, [], for_seconds=QUIET_AFTER)
                assert lock.path.exists()
                assert len(world.provider.calls) == calls
                assert not watchdog.events("recovery.started")
            require_resumed(world, watchdog, [stuck])


def test_2026_5_18_hung_for_a_while_then_stale_rows(tmp_path: Path) -> None:
    """#84931: the gateway hangs (SIGSTOP), handshakes time out, somebody restarts it, the rows stay running."""
    with World(V5_18, tmp_path / "gateway") as world:
        runs = [
            in_model_call(world, web("call")),
            after_tool_results(world, web("loop")),
            in_stream(world, web("stream")),
            in_first_turn(world, web("first-turn")),
        ]
        with Watchdog(world.gateway, tmp_path / "watchdog", extra=PATIENT) as watchdog:
            watchdog.wait_for("cycle.finished", running=4)
            stuck = by_freeze(world, runs, seconds=40)
            unwell = watchdog.wait_for("gateway.disconnected", phase="unresponsive")
            assert "not answered" in unwell["reason"] or "handshake" in unwell["reason"]
            watchdog.wait_for("gateway.restarted")
            bystanders = bystanders_of(world)
            require_resumed(world, watchdog, stuck)
            healthy.stay_untouched(world, bystanders, for_seconds=QUIET_AFTER)


def test_2026_5_18_stopped_by_its_supervisor(tmp_path: Path) -> None:
    """SIGTERM in the middle of a turn: "completed cleanly", and the row stays running."""
    with World(V5_18, tmp_path / "gateway") as world:
        stuck = by_termination(world, [in_model_call(world, web("call"))])
        with Watchdog(world.gateway, tmp_path / "watchdog") as watchdog:
            require_resumed(world, watchdog, stuck)


def test_2026_9_6_a_lost_terminal_write(tmp_path: Path) -> None:
    """The live one: no restart, the store was locked when the run ended, nothing will ever end the row."""
    with World(V9_6, tmp_path / "gateway") as world:
        stuck = by_lost_write(world, web("lost"))
        bystanders = bystanders_of(world)
        with Watchdog(world.gateway, tmp_path / "watchdog") as watchdog:
            require_resumed(world, watchdog, [stuck])
            healthy.stay_untouched(world, bystanders, for_seconds=QUIET_AFTER)
            assert watchdog.stop() == 0


def test_2026_9_6_a_background_key_needs_a_policy(tmp_path: Path) -> None:
    """A cron key is reported, not touched, until a policy of the user's asks for more."""
    with World(V9_6, tmp_path / "gateway") as world:
        (stuck,) = by_kill(world, [in_model_call(world, Web(CRON_KEY))])
        bystanders = bystanders_of(world)
        with Watchdog(world.gateway, tmp_path / "told") as watchdog:
            held = watchdog.wait_for("recovery.held", session=stuck.key)
            assert held["blockers"] == ["notify_only"]
            healthy.stay_untouched(world, bystanders, for_seconds=QUIET_AFTER)
            assert not watchdog.events("recovery.started")
            assert watchdog.stop() == 0
        policy = {"name": "nightly", "match": {"kind": "cron"}, "recovery": {"ladder": ["resume"]}}
        with Watchdog(world.gateway, tmp_path / "asked", extra={"policies": [policy]}) as watchdog:
            require_resumed(world, watchdog, [stuck])
            healthy.stay_untouched(world, bystanders, for_seconds=QUIET_AFTER)


@pytest.mark.parametrize("release", [V3_24, V4_14, V5_18, V9_6], ids=lambda release: release.version)
def test_a_fresh_session_by_hand(release: Release, tmp_path: Path) -> None:
    """`recover --step new`: the row is cleared on every version, and the last request lies in the handoff note: whole, but on
    2026.3.24, which gives a text of more than 12,000 characters to nobody."""
    with World(release, tmp_path / "gateway") as world:
        if release is V9_6:
            stuck = by_lost_write(world, web("lost"), pasted=LONG_TEXT)
        else:
            (stuck,) = by_kill(world, [in_model_call(world, web("lost"), pasted=LONG_TEXT)])
        watchdog = Watchdog(world.gateway, tmp_path / "watchdog")

        def has_time() -> bool:
            """One that has just started can take longer than a person's command waits: 2026.4.14 took 17 s for its first
            history on a busy machine."""
            began = monotonic()
            with world.gateway.witness() as person:
                health = person.call("health", within=90)
                person.call("chat.history", {"sessionKey": stuck.key}, within=90)
            return monotonic() - began < 2 and not health.get("eventLoop", {}).get("degraded")

        until("the gateway has time for a person", has_time, within=120)
        done = watchdog.verb("recover", stuck.key, "--step", "new", "--yes", "--json")
        assert done.code == 0, done.out + done.err
        assert done.json()["recovered"] is True
        (incident,) = watchdog.history()
        assert len(incident["attempts"]) == 1
        row = world.row(stuck.key)
        assert row.get("status") != "running"
        (note,) = (tmp_path / "watchdog" / "state" / "handoff").iterdir()
        is_whole = release is not V3_24
        assert (stuck.request in note.read_text()) is is_whole
        assert is_whole or f"{stuck.request[:12_000]}\n...(truncated)..." in note.read_text()
        assert note.stat().st_mode & 0o777 == 0o600
