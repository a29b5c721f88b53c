"""Who is said to have no answer: only who has none, by a run that we watched and nobody meant to end, and once."""

from __future__ import annotations

from tests.mutants.mutations import DROP, NEVER, value

from .kinds import CORE, GATEWAY, SERVICE, Guard

RULE = (CORE + "test_unanswered.py",)
TAKEN_UP = (GATEWAY + "sessions/test_taken_up.py",)
ENDED_RUNS = (SERVICE + "test_ended_runs.py",)

GUARDS: tuple[Guard, ...] = (
    Guard("unanswered: background runs have an owner", "rule 12", NEVER, tests=RULE),
    Guard("unanswered: a stop that is remembered", "rule 12", DROP, tests=RULE),
    Guard("unanswered: a stop that was seen", "rule 12", DROP, tests=RULE),
    Guard("unanswered: a stop in the transcript", "rule 12", DROP, tests=RULE),
    Guard("unanswered: a stop in the row", "rule 12", DROP, tests=RULE),
    Guard("unanswered: something goes on", "rule 1", NEVER, tests=RULE),
    Guard("unanswered: a person's own turn that failed has said so", "rule 18", value("True"), tests=RULE),
    Guard("unanswered: the gateway's own turn tells nobody", "rule 18", NEVER, tests=RULE),
    Guard(
        "unanswered: what was asked since the start may be under way",
        "rule 18",
        value("booted_at is not None"),
        tests=RULE,
    ),
    Guard("unanswered: no old history", "rule 3", value("True"), tests=RULE),
    Guard("unanswered: it has gone on since", "rule 9", NEVER, tests=(*RULE, *ENDED_RUNS)),
    Guard(
        "unanswered: what was answered is answered",
        "rule 9",
        value("tail.kind not in _OPEN_ONLY_IF_ASKED or bool(tail.asked)"),
        tests=(*RULE, *ENDED_RUNS),
    ),
    Guard("taken up: words that came after the start are asked after it", "rule 18", NEVER, tests=TAKEN_UP),
    Guard(
        "taken up: a person may type the gateway's words", "rule 14", value("text.startswith(RECOVERY)"), tests=TAKEN_UP
    ),
    Guard("taken up: a stop before the start was a stop of it", "rule 12", value("(cut, at)"), tests=TAKEN_UP),
    Guard("unanswered: no glimpse", "rule 4", NEVER, tests=ENDED_RUNS),
    Guard("unanswered: a few looks a pass", "rule 5", NEVER, tests=ENDED_RUNS),
    Guard("unanswered: given up is told", "rule 8", NEVER, tests=ENDED_RUNS),
    Guard("unanswered: a deed of ours is told with its incident", "rule 8", value("False"), tests=ENDED_RUNS),
)
