"""What ``records.Ledger`` promises about incidents, attempts, budgets, quarantines, pauses and notes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest

from watchdog.adapters.notes import HandoffNotes
from watchdog.core.model import GatewayPhase, ReplyAddress
from watchdog.core.policy import Step
from watchdog.core.recovery import IN_FLIGHT, LIFE, AttemptState
from watchdog.ledger.ledger import LedgerRefused, SqliteLedger, SqlLedger
from watchdog.ledger.note_texts import LedgerNotes
from watchdog.service import ledger as records
from watchdog.service.announcements import gateway_down, gateway_up
from watchdog.service.errors import LedgerUnavailable
from watchdog.service.ledger import Ack, HandoffNote, MessageKind, Outcome, Stop

from .support import RUN, T0, at, attempt_now, brought_to, opened, planned, quarantine_of, started, stuck


def test_it_is_the_port(ledger: SqlLedger) -> None:
    port: records.Ledger = ledger
    notes: list[type[records.Notes]] = [HandoffNotes, LedgerNotes]
    assert port.is_writable()
    assert notes


# ---------------------------------------------------------------- the life of an attempt


@pytest.mark.parametrize("to", AttemptState)
@pytest.mark.parametrize("source", AttemptState)
def test_settling_follows_the_table_and_nothing_else(ledger: SqlLedger, source: AttemptState, to: AttemptState) -> None:
    attempt = planned(ledger, opened(ledger))
    brought_to(ledger, attempt, source)
    before = attempt_now(ledger, attempt)

    # A claim is the only way to `started`: only it charges.
    is_allowed = to in LIFE.get(source, frozenset()) and to is not AttemptState.STARTED
    moved = ledger.settle_attempt(attempt.id, to, at(9), reason="Because", verified_by="row", messages=[stuck("told")])

    after = attempt_now(ledger, attempt)
    assert moved is is_allowed
    assert len(ledger.due_messages("phone", at(9))) == int(is_allowed), "the message goes with the change or not at all"
    if not is_allowed:
        assert after == before
        return
    assert (after.state, after.reason, after.verified_by) == (to, "Because", "row")
    assert after.settled_at == (None if to in LIFE else at(9))


@pytest.mark.parametrize("source", AttemptState)
def test_only_a_planned_attempt_can_be_claimed(ledger: SqlLedger, source: AttemptState) -> None:
    attempt = planned(ledger, opened(ledger))
    brought_to(ledger, attempt, source)
    before = attempt_now(ledger, attempt)

    assert ledger.claim_attempt(attempt.id, at(9)) is (source is AttemptState.PLANNED)

    after = attempt_now(ledger, attempt)
    if source is AttemptState.PLANNED:
        assert (after.state, after.started_at, after.is_charged) == (AttemptState.STARTED, at(9), True)
    else:
        assert after == before


@pytest.mark.parametrize("state", AttemptState)
def test_charged_is_everything_past_planned_except_refused(ledger: SqlLedger, state: AttemptState) -> None:
    attempt = planned(ledger, opened(ledger))
    brought_to(ledger, attempt, state)
    is_charged = state not in (AttemptState.PLANNED, AttemptState.REFUSED, AttemptState.ABANDONED)
    assert attempt_now(ledger, attempt).is_charged is is_charged
    assert ledger.charges("home", T0) == int(is_charged)


def test_a_refusal_that_is_paid_for_keeps_its_charge(ledger: SqlLedger) -> None:
    attempt = started(ledger, opened(ledger))
    said = "UNAVAILABLE: Error: the schema is missing"
    settle = ledger.settle_attempt
    assert settle(attempt.id, AttemptState.REFUSED, at(3), reason="RequestRefused", verified_by=said, is_refunded=False)
    assert ledger.charges("home", T0) == 1
    assert attempt_now(ledger, attempt).verified_by == said


def test_an_attempt_abandoned_after_it_was_unclear_stays_charged(ledger: SqlLedger) -> None:
    attempt = started(ledger, opened(ledger))
    ledger.settle_attempt(attempt.id, AttemptState.INDETERMINATE, at(3), reason="NoAnswer")
    assert ledger.settle_attempt(attempt.id, AttemptState.ABANDONED, at(4), reason="SessionGone")
    assert ledger.charges("home", T0) == 1


def test_settling_or_claiming_what_does_not_exist_is_false(ledger: SqlLedger) -> None:
    assert not ledger.claim_attempt(99, at(0))
    assert not ledger.settle_attempt(99, AttemptState.SUCCEEDED, at(0), reason="x")
    ledger.note_run(99, "run")


def test_a_claim_needs_its_incident_open(ledger: SqlLedger) -> None:
    incident = opened(ledger)
    attempt = planned(ledger, incident)
    ledger.close_incident(incident.id, Outcome.CLEARED, at(2))
    assert not ledger.claim_attempt(attempt.id, at(3))
    assert attempt_now(ledger, attempt).state is AttemptState.ABANDONED


def test_a_claim_owes_its_messages_and_a_refused_one_none(ledger: SqlLedger) -> None:
    incident = opened(ledger)
    ledger.due_messages("pager", at(0))
    first, second = planned(ledger, incident), planned(ledger, incident)
    assert ledger.claim_attempt(first.id, at(3), [stuck("first")])
    assert not ledger.claim_attempt(second.id, at(3), [stuck("second")])
    assert [one.message.dedupe_key for one in ledger.due_messages("pager", at(4))] == ["first"]


@pytest.mark.parametrize("state", sorted(IN_FLIGHT))
def test_a_claim_waits_for_the_other_attempt_of_its_incident(ledger: SqlLedger, state: AttemptState) -> None:
    incident = opened(ledger)
    first, second = planned(ledger, incident), planned(ledger, incident)
    brought_to(ledger, first, state)

    assert not ledger.claim_attempt(second.id, at(7))

    ledger.settle_attempt(first.id, AttemptState.INEFFECTIVE, at(8), reason="NothingChanged")
    assert ledger.claim_attempt(second.id, at(9))


def test_a_refusal_remembers_whether_it_may_pass(ledger: SqlLedger) -> None:
    attempt = started(ledger, opened(ledger))
    ledger.settle_attempt(attempt.id, AttemptState.REFUSED, at(3), reason="Busy", is_retryable=True)
    assert attempt_now(ledger, attempt).is_retryable


def test_an_intent_is_kept_as_it_was_meant(ledger: SqlLedger) -> None:
    incident = opened(ledger)
    first, second = planned(ledger, incident), planned(ledger, incident, step=Step.NEW)
    assert (first.number, second.number) == (1, 2)
    assert first.before == RUN, "to the microsecond: it is the fence"
    assert (first.before_tail, first.planned_at, first.state) == ("tail-1", at(1), AttemptState.PLANNED)
    assert attempt_now(ledger, first) == first
    bare = ledger.plan_attempt(incident.id, Step.ABORT, at(2), before=None, before_tail=None)
    assert bare.before is None
    assert bare.before_tail is None
    assert bare.idempotency_key == f"ocw-{incident.id}-3"


def test_two_ledgers_call_the_same_deed_by_the_same_key(ledger: SqlLedger) -> None:
    """Two machines that find a session in the same second: the gateway answers the second one as it did the first."""

    def keys(one: SqlLedger) -> list[str]:
        incident = opened(one)
        return [planned(one, incident).idempotency_key for _ in range(2)]

    with SqliteLedger.in_memory(wall=lambda: T0) as another:
        first, second = keys(ledger), keys(another)
    assert first == second
    assert len(set(first)) == 2, "what is tried again is another deed"


def test_another_run_or_session_has_another_key(ledger: SqlLedger) -> None:
    one, other = opened(ledger), opened(ledger, session="agent:main:other")
    later = ledger.plan_attempt(one.id, Step.RESUME, at(1), before=replace(RUN, started_at=at(9)), before_tail=None)
    assert (
        len({planned(ledger, one).idempotency_key, planned(ledger, other).idempotency_key, later.idempotency_key}) == 3
    )


def test_nothing_is_planned_for_a_closed_or_unknown_incident(ledger: SqlLedger) -> None:
    incident = opened(ledger)
    ledger.close_incident(incident.id, Outcome.CLEARED, at(1))
    for incident_id, word in ((incident.id, "closed"), ("i20200101-0001-ffff", "unknown")):
        with pytest.raises(LedgerRefused, match=word):
            ledger.plan_attempt(incident_id, Step.RESUME, at(2), before=None, before_tail=None)


def test_a_run_id_is_noted_while_in_flight_only(ledger: SqlLedger) -> None:
    incident = opened(ledger)
    attempt = planned(ledger, incident)
    ledger.note_run(attempt.id, "too-early")
    ledger.claim_attempt(attempt.id, at(2))
    ledger.note_run(attempt.id, "run-1")
    ledger.settle_attempt(attempt.id, AttemptState.SUCCEEDED, at(3), reason="NewRunDone")
    ledger.note_run(attempt.id, "too-late")
    assert attempt_now(ledger, attempt).run_id == "run-1"


def test_start_up_settles_what_an_earlier_life_left(ledger: SqlLedger) -> None:
    attempts = {}
    for state in AttemptState:
        attempts[state] = planned(ledger, opened(ledger, session=state.value))
        brought_to(ledger, attempts[state], state)
    expected = {state: state for state in AttemptState} | {
        AttemptState.PLANNED: AttemptState.ABANDONED,
        AttemptState.STARTED: AttemptState.INDETERMINATE,
    }

    owed = ledger.settle_start_up(at(100))

    assert {one.id for one in owed} == {attempts[AttemptState.STARTED].id, attempts[AttemptState.INDETERMINATE].id}
    assert all(one.state is AttemptState.INDETERMINATE for one in owed)
    now = {state: attempt_now(ledger, attempt) for state, attempt in attempts.items()}
    assert {state: one.state for state, one in now.items()} == expected
    assert now[AttemptState.STARTED].is_charged, "kept when unclear"
    assert [one.id for one in ledger.settle_start_up(at(200))] == [one.id for one in owed], "again changes nothing"


def test_in_flight_are_those_of_the_gateway_oldest_first_and_of_closed_incidents_too(ledger: SqlLedger) -> None:
    one, two = opened(ledger, "a"), opened(ledger, "b", seconds=1)
    second, first = planned(ledger, two), planned(ledger, one)
    for attempt in (first, second):
        ledger.claim_attempt(attempt.id, at(3))
    elsewhere = started(ledger, opened(ledger, "a", gateway="work"))
    ledger.close_incident(two.id, Outcome.CLEARED, at(4))

    found = ledger.attempts_in_flight("home")

    assert [(incident.session, attempt.id) for incident, attempt in found] == [("b", second.id), ("a", first.id)]
    assert [attempt.id for _, attempt in ledger.attempts_in_flight("work")] == [elsewhere.id]


# ---------------------------------------------------------------- incidents


def test_a_session_has_one_open_incident(ledger: SqlLedger) -> None:
    first = opened(ledger)
    again = ledger.open_incident(
        gateway="home", session="main", session_id="other", reason="Other", at=at(9), messages=[stuck("second")]
    )
    assert again == first
    assert not ledger.due_messages("phone", at(9)), "nothing changed, so nothing is owed for it"
    assert opened(ledger, gateway="work").id != first.id
    assert ledger.close_incident(first.id, Outcome.RECOVERED, at(10))
    assert opened(ledger, seconds=11).id != first.id


def test_an_incident_is_closed_once(ledger: SqlLedger) -> None:
    incident = opened(ledger)
    assert ledger.close_incident(incident.id, Outcome.RECOVERED, at(5), [stuck("one")])
    assert not ledger.close_incident(incident.id, Outcome.CLEARED, at(6), [stuck("two")])
    assert not ledger.close_incident("i20200101-0001-ffff", Outcome.CLEARED, at(6))
    closed = ledger.incident(incident.id)
    assert closed is not None
    assert (closed.outcome, closed.closed_at, closed.is_open) == (Outcome.RECOVERED, at(5), False)
    assert [owed.message.dedupe_key for owed in ledger.due_messages("phone", at(9))] == ["one"]
    with pytest.raises(LedgerRefused):
        ledger.close_incident(incident.id, Outcome.OPEN, at(7))


def test_incident_ids_are_short_sortable_and_of_this_ledger(ledger: SqlLedger) -> None:
    ids = [opened(ledger, session=str(n)).id for n in range(12)]
    assert ids[6] == f"i20261120-0007-{ledger.id[:4]}"
    assert ids == sorted(ids)
    next_day = opened(ledger, session="later", seconds=86400).id
    assert next_day == f"i20261121-0001-{ledger.id[:4]}"
    assert opened(ledger, session="clock set back", seconds=1).id == f"i20261120-0013-{ledger.id[:4]}"


def test_an_incident_id_is_never_given_twice(ledger: SqlLedger) -> None:
    incident = opened(ledger)
    ledger.close_incident(incident.id, Outcome.CLEARED, at(1))
    assert ledger.prune(at(1000)) == 1
    assert opened(ledger).id != incident.id


def test_days_are_days_in_utc(ledger: SqlLedger) -> None:
    east = timezone(timedelta(hours=13))
    incident = ledger.open_incident(
        gateway="home", session="s", session_id=None, reason="r", at=datetime(2026, 11, 21, 1, 0, tzinfo=east)
    )
    assert incident.id.startswith("i20261120-")


def test_two_ledgers_name_their_incidents_apart() -> None:
    with (
        SqliteLedger.in_memory(ledger_id="aaaa000000000000") as one,
        SqliteLedger.in_memory(ledger_id="bbbb000000000000") as two,
    ):
        assert opened(one).id != opened(two).id


def test_history_is_newest_first_and_filtered(ledger: SqlLedger) -> None:
    old = opened(ledger, "old")
    ledger.close_incident(old.id, Outcome.CLEARED, at(10))
    lasting = opened(ledger, "lasting", seconds=1)
    new = opened(ledger, "new", seconds=20)
    away = opened(ledger, "new", gateway="work", seconds=30)
    attempt = planned(ledger, new, 21)
    assert [one.id for one in ledger.history()] == [away.id, new.id, lasting.id, old.id]
    assert [one.id for one in ledger.history(since=at(15))] == [away.id, new.id, lasting.id]
    assert [one.id for one in ledger.history(session="new")] == [away.id, new.id]
    assert [one.id for one in ledger.history(session="new", gateway="home")] == [new.id]
    assert ledger.history(session="new", gateway="home")[0].attempts == (attempt,)
    assert [one.id for one in ledger.open_incidents()] == [lasting.id, new.id, away.id]
    assert [one.id for one in ledger.open_incidents("work")] == [away.id]
    assert ledger.incident("i20200101-0001-ffff") is None


# ---------------------------------------------------------------- budgets


def test_charges_count_by_start_session_and_gateway(ledger: SqlLedger) -> None:
    for n, (gateway, session) in enumerate([("home", "a"), ("home", "a2"), ("home", "b"), ("work", "a")]):
        started(ledger, opened(ledger, session, gateway), seconds=10 * n)
    assert ledger.charges("home", T0) == 3
    assert ledger.charges("home", at(10)) == 2, "since itself counts"
    assert ledger.charges("home", at(10.001)) == 1
    assert ledger.charges("home", T0, "a") == 1
    assert ledger.charges("work", T0) == 1
    assert ledger.charges("nowhere", T0) == 0
    charged = {(one.gateway, one.session, one.started_at) for one in ledger.charged(at(10))}
    assert charged == {("home", "a2", at(10)), ("home", "b", at(20)), ("work", "a", at(30))}


def test_a_release_forgives_the_charges_of_its_key_until_then(ledger: SqlLedger) -> None:
    incident = opened(ledger)
    attempt = started(ledger, incident)
    ledger.settle_attempt(attempt.id, AttemptState.INEFFECTIVE, at(3), reason="NothingChanged")
    started(ledger, opened(ledger, "other"))
    started(ledger, opened(ledger, gateway="work"))

    ledger.release("home", "main", at(10), who="ann", why="gateway upgraded")

    assert ledger.charges("home", T0, "main") == 0
    assert ledger.charges("home", T0) == 1
    assert ledger.charges("work", T0) == 1
    assert attempt_now(ledger, attempt).is_charged, "history is not rewritten"
    started(ledger, incident, seconds=20)
    assert ledger.charges("home", T0, "main") == 1


# ---------------------------------------------------------------- quarantines, pauses, audit


def test_a_session_is_quarantined_once_until_released(ledger: SqlLedger) -> None:
    entry = quarantine_of()
    assert ledger.quarantine(entry, [stuck("alert")])
    assert not ledger.quarantine(entry, [stuck("again")])
    assert ledger.quarantine(quarantine_of(gateway="work"))
    assert ledger.quarantines("home") == [entry]
    assert len(ledger.quarantines()) == 2
    assert [owed.message.dedupe_key for owed in ledger.due_messages("phone", at(60))] == ["alert"]

    assert ledger.release("home", "main", at(60), who="ann", why="fixed") == [entry]

    assert ledger.release("home", "main", at(61), who="ann", why="fixed") == []
    assert ledger.quarantines() == [quarantine_of(gateway="work")]
    assert ledger.quarantine(entry)
    assert len(ledger.release(None, "main", at(62), who="ann", why="all of them")) == 2


def test_a_quarantine_closes_the_incident_it_ends(ledger: SqlLedger) -> None:
    """In one write: an operator who releases at once finds no incident of the old trouble open."""
    incident, other = opened(ledger, "main"), opened(ledger, "other")
    assert ledger.quarantine(quarantine_of(incident=incident.id), [stuck("alert")])
    assert ledger.open_incidents() == [other]
    found = ledger.incident(incident.id)
    assert found is not None
    assert (found.outcome, found.closed_at) == (Outcome.QUARANTINED, quarantine_of().since)
    assert not ledger.close_incident(incident.id, Outcome.CLEARED, at(60))
    again = opened(ledger, "main", seconds=70)
    assert not ledger.quarantine(quarantine_of(incident=again.id)), "quarantined already"
    assert ledger.open_incidents() == [other], "and yet nothing of it stays open"


def test_what_is_open_is_acknowledged_until_its_time_and_nothing_else_is(ledger: SqlLedger) -> None:
    def ack(seconds: float, session: str = "main", until: float | None = None) -> Ack | None:
        end = at(until) if until is not None else None
        return ledger.acknowledge(at=at(seconds), until=end, gateway="home", session=session, reason="r", who="ann")

    assert ack(0) is None
    assert (ledger.acks(at(0)), ledger.audit_trail()) == ([], [])
    incident = opened(ledger, "main", seconds=10)
    first = ack(20, until=30)
    assert first == Ack("home", "main", at(20), "ann", "r", at(30), incident.id)
    assert (ledger.acks(at(29)), ledger.acks(at(30))) == ([first], [])
    second = ack(5)
    assert second == Ack("home", "main", at(5), "ann", "r", None, incident.id)
    assert second.covers(incident), "the clock was set back; what is open is meant all the same"
    assert ledger.acks(at(99)) == [second], "one in place of the other"
    ledger.quarantine(quarantine_of(incident=incident.id))
    (quarantined,) = ledger.quarantines()
    assert not second.covers(quarantined)
    third = ack(60)
    assert third is not None
    assert third.covers(quarantined)
    assert not third.covers(replace(quarantined, gateway="work"))
    ledger.prune(at(1000))
    assert ledger.acks(at(99)) == [third], "it holds for as long as what it is about"
    ledger.release("home", "main", at(70), who="ann", why="")
    ledger.prune(at(1000))
    assert ledger.acks(at(99)) == []


def test_a_reminder_is_for_its_target_alone_and_the_last_one_is_remembered(ledger: SqlLedger) -> None:
    for target in ("phone", "mail"):
        ledger.due_messages(target, at(0))
    incident = opened(ledger)
    again = replace(stuck("k1", incident=incident.id), target="phone")
    assert ledger.owe([again, replace(again, dedupe_key="k2", target="mail")], at(1)) == 2
    assert ledger.owe([again], at(2)) == 0
    assert [one.message for one in ledger.due_messages("phone", at(3))] == [again]
    ledger.owe([replace(again, dedupe_key="k3")], at(0.5))
    assert ledger.reminded("phone") == {(MessageKind.STUCK, incident.id): at(0.5)}, "whatever the clock says"
    assert ledger.reminded("nobody") == {}


def test_a_message_keeps_its_step_and_says_when_it_was_written(ledger: SqlLedger) -> None:
    ledger.due_messages("phone", at(0))
    ledger.owe([replace(stuck("k"), step=Step.RESUME), stuck("none")], at(1))
    first, second = (one.message for one in ledger.due_messages("phone", at(2)))
    assert (first.step, first.at, second.step) == (Step.RESUME, at(1), None)


def test_pauses_end_by_time_or_by_exactly_their_scope(ledger: SqlLedger) -> None:
    def pause(gateway: str | None, session: str | None, until: datetime | None = None) -> records.Pause:
        return ledger.pause(at=T0, until=until, gateway=gateway, session=session, reason="r", who="ann")

    def in_force(seconds: float) -> list[int]:
        return [one.id for one in ledger.pauses(at(seconds))]

    everything, home, session = pause(None, None, at(100)), pause("home", None), pause("home", "main")
    assert in_force(1) == [everything.id, home.id, session.id]
    assert in_force(100) == [home.id, session.id], "until itself is over"
    assert in_force(-7200) == [everything.id, home.id, session.id], "a clock set back lifts no hold"

    assert [one.id for one in ledger.unpause(at=at(2), gateway="home", session=None, who="ann")] == [home.id]
    assert ledger.unpause(at=at(3), gateway="work", session=None, who="ann") == []
    assert in_force(4) == [everything.id, session.id]
    assert len(ledger.unpause(at=at(5), gateway=None, session=None, who="ann")) == 2
    assert in_force(6) == []
    assert (everything.since, everything.until, everything.reason, everything.who) == (T0, at(100), "r", "ann")


def test_an_operators_deeds_leave_a_trail(ledger: SqlLedger) -> None:
    ledger.pause(at=at(1), until=None, gateway="home", session=None, reason="upgrade", who="ann")
    ledger.unpause(at=at(2), gateway="home", session=None, who="bob")
    ledger.release(None, "main", at(3), who="ann", why="tried")
    ledger.audit(at(4), "ann", "recover", "main: resume")
    assert [(line.who, line.what, line.detail) for line in ledger.audit_trail()] == [
        ("ann", "recover", "main: resume"),
        ("ann", "release", "session main: tried"),
        ("bob", "unpause", "gateway home"),
        ("ann", "pause", "gateway home: upgrade"),
    ]
    assert [line.at for line in ledger.audit_trail(since=at(3))] == [at(4), at(3)]
    assert len(ledger.audit_trail(limit=1)) == 1


# ---------------------------------------------------------------- notes, values


def test_notes_are_listed_with_their_incident(ledger: SqlLedger) -> None:
    incident = opened(ledger)
    notes = [HandoffNote(incident.id, f"/state/handoff/{n}.md", at(n)) for n in range(2)]
    for note in (*notes, notes[0]):
        ledger.add_note(note)
    assert ledger.notes(incident.id) == notes
    assert ledger.notes("i20200101-0001-ffff") == []
    with pytest.raises(LedgerRefused):
        ledger.add_note(HandoffNote("i20200101-0001-ffff", "/x", at(0)))


def test_text_cut_in_the_middle_of_an_emoji_is_kept_with_a_question_mark(ledger: SqlLedger) -> None:
    session = "agent:main:\ud83d"
    incident = opened(ledger, session)
    assert incident.session == "agent:main:?"
    assert opened(ledger, session) == incident, "and found again by the same broken name"


def test_naive_instants_are_refused(ledger: SqlLedger) -> None:
    with pytest.raises(LedgerRefused, match="aware"):
        ledger.owe([stuck("k")], datetime(2026, 11, 20))  # noqa: DTZ001 - that is the point
    assert ledger.owe([stuck("k")], T0) == 1


def test_instants_are_kept_to_the_millisecond_and_come_back_in_utc(ledger: SqlLedger) -> None:
    fine = T0 + timedelta(microseconds=123_999)
    incident = ledger.open_incident(gateway="g", session="s", session_id=None, reason="r", at=fine)
    assert incident.opened_at == T0 + timedelta(milliseconds=123)
    assert incident.opened_at.utcoffset() == timedelta(0)


def test_a_closed_ledger_says_so(ledger: SqlLedger) -> None:
    ledger.close()
    ledger.close()
    assert not ledger.is_writable()
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.open_incidents()


def test_an_in_memory_ledger_repeats_itself() -> None:
    def story() -> list[str]:
        with SqliteLedger.in_memory(wall=lambda: T0) as ledger:
            incidents = [opened(ledger, str(n)) for n in range(3)]
            return [one.id for one in incidents] + [planned(ledger, one).idempotency_key for one in incidents]

    assert story() == story()
    assert all(first < second for first, second in pairwise(story()[:3]))


# ---------------------------------------------------------------- where an answer went, and what a person stopped


@pytest.mark.parametrize(
    "address",
    [None, ReplyAddress("telegram", "telegram:-100600", "second", "11"), ReplyAddress("irc", "irc:alice", None, None)],
)
def test_an_attempt_keeps_the_address_that_the_row_is_to_have_afterwards(
    ledger: SqlLedger, address: ReplyAddress | None
) -> None:
    incident = opened(ledger)
    attempt = ledger.plan_attempt(incident.id, Step.RESUME, at(1), before=RUN, before_tail=None, address=address)
    assert attempt.address == address
    assert attempt_now(ledger, attempt).address == address


@pytest.mark.parametrize("delivered", [True, False])
def test_whether_an_answer_was_delivered_is_noted(ledger: SqlLedger, delivered: bool) -> None:
    attempt, other = started(ledger, opened(ledger)), planned(ledger, opened(ledger, "other"))
    assert attempt_now(ledger, attempt).delivered is None
    ledger.note_delivery(attempt.id, delivered)
    assert attempt_now(ledger, attempt).delivered is delivered
    assert attempt_now(ledger, other).delivered is None
    ledger.note_delivery(attempt.id, None)
    assert attempt_now(ledger, attempt).delivered is None


@pytest.mark.parametrize("state", AttemptState)
def test_a_later_proof_is_noted_of_what_helped_or_did_so_late_alone(ledger: SqlLedger, state: AttemptState) -> None:
    attempt = planned(ledger, opened(ledger))
    brought_to(ledger, attempt, state)
    before = attempt_now(ledger, attempt)
    ledger.note_proof(attempt.id, "next message")
    proved = attempt_now(ledger, attempt).verified_by == "next message"
    assert proved is (state in (AttemptState.SUCCEEDED, AttemptState.INEFFECTIVE))
    if not proved:
        assert attempt_now(ledger, attempt) == before


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.OPEN])
def test_every_outcome_is_kept_by_its_own_word(ledger: SqlLedger, outcome: Outcome) -> None:
    incident = opened(ledger)
    assert ledger.close_incident(incident.id, outcome, at(3))
    found = ledger.incident(incident.id)
    assert found is not None
    assert (found.outcome, found.closed_at, found.is_open) == (outcome, at(3), False)
    assert [one.outcome for one in ledger.history()] == [outcome]


STOP = Stop("home", "main", "sid-1", at(-60), at(0))


def test_a_persons_stop_is_kept_once_for_each_run(ledger: SqlLedger) -> None:
    assert ledger.note_stop(STOP)
    assert not ledger.note_stop(replace(STOP, at=at(9))), "the first time counts"
    assert ledger.stops("home", "main") == [STOP]
    later = replace(STOP, started_at=at(30), at=at(40))
    other, same = replace(STOP, session="other"), replace(STOP, session_id="sid-2")
    away = replace(STOP, gateway="away", session_id=None)
    for stop in (later, other, same, away):
        assert ledger.note_stop(stop)
    assert ledger.stops("home", "main") == [STOP, later, same]
    assert ledger.stops("home", "other") == [other]
    assert ledger.stops("away", "main") == [STOP, later, same, away], "an id means one conversation, whoever asks"
    assert ledger.stops("afar", "main") == [STOP, later, same]


def test_a_stop_of_a_run_of_which_little_is_known_is_kept_once_too(ledger: SqlLedger) -> None:
    bare = replace(STOP, session_id=None, started_at=None)
    assert ledger.note_stop(bare)
    assert not ledger.note_stop(bare)
    assert ledger.stops("home", "main") == [bare]


def test_who_was_told_to_be_away_until_who_is_told_to_be_back(ledger: SqlLedger) -> None:
    away = [gateway_down(name, GatewayPhase.DOWN, since=at(1), now=at(9), problem="no") for name in ("home", "work")]
    ledger.owe(away, at(9))
    assert [ledger.told_away(name) for name in ("home", "work", "other")] == [at(1), at(1), None]
    ledger.owe([gateway_up("home", since=at(1), now=at(20))], at(20))
    assert [ledger.told_away(name) for name in ("home", "work")] == [None, at(1)]
    ledger.owe([gateway_down("home", GatewayPhase.DOWN, since=at(30), now=at(39), problem="no")], at(39))
    assert ledger.told_away("home") == at(30)
