"""Beginning turns and knowing, on the wire and on disk, that they are going."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.e2e.harness.conditions import until

from .provider import Call, Mode, Silence, Stream, Tools
from .releases import Release
from .routes import AgentRpc, Route
from .stores import stored_entry, transcript_path
from .witness import Row
from .world import World

PATIENCE = 120.0


@dataclass(frozen=True)
class Run:
    """A turn that was begun and seen going."""

    route: Route
    marker: str
    """A word only this turn contains."""
    request: str
    """The person's words, whole."""
    run_id: str | None
    call: Call
    """The model call of this turn that was open, or had asked for the tool, when it was seen going."""
    row: Row
    """The row at that moment: `running`."""
    is_first_turn: bool = False

    @property
    def key(self) -> str:
        return self.route.key

    @property
    def session_id(self) -> str:
        return str(self.row["sessionId"])


def finished(world: World, route: Route, *, word: str = "DONE", patience: float = PATIENCE) -> Run:
    """A turn that was answered: in the row, and where there is a chat app, heard. ``patience``: seconds until its model is asked."""
    marker = world.fresh_marker(word)
    request = f"Hello, are you there? {marker}"
    before = int(world.row(route.key).get("startedAt") or 0)
    ear = route.listen(world)
    run_id = route.say(world, request)
    call = world.provider.await_call(marker, within=patience)

    def done() -> Row | None:
        # A row may say done while the run is still being put away (2026.5.18): what is said then is queued behind it, and
        # runs as a follow-up that sessions.abort does not know.
        row = world.row(route.key)
        is_over = row.get("status") == "done" and not row.get("hasActiveRun")
        return row if is_over and int(row.get("startedAt") or 0) > before else None

    row = until(f"{marker} is answered", done, within=PATIENCE)
    if ear is not None:
        ear.wait_for(str(call.answer), within=PATIENCE)
    return Run(route, marker, request, run_id, call, row)


def warm_up(world: World, route: Route) -> None:
    """A session with one finished turn: from then on there is a transcript, and in chat a known way back."""
    if world.row(route.key).get("status") != "done":
        finished(world, route, word="WARMUP")


def begin(
    world: World,
    route: Route,
    mode: Mode,
    *,
    word: str = "TASK",
    first_turn: bool = False,
    results: int = 0,
    pasted: str = "",
) -> Run:
    """Say something the model answers in the given mode; returns once the run is seen at the model (after `results` tool
    results), in the row, and in the gateway's files. ``pasted``: what the request ends with."""
    if not first_turn:
        warm_up(world, route)
    before = int(world.row(route.key).get("startedAt") or 0)
    marker = world.fresh_marker(word)
    request = f"Please list the bridges of the town, with the year of each one. {marker} {pasted}".strip()
    world.provider.on(marker, mode)
    run_id = route.say(world, request)
    call = until(
        f"a model call of {marker} with {results} tool results",
        lambda: next((c for c in world.provider.calls_with(marker) if len(c.tool_results) >= results), None),
        within=PATIENCE,
    )
    row = until(f"the row of {marker} is running", lambda: _running(world.row(route.key), before), within=PATIENCE)
    until(f"{marker} is on disk", lambda: _is_stored(world, row, marker, first_turn), within=PATIENCE)
    return Run(route, marker, request, run_id, call, row, first_turn)


def in_model_call(world: World, route: Route, *, pasted: str = "") -> Run:
    """The model was asked and says nothing."""
    return begin(world, route, Silence(), pasted=pasted)


def in_stream(world: World, route: Route) -> Run:
    """The model speaks, a word a second."""
    return begin(world, route, Stream(7200))


def after_tool_results(world: World, route: Route, results: int = 2) -> Run:
    """Tools ran, their results are in the transcript, the model was asked how to go on and says nothing."""
    return begin(world, route, Tools("sleep 1; echo looped", results, then=Silence()), results=results)


def in_tool(world: World, route: Route, seconds: int = 600) -> Run:
    """A tool runs.

    Seen on 2026.5.18: a kill -9 in the moment in which the transcript is being written (its lock file is there, maybe
    empty) makes the next boot find the run by itself and mark it `failed` ("transcript tail is not resumable"). While the
    tool sleeps nothing is written.
    """
    run = begin(world, route, Tools(f"sleep {seconds}", 1))
    until(f"the tool call of {run.marker} is in the transcript", lambda: _asked_for_tool(world, run), within=PATIENCE)
    return run


def in_first_turn(world: World, route: Route) -> Run:
    """The very first turn of a session hangs at the model. Before 2026.9 nothing of it is on disk but the row."""
    return begin(world, route, Silence(), first_turn=True)


def over_agent_rpc(world: World, key: str) -> Run:
    """Begun by the `agent` method; the model speaks slowly."""
    return begin(world, AgentRpc(key), Stream(7200))


def looked_at_again(world: World, run: Run) -> Run:
    return replace(run, row=world.row(run.key))


def _running(row: Row, before: int) -> Row | None:
    return row if row.get("status") == "running" and int(row.get("startedAt") or 0) > before else None


def _is_stored(world: World, row: Row, marker: str, first_turn: bool) -> bool:
    entry = stored_entry(world.gateway, str(row["key"]))
    if entry.get("status") != "running" or entry.get("startedAt") != row.get("startedAt"):
        return False
    if world.release.keeps_sessions_in_sqlite:
        return any(marker in str(message.get("content")) for message in world.witness.history(str(row["key"])))
    if first_turn or world.release.empties_transcript:
        return True  # the user's words are written only with the first answer
    transcript = transcript_path(world.gateway, str(row["sessionId"]), str(row["key"]))
    return transcript.exists() and marker in transcript.read_text(errors="replace")


def _asked_for_tool(world: World, run: Run) -> bool:
    last = world.witness.history(run.key)[-1]
    return last.get("role") == "assistant" and "toolCall" in str(last.get("content"))


def tells_active_runs_truly(release: Release) -> bool:
    """Whether `hasActiveRun` is right for runs begun from a chat app too."""
    return release.tells_active_runs and release.keeps_sessions_in_sqlite
