"""The operator is told: what a target would not take in one piece, too, and nothing that is secret."""

from __future__ import annotations

from tests.mutants.mutations import NEVER

from .kinds import Guard

DELIVERY = ("tests/unit/notify/test_delivery.py",)

GUARDS: tuple[Guard, ...] = (
    Guard("digest: one that is refused is taken apart", "rule 8", NEVER, tests=DELIVERY),
    Guard("digest: what was one is no storm", "rule 8", NEVER, tests=DELIVERY),
)
