"""Old and settled goes, open matters stay."""

from __future__ import annotations

from watchdog.core.recovery import AttemptState
from watchdog.ledger.ledger import SqlLedger
from watchdog.service.ledger import HandoffNote, Outcome, Stop

from .support import T0, at, opened, quarantine_of, started, stuck

DAY = 86_400.0
LATER = 90 * DAY


def test_closed_incidents_go_with_all_that_is_theirs(ledger: SqlLedger) -> None:
    incident = opened(ledger)
    attempt = started(ledger, incident)
    ledger.settle_attempt(attempt.id, AttemptState.SUCCEEDED, at(3), reason="Done")
    ledger.add_note(HandoffNote(incident.id, "/x", at(3)))
    ledger.close_incident(incident.id, Outcome.RECOVERED, at(4))
    assert ledger.prune(at(4)) == 0, "closed at that instant is not older"
    assert ledger.prune(at(5)) == 1
    assert ledger.incident(incident.id) is None
    assert ledger.notes(incident.id) == []
    assert ledger.charges("home", T0) == 0


def test_open_matters_stay(ledger: SqlLedger) -> None:
    still_open = opened(ledger, "open")
    unsettled = opened(ledger, "unsettled")
    started(ledger, unsettled)
    quarantined = opened(ledger, "quarantined")
    ledger.quarantine(quarantine_of("quarantined", incident=quarantined.id), [stuck("q", incident=quarantined.id)])
    for incident in (unsettled, quarantined):
        ledger.close_incident(incident.id, Outcome.CLEARED, at(9))
    held = ledger.pause(at=T0, until=None, gateway=None, session=None, reason="r", who="ann")
    running = ledger.pause(at=T0, until=at(LATER + 10), gateway=None, session=None, reason="r", who="ann")

    ledger.prune(at(LATER))

    assert {one.id for one in ledger.history()} == {still_open.id, unsettled.id, quarantined.id}
    assert len(ledger.quarantines()) == 1
    assert [one.id for one in ledger.pauses(at(LATER))] == [held.id, running.id]
    assert ledger.owe([stuck("q")], at(LATER)) == 0, "alerted once, also after a prune"


def test_ended_matters_go(ledger: SqlLedger) -> None:
    ledger.quarantine(quarantine_of())
    ledger.release("home", "main", at(60), who="ann", why="x")
    ledger.pause(at=T0, until=at(70), gateway=None, session=None, reason="expired", who="ann")
    ledger.pause(at=T0, until=None, gateway="home", session=None, reason="ended", who="ann")
    ledger.unpause(at=at(80), gateway="home", session=None, who="ann")
    lines = len(ledger.audit_trail())
    assert ledger.prune(at(LATER)) == 3 + lines
    assert ledger.prune(at(LATER)) == 0
    assert ledger.audit_trail() == []


def test_messages_go_when_nobody_waits_for_them(ledger: SqlLedger) -> None:
    ledger.due_messages("phone", T0)
    ledger.owe([stuck("delivered"), stuck("given up"), stuck("waiting"), stuck("failing")], T0)
    ids = {owed.message.dedupe_key: owed.id for owed in ledger.due_messages("phone", T0)}
    ledger.mark_delivered(ids["delivered"], "phone", at(1))
    ledger.mark_failed(ids["given up"], "phone", at(1), "x", None)
    ledger.mark_failed(ids["failing"], "phone", at(1), "x", at(2))

    assert ledger.prune(at(10)) == 2
    assert {owed.message.dedupe_key for owed in ledger.due_messages("phone", at(10))} == {"waiting", "failing"}
    assert ledger.prune(at(DAY + 10)) == 2, "past the day in which delivery is tried"
    assert ledger.undelivered(at(10)) == []


def test_a_message_still_owed_to_a_second_target_stays(ledger: SqlLedger) -> None:
    for target in ("phone", "mail"):
        ledger.due_messages(target, T0)
    ledger.owe([stuck("a")], T0)
    ledger.mark_delivered(ledger.due_messages("phone", T0)[0].id, "phone", at(1))
    assert ledger.prune(at(10)) == 0
    ledger.mark_delivered(ledger.due_messages("mail", T0)[0].id, "mail", at(1))
    assert ledger.prune(at(10)) == 1


def test_messages_without_any_target_are_owed_to_nobody(ledger: SqlLedger) -> None:
    ledger.owe([stuck("a")], T0)
    assert ledger.prune(at(10)) == 1


def test_messages_of_a_kept_incident_stay_so_that_none_is_sent_twice(ledger: SqlLedger) -> None:
    incident = opened(ledger)
    ledger.owe([stuck("a", incident=incident.id)], T0)
    assert ledger.prune(at(LATER)) == 0
    ledger.close_incident(incident.id, Outcome.CLEARED, at(LATER))
    assert ledger.prune(at(2 * LATER)) == 2


def test_old_stops_go(ledger: SqlLedger) -> None:
    old, young = Stop("home", "main", "sid-1", T0, at(1)), Stop("home", "main", "sid-1", at(50), at(60))
    ledger.note_stop(old)
    ledger.note_stop(young)
    assert ledger.prune(at(60)) == 1
    assert ledger.stops("home", "main") == [young]
