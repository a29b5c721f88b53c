"""Sessions nobody may touch: they work, wait, or were stopped by the one who owns them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.e2e.harness.conditions import stays, until

from .failures import HarnessError
from .provider import Silence, Stream
from .routes import GroupChat, PrivateChat, Route, Web
from .runs import PATIENCE, Run, begin, finished, in_model_call, in_stream, in_tool, over_agent_rpc
from .witness import ADMIN, DeviceKey, Row
from .world import World


@dataclass(frozen=True)
class Bystander:
    """A session to be left alone, with all that would show if it was not."""

    name: str
    run: Run
    row: Row
    calls: int
    """Model calls that showed the turn so far."""
    messages: int
    lives: bool = True
    """Its model call or tool goes on for the whole test."""

    @property
    def key(self) -> str:
        return self.run.key

    def disturbances(self, world: World) -> list[str]:
        """What has changed; empty when it was left alone."""
        now = world.row(self.key)
        told = ("sessionId", "status", "startedAt", "abortedLastRun", "deliveryContext")
        found = [
            f"{name}: {self.row.get(name)} -> {now.get(name)}" for name in told if self.row.get(name) != now.get(name)
        ]
        calls = len(world.provider.calls_showing(self.run.marker))
        if calls != self.calls:
            found.append(f"model calls: {self.calls} -> {calls}")
        if (messages := len(world.witness.history(self.key))) != self.messages:
            found.append(f"messages: {self.messages} -> {messages}")
        if self.lives and self.run.call.outcome not in ("open", "tool call"):
            found.append(f"its model call: {self.run.call.outcome}")
        return [f"{self.name} ({self.key}) {each}" for each in found]


def require_untouched(world: World, bystanders: list[Bystander]) -> None:
    if found := [each for bystander in bystanders for each in bystander.disturbances(world)]:
        raise HarnessError("touched:\n" + "\n".join(found))


def stay_untouched(world: World, bystanders: list[Bystander], *, for_seconds: float) -> None:
    """Look again and again for so long."""

    def untouched() -> bool:
        require_untouched(world, bystanders)
        return True

    stays("nobody is disturbed", untouched, for_seconds=for_seconds, every=3)


# ------------------------------------------------------------ makers


def slow_stream(world: World, route: Route) -> Bystander:
    """The model speaks, slowly."""
    return _settled(world, "slow stream", in_stream(world, route))


def silent_call(world: World, route: Route) -> Bystander:
    """The model was asked and thinks, for as long as it likes."""
    return _settled(world, "silent call", in_model_call(world, route))


def long_tool(world: World, route: Route, seconds: int = 1800) -> Bystander:
    """One tool runs for minutes."""
    return _settled(world, "long tool", in_tool(world, route, seconds))


def agent_rpc(world: World, key: str) -> Bystander:
    """Begun by the `agent` method: `sessions.abort` of early gateways does not know it."""
    return _settled(world, "agent RPC", over_agent_rpc(world, key))


def from_chat(world: World, route: GroupChat | PrivateChat) -> Bystander:
    """Begun by a person on IRC: early gateways' `hasActiveRun` and `sessions.abort` do not know it."""
    return _settled(world, "from chat", in_stream(world, route))


def queued_behind(world: World, route: Route) -> Bystander:
    """A live run, and a message of its user that waits for it to end."""
    run = in_stream(world, route)
    waiting = world.fresh_marker("WAITING")
    route.say(world, f"and do not forget the ferries {waiting}")
    bystander = _settled(world, "queued behind", run)
    if world.provider.calls_showing(waiting):
        raise HarnessError(f"the message behind {run.marker} did not wait")
    return bystander


def stopped_by_user(world: World, route: Route, *, streaming: bool = True) -> Bystander:
    """Its user pressed Stop: on a page (`sessions.abort` from their own device), or wrote /stop in the chat.

    Seen: on 2026.3.24 and 2026.4.14 the row says `running` for ever; a /stop from chat sets `abortedLastRun` there, a Stop
    by RPC does not. 2026.5.18: `timeout`, or `failed` where a Stop by RPC puts what was spoken into the transcript before
    the run does ("session file changed while embedded prompt lock was released"). 2026.9.6: `killed`, `abortedLastRun`.
    The transcript then ends (2026.3.24, 2026.4.14) with an assistant message, `stopReason` aborted, `errorMessage` "Request
    was aborted" (with a full stop after a tool), as it does after a run timeout and a restart in place. Only a Stop by RPC
    of a model that had spoken puts one more before it, with `openclawAbort: {origin: "rpc"}`. 2026.9.6 keeps only that one;
    after a silent Stop its transcript ends with the user's words.
    """
    run = begin(world, route, Stream(7200) if streaming else Silence(), word="STOPPED")
    if streaming:
        until(f"{run.marker} has spoken", lambda: run.call.pieces > 2, within=PATIENCE)
    if isinstance(route, Web):
        with world.gateway.witness(scopes=ADMIN, key=DeviceKey()) as other_device:
            if (answer := other_device.abort(run.key)) != "aborted":
                raise HarnessError(f"the run of {run.marker} was not aborted: {answer}")
    else:
        ear = route.listen(world)
        route.say(world, "/stop")
        if ear is not None:
            ear.wait_for("aborted", within=PATIENCE)
    if world.release.tells_active_runs:
        until(f"{run.key} has ended", lambda: world.row(run.key).get("status") != "running", within=PATIENCE)
    world.provider.forget(run.marker)
    return _settled(world, "stopped by its user", run, lives=False)


def idle(world: World, route: Route) -> Bystander:
    """Answered, and done."""
    return _settled(world, "idle", finished(world, route), lives=False)


def _settled(world: World, name: str, run: Run, *, lives: bool = True) -> Bystander:
    """As it is once row, transcript and calls have been the same for 3 looks, half a second apart."""
    looks: list[tuple[object, ...]] = []

    def same() -> Row | None:
        row = world.row(run.key)
        told = (row.get("status"), row.get("startedAt"), row.get("sessionId"), row.get("abortedLastRun"))
        calls = len(world.provider.calls_showing(run.marker))
        looks.append((*told, calls, len(world.witness.history(run.key))))
        return row if len(looks) > 3 and len(set(looks[-3:])) == 1 else None

    row = until(f"{run.key} ({name}) is settled", same, within=PATIENCE, every=0.5)
    if lives and row.get("status") != "running":
        raise HarnessError(f"{run.key} ({name}) should be running: {row.get('status')}")
    calls, messages = len(world.provider.calls_showing(run.marker)), len(world.witness.history(run.key))
    return Bystander(name, run, row, calls, messages, lives)
