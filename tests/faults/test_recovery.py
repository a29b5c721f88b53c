"""Recovery itself meets resistance: a model that hangs in our turn, a word that clears nothing, a lock, another watchdog."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness.conditions import until
from tests.e2e.harness.provider import Silence
from tests.e2e.harness.releases import V3_24, V4_14, V5_18
from tests.e2e.harness.runs import in_model_call
from tests.e2e.harness.stuck import by_kill, lock_transcript
from tests.e2e.harness.world import World
from tests.faults.tally import reckon

from .report import Row
from .stories import OURS, cut, deeds, nothing_for, recovered, turns, watching, web
from .webhook import Webhook

pytestmark = pytest.mark.gateways


@pytest.mark.faults("model hangs during our resume turn")
def test_hanging_turn(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on(f"gateway {V3_24.version}")
    with World(V3_24, tmp_path / "gateway") as world:
        run = in_model_call(world, web("cut"))
        world.provider.on(OURS, Silence())
        cut(world, [run])
        with watching(world, tmp_path / "watchdog", hook, {"recovery": {"verify_within": "12s"}}) as watchdog:
            said = watchdog.wait_for("recovery.ineffective", session=run.key)
            nothing_for(world, watchdog, 20)
            resumes = turns(world)
            # Somebody restarts the gateway; the model still hangs in such turns, so the next rung has to do it.
            cut(world, [])
            watchdog.wait_for("recovery.succeeded", session=run.key, within=240)
            result = reckon(watchdog, hook, world.provider)
            steps = [f"{attempt['step']} {attempt['state']}" for attempt in result.attempts]
            row.saw(
                f"rung ended ineffective ({said['reason']}), {resumes} turn sent; after a restart: {', '.join(steps)}"
            )
            row.saw(result.sentence())
            # The hanging turn is in the transcript of whatever is asked afterwards in that session: counted by what was said last.
            row.lost([] if turns(world) == 1 else [f"{turns(world)} resume turns"])
            row.lost(loss for loss in result.losses if not loss.startswith(OURS))
            assert watchdog.stop() == 0


@pytest.mark.faults("`/new` that clears nothing")
def test_new_without_effect(row: Row, hook: Webhook, tmp_path: Path) -> None:
    """A person types /new into a stuck session of 2026.5.18: a new session id, the row runs on. The greeting is answered,
    so there is nothing to resume, and a second fresh session would take away the one they just made."""
    row.on(f"gateway {V5_18.version}")
    with World(V5_18, tmp_path / "gateway") as world:
        (stuck,) = by_kill(world, [in_model_call(world, web("cut"))])
        with world.gateway.witness() as person:
            person.chat(stuck.key, "/new")
        until(
            "the session has a new id",
            lambda: world.row(stuck.key).get("sessionId") != stuck.row["sessionId"],
            within=60,
        )
        left = world.row(stuck.key)
        assert left["status"] == "running"
        with watching(world, tmp_path / "watchdog", hook) as watchdog:
            held = watchdog.wait_for("recovery.held", session=stuck.key, blockers=["work_finished"], within=240)
            nothing_for(world, watchdog, 15)
            marker = world.fresh_marker("NEXT")
            world.witness.send(stuck.key, f"are you there? {marker}")
            world.provider.await_call(marker)
            watchdog.wait_for("session.cleared", session=stuck.key, within=240)
            result = reckon(watchdog, hook, world.provider).require([stuck.key], "cleared")
            row.saw(f"/new left the row {left['status']} under a new id; held by {', '.join(held['blockers'])}")
            row.saw(f"the person's next message ended it: {result.sentence()}; {deeds(watchdog)} deeds")
            row.lost([*result.losses, *([f"{deeds(watchdog)} deeds"] if deeds(watchdog) else [])])
            assert watchdog.stop() == 0


@pytest.mark.faults("session file locked by a live process")
def test_locked(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on(f"gateway {V4_14.version}")
    with World(V4_14, tmp_path / "gateway") as world:
        (stuck,) = by_kill(world, [in_model_call(world, web("locked"))])
        with watching(world, tmp_path / "watchdog", hook) as watchdog:
            with lock_transcript(world, stuck) as lock:
                held = watchdog.wait_for("recovery.held", session=stuck.key)
                nothing_for(world, watchdog, 15)
                kept, named = lock.path.exists(), str(lock.pid) in str(held["reason"])
            result = recovered(world, watchdog, hook, [stuck.key])
            row.saw(f"held by {', '.join(held['blockers'])}, its holder {'named' if named else 'not named'}")
            row.saw(f"lock file {'untouched' if kept else 'gone'}; after the holder's end: {result.sentence()}")
            row.lost([*result.losses, *([] if kept else ["a lock was deleted"])])
            assert watchdog.stop() == 0


@pytest.mark.faults("two machines watch one gateway")
def test_two_machines(row: Row, hook: Webhook, tmp_path: Path) -> None:
    """The first one's turn is cut by the gateway's end, and it is gone; the second one finds its mark."""
    row.on(f"gateway {V3_24.version}, two daemons, two ledgers")
    with World(V3_24, tmp_path / "gateway") as world:
        run = in_model_call(world, web("cut"))
        world.provider.on(OURS, Silence())
        cut(world, [run])
        with watching(world, tmp_path / "first", hook) as first:
            world.provider.await_call(OURS)
            first.kill()
        world.provider.forget(OURS)
        cut(world, [])
        with watching(world, tmp_path / "second", hook) as second:
            held = second.wait_for("recovery.held", session=run.key, blockers=["foreign_deed"])
            nothing_for(world, second, 15)
            row.saw(f"second: {held['blockers'][0]}, {deeds(second)} deeds")
            with watching(world, tmp_path / "first", hook) as again:
                until(
                    "the first one ends what it began",
                    lambda: again.events("recovery.succeeded") or again.events("session.quarantined"),
                    within=240,
                )
                result = reckon(again, hook, world.provider).require([run.key], "recovered")
                others = reckon(second, hook, world.provider)
                row.saw(f"first, back again: {result.sentence()}; second in the end: {dict(others.outcomes)}")
                row.lost(loss for loss in result.losses if not loss.startswith(OURS))
                row.lost(others.losses)
                row.lost([f"{deeds(second)} deeds of the second"] if deeds(second) else [])
                assert again.stop() == 0
            assert second.stop() == 0


@pytest.mark.faults("two machines find the same sessions at once")
def test_race(row: Row, hook: Webhook, tmp_path: Path) -> None:
    row.on(f"gateway {V3_24.version}, two daemons, two ledgers")
    with World(V3_24, tmp_path / "gateway") as world:
        runs = [in_model_call(world, web(f"cut-{number}")) for number in range(3)]
        cut(world, runs)
        with watching(world, tmp_path / "one", hook) as one, watching(world, tmp_path / "two", hook) as two:
            until(
                "all are recovered",
                lambda: len(one.events("recovery.succeeded")) + len(two.events("recovery.succeeded")) >= len(runs),
                within=240,
            )
            per_session = [
                len([c for c in world.provider.calls_with(OURS) if run.marker in str(c.messages)]) for run in runs
            ]
            results = [reckon(each, hook, world.provider) for each in (one, two)]
            row.saw(f"deeds: {deeds(one)} and {deeds(two)}; turns of ours per session: {per_session}")
            row.lost(loss for result in results for loss in result.losses)
            row.lost([f"{max(per_session)} turns in one session"] if max(per_session) > 1 else [])
            assert (one.stop(), two.stop()) == (0, 0)
