"""``approve``: the approvals that wait for this device on gateways of this machine, printed or given."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import msgspec
import typer

from watchdog.adapters.clock import SystemClock
from watchdog.adapters.programs import Ran, run_and_wait
from watchdog.cli import service
from watchdog.cli.check import chosen_sections, identity_of
from watchdog.cli.pause import who
from watchdog.cli.shared import (
    ConfigOption,
    GatewayOption,
    JsonOption,
    Leave,
    Setting,
    SilentLog,
    print_json,
    read_setting,
    say,
    say_error,
)
from watchdog.core.policy import Step
from watchdog.daemon.assembly import Builder, Identity, ledger_place, make_state_folder, state_folder
from watchdog.daemon.endpoints import OpenclawCommand
from watchdog.gateway.capabilities import scopes_for
from watchdog.ledger.ledger import SqlLedger
from watchdog.service import errors
from watchdog.service.announcements.phrases import clip
from watchdog.service.exits import Exit
from watchdog.service.null_meter import NullMeter
from watchdog.service.watch import may_act

APPROVES_WITHIN = 90.0
"""Seconds for OpenClaw's CLI, which takes several to start."""
_MOST_LISTED = 4 * 1024 * 1024
"""Bytes read of its list; a longer one is cut, and so no list."""


class _Request(msgspec.Struct, rename="camel", frozen=True):
    """A pending entry of ``openclaw devices list --json`` (measured on 2026.3.24 and 9.6, where all five are there)."""

    request_id: str
    device_id: str
    role: str | None = None
    roles: list[str] = []
    scopes: list[str] = []


class _Devices(msgspec.Struct, frozen=True):
    pending: list[_Request]


@dataclass(frozen=True, slots=True)
class Approval:
    """What waits for a person at one gateway."""

    gateway: str
    steps: tuple[Step, ...]
    """What it is for; none: to look."""
    device_id: str
    """Our own."""
    scopes: tuple[str, ...]
    """What we ask for; once given, what the request held."""
    request: str | None
    openclaw: OpenclawCommand | None
    """None: it cannot be given from here."""
    unchecked_peer: str | None
    """See ``errors.PairingRequired``."""
    is_given: bool | None = None
    """None: nobody tried."""
    is_taken: bool = False
    """OpenClaw said that it approved, whatever the next sign-in shows."""
    problem: str | None = None

    @property
    def line(self) -> str:
        """As it is typed into a shell, on the gateway's machine."""
        words = ["devices", "approve", self.request] if self.request is not None else ["devices", "list"]
        return (self.openclaw or OpenclawCommand(("openclaw",))).line(*words)


def add_to(app: typer.Typer) -> None:
    @app.command()
    def approve(
        everywhere: Annotated[
            bool, typer.Option("--all", help="With --yes: on every gateway where one waits, not only on one.")
        ] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Give them, by OpenClaw's own command line.")] = False,
        config: ConfigOption = None,
        gateway: GatewayOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Print the approvals that wait for this device, with the command for each; with `--yes` give them.

        Given are those on gateways of this machine and of your own account that OpenClaw lists as this device's, for no more than
        it asks for; the others are printed. This device signs in once for each gateway, as `doctor` does. Exit status: 0 when nothing waits, all were printed, or all were given; else 1.

        Example: `openclaw-watchdog approve --all --yes`
        """
        setting = read_setting(config)
        found, unasked = asyncio.run(_waiting(setting, gateway))
        if yes and len(found) > 1 and not everywhere:
            names = " and ".join(one.gateway for one in found)
            say_error(f"approvals wait on {names}: say which with --gateway, or --all")
            raise Leave(Exit.NOT_DONE)
        if yes:
            found = [_given(setting, one) for one in found]
        if as_json:
            print_json({"approvals": [_facts(one) for one in found], "unasked": unasked})
        else:
            _print(found, unasked)
        if unasked or any(one.is_given is False for one in found):
            raise Leave(Exit.NOT_DONE)


async def _waiting(setting: Setting, gateway: str | None) -> tuple[list[Approval], list[str]]:
    """What waits, and why a gateway could not be asked. Raises ``UnknownGateway``."""
    builder = Builder(setting.loaded, setting.env, SilentLog(), NullMeter(), secrets=setting.secrets)
    identity = identity_of(setting)
    found: list[Approval] = []
    unasked: list[str] = []
    for section in chosen_sections(setting, gateway):
        try:
            waits = await _awaited(setting, builder, identity, section)
        except errors.GatewayError as problem:
            unasked.append(str(problem))
        else:
            found += [waits] if waits is not None else []
    return found, unasked


async def _awaited(setting: Setting, builder: Builder, identity: Identity, section: Any) -> Approval | None:
    """Sign in as ``doctor`` does, for all that the configuration may do there."""
    steps = frozenset[Step]()
    if not service.only_observes(setting.env):
        steps = may_act(setting.loaded.policy_book, section.name)
    client = builder.client(section, identity, steps, steps)
    try:
        await client.connect()
        awaited = client.awaited_approval
    except errors.PairingRequired as refused:
        awaited = refused
    finally:
        await client.close()
    if awaited is None:
        return None
    openclaw = builder.finder(section, identity).openclaw_here()
    return Approval(
        section.name,
        tuple(sorted(steps)),
        identity.device.device_id,
        scopes_for(steps, None),
        awaited.request,
        openclaw,
        awaited.unchecked_peer,
    )


def _given(setting: Setting, wanted: Approval) -> Approval:
    """Tried, and proved by signing in again."""
    if wanted.openclaw is None:
        return replace(wanted, is_given=False, problem="it is not on this machine, or another account's")
    if wanted.request is None:
        return replace(wanted, is_given=False, problem="the gateway names no request")
    # What listens there could list its own request as ours, and have OpenClaw's CLI approve it in the local files.
    if wanted.unchecked_peer is not None:  # guard: approve: whose the port is was looked up
        why = f"not checked which account owns its port: {wanted.unchecked_peer}"
        return replace(wanted, is_given=False, problem=why)
    listed = _run(setting, wanted.openclaw, "list", "--json")
    if (problem := _failure(setting, listed)) is not None:
        return replace(wanted, is_given=False, problem=problem)
    held = _held(listed.out, wanted)
    if isinstance(held, str):
        return replace(wanted, is_given=False, problem=clip(setting.secrets.scrub(held)))
    ran = _run(setting, wanted.openclaw, "approve", wanted.request)
    if (problem := _failure(setting, ran)) is not None:
        return replace(wanted, is_given=False, problem=problem)
    given = replace(wanted, is_given=True, scopes=held)
    with contextlib.suppress(errors.LedgerError), _ledger(setting) as ledger:
        ledger.audit(SystemClock().now().wall, who(), "approve", f"gateway {given.gateway}: {_purpose(given)}")
    still, unasked = asyncio.run(_waiting(setting, wanted.gateway))
    if still or unasked:
        problem = unasked[0] if unasked else "the gateway still wants an approval"
        return replace(wanted, is_given=False, is_taken=True, problem=problem)
    return given


def _run(setting: Setting, openclaw: OpenclawCommand, *words: str) -> Ran:
    env = {**setting.env, **openclaw.places, "NO_COLOR": "1"}
    return run_and_wait([*openclaw.words, "devices", *words], env, APPROVES_WITHIN, most=_MOST_LISTED)


def _failure(setting: Setting, ran: Ran) -> str | None:
    if ran.code == 0:
        return None
    said = (
        "it did not end in time" if ran.is_late else ran.err.strip() or ran.out.strip() or f"it ended with {ran.code}"
    )
    return clip(setting.secrets.scrub(said))


def _held(listed: str, wanted: Approval) -> tuple[str, ...] | str:
    """The scopes of the request that the gateway named, if it is this device's and holds no more than was asked for; else why it
    is not to be approved."""
    try:
        pending = msgspec.json.decode(listed, type=_Devices).pending
    except msgspec.MsgspecError:
        return "what `openclaw devices list` says cannot be read"
    named = [one for one in pending if one.request_id == wanted.request]
    if len(named) != 1:
        return f"`openclaw devices list` shows {len(named)} requests with the id that the gateway names"
    (request,) = named
    if request.device_id != wanted.device_id:  # guard: approve: this device's request alone
        return f"the request that the gateway names is another device's: {request.device_id}"
    # guard: approve: an operator's request alone
    if (roles := {*request.roles, request.role or "none"}) != {"operator"}:
        return f"it is for another role: {', '.join(sorted(roles))}"
    # guard: approve: no more than was asked for
    if not request.scopes or not set(request.scopes) <= set(wanted.scopes):
        held = ", ".join(request.scopes) or "none"
        return f"its scopes are not those that this device asks for: {held}"
    return tuple(request.scopes)


def _ledger(setting: Setting) -> SqlLedger:
    make_state_folder(state_folder(setting.loaded, setting.env))
    return ledger_place(setting.loaded, setting.env).open()


def _purpose(wanted: Approval) -> str:
    purpose = f"for {', '.join(step.value for step in wanted.steps)}" if wanted.steps else "to look"
    return f"{purpose} ({', '.join(wanted.scopes)})"


def _print(found: Sequence[Approval], unasked: Sequence[str]) -> None:
    for problem in unasked:
        say_error(problem)
    if not found and not unasked:
        say("no approval waits for this device")
    for one in found:
        if one.is_given:
            say(f"{one.gateway}: approved, {_purpose(one)}")
            continue
        where = "" if one.openclaw is not None else ", by its account on its machine"
        say(f"{one.gateway}: an approval waits, {_purpose(one)}{where}:", f"  {one.line}")
        if one.problem is not None:
            say_error(f"{one.gateway}: not {'proven to be ' if one.is_taken else ''}approved: {one.problem}")


def _facts(one: Approval) -> dict[str, object]:
    return {
        "gateway": one.gateway,
        "request": one.request,
        "steps": [step.value for step in one.steps],
        "scopes": list(one.scopes),
        "command": one.line,
        "is_here": one.openclaw is not None,
        "approved": one.is_given,
        "problem": one.problem,
    }
