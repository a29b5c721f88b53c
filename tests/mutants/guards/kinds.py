"""What a guard is, and the unit tests that hold most of them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutants.mutations import Mutation

CORE = "tests/unit/core/"
SERVICE = "tests/unit/service/"
GATEWAY = "tests/unit/gateway/"

EVIDENCE = (CORE + "test_evidence_by_version.py",)
VERDICT = (CORE + "test_verdict.py",)
TRACKING = (CORE + "test_tracking.py",)
BLOCKERS = (CORE + "test_blockers.py",)
HARMLESS = (SERVICE + "test_harmlessness.py",)
TRUST = (SERVICE + "test_gateway_trust.py",)
BOOTS = (GATEWAY + "wire/test_boot_time.py",)
WAITING = (GATEWAY + "sessions/test_pending.py",)
GLANCE = (GATEWAY + "sessions/test_incremental.py",)
GLANCES = (SERVICE + "test_glances.py",)


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard and how to take it out."""

    name: str
    """Also that of its mark in the product."""
    against: str
    """The class of false positives, or the rule, that it stands for."""
    mutation: Mutation
    cases: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
