"""Every message as a person reads it (``docs/messages.md``), and the rules they all keep.

After a deliberate change of words: ``make messages``, then read the diff.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from inspect import getsource
from pathlib import Path
from types import FrameType

import pytest

from watchdog.core import recovery
from watchdog.core.blockers import Blocker, BlockerName
from watchdog.core.model import GatewayPhase, Moment, Status
from watchdog.core.policy import Budget, Step
from watchdog.core.printable import read
from watchdog.core.recovery import TURN_WAITS, Attempt, AttemptState
from watchdog.core.tracking import RunIdentity
from watchdog.service import announcements as say
from watchdog.service.announcements import phrases
from watchdog.service.announcements.ourselves import GRAVEST_FIRST
from watchdog.service.ledger import Incident, Message, MessageKind, Outcome, Quarantine
from watchdog.service.outages import DOWN_TOLD_AFTER, SUSPENDED_TOLD_AFTER

GOLDEN = Path(__file__).parents[3] / "docs" / "messages.md"
NOW = datetime(2026, 9, 14, 14, 3, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
KEY = "agent:main:whatsapp:direct:+491511234567"


def _attempt(number: int, step: Step, state: AttemptState, reason: str, minutes: int) -> Attempt:
    at = NOW + minutes * MINUTE
    return Attempt(number, "i-7", number, step, state, f"i-7/{number}", at, at, at + MINUTE, reason)


INCIDENT = Incident("i-7", "home", KEY, "0b6e", NOW, "StartedBeforeBoot")
RESUMED = _attempt(1, Step.RESUME, AttemptState.INEFFECTIVE, "NewRunSilent", 1)
RENEWED = _attempt(2, Step.NEW, AttemptState.SUCCEEDED, "FreshRunStarted", 7)
FREED = replace(_attempt(1, Step.FREE, AttemptState.SUCCEEDED, "RowFreed", 1), verified_by="PersonAnswered")
UNHEARD = replace(INCIDENT, verdict_reason="AnswerUnheard")
RUN = RunIdentity("0b6e", NOW - 2 * HOUR, Status.RUNNING)
GRACE = Blocker(
    BlockerName.STARTUP_GRACE,
    "The gateway started, or we connected, less than 5m ago.",
    Moment(0, NOW + 5 * MINUTE),
)
HOURS = Blocker(
    BlockerName.DEEDS_WINDOW,
    "Outside deeds_between, Mon-Fri 08:00-16:00 Europe/Berlin.",
    Moment(0, NOW + 16 * HOUR - 3 * MINUTE),
)
PAUSED = Blocker(BlockerName.PAUSED, "Paused: upgrading the machine")
COOLING = Blocker(BlockerName.COOL_DOWN, "Cooling down after attempt 1.", Moment(0, NOW + 8 * MINUTE))
GIVEN_UP = "Its gateway tried to go on with it after a restart, and gave it up."
IDLE = "The gateway says no run is active."
RESTARTS = Budget(2, 6 * HOUR)
PROBLEMS = {
    GatewayPhase.DOWN: "Nothing accepts connections at ws://127.0.0.1:18789",
    GatewayPhase.UNRESPONSIVE: "No answer to sessions.list within 15 s; the gateway hangs or is overloaded.",
    GatewayPhase.STARTING: "It says that it is still starting.",
    GatewayPhase.DRAINING: "It says that it is shutting down.",
    GatewayPhase.SUSPENDED: "It says that it is suspended.",
    GatewayPhase.REFUSED: "It refuses this device: pairing required.",
    GatewayPhase.UNUSABLE: "sessions.list: no such column: restart_recovery.",
    GatewayPhase.UNKNOWN: "This process has no file descriptors left.",
}


def _all() -> dict[str, Message]:
    return {
        "stuck, with a deed": say.stuck(
            INCIDENT,
            now=NOW,
            unattended_for=21 * MINUTE,
            explanation="The run started at 2026-09-14 12:01:00Z, before this gateway process did (2026-09-14 13:40:00Z).",
            next_step=Step.RESUME,
        ),
        "stuck, held": say.stuck(
            INCIDENT,
            now=NOW,
            unattended_for=21 * MINUTE,
            explanation=IDLE,
            next_step=Step.NEW,
            blockers=[GRACE, PAUSED],
        ),
        "still open": say.still_open(
            replace(INCIDENT, attempts=(RESUMED,)),
            now=NOW + 24 * HOUR,
            every=24 * HOUR,
            target="phone",
            dedupe_key="remind:phone:stuck:i-7:2026-09-14T14:03:00+00:00",
        ),
        "still open, its person was asked": say.still_open(
            replace(INCIDENT, attempts=(_attempt(1, Step.ASK, AttemptState.SUCCEEDED, "Asked", 1),)),
            now=NOW + 24 * HOUR,
            every=24 * HOUR,
            target="phone",
            dedupe_key="remind:phone:stuck:i-7:2026-09-15T14:03:00+00:00",
        ),
        "still open, nothing was done": say.still_open(
            INCIDENT, now=NOW + 8 * HOUR, every=8 * HOUR, target="phone", dedupe_key="remind:phone:stuck:i-7:x"
        ),
        "still in quarantine": say.still_quarantined(
            Quarantine("home", KEY, "0b6e", NOW + HOUR, "Every step of the ladder was tried.", "i-7"),
            replace(INCIDENT, attempts=(RESUMED,)),
            now=NOW + 25 * HOUR,
            every=24 * HOUR,
            target="phone",
            dedupe_key="remind:phone:quarantined:i-7:2026-09-14T15:03:00+00:00",
        ),
        "still in quarantine, put there without an incident": say.still_quarantined(
            Quarantine("home", KEY, "0b6e", NOW + HOUR, "It was put there by hand.", None),
            None,
            now=NOW + 25 * HOUR,
            every=24 * HOUR,
            target="phone",
            dedupe_key="remind:phone:quarantined:home x:2026-09-14T15:03:00+00:00",
        ),
        "stuck, outside the hours for deeds": say.stuck(
            INCIDENT,
            now=NOW,
            unattended_for=21 * MINUTE,
            explanation=IDLE,
            next_step=Step.RESUME,
            blockers=[HOURS],
        ),
        "stuck, only told": say.stuck(
            INCIDENT, now=NOW, unattended_for=14 * HOUR + 5 * MINUTE, explanation=IDLE, next_step=Step.NOTIFY
        ),
        "stuck, no step fits": say.stuck(INCIDENT, now=NOW, unattended_for=HOUR, explanation=IDLE, next_step=None),
        "did not help, next": say.did_not_help(
            INCIDENT, RESUMED, now=NOW + 3 * MINUTE, next_step=Step.NEW, blockers=[COOLING]
        ),
        "did not help, next if nothing moves": say.did_not_help(
            INCIDENT, RESUMED, now=NOW + 3 * MINUTE, next_step=Step.NEW, blockers=[COOLING], stuck_at=NOW + 23 * MINUTE
        ),
        "did not help, held": say.did_not_help(
            INCIDENT, RESUMED, now=NOW + 3 * MINUTE, next_step=Step.NEW, blockers=[PAUSED, COOLING]
        ),
        "did not help, last": say.did_not_help(
            INCIDENT,
            replace(RENEWED, state=AttemptState.INEFFECTIVE, reason="StillRunning"),
            now=NOW + 9 * MINUTE,
            next_step=None,
        ),
        "did not help, then only told": say.did_not_help(
            INCIDENT, RESUMED, now=NOW + 3 * MINUTE, next_step=Step.NOTIFY
        ),
        "did not help, nothing follows": say.did_not_help(
            INCIDENT,
            replace(RESUMED, reason="NewRunFailed"),
            now=NOW + 3 * MINUTE,
            next_step=None,
            no_more="no run is marked as going on any more",
        ),
        "never sent": say.never_sent(
            replace(
                INCIDENT,
                attempts=(
                    replace(RESUMED, state=AttemptState.REFUSED, reason="GatewayClosed", is_retryable=True),
                    replace(RESUMED, number=2, state=AttemptState.REFUSED, reason="GatewayClosed", is_retryable=True),
                ),
            ),
            now=NOW + 3 * MINUTE,
        ),
        "perhaps asked": say.perhaps_asked(
            INCIDENT, replace(RESUMED, step=Step.ASK, state=AttemptState.ABANDONED), now=NOW + 3 * MINUTE
        ),
        "recovered by resume": say.closed(
            replace(
                INCIDENT,
                attempts=(
                    replace(
                        RESUMED,
                        state=AttemptState.SUCCEEDED,
                        reason="NewRunDone",
                        verified_by="NewRunDone, TerminalDeliverySent",
                    ),
                ),
            ),
            Outcome.RECOVERED,
            now=NOW + 2 * MINUTE,
        ),
        "recovered by freeing": say.closed(
            replace(INCIDENT, attempts=(FREED,)), Outcome.RECOVERED, now=NOW + 2 * MINUTE
        ),
        "stuck, its answer was not heard": say.stuck(
            UNHEARD, now=NOW, unattended_for=21 * MINUTE, explanation=IDLE, next_step=Step.FREE
        ),
        "recovered by freeing, its answer was not heard": say.closed(
            replace(UNHEARD, attempts=(FREED,)), Outcome.RECOVERED, now=NOW + 2 * MINUTE
        ),
        "recovered by new, its answer was not heard": say.closed(
            replace(
                UNHEARD, attempts=(replace(FREED, state=AttemptState.INEFFECTIVE, reason="NothingChanged"), RENEWED)
            ),
            Outcome.RECOVERED,
            now=NOW + 9 * MINUTE,
            note_path="/var/lib/openclaw-watchdog/notes/i-7-2.md",
        ),
        "failed, its answer was not heard": say.closed(
            replace(UNHEARD, attempts=(FREED,)), Outcome.FAILED, now=NOW + 34 * MINUTE
        ),
        "recovered by new": say.closed(
            replace(INCIDENT, attempts=(RESUMED, RENEWED)),
            Outcome.RECOVERED,
            now=NOW + 9 * MINUTE,
            note_path="/var/lib/openclaw-watchdog/notes/i-7-2.md",
        ),
        "not delivered": say.closed(
            replace(INCIDENT, attempts=(replace(RESUMED, state=AttemptState.SUCCEEDED, delivered=False),)),
            Outcome.UNDELIVERED,
            now=NOW + 2 * MINUTE,
        ),
        "stopped": say.closed(
            replace(
                INCIDENT, attempts=(replace(RESUMED, step=Step.ABORT, state=AttemptState.SUCCEEDED, reason="RunEnded"),)
            ),
            Outcome.ENDED,
            now=NOW + 2 * MINUTE,
        ),
        "failed": say.closed(
            replace(INCIDENT, attempts=(replace(RESUMED, reason="NewRunFailed"),)),
            Outcome.FAILED,
            now=NOW + 4 * MINUTE,
        ),
        "cleared, untouched": say.closed(INCIDENT, Outcome.CLEARED, now=NOW + 30 * MINUTE),
        "cleared, it goes on": say.closed(
            replace(INCIDENT, attempts=(replace(RESUMED, state=AttemptState.SUCCEEDED, reason=TURN_WAITS),)),
            Outcome.CLEARED,
            now=NOW + 2 * MINUTE,
        ),
        "cleared, after attempts": say.closed(
            replace(INCIDENT, attempts=(RESUMED,)), Outcome.CLEARED, now=NOW + 30 * MINUTE
        ),
        "quarantined, budget": say.quarantined(
            replace(
                INCIDENT,
                attempts=(RESUMED, replace(RENEWED, state=AttemptState.REFUSED, reason="SESSION_WORK_START_CHANGED")),
            ),
            now=NOW + 20 * HOUR,
            why="3 attempts within 3 days are used up.",
            budget=Budget(3, 72 * HOUR),
        ),
        "quarantined, ladder": say.quarantined(
            INCIDENT, now=NOW + 40 * MINUTE, why="Every step of the ladder was tried."
        ),
        "long running": say.long_running(
            "home",
            KEY,
            RUN,
            now=NOW,
            running_for=65 * MINUTE,
            explanation="The gateway holds the session file's lock: a run is going.",
            is_alive=True,
        ),
        "long wait for the gateway's own recovery": say.long_running(
            "home",
            KEY,
            RUN,
            now=NOW,
            running_for=40 * MINUTE,
            explanation="The gateway says that its own restart recovery is not done with this session.",
            is_alive=False,
        ),
        "unknown": say.unknown(
            "home",
            KEY,
            RUN,
            now=NOW,
            quiet_for=20 * MINUTE,
            explanation="The row says no run is active, but 2026.5.18 says so of live chat-app runs too.",
        ),
        "unknown status": say.unknown_status("home", KEY, "hibernating"),
        "unanswered": say.unanswered(
            "home",
            KEY,
            RUN,
            now=NOW,
            ended_at=NOW - MINUTE,
            explanation="Its row says failed, and the conversation ends with a request that has no answer. "
            "Messages that its gateway had accepted meanwhile were dropped, and will not be run: 3.",
        ),
        "unanswered, not woken": say.unanswered(
            "home",
            KEY,
            RUN,
            now=NOW,
            ended_at=NOW - 31 * MINUTE,
            explanation="It ended its turn to wait for its subagents; they have all ended since, and it was not woken to go on.",
        ),
        "given up by its gateway, with a deed": say.given_up(
            INCIDENT, now=NOW, explanation=GIVEN_UP, next_step=Step.NEW, has_chat=True
        ),
        "given up by its gateway, held": say.given_up(
            INCIDENT, now=NOW, explanation=GIVEN_UP, next_step=Step.NEW, blockers=[PAUSED], has_chat=True
        ),
        "given up by its gateway, told only": say.given_up(
            INCIDENT, now=NOW, explanation=GIVEN_UP, next_step=None, has_chat=False
        ),
        **{
            f"gateway {phrases.PHASES[phase]}": say.gateway_down(
                "home",
                phase,
                since=NOW,
                now=NOW + (SUSPENDED_TOLD_AFTER if phase is GatewayPhase.SUSPENDED else DOWN_TOLD_AFTER),
                problem=problem,
                open_incidents=2,
            )
            for phase, problem in PROBLEMS.items()
        },
        "gateway sick": say.gateway_down(
            "home", GatewayPhase.CONNECTED, since=NOW, now=NOW + 90 * MINUTE, problem="sessions.list took 14s."
        ),
        "gateway back": say.gateway_up("home", since=NOW - 20 * HOUR, now=NOW),
        "gateway back, first seen by another life": say.gateway_up(
            "home", since=NOW - 20 * HOUR, now=NOW, is_seen=False
        ),
        "gateway back, sessions were stuck": say.gateway_up("home", since=NOW - HOUR, now=NOW, open_incidents=2),
        "gateway keeps restarting": say.gateway_keeps_restarting(
            "home", since=NOW, now=NOW + 4 * MINUTE, restarts=3, open_incidents=2
        ),
        "chat apps stopped after crashes": say.channels_stopped("home", ["telegram"], life="boot-1"),
        "gateway settled": say.gateway_settled("home", since=NOW, now=NOW + HOUR, restarts=14, quiet_for=30 * MINUTE),
        "gateway restarted": say.gateway_restarted(
            "home",
            since=NOW,
            now=NOW + 5 * MINUTE,
            how="the systemd user unit openclaw-gateway.service",
            number=1,
            limit=RESTARTS,
        ),
        "gateway restarted in vain": say.gateway_restarted(
            "home",
            since=NOW,
            now=NOW + 10 * MINUTE,
            how="the launchd service ai.openclaw.gateway",
            number=1,
            limit=RESTARTS,
            why_not="It has not answered within 5m after that.",
        ),
        "gateway left alone": say.gateway_left_alone("home", since=NOW, now=NOW + 50 * MINUTE, limit=RESTARTS),
        "gateway left alone, other reason": say.gateway_left_alone(
            "home",
            since=NOW,
            now=NOW + 6 * MINUTE,
            limit=RESTARTS,
            why="It cannot be restarted: there is no systemd user unit openclaw-gateway.service.",
        ),
        "fleet breaker opened": say.fleet_breaker_opened("home", at=NOW, sessions=34, running=60),
        "fleet breaker closed": say.fleet_breaker_closed("home", opened_at=NOW, now=NOW + 9 * MINUTE, sessions=3),
        "fleet breaker closed, all well": say.fleet_breaker_closed(
            "home", opened_at=NOW, now=NOW + 9 * MINUTE, sessions=0
        ),
        "ledger unavailable": say.ledger_unavailable(
            "/var/lib/openclaw-watchdog/ledger.sqlite", since=NOW, problem="The disk is full."
        ),
        "ledger restored": say.ledger_restored(since=NOW, now=NOW + 9 * MINUTE),
        "ledger lost": say.ledger_lost("/var/lib/openclaw-watchdog/ledger.sqlite", lost_at=NOW, now=NOW + 9 * MINUTE),
        "test": say.trial(now=NOW, host="nas", version="1.0.0"),
        "digest": _digest(),
    }


def _digest() -> Message:
    """Three sessions stuck and two of them recovered while the gateway went down and came back."""
    incidents = [replace(INCIDENT, id=f"i-{number}", session=f"agent:main:direct:{number}") for number in (1, 2, 3)]
    opened = [
        say.stuck(incident, now=NOW, unattended_for=21 * MINUTE, explanation=IDLE, next_step=Step.RESUME)
        for incident in incidents
    ]
    recovered = [
        say.recovered(incident, replace(RESUMED, reason="NewRunDone"), now=NOW + HOUR) for incident in incidents[:2]
    ]
    outage = [
        say.gateway_down("home", GatewayPhase.DOWN, since=NOW, now=NOW, problem="Nothing listens."),
        say.gateway_up("home", since=NOW, now=NOW + MINUTE),
    ]
    return say.digest([*outage, *opened, *recovered])


def _page(messages: dict[str, Message]) -> str:
    return GOLDEN_HEAD + "".join(
        f"\n## {name[:1].upper()}{name[1:]}\n\n`{message.kind.value}`: **{message.title}**\n\n```text\n{message.body}\n```\n"
        for name, message in messages.items()
    )


GOLDEN_HEAD = f"""# Every message

What the watchdog tells its operator, as it arrives: the kind that `notify[].on` names, the title, and the body, from the code
that writes them, about examples. Under `run --observe` each ends with “{phrases.ONLY_OBSERVES}”,
where it does not say so already; last each names the machine on which its commands are to be typed: “From openclaw-watchdog on HOST.”
Written by `make messages`; a test compares this file with the code.
"""


def test_the_texts_read_as_they_should() -> None:
    page = _page(_all())
    if os.environ.get("WRITE_GOLDEN"):
        GOLDEN.write_text(page, encoding="utf-8")
    assert page == GOLDEN.read_text(encoding="utf-8"), "`make messages`, and read the diff"


def test_every_message_that_can_be_written_is_among_them() -> None:
    written: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "/announcements/" in frame.f_code.co_filename:
            written.add(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        _all()
    finally:
        sys.setprofile(None)
    assert set(say.__all__) <= written


def test_every_kind_is_written_and_has_its_place_in_a_digest() -> None:
    assert {message.kind for message in _all().values()} == set(MessageKind)
    assert set(GRAVEST_FIRST) == set(MessageKind)


@pytest.mark.parametrize("name", _all())
def test_manners(name: str) -> None:
    message = _all()[name]
    assert len(message.title) <= 100
    assert message.title.isprintable()
    assert not re.search(
        r"  (?!openclaw-watchdog )|\.\.(?!\.)| ,| \.|\n\n\n|\bNone\b(?! of)|datetime|timedelta", message.body
    )
    assert message.body == message.body.strip()
    for line in message.body.splitlines():
        assert line == line.rstrip()
        if line.startswith("  "):
            program, *words = shlex.split(line)
            assert program == "openclaw-watchdog"
            assert words[-2:] == ["--gateway", message.gateway] or not message.gateway, "another gateway's is not meant"
        elif line and not line.startswith(("-", *"123456789", "The last request is kept", "The file", "Tried")):
            assert line[-1] in ".:", line
    assert not re.search(r"(?<!\d)\d:\d\d:\d\d", message.body)  # a bare timedelta


# ---------------------------------------------------------------- once


def test_opened_and_closed_are_each_told_once() -> None:
    texts = _all()
    assert {texts[name].dedupe_key for name in texts if name.startswith("stuck")} == {"i-7:opened"}
    closings = [name for name in texts if name.startswith(("recovered", "cleared"))]
    assert {texts[name].dedupe_key for name in closings} == {"i-7:closed"}
    assert texts["quarantined, ladder"].dedupe_key == "i-7:quarantined"


def test_each_ending_of_each_attempt_is_told_once() -> None:
    texts = _all()
    keys = [texts[name].dedupe_key for name in ("did not help, next", "did not help, last")]
    assert keys == ["i-7:attempt:1:ineffective", "i-7:attempt:2:ineffective"]


def test_an_outage_is_told_once_each_way() -> None:
    down = say.gateway_down("home", GatewayPhase.DOWN, since=NOW, now=NOW, problem="x")
    worse = say.gateway_down("home", GatewayPhase.REFUSED, since=NOW, now=NOW + HOUR, problem="y")
    up = say.gateway_up("home", since=NOW, now=NOW + HOUR)
    again = say.gateway_down("home", GatewayPhase.DOWN, since=NOW + 2 * HOUR, now=NOW + 2 * HOUR, problem="x")
    assert down.dedupe_key == worse.dedupe_key
    assert len({down.dedupe_key, up.dedupe_key, again.dedupe_key}) == 3


def test_a_storm_is_told_once_each_way_and_is_no_outage() -> None:
    storm = say.gateway_keeps_restarting("home", since=NOW, now=NOW + MINUTE, restarts=3)
    over = say.gateway_settled("home", since=NOW, now=NOW + HOUR, restarts=9, quiet_for=HOUR)
    down = say.gateway_down("home", GatewayPhase.DOWN, since=NOW, now=NOW, problem="x")
    assert len({storm.dedupe_key, over.dedupe_key, down.dedupe_key}) == 3
    back = say.gateway_up("home", since=NOW + MINUTE, now=NOW + HOUR)
    assert "keeps restarting" in say.digest([storm, back]).body, "an outage that ended does not end a storm"
    assert "keeps restarting" not in say.digest([storm, over]).body


def test_long_and_unknown_are_told_once_per_run() -> None:
    def key(run: RunIdentity, hours: int = 1) -> str:
        return say.long_running(
            "home", KEY, run, now=NOW, running_for=hours * HOUR, explanation=IDLE, is_alive=True
        ).dedupe_key

    assert key(RUN) == key(RUN, 5)
    assert key(RUN) == key(replace(RUN, lifecycle_revision="2"))
    assert key(RUN) != key(replace(RUN, started_at=NOW))
    assert key(RUN) != key(replace(RUN, session_id=None))
    unclear = say.unknown("home", KEY, RUN, now=NOW, quiet_for=HOUR, explanation=IDLE)
    left = say.unanswered("home", KEY, RUN, now=NOW, ended_at=NOW, explanation=IDLE)
    assert len({unclear.dedupe_key, left.dedupe_key, key(RUN), ""}) == 4


def test_a_digest_shows_where_each_matter_stands_now() -> None:
    body = _digest().body
    assert "Recovered: agent:main:direct:1 on home" in body
    assert "Stuck: agent:main:direct:1 on home" not in body
    assert "Stuck: agent:main:direct:3 on home" in body
    assert "Gateway home is down" not in body
    assert _digest().kind is MessageKind.STUCK
    assert _digest().dedupe_key == _digest().dedupe_key


def test_a_long_digest_is_cut_and_says_so() -> None:
    many = [
        say.long_running(
            "home", f"agent:main:{number}", RUN, now=NOW, running_for=HOUR, explanation=IDLE, is_alive=True
        )
        for number in range(60)
    ]
    message = say.digest(many)
    assert "- and 35 more" in message.body
    assert message.title == "Several at once: 60 long-running"
    assert message.gateway == "home"
    assert "status --gateway home" in message.body
    for other in (_all()["test"], replace(many[0], gateway="office", dedupe_key="o")):
        mixed = say.digest([*many, other])
        assert mixed.gateway == ""
        assert "--gateway" not in mixed.body


# ---------------------------------------------------------------- words


def test_every_reason_of_the_core_has_words() -> None:
    coined = set(re.findall(r'Proof\(AttemptState\.\w+, "(\w+)"\)', getsource(recovery)))
    coined |= {f"NewRun{status.value.capitalize()}" for status in Status if status.is_terminal}
    assert coined <= set(phrases.REASONS)


@pytest.mark.parametrize("outcome", [one for one in Outcome if one not in (Outcome.OPEN, Outcome.QUARANTINED)])
def test_a_closed_message_begins_with_the_outcome_as_everything_else_names_it(outcome: Outcome) -> None:
    worked = replace(
        RESUMED, state=AttemptState.SUCCEEDED, reason="NewRunDone", delivered=outcome is not Outcome.UNDELIVERED
    )
    message = say.closed(replace(INCIDENT, attempts=(worked,)), outcome, now=NOW)
    assert message.title.startswith(f"{phrases.OUTCOMES[outcome].capitalize()}: ")


def test_every_step_has_words() -> None:
    assert set(phrases.STEP_NAMES) == set(phrases.DEEDS) == set(phrases.STEP_EFFECTS) == set(Step)


@pytest.mark.parametrize("phase", GatewayPhase)
def test_every_phase_of_a_gateway_has_words(phase: GatewayPhase) -> None:
    message = say.gateway_down("home", phase, since=NOW, now=NOW, problem="it hangs")
    assert "since 14:03 UTC.\nIt hangs." in message.body


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (NOW, "14:03 UTC"),
        (NOW - timedelta(days=1), "13 Sep 14:03 UTC"),
        (NOW - timedelta(days=365), "14 Sep 2025 14:03 UTC"),
    ],
)
def test_instants(at: datetime, words: str) -> None:
    assert phrases.when(at, NOW) == words


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (None, ""),
        ("NewRunDone", "a new run finished"),
        ("NewRunDone, TerminalDeliverySent", "a new run finished and its answer was delivered"),
        ("GatewayWentAway", "gateway went away"),
        ("SESSION_WORK_START_CHANGED", "SESSION_WORK_START_CHANGED"),
        ("It said no.\nTwice.", "It said no. Twice"),
        ("x" * 900, "x" * 299 + "…"),
    ],
)
def test_reasons(reason: str | None, words: str) -> None:
    assert phrases.reason_words(reason) == words


def test_keys_of_others_cannot_break_a_message_or_a_shell() -> None:
    key = "agent:main:x'; rm -rf ~ #\n\x1b[31m\u202e" + "y" * 80
    message = say.stuck(
        replace(INCIDENT, session=key), now=NOW, unattended_for=HOUR, explanation=IDLE, next_step=Step.RESUME
    )
    assert message.title.isprintable()
    assert len(message.title) < 70
    prose, _, command = message.body.partition("\n\n  ")
    assert "\x1b" not in prose
    program, verb, pasted, *place = shlex.split(command)
    assert (program, verb, read(pasted), place) == ("openclaw-watchdog", "explain", key, ["--gateway", "home"])
    assert command.isprintable()


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("stuck, with a deed", Step.RESUME),
        ("stuck, only told", Step.NOTIFY),
        ("stuck, no step fits", None),
        ("did not help, last", Step.NEW),
        ("still open", None),
    ],
)
def test_a_message_names_its_step_for_machines(name: str, step: Step | None) -> None:
    assert _all()[name].step is step
