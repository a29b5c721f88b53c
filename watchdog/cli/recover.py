"""``recover``: one deed by hand, through the same claim, fence and verification as the daemon's."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Annotated

import typer

from watchdog.cli import completion
from watchdog.cli.check import chosen_sections, find, identity_of, looked_at
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
    which,
)
from watchdog.core.blockers import Blocker, BlockerName
from watchdog.core.evidence import Truth
from watchdog.core.model import TailKind
from watchdog.core.policy import Step
from watchdog.core.printable import read, shown_key, shown_name
from watchdog.core.recovery import TURN_WAITS, Attempt, AttemptState, next_step
from watchdog.core.spans import span_words
from watchdog.core.verdict import Verdict
from watchdog.daemon.assembly import Builder, ledger_place, make_state_folder, notes_in, state_folder
from watchdog.ledger.ledger import SqlLedger
from watchdog.service import errors
from watchdog.service.announcements.phrases import reason_words
from watchdog.service.by_hand import RECOVER, TrailMeter
from watchdog.service.executor import Executor
from watchdog.service.exits import Exit
from watchdog.service.fleet_breaker import fleet_is_suspicious
from watchdog.service.incidents import Incidents
from watchdog.service.ledger import Incident, Notes
from watchdog.service.null_meter import NullMeter
from watchdog.service.observer import Judged
from watchdog.service.one_shot import Inspection, inspect, look_once_more
from watchdog.service.plan import (
    Action,
    Decision,
    PassContext,
    StepPlan,
    fitting_steps,
    foreseen,
    has_chat,
    plan_step,
    run_held_by,
    was_stopped,
)
from watchdog.service.ports import Clock, Gateway

_BY_HAND = (Step.ASK, Step.RESUME, Step.NEW, Step.RESET, Step.RECOVER, Step.ABORT)


def add_to(app: typer.Typer) -> None:
    @app.command()
    def recover(
        key: Annotated[
            str, typer.Argument(metavar="KEY", autocompletion=completion.sessions, help="The session's key.")
        ],
        step: Annotated[
            Step | None,
            typer.Option(
                "--step",
                metavar="ask|resume|new|reset|recover|abort",
                help="Which deed; without it, the next one of the session's ladder.",
            ),
        ] = None,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
        config: ConfigOption = None,
        gateway: GatewayOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Recover one session by hand: looked at first, done once, and proved by looking again.

        A run that shows a sign of life is left alone (only `--step abort` ends one). `deeds_between` holds the daemon, not you.
        Exit status: 0 recovered, 1 not; whoever was only asked to send it again is not.

        - `ask`: a message in the requester's own chat, please send it again; nothing runs.
        - `resume`: a turn that goes on with the interrupted request; the conversation is kept. Becomes `ask` where it may not be done.
        - `new`: a fresh session that keeps the chat; the last request is saved in a note first.
        - `reset`: the same by `sessions.reset`, which also lets in who is refused by the row.
        - `recover`: the gateway's own recovery, for sessions without a chat; it goes on under another key.
        - `abort`: ends a run that is alive; the conversation is kept, and nobody is told in the chat.

        Example: `openclaw-watchdog recover agent:main:main --step resume`
        """
        if step is not None and step not in _BY_HAND:
            raise typer.BadParameter("choose ask, resume, new, reset, recover or abort", param_hint="--step")
        setting = read_setting(config)
        outcome = asyncio.run(_recover(setting, gateway, key, step, confirm=not yes))
        if as_json:
            print_json(outcome)
        elif outcome["recovered"]:
            say(f"recovered: {reason_words(str(outcome['reason']))}")
        else:
            say_error(f"not recovered: {reason_words(str(outcome['reason']))}")
        if not outcome["recovered"]:
            raise Leave(Exit.NOT_DONE)


async def _next_step(setting: Setting, gateway: str | None, key: str) -> Step | str:
    """What the daemon would do next for this session, or why there is nothing. Looked up with rights to read alone: those
    for a step are asked for once it is known."""
    make_state_folder(state_folder(setting.loaded, setting.env))
    async with looked_at(setting, gateway, key) as seen:
        if len(seen.here) != 1:
            return which(one.facts.name for _, one, _ in seen.here) if seen.here else "; ".join(seen.absent + seen.away)
        ((client, found, judged),) = seen.here
        with ledger_place(setting.loaded, setting.env).open() as ledger:
            opened = [one for one in ledger.open_incidents(found.facts.name) if one.session == judged.session.key]
        return next_rung(judged, opened[0] if opened else None, found, client)


def next_rung(judged: Judged, incident: Incident | None, found: Inspection, gateway: Gateway) -> Step | str:
    """The rung of its ladder that comes next, or why none does."""
    no = why_left_alone(judged, Step.RESUME)
    if no is not None:
        return no
    here = PassContext(judged.case.now, found.trust, True, True, False)
    if plan_step(judged, incident, here, gateway).awaits_person:
        return (
            "the one who asked was asked to send it again, and that is waited for; name a step with --step to do more"
        )
    as_stuck = replace(judged, judgement=replace(judged.judgement, verdict=Verdict.STUCK))
    rungs = fitting_steps(judged.policy.recovery.ladder, as_stuck)
    rung = next_step(rungs, incident.attempts if incident is not None else ())
    if rung is None:
        return "every step of its ladder was tried; name one with --step"
    if rung is Step.NOTIFY:
        return f"its policy {judged.policy.name} only tells a person; name a step with --step"
    return rung


def why_left_alone(judged: Judged, step: Step) -> str | None:
    """Why nothing is done to it, by whomever, or None."""
    alive = judged.judgement.owner is Truth.TRUE
    if alive and step is not Step.ABORT:
        return f"a run is alive there ({judged.judgement.message}) and is left alone"
    if step is Step.ABORT and not alive:
        return "there is no live run to abort"
    if judged.judgement.verdict in (Verdict.HEALTHY, Verdict.WAITING) and not alive:
        return f"it is not stuck: {judged.judgement.message}"
    return None


async def _recover(
    setting: Setting, gateway: str | None, key: str, step: Step | None, *, confirm: bool
) -> dict[str, object]:
    if step is None:
        chosen = await _next_step(setting, gateway, key)
        if not isinstance(chosen, Step):
            return {"session": read(key), "step": None, "recovered": False, "reason": chosen}
        step = chosen
    builder = Builder(setting.loaded, setting.env, SilentLog(), NullMeter(), secrets=setting.secrets)
    identity = identity_of(setting)
    make_state_folder(state_folder(setting.loaded, setting.env))
    problems: list[str] = []
    unasked: list[str] = []
    hands: dict[str, tuple[ManualRecovery, Judged]] = {}
    async with contextlib.AsyncExitStack() as stack:
        place = ledger_place(setting.loaded, setting.env)
        ledger = stack.enter_context(place.open())
        for section in chosen_sections(setting, gateway):
            client = builder.client(section, identity, frozenset({step}))
            stack.push_async_callback(client.close)
            try:
                found = await inspect(client, builder.loaded.policy_book, builder.clock, at_most=timedelta(seconds=5))
            except errors.GatewayError as problem:
                problems.append(str(problem))
                unasked.append(section.name)
                continue
            judged = find(found, key)
            if judged is None:
                problems.append(f"{section.name}: no session has the key {shown_key(read(key))}")
            else:
                hand = ManualRecovery(builder.clock, client, ledger, notes_in(place)(ledger), found)
                hands[section.name] = (hand, judged)
        if len(hands) > 1:
            problems = [which(hands)]
        elif hands and unasked:
            problems += [f"{' and '.join(unasked)} may have this session, too; say which is meant with --gateway"]
        for hand, judged in hands.values() if len(hands) == 1 and not unasked else ():
            try:
                return await hand.recover(judged, step, confirm=confirm)
            except errors.GatewayError as problem:
                problems.append(str(problem))
    return {"session": read(key), "step": step.value, "recovered": False, "reason": "; ".join(problems)}


def _words_at_risk(judged: Judged, step: Step) -> str | None:
    """What its person asked would be lost by the step, or asked for again though it was answered; None: neither."""
    tail = judged.case.look.tail
    # guard: by hand: what nobody has read is neither gone on with nor thrown away
    if tail is None:
        return "its transcript could not be read, so what was asked there is not known; try again when it can"
    # guard: by hand: what was answered is not asked for again
    if step in (Step.RESUME, Step.ASK) and tail.kind is TailKind.ANSWERED:
        return "its last request was answered, so there is nothing to go on with; choose new or reset to let them in"
    # guard: by hand: who waits does not lose their words
    if step.loses_context and tail.has_pending_input:
        return "a message waits there that a fresh session would lose"
    return None


class ManualRecovery:
    """One deed by hand on one gateway."""

    def __init__(self, clock: Clock, gateway: Gateway, ledger: SqlLedger, notes: Notes, found: Inspection) -> None:
        self._clock = clock
        self._gateway = gateway
        self._ledger = ledger
        self._found = found
        log, meter = SilentLog(), TrailMeter(ledger, clock, who())
        self._incidents = Incidents(gateway, ledger, log, meter)
        self._executor = Executor(gateway, found.observer, ledger, notes, clock, log, meter, by_hand_of=who())

    async def recover(self, judged: Judged, step: Step, *, confirm: bool) -> dict[str, object]:
        key = judged.session.key
        planned = self._plan(judged, step)
        if isinstance(planned, str):
            return {"session": key, "step": step.value, "recovered": False, "reason": planned}
        if confirm:
            verdict = judged.judgement.verdict.value
            named = f"{shown_key(key)}{shown_name(judged.session.name)}"
            say(f"{named} of {self._gateway.name}: {verdict}. {judged.judgement.message}", err=True)
            if step.loses_context:
                say("This starts a fresh session; a handoff note is saved first.", err=True)
            if step is Step.RECOVER and has_chat(judged.session):
                say(
                    "It goes on under a new key that only the dashboard shows: whoever writes to it from a chat hears nothing "
                    "of it, and can be cut off from it for good. `--step reset` lets them in again.",
                    err=True,
                )
            if planned.manner:
                say(planned.manner, err=True)
            typer.confirm(f"Do `{(planned.step or step).value}` now?", abort=True, err=True)
        # In the daemon's order: sign in for the deed, then look again; nothing but the claim lies after that look.
        await self._gateway.prepare(
            planned.step or step, judged.session, route=planned.route, is_as_owner=planned.is_as_owner
        )
        by_hand = f"gateway {self._gateway.name} session {shown_key(key)}: {step.value} asked for by hand"
        self._ledger.audit(self._clock.now().wall, who(), RECOVER, by_hand)
        fresh = await look_once_more(self._found, self._gateway, self._clock)
        again = fresh.find(key)
        if again is None or again.case.track.identity != judged.case.track.identity:
            return {"session": key, "step": step.value, "recovered": False, "reason": "it moved while we looked"}
        fresh_plan = self._plan(again, step)
        if isinstance(fresh_plan, str):
            return {"session": key, "step": step.value, "recovered": False, "reason": fresh_plan}
        if (fresh_plan.step, fresh_plan.is_as_owner, fresh_plan.route) != (
            planned.step,
            planned.is_as_owner,
            planned.route,
        ):
            return {"session": key, "step": step.value, "recovered": False, "reason": "it moved while we looked"}
        incident = self._incidents.open_for(again, again.case.now)
        if any(attempt.is_in_flight for attempt in incident.attempts):
            return {
                "session": key,
                "step": step.value,
                "recovered": False,
                "reason": "another attempt on this session is still being verified",
            }
        held = run_held_by(self._ledger, incident, again.session, self._clock.now().wall)
        if held is not None:
            return {"session": key, "step": step.value, "recovered": False, "reason": held}
        decision = Decision(
            again,
            Action.ACT,
            fresh_plan.step or step,
            (),
            incident,
            fresh_plan.requester,
            fresh_plan.is_as_owner,
        )
        attempt = await self._executor.act(decision)
        if isinstance(attempt, Blocker):
            return {"session": key, "step": step.value, "recovered": False, "reason": attempt.message}
        return await self._verify(incident, attempt, judged)

    def _plan(self, judged: Judged, step: Step) -> StepPlan | str:
        """How the step is done for the one who asked, or why it is not. An operator may start afresh for nobody known: then
        nobody is told, and nothing is quoted."""
        no = self._refusal(judged, step)
        if no is not None:
            return no
        policy = replace(judged.policy, recovery=replace(judged.policy.recovery, ladder=(step,)))
        here = PassContext(judged.case.now, self._found.trust, True, True, False)
        plan = plan_step(replace(judged, policy=policy), None, here, self._gateway)
        if plan.step is Step.NOTIFY and step not in (Step.NEW, Step.RESET, Step.RECOVER):
            return "its gateway has given it up, and it takes no message: choose reset, or recover if it has no chat"
        if plan.step in (None, Step.NOTIFY):
            plan = StepPlan(step, plan.requester)
        problem = plan.step_problem or (None if step.loses_context else plan.requester_problem)
        if problem is not None:
            return problem
        if plan.step in (Step.ABORT, Step.FREE):
            return plan
        if (lacking := _words_at_risk(judged, step)) is not None:
            return lacking
        was_stopped_now = judged.case.track.stopped_at is not None
        if was_stopped_now or was_stopped(judged, self._gateway.name, self._ledger):
            return "a person stopped this request; it stays stopped"
        if judged.case.look.will_redeliver:
            return "the gateway still holds this message and will carry it out by itself"
        return plan

    def _refusal(self, judged: Judged, step: Step) -> str | None:
        no = why_left_alone(judged, step)
        if no is not None:
            return no
        return self._gateway.missing_scope(step) or self._gateway.step_problem(step, judged.session)

    async def _verify(self, incident: Incident, attempt: Attempt, judged: Judged) -> dict[str, object]:
        limit = judged.policy.recovery.verify_within + timedelta(seconds=10)
        began = self._clock.now()
        while True:
            found = await look_once_more(self._found, self._gateway, self._clock)
            by_key = {item.session.key: item for item in found.judged}
            await self._incidents.verify_attempts(
                by_key, self._clock.now(), found.snapshot, partial(self._foreseen, found), only=incident.id
            )
            now = self._ledger.incident(incident.id) or incident
            state = next((one for one in now.attempts if one.id == attempt.id), attempt)
            if not state.is_in_flight or self._clock.now().since(began) > limit:
                break
            await self._clock.sleep(1.0)
        has_worked = state.state is AttemptState.SUCCEEDED and state.delivered is not False
        # Whoever was asked, or let in, has no answer yet; nor has who waits for subagents.
        recovered = has_worked and not state.step.nature.opens_only and state.reason != TURN_WAITS
        if not recovered:
            await self._incidents.close_ended(by_key, self._clock.now(), found.snapshot, only=incident.id)
        return {
            "session": judged.session.key,
            "session_id": judged.session.session_id,
            "incident": incident.id,
            "attempt": state.number,
            "step": state.step.value,
            "state": state.state.value,
            "recovered": recovered,
            "reason": state.verified_by or state.reason or f"no proof within {span_words(limit)}",
        }

    def _foreseen(self, found: Inspection, judged: Judged, incident: Incident | None) -> Decision:
        """What the daemon does next, by all that is known here: not when."""
        now, default = judged.case.now, found.observer.book.default.recovery
        here = PassContext(
            now=now,
            trust=found.trust,
            is_list_complete=found.snapshot.is_complete,
            is_ledger_writable=self._ledger.problem is None,
            is_fleet_open=fleet_is_suspicious(found.judged, default),
            gateway_problem=found.trust.sickness(now),
        )
        coming = foreseen(judged, incident, here, self._gateway, self._ledger)
        known = tuple(held for held in coming.blockers if held.name not in _THE_DAEMONS_OWN)
        return replace(coming, blockers=known)


_THE_DAEMONS_OWN = (BlockerName.SCOPE_MISSING, BlockerName.COOL_DOWN)
"""Not known to a verb: what the daemon's sign-in may do, since this one is for one deed; and when its next deed is due, since it
counts from when it first saw the run."""
