"""People whose requests are cut off, and what was done and said since then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.e2e.harness.conditions import until

from .daemon import Watchdog
from .provider import Call, text_of
from .routes import TelegramRoute
from .runs import Run, finished, in_model_call
from .stuck import Stuck, by_kill, by_refused_writes
from .telegram import Message, Place
from .world import World

MARK = "[openclaw-watchdog"
"""What ends the words of a turn of ours."""
FREES = "This message only frees the session"


def strand(
    world: World, routes: Sequence[TelegramRoute], *, meanwhile: Callable[[Sequence[Run]], None] | None = None
) -> list[Stuck]:
    """Leave a run of each route stuck, in the way of this release. ``meanwhile``: done while the runs go on."""
    if world.release.resumes_on_boot:
        return by_refused_writes(world, routes, meanwhile=meanwhile)
    runs = [in_model_call(world, route) for route in routes]
    if meanwhile is not None:
        meanwhile(runs)
    until("the gateway has received everything", lambda: not world.telegram.waiting(), within=20)
    return by_kill(world, runs)


@dataclass(frozen=True)
class Since:
    """What was done and said from one moment on, until now."""

    world: World
    said: int
    """Messages said before, anywhere."""
    api_calls: int
    model_calls: int

    @staticmethod
    def now(world: World) -> Since:
        return Since(world, len(world.telegram.said), len(world.telegram.calls), len(world.provider.calls))

    def heard(self, place: Place | None = None) -> list[Message]:
        return self.world.telegram.heard(place, after=self.said)

    def chats_shown(self, text: str) -> set[int]:
        """The chats to which anything with this text in it was sent, in any form, delivered or not."""
        return self.world.telegram.chats_shown(text, after=self.api_calls)

    @property
    def calls(self) -> list[Call]:
        return self.world.provider.calls[self.model_calls :]

    def turns_of_ours(self, text: str = "") -> list[Call]:
        """Model calls of turns that the watchdog began, or all those with `text` in their turn."""
        return [call for call in self.calls if is_ours(call) and text in call.turn_text]


def is_ours(call: Call) -> bool:
    """The watchdog began this turn. What frees a deaf session (2026.9.6) begins none: it is refused, and stays in the
    transcript before the words of whoever wrote next."""
    said = [text_of(message) for message in call.turn if message.get("role") == "user"]
    return any(MARK in text and FREES not in text for text in said)


def ends_with_words_of(call: Call, marker: str) -> bool:
    """What is answered are somebody's words that hold ``marker``, and not a turn of the watchdog's: where one was answered
    just before, a busy gateway shows the model the end of it once more. What frees a deaf session is no turn."""
    said = [text_of(message) for message in call.turn if message.get("role") == "user"]
    begun = [text for text in said if marker in text or (MARK in text and FREES not in text)]
    return bool(begun) and marker in begun[-1] and (MARK not in begun[-1] or FREES in begun[-1])


def require_answered_once(since: Since, watchdog: Watchdog, session: Stuck, place: Place) -> Message:
    """Recovered by one resume turn that quotes the request and whose answer is heard in that place, once; the message."""
    said = watchdog.wait_for("recovery.succeeded", session=session.key, within=300)
    assert said["step"] == "resume"
    mark = f"{MARK} {said['incident']}/{said['attempt']}]"
    call = since.world.provider.await_answer(mark)
    assert call.shows(session.request)
    heard = since.world.telegram.wait_for(str(call.answer), place, after=since.said)
    until(f"{session.key} is over", lambda: is_over(since.world, session.key), within=60)
    assert since.turns_of_ours(mark) == [call], "one resume is one model call"
    assert [each for each in since.heard() if each.shows(str(call.answer))] == [heard]
    return heard


def is_over(world: World, key: str) -> bool:
    """2026.3.24 leaves a row `running` after an answer to an address that was given, but with an end; a row that was reset
    has no status."""
    row = world.row(key)
    return row.get("status") in ("done", None) or bool(row.get("endedAt"))


def require_going_on(world: World, session: Stuck) -> None:
    """The person writes again and is answered, in the same session."""
    assert finished(world, session.run.route).session_id == session.row["sessionId"]


def start_afresh(world: World, key: str) -> None:
    """A session that another test left stuck takes no words any more: it is reset first."""
    if world.row(key).get("status") == "running":
        world.witness.reset(key)


def incident_of(watchdog: Watchdog, key: str) -> dict[str, Any]:
    """The newest incident of a session."""
    return next(each for each in watchdog.history() if each["session"] == key)


def await_outcome(watchdog: Watchdog, key: str, *outcomes: str, within: float = 90) -> dict[str, Any]:
    def closed() -> dict[str, Any] | None:
        found = incident_of(watchdog, key)
        return found if found["outcome"] in outcomes else None

    return until(f"the incident of {key} is {' or '.join(outcomes)}", closed, within=within, every=1)


def await_held(watchdog: Watchdog, key: str, blocker: str, within: float = 120) -> None:
    """Until a deed for this session is held, this blocker among the reasons."""
    until(f"{key} is held by {blocker}", lambda: is_held(watchdog, key, blocker), within=within)


def is_held(watchdog: Watchdog, key: str, blocker: str) -> bool:
    return any(blocker in each["blockers"] for each in watchdog.events("recovery.held", session=key))
