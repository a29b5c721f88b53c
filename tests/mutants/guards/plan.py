"""Policy, plan, fence."""

from __future__ import annotations

from tests.mutants.mutations import ALWAYS, DROP, NEVER, swap, value

from .kinds import CORE, GATEWAY, HARMLESS, SERVICE, Guard

REFUSALS = (GATEWAY + "wire/test_refusals.py",)

GUARDS: tuple[Guard, ...] = (
    Guard(
        "background is told only",
        "cron with its own time-out",
        value("Match(kind=('no-such-kind',))"),
        ("56121", "measured-cron-key", "measured-acp"),
        (CORE + "test_policy.py",),
    ),
    Guard(
        "archived is told only",
        "cron with its own time-out",
        value("Match(kind=('no-such-kind',))"),
        ("measured-acp",),
        (CORE + "test_policy.py",),
    ),
    Guard(
        "kind by classification",
        "cron with its own time-out",
        NEVER,
        ("144574-cron",),
        (GATEWAY + "sessions/test_rows.py",),
    ),
    Guard(
        "no refusal is free for ever",
        "rule 10",
        value("False"),
        ("measured-schema-drift",),
        (SERVICE + "test_stories.py",),
    ),
    Guard("what is never sent is told", "rule 10", ALWAYS, tests=(SERVICE + "test_stories.py",)),
    Guard(
        "who answers a deed by being away refuses it", "rule 10", value("None"), tests=(SERVICE + "test_stories.py",)
    ),
    Guard(
        "refusal: what says that it does not pass is not tried again",
        "rule 10",
        value("error.code == 'UNAVAILABLE'"),
        tests=REFUSALS,
    ),
    Guard(
        "refusal: what is starting is the gateway", "rule 10", swap("'gateway starting'", "'starting'"), tests=REFUSALS
    ),
    Guard(
        "verify: what waits to be taken up is under way",
        "double recovery",
        swap("_QUEUED_PATIENCE", "1"),
        tests=(SERVICE + "test_stories.py",),
    ),
    Guard("nobody is cut off from their chat", "rule 14", value("False"), tests=(SERVICE + "test_plan.py",)),
    Guard(
        "verify: our own turn was answered, whatever its row says",
        "rule 18",
        value("False"),
        ("119714-resume-by-agent",),
        (CORE + "test_verify.py",),
    ),
    Guard("what our turn answered is no new incident", "rule 18", NEVER, ("119714-resume-by-agent",)),
    Guard(
        "outcome: a turn answered late is no reason to give the session up",
        "rule 18",
        NEVER,
        tests=(SERVICE + "test_stories.py",),
    ),
    Guard(
        "what waits behind our answered turn is told",
        "rule 18",
        value("tail.deed_mark"),
        tests=(SERVICE + "test_stories.py",),
    ),
    Guard("finished work keeps its context", "finished but flagged", DROP, tests=HARMLESS),
    Guard(
        "mirrored delivery is no answer",
        "finished but flagged",
        DROP,
        ("measured-mirrored",),
        (GATEWAY + "sessions/test_transcript.py",),
    ),
    Guard(
        "fence: look again at all", "double recovery", value("decision"), ("last-moment", "107415-degraded"), HARMLESS
    ),
    Guard("fence: work has just begun", "invisible channel run", NEVER, ("row-lags-behind",)),
    Guard(
        "one bad row blinds nothing",
        "truncated lists",
        value("ZeroDivisionError"),
        ("malformed-rows",),
        (GATEWAY + "sessions/test_rows.py",),
    ),
    Guard(
        "ok is not recovered", "rule 9", ALWAYS, ("59878-new-after", "78785-resume-yields"), (CORE + "test_verify.py",)
    ),
    Guard("abort only without progress", "long silent tool", DROP, ("143396-working",), HARMLESS),
    Guard("verify: an unknown word proves nothing", "rule 9", NEVER, tests=(CORE + "test_verify.py",)),
    Guard("ending: an unknown word is none", "rule 9", NEVER, tests=(SERVICE + "test_what_follows.py",)),
    Guard(
        "verify: a turn that was answered and overtaken has helped",
        "double recovery",
        NEVER,
        tests=(CORE + "test_verify.py",),
    ),
    Guard(
        "a turn died with its gateway only where it left no trace",
        "double recovery",
        value("True"),
        tests=(CORE + "test_verify.py",),
    ),
)
