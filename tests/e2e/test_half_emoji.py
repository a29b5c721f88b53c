"""Half an emoji in a session's label, title, request and history, on real gateways: every session is recovered all the same.

JavaScript cuts texts between the halves of a surrogate pair, and sends the half that is left as ``"\\ud83d"``, which is no
text. 2026.3.24 and 2026.5.18 do so by themselves where they cut the long texts of a history (at 12,000 and 8,000
characters); clients send such text to all of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .harness.daemon import Watchdog
from .harness.releases import V3_24, V5_18, V9_6, Release
from .harness.routes import Web
from .harness.runs import finished, in_model_call
from .harness.stuck import CRON_KEY, by_kill
from .harness.witness import Row
from .harness.world import World

pytestmark = pytest.mark.e2e

HALF, REPLACED = "\ud83d", "�"
LONGEST_SHOWN = 12_000
"""Characters of a text in a history."""


class HalfEmojis(Web):
    """Somebody whose client sends half an emoji with everything they write."""

    def say(self, world: World, text: str) -> str | None:
        return super().say(world, f"{text} {HALF}!")


class LongEmojis(Web):
    """Somebody who writes whole emojis for longer than a history shows, so that the cut goes through one."""

    def say(self, world: World, text: str) -> str | None:
        return super().say(world, text.ljust(len(text) | 1, ".") + "😀" * LONGEST_SHOWN)


def has_half(document: object) -> bool:
    """As the gateway sent it."""
    return HALF in json.dumps(document, ensure_ascii=False)


@pytest.mark.parametrize("release", [V3_24, V5_18, V9_6], ids=lambda release: release.version)
def test_a_session_with_half_an_emoji_is_recovered_beside_the_others(release: Release, tmp_path: Path) -> None:
    # 2026.9.6 resumes all others by itself after a kill.
    keys = [f"{CRON_KEY}-{name}" if release.resumes_on_boot else f"agent:main:{name}" for name in ("half", "whole")]
    half, whole = HalfEmojis(keys[0]), Web(keys[1])
    with World(release, tmp_path / "gateway") as world:
        finished(world, half)
        finished(world, LongEmojis(half.key))
        world.witness.call("sessions.patch", {"key": half.key, "label": f"the lamp {HALF}"})
        stuck = by_kill(world, [in_model_call(world, route) for route in (half, whole)])
        require_halves(world, half.key, world.row(half.key))
        policy = {"name": "background", "match": {"kind": "cron"}, "recovery": {"ladder": ["resume"]}}
        with Watchdog(world.gateway, tmp_path / "watchdog", extra={"policies": [policy]}) as watchdog:
            for session, words in zip(stuck, (f" {REPLACED}!", ""), strict=True):
                said = watchdog.wait_for("recovery.succeeded", session=session.key, within=300)
                assert said["step"] == "resume"
                world.await_status(session.key, "done")
                incident = next(one for one in watchdog.history() if one["session"] == session.key)
                (turn,) = world.provider.calls_showing(f"[openclaw-watchdog {incident['id']}/1]")
                assert turn.shows(session.request + words), "the request is quoted"
            assert watchdog.stop() == 0
        assert "Traceback" not in watchdog.text
        assert not watchdog.events("gateway.disconnected")
        assert not watchdog.events("gateway.unhealthy", phase="unresponsive")
        repaired = [str(line["reason"]) for line in watchdog.events("gateway.text_repaired", gateway="home")]
        for method in ("sessions.list", "chat.history"):
            assert sum(f"answer to {method} " in reason for reason in repaired) == 1, repaired


def require_halves(world: World, key: str, row: Row) -> None:
    """The gateway does send it."""
    assert has_half(row["label"])
    assert has_half(row["displayName"])
    history = world.witness.history(key)
    assert has_half(history[-1])
    assert sum(has_half(message) for message in history) == (2 if world.release is V9_6 else 3), "the cut one too"
