"""The state document: the golden one, and what each of its parts is made of."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.builders import dead, facts, lenient
from tests.fakes.world import World
from tests.unit.status import support as world
from tests.unit.status.support import ALICE, BOB, HOUR, MINUTE, NOW
from watchdog.core.blockers import Blocker, BlockerName
from watchdog.core.model import GatewayPhase
from watchdog.core.policy import Mode, PolicyBook, Step
from watchdog.core.recovery import AttemptState
from watchdog.core.verdict import Verdict
from watchdog.ledger.ledger import SqliteLedger
from watchdog.service.errors import LedgerUnavailable
from watchdog.service.ledger import Outcome
from watchdog.service.plan import Action, Decision
from watchdog.service.redaction import Secrets
from watchdog.status.document import Life, Record, WatchView, build, read_record
from watchdog.status.model import MOST_SESSIONS, document

GOLDEN = Path(__file__).with_name("state.json")


def shown(
    *sights: WatchView, ledger: SqliteLedger | None = None, life: Life | None = None, record: Record | None = None
) -> dict[str, Any]:
    with ledger or world.memory() as kept:
        said = record or read_record(kept, sights, NOW.wall)
    return document(build(life or world.life(), sights, said, NOW.wall))


@pytest.fixture
def ledger() -> Iterator[SqliteLedger]:
    with world.memory() as kept:
        yield kept


def test_golden() -> None:
    """``UPDATE_GOLDEN=1 pytest`` writes it anew; read the difference before you keep it."""
    found = json.dumps(world.full_document(), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(found, "utf-8")
    assert found == GOLDEN.read_text("utf-8")


def test_a_version_that_nobody_has_tried_is_shown_as_such() -> None:
    (gateway,) = shown(world.sight(world.report([], facts=facts("2026.9.7"))))["gateways"]
    assert "newer than any release" in gateway["untried"]


def test_no_message_text_and_no_secret_is_in_it() -> None:
    text = json.dumps(world.full_document())
    assert "secret" not in text
    quiet = world.sight(
        world.report([], phase=GatewayPhase.REFUSED, facts=None, problem="refused: token tok-12345678 is wrong")
    )
    state = build(world.life(), [quiet], Record(), NOW.wall)
    assert "tok-12345678" not in json.dumps(document(state, Secrets(["tok-12345678"]).scrub))


def test_sessions_that_stand_in_it_are_called_by_their_names() -> None:
    home, office = world.full_document()["gateways"]
    assert home["names"] == world.NAMES
    assert office["names"] == {}
    assert len(home["healthy"]) == home["verdicts"]["healthy"] == 9
    assert home["healthy_left_out"] == 0


def test_the_healthy_that_moved_last_are_listed_and_the_rest_is_counted() -> None:
    items = [world.at_rest(f"s{number:03}") for number in range(MOST_SESSIONS + 7)]
    moved = [replace(one, session=replace(one.session, updated_at=NOW.wall, name="n")) for one in items[:2]]
    gateway = shown(world.sight(world.report([*moved, *items[2:]])))["gateways"][0]
    assert [one["key"] for one in gateway["healthy"][:2]] == ["s001", "s000"]
    assert (len(gateway["healthy"]), gateway["healthy_left_out"]) == (MOST_SESSIONS, 7)
    assert gateway["names"] == {"s000": "n", "s001": "n"}


def test_many_gateways_share_the_room_for_the_healthy() -> None:
    """The document goes to every open page at every pass."""
    items = [world.at_rest(f"s{number}") for number in range(150)]
    gateways = shown(*(world.sight(world.report(items), name=f"g{number}") for number in range(10)))["gateways"]
    assert {(len(one["healthy"]), one["healthy_left_out"]) for one in gateways} == {(100, 50)}


async def test_a_name_is_on_screens_alone() -> None:
    """Not in what is sent, logged, counted or kept: it is somebody's private words."""
    lived = World(book=PolicyBook(default=lenient(ladder=(Step.RESUME,))))
    lived.gateway.effect = lived.gateway.nothing
    lived.gateway.put(dead(name="Zaphod"))
    await lived.until_deed()
    await lived.live(minutes=30)
    assert {"stuck", "quarantined"} <= set(lived.told())
    assert lived.reports[-1].judged[0].session.name == "Zaphod"
    sent = [(deed.message, deed.notice) for deed in lived.gateway.performed]
    kept = (lived.owed(), lived.log.lines, lived.incidents, lived.ledger.quarantines(), lived.notes, sent)
    assert "Zaphod" not in repr(kept)


def test_before_the_first_look_nothing_is_claimed() -> None:
    found = shown(world.sight(None), life=world.life(last_cycle_at=None))
    gateway = found["gateways"][0]
    assert (gateway["phase"], gateway["version"], gateway["sessions"]) == ("unseen", None, [])
    assert found["headline"] == {"level": "notice", "text": "Taking the first look."}


def test_all_is_well() -> None:
    found = shown(world.sight(world.report([world.at_rest("a"), world.at_rest("b")])))
    assert found["headline"] == {"level": "ok", "text": "All is well: 2 sessions, none of them stuck."}
    assert found["gateways"][0]["sessions"] == []


def test_a_gateway_that_is_away_keeps_what_was_seen_last() -> None:
    good = world.report([world.seen(world.row(ALICE), 24 * MINUTE)])
    away = world.report([], phase=GatewayPhase.DOWN, at=NOW.plus(MINUTE), problem="nothing listens")
    gateway = shown(world.sight(away, seen=good))["gateways"][0]
    assert (gateway["phase"], gateway["connected_since"]) == ("down", None)
    assert gateway["seen_at"] < gateway["last_poll_at"]
    assert [one["key"] for one in gateway["sessions"]] == [ALICE]


def test_what_is_not_granted_is_no_well() -> None:
    said = {Step.NEW: "`new` needs operator.admin: approve request 1.", Step.RESUME: "`resume` …"}
    found = shown(replace(world.sight(world.report([])), not_granted=said))
    (gateway,) = found["gateways"]
    assert found["headline"] == {"level": "notice", "text": "Gateway home does not grant new and resume."}
    assert gateway["problem"] == "`new` needs operator.admin: approve request 1."
    assert gateway["not_granted"] == ["new", "resume"]


def test_ages_lead_back_to_the_instant_they_count_from() -> None:
    judged = [
        world.seen(world.row("gone"), 24 * MINUTE),
        world.seen(world.row("alive", has_active_run=True), 95 * MINUTE, idle=False),
        world.seen(world.row("unclear", has_active_run=False), 50 * MINUTE, idle=False),
    ]
    sessions = {one["key"]: one for one in shown(world.sight(world.report(judged)))["gateways"][0]["sessions"]}
    told = {key: (one["since_what"], one["since"][11:19], one["limit_seconds"]) for key, one in sessions.items()}
    assert told == {
        "gone": ("no_owner", "11:36:00", 1200.0),
        "alive": ("running", "10:25:00", 3600.0),
        "unclear": ("silent", "11:10:00", 1200.0),
    }


def test_the_worst_come_first_and_many_are_counted_not_listed() -> None:
    judged = [world.seen(world.row(f"s{number:03}"), 5 * MINUTE) for number in range(MOST_SESSIONS + 7)]
    judged.append(world.seen(world.row("worst"), 24 * MINUTE))
    gateway = shown(world.sight(world.report(judged)))["gateways"][0]
    assert gateway["sessions"][0]["key"] == "worst"
    assert (len(gateway["sessions"]), gateway["sessions_left_out"]) == (MOST_SESSIONS, 8)


# ---------------------------------------------------------------- what comes next


def _next_of(item: Any, *, ledger: SqliteLedger | None = None, decisions: Any = (), **changes: Any) -> dict[str, Any]:
    found = shown(world.sight(world.report([item], decisions), **changes), ledger=ledger)
    coming: dict[str, Any] = found["gateways"][0]["sessions"][0]["next"]
    return coming


def test_a_suspect_is_due_when_its_verdict_would_fall() -> None:
    coming = _next_of(world.seen(world.row(ALICE), 8 * MINUTE))
    assert coming == {
        "step": "resume",
        "at": "2026-11-20T12:12:00.000+00:00",
        "words": "resuming it, if nothing moves",
    }


def test_held_until_the_last_blocker_ends() -> None:
    item = world.seen(world.row(ALICE), 24 * MINUTE)
    soon = Blocker(BlockerName.COOL_DOWN, "Cooling.", NOW.plus(MINUTE))
    later = Blocker(BlockerName.PAUSED, "Paused.", NOW.plus(HOUR))
    endless = Blocker(BlockerName.SESSION_LOCKED, "Locked.")
    assert _next_of(item, decisions=[world.held(item, None, soon, later)])["at"] == "2026-11-20T13:00:00.000+00:00"
    coming = _next_of(item, decisions=[world.held(item, None, soon, endless)])
    assert coming == {"step": "resume", "at": None, "words": "resuming it, held by cool down, session locked"}


def test_what_is_in_flight_waits_for_its_proof(ledger: SqliteLedger) -> None:
    world.incident(ledger, ALICE, MINUTE, world.SENT)
    coming = _next_of(world.seen(world.row(ALICE), 24 * MINUTE), ledger=ledger)
    assert (coming["step"], coming["at"]) == ("resume", "2026-11-20T12:00:40.000+00:00")


def test_a_healthy_session_with_an_open_incident_stays_in_sight(ledger: SqliteLedger) -> None:
    world.incident(ledger, ALICE, MINUTE, world.SENT)
    gateway = shown(world.sight(world.report([world.at_rest(ALICE)])), ledger=ledger)["gateways"][0]
    assert [one["is_in_recovery"] for one in gateway["sessions"]] == [True]
    assert gateway["in_recovery"] == 1


def test_in_observe_mode_nothing_comes_next() -> None:
    item = world.seen(world.row(ALICE), 24 * MINUTE)
    assert _next_of(item, is_observing=True)["words"] == "nothing: observe mode"
    recovery = replace(world.BOOK.default.recovery, mode=Mode.OBSERVE)
    assert _next_of(replace(item, policy=world.policy(recovery=recovery)))["words"] == "nothing: observe mode"


def test_a_suspect_says_what_will_hold_it_or_that_it_is_given_up() -> None:
    item = world.seen(world.row(ALICE), 8 * MINUTE)

    def foreseen(decision: Decision) -> dict[str, Any]:
        found = shown(world.sight(world.report([item], foreseen=(decision,))))
        coming: dict[str, Any] = found["gateways"][0]["sessions"][0]["next"]
        return coming

    paused = Blocker(BlockerName.PAUSED, "Paused.")
    assert foreseen(world.held(item, None, paused)) == {
        "step": "resume",
        "at": None,
        "words": "resuming it, held by paused, if nothing moves",
    }
    spent = Blocker(BlockerName.SESSION_BUDGET, "3 attempts within 3d are used up.")
    given_up = Decision(item, Action.ESCALATE, Step.RESUME, (spent,))
    assert foreseen(given_up) == {
        "step": None,
        "at": "2026-11-20T12:12:00.000+00:00",
        "words": "quarantine and a message, if nothing moves",
    }


def test_nothing_is_announced_while_a_person_is_waited_for(ledger: SqliteLedger) -> None:
    item = world.seen(world.row(ALICE), 24 * MINUTE)
    opened = world.incident(ledger, ALICE, MINUTE, (Step.ASK, AttemptState.SUCCEEDED, "Asked"))
    left = Decision(item, Action.NOTHING, None, (), opened)
    coming = _next_of(item, ledger=ledger, decisions=[left])
    assert coming == {"step": None, "at": None, "words": "nothing: the person's message is waited for"}


def test_nothing_is_announced_while_its_gateway_is_away(ledger: SqliteLedger) -> None:
    good = world.report([world.seen(world.row(key), 24 * MINUTE) for key in (ALICE, BOB)])
    world.incident(ledger, BOB, MINUTE, world.SENT)
    away = world.report([], phase=GatewayPhase.UNRESPONSIVE, at=NOW.plus(MINUTE), problem="it hangs")
    sessions = shown(world.sight(away, seen=good), ledger=ledger)["gateways"][0]["sessions"]
    assert {one["key"]: (one["next"]["at"], one["next"]["words"]) for one in sessions} == {
        ALICE: (None, "nothing while its gateway does not answer"),
        BOB: (None, "waiting for proof that resuming it worked, while its gateway does not answer"),
    }


def test_what_its_gateway_is_to_recover_is_not_said_to_be_worked_on() -> None:
    item = world.seen(world.row(ALICE), 70 * MINUTE)
    left = replace(item, judgement=replace(item.judgement, verdict=Verdict.LONG_RUNNING))
    assert _next_of(left)["words"] == "nothing: its gateway is to recover it"


def test_a_policy_that_only_tells() -> None:
    item = world.seen(world.row(ALICE), 8 * MINUTE)
    recovery = replace(world.BOOK.default.recovery, ladder=(Step.NOTIFY,))
    assert _next_of(replace(item, policy=world.policy(recovery=recovery)))["step"] == "notify"


# ---------------------------------------------------------------- the ledger and the headline


class _Sick:
    """A ledger that cannot be read."""

    def history(self, **_: object) -> None:
        raise LedgerUnavailable("The disk is full.")


def test_a_ledger_that_cannot_be_read_is_said_and_hides_nothing_else() -> None:
    home = world.sight(world.report([world.seen(world.row(ALICE), 24 * MINUTE)]))
    found = shown(home, record=read_record(_Sick(), [home], NOW.wall))  # type: ignore[arg-type]
    assert found["ledger"]["problem"] == "The disk is full."
    assert found["headline"]["text"] == "The ledger cannot be used, 1 stuck."
    assert found["gateways"][0]["sessions"][0]["key"] == ALICE


def test_what_the_watches_say_of_the_ledger_counts_first() -> None:
    found = shown(world.sight(None), life=world.life(ledger_problem="read-only file system"))
    assert found["ledger"]["problem"] == "read-only file system"


def test_lists_that_cannot_be_used_are_trouble_and_none_watched_is_said() -> None:
    found = shown(world.sight(None), life=world.life(list_problems=["w.yaml:2:3: not all of this list is used"]))
    assert found["headline"] == {"level": "trouble", "text": "A list of gateways cannot be used in full."}
    assert found["list_problems"] == ["w.yaml:2:3: not all of this list is used"]
    nobody = build(world.life(), [], Record(), NOW.wall).headline
    assert (nobody.level, nobody.text) == ("notice", "No gateway is watched: the lists name none.")


def test_a_session_is_counted_once_in_the_headline(ledger: SqliteLedger) -> None:
    world.incident(ledger, ALICE, MINUTE, world.SENT)
    judged = [world.seen(world.row(ALICE), 24 * MINUTE), world.seen(world.row(BOB), 24 * MINUTE)]
    found = shown(world.sight(world.report(judged)), ledger=ledger)
    assert found["headline"] == {"level": "trouble", "text": "1 stuck, 1 in recovery."}


def test_however_many_gateways_there_are_the_ledger_is_asked_as_often(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL each question is a trip, and all passes of this process wait for it."""
    asked, read = list[int](), ledger._file.reading

    def reading(**how: bool) -> Any:
        asked[-1] += 1
        return read(**how)

    sight = world.full_sight(ledger)
    monkeypatch.setattr(ledger._file, "reading", reading)
    for count in (1, 40):
        asked.append(0)
        read_record(ledger, [replace(sight, name=f"gateway {number}") for number in range(count)], NOW.wall)
    assert asked[0] == asked[1] > 0


def test_budgets_count_what_was_charged(ledger: SqliteLedger) -> None:
    for minutes in (5, 6):
        world.incident(ledger, ALICE, MINUTE * minutes, world.WORKED, lasted=MINUTE, outcome=Outcome.RECOVERED)
    gateway = shown(world.sight(world.report([world.seen(world.row(ALICE), 24 * MINUTE)])), ledger=ledger)["gateways"][
        0
    ]
    assert gateway["budget"] == {"attempts": 20, "used": 2, "left": 18, "per_seconds": 3600.0}
    assert gateway["sessions"][0]["budget"]["left"] == 1


def test_only_a_week_is_shown(ledger: SqliteLedger) -> None:
    world.incident(ledger, ALICE, timedelta(days=8), world.WORKED, lasted=MINUTE)
    world.incident(ledger, BOB, timedelta(days=6), world.WORKED, lasted=MINUTE)
    found = shown(world.sight(None), ledger=ledger)
    assert [one["session"] for one in found["incidents"]] == [BOB]
    assert [one["attempt"]["words"] for one in found["deeds"]] == ["a new run finished"]
