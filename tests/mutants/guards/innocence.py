"""Innocence."""

from __future__ import annotations

from tests.mutants.mutations import DROP, NEVER, value

from .kinds import EVIDENCE, GATEWAY, Guard

GUARDS: tuple[Guard, ...] = (
    Guard("stopped on purpose", "finished but flagged", NEVER, ("user-stopped",), EVIDENCE),
    Guard(
        "abort mark is a stop",
        "finished but flagged",
        DROP,
        ("user-stopped-streaming",),
        (GATEWAY + "sessions/test_transcript.py",),
    ),
    Guard(
        "gateway recovers after a boot", "start-up and restart recovery", NEVER, ("measured-not-marked-yet",), EVIDENCE
    ),
    Guard("marked for the gateway's recovery", "double recovery", NEVER, ("126086-restarted",), EVIDENCE),
    Guard("the gateway names its recovery", "double recovery", NEVER, tests=EVIDENCE),
    Guard("approval pending", "approval pending", NEVER, ("150769-approval-of",), EVIDENCE),
    Guard("question pending", "human question", NEVER, ("153258-question-of",), EVIDENCE),
    Guard("subagent flag of the parent", "subagent wait", NEVER, ("92401-subagent-flag",), EVIDENCE),
    Guard("child rows running", "subagent wait", NEVER, ("92401-children", "86775"), EVIDENCE),
    Guard("children by spawnedBy", "subagent wait", NEVER, ("92401-children-by-spawned-by",)),
    Guard("dead children hold nobody", "subagent wait", value("False"), ("71252-orphan-parent",), EVIDENCE),
    Guard("compaction within its time", "compaction", NEVER, ("129581-compacting",), EVIDENCE),
    Guard("compaction past its time", "compaction", value("False"), ("70334",)),
    Guard("placed elsewhere", "missing fields", NEVER, ("placed-elsewhere",), EVIDENCE),
)
