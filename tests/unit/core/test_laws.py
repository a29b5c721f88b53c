"""Laws that hold for every combination of signals, not only for the measured ones."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.builders import BOOT, MEASURED, facts, preflight, running, tail_of
from tests.fakes.clock import START
from watchdog.core.evidence import Case, Evidence, Signal, Truth, innocence_of, owner_of
from watchdog.core.model import Lock, LockSight, Look, Session, Status, TailKind
from watchdog.core.policy import Thresholds
from watchdog.core.verdict import Verdict, gather, judge

from .support import at, case, passed

maybe = st.none() | st.booleans()
spans = st.integers(0, 10_000).map(lambda seconds: timedelta(seconds=seconds))

sessions = st.builds(
    running,
    status=st.sampled_from(Status),
    started_at=st.sampled_from([None, BOOT - timedelta(hours=1), BOOT, START.wall - timedelta(minutes=10)]),
    has_active_run=maybe,
    active_run_ids=st.sampled_from([None, (), ("run-1",)]),
    aborted_last_run=maybe,
    has_active_subagent_run=maybe,
    is_placed_elsewhere=st.booleans(),
)
looks = st.builds(
    Look,
    lock=st.none() | st.builds(LockSight, st.sampled_from(Lock), pid=st.just(7)),
    tail=st.none()
    | st.builds(
        tail_of,
        kind=st.sampled_from(TailKind),
        has_run_in_flight=maybe,
        was_stopped_by_request=st.booleans(),
    ),
    preflight=st.none() | st.integers(0, 3).map(preflight),
    abort_probe_unauthorized=maybe,
    pending_approvals=st.none() | st.integers(0, 2),
    pending_questions=st.none() | st.integers(0, 2),
)
others = st.lists(sessions.map(lambda row: replace(row, key="agent:main:other")), max_size=2).map(tuple)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any session on any measured version, with any looks."""
    version = draw(st.sampled_from(MEASURED))
    return case(
        draw(sessions),
        facts=facts(version, booted_at=draw(st.sampled_from([BOOT, None]))),
        look=draw(looks),
        aliases=draw(others),
        relatives=draw(others),
        boot_age=draw(st.none() | spans),
        boot_seen_age=draw(st.none() | spans),
        gateway_clock_stepped=draw(st.booleans()),
        cut_at=draw(st.none() | st.just(at(minutes=1))),
    )


evidences = st.lists(
    st.builds(Evidence, st.sampled_from(Signal), st.sampled_from(Truth), st.just("Reason"), st.just("A sentence."))
)
owner_signals = st.sampled_from([signal for signal in Signal if Evidence(signal, Truth.TRUE, "", "").is_about_owner])


def _watched(subject: Case, gaps: list[float], thresholds: Thresholds) -> list[Verdict]:
    """The verdicts of passes with these seconds between them, while nothing at all changes."""
    verdicts, now, booted = [], subject.now, subject.boot_age
    for gap in [0.0, *gaps]:
        now = now.plus(timedelta(seconds=gap))
        age = booted + now.since(subject.now) if booted is not None else None
        case_, judgement = passed(replace(subject, now=now, boot_age=age, boot_seen_age=age), thresholds)
        subject = replace(subject, track=case_.track)
        verdicts.append(judgement.verdict)
    return verdicts


EVER = [30.0] * 3 + [3600.0] * 4
"""Long enough for every threshold, in enough passes."""


@given(subject=cases(), deaths=evidences, life=owner_signals)
def test_a_proof_of_life_always_wins(subject: Case, deaths: list[Evidence], life: Signal) -> None:
    evidence = (*deaths, Evidence(life, Truth.TRUE, "Alive", "It is alive."))
    assert owner_of(evidence) is Truth.TRUE
    old = replace(subject, session=running(), now=at(minutes=600))
    assert judge(old, Thresholds(), evidence).verdict in (Verdict.HEALTHY, Verdict.LONG_RUNNING)


@given(subject=cases(), gaps=st.lists(st.floats(0, 7200), max_size=6))
def test_a_session_with_a_sign_of_life_is_never_stuck_however_long_we_watch(subject: Case, gaps: list[float]) -> None:
    alive = replace(subject, session=replace(subject.session, has_active_run=True))
    assert not set(_watched(alive, [*gaps, *EVER], Thresholds())) & {Verdict.STUCK, Verdict.SUSPECT}


@given(subject=cases(), gaps=st.lists(st.floats(0, 7200), max_size=6))
def test_nothing_is_stuck_without_a_proof_of_death(subject: Case, gaps: list[float]) -> None:
    if owner_of(gather(subject)) is not Truth.FALSE:
        assert not set(_watched(subject, [*gaps, *EVER], Thresholds())) & {Verdict.STUCK, Verdict.SUSPECT}


@given(subject=cases(), minutes=st.floats(0, 600))
def test_nothing_is_stuck_while_it_has_an_innocent_explanation(subject: Case, minutes: float) -> None:
    later = replace(subject, now=at(minutes=minutes))
    if innocence_of(gather(later)) is not None:
        judged = passed(replace(later, track=passed(later)[0].track))[1]
        unknown = () if later.session.status is Status.OTHER else (Verdict.UNKNOWN,)
        assert judged.verdict not in (Verdict.STUCK, Verdict.SUSPECT, *unknown)


@given(subject=cases())
def test_only_rows_that_say_running_can_be_stuck(subject: Case) -> None:
    if subject.session.status is not Status.RUNNING:
        found = set(_watched(subject, EVER, Thresholds()))
        is_known = subject.session.status is not Status.OTHER
        assert found <= ({Verdict.HEALTHY, Verdict.WAITING} if is_known else {Verdict.UNKNOWN})


@given(subject=cases())
def test_one_look_is_never_enough(subject: Case) -> None:
    short = Thresholds(stuck_after=timedelta(0), confirm_for=timedelta(0))
    assert passed(subject, short)[1].verdict is not Verdict.STUCK


@given(evidence=evidences.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_order_of_the_evidence_does_not_matter(evidence: tuple[list[Evidence], list[Evidence]]) -> None:
    one, other = evidence
    old = case(now=at(minutes=600))
    assert owner_of(one) is owner_of(other)
    assert (innocence_of(one) is None) is (innocence_of(other) is None)
    assert judge(old, Thresholds(), tuple(one)).verdict is judge(old, Thresholds(), tuple(other)).verdict


GRAVITY = {
    Verdict.WAITING: 0,
    Verdict.HEALTHY: 0,
    Verdict.SUSPECT: 1,
    Verdict.UNKNOWN: 2,
    Verdict.LONG_RUNNING: 2,
    Verdict.STUCK: 3,
}


@settings(max_examples=200)
@given(subject=cases(), gaps=st.lists(st.floats(0, 4000), min_size=1, max_size=12))
def test_while_nothing_moves_a_verdict_only_gets_graver(subject: Case, gaps: list[float]) -> None:
    gravities = [GRAVITY[verdict] for verdict in _watched(subject, gaps, Thresholds())]
    assert gravities == sorted(gravities)


def test_every_verdict_has_its_gravity() -> None:
    assert set(GRAVITY) == set(Verdict)


@given(subject=cases())
def test_what_is_told_carries_no_words_of_a_conversation(subject: Case) -> None:
    secret = replace(subject, look=replace(subject.look, tail=tail_of(request="SECRET", last_answer="SECRET")))
    assert not [item for item in gather(secret) if "SECRET" in f"{item.reason} {item.message}"]


@given(subject=cases())
def test_every_message_is_a_sentence_and_every_reason_one_word(subject: Case) -> None:
    for item in gather(subject):
        assert item.message.endswith(".")
        assert item.reason.isalpha()


@given(row=sessions)
def test_a_session_never_explains_itself_by_its_own_row(row: Session) -> None:
    """Aliases are other rows: a session alone is not alive "under another key"."""
    assert Signal.ALIAS not in {item.signal for item in gather(case(row))}


# ---------------------------------------------------------------- the order of polls


@given(
    subject=cases(),
    until=st.floats(0, 7200),
    between=st.lists(st.floats(0, 1), max_size=12),
)
def test_how_often_we_look_in_between_changes_nothing(subject: Case, until: float, between: list[float]) -> None:
    """The same first and last poll, while nothing moves: two polls say what fifty say."""
    instants = sorted({0.0, *(share * until for share in between), until})
    gaps = [later - earlier for earlier, later in itertools.pairwise(instants)]
    assert _watched(subject, gaps, Thresholds())[-1] is _watched(subject, [until], Thresholds())[-1]


lifeless_looks = st.builds(
    Look,
    lock=st.none() | st.builds(LockSight, st.sampled_from([Lock.NONE, Lock.UNREADABLE, Lock.OWNER_GONE])),
    preflight=st.none() | st.integers(0, 3).map(preflight),
    abort_probe_unauthorized=st.none() | st.just(False),
)


@given(
    subject=cases(),
    looks=st.lists(lifeless_looks, max_size=6).flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))),
)
def test_in_which_order_polls_found_no_life_does_not_matter_in_the_end(
    subject: Case, looks: tuple[list[Look], list[Look]]
) -> None:
    """A proof of death is one whenever it was found; what was merely not known in between takes nothing away."""

    def finally_(order: list[Look]) -> Verdict:
        watched, now = replace(subject, look=Look()), subject.now
        for look in order:
            now = now.plus(timedelta(seconds=30))
            watched = passed(replace(watched, now=now, look=look))[0]
        later = replace(watched, look=Look(), boot_age=None, boot_seen_age=None)
        return _watched(later, EVER, Thresholds())[-1]

    one, other = looks
    assert finally_(one) is finally_(other)


# ---------------------------------------------------------------- UNKNOWN is never worse than hold


@given(evidence=evidences, blurred=st.sets(st.integers(0, 20)))
def test_knowing_less_of_the_owner_never_makes_it_worse(evidence: list[Evidence], blurred: set[int]) -> None:
    """Whatever proof of death becomes unknown: nothing is suspect or stuck that was not before."""
    vague = [
        replace(item, status=Truth.UNKNOWN)
        if number in blurred and item.is_about_owner and item.status is Truth.FALSE
        else item
        for number, item in enumerate(evidence)
    ]
    actionable = {Verdict.STUCK, Verdict.SUSPECT}
    old = case(now=at(minutes=600))
    before = judge(old, Thresholds(), tuple(evidence)).verdict
    after = judge(old, Thresholds(), tuple(vague)).verdict
    assert after not in actionable or before in actionable


@given(subject=cases(), gaps=st.lists(st.floats(0, 7200), max_size=4))
def test_what_says_nothing_at_all_is_told_at_most(subject: Case, gaps: list[float]) -> None:
    """A row without a flag, a start, a boot, a look: never more than "nobody can tell"."""
    row = running(status=subject.session.status, started_at=None)
    mute = replace(subject, session=row, look=Look(), aliases=(), facts=replace(subject.facts, booted_at=None))
    assert set(_watched(mute, [*gaps, *EVER], Thresholds())) <= {Verdict.HEALTHY, Verdict.WAITING, Verdict.UNKNOWN}
