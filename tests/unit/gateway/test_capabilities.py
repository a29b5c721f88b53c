"""What each version's answers are worth, and what each step needs there."""

from __future__ import annotations

from datetime import timedelta

import pytest

from watchdog.core.model import FlagWorth, LockWorth
from watchdog.core.policy import Step
from watchdog.gateway.capabilities import (
    ADMIN,
    READ,
    WRITE,
    Version,
    capabilities_of,
    needs_of,
    parse_version,
    scopes_for,
    untried_words,
)

V324, V414, V518, V96 = (2026, 3, 24), (2026, 4, 14), (2026, 5, 18), (2026, 9, 6)
ABSENT, LIFE_ONLY, TRUSTED = FlagWorth.ABSENT, FlagWorth.PROVES_LIFE_ONLY, FlagWorth.TRUSTED
SILENT, WHOLE_RUN = LockWorth.SAYS_NOTHING, LockWorth.WHOLE_RUN


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("2026.3.24", V324),
        ("v2026.3.24", V324),
        ("2026.7.1-beta.1", (2026, 7, 1)),
        ("2026.9.6 (eb377ac)", V96),
        ("2026.1.24-3", (2026, 1, 24)),
        ("dev", None),
        ("", None),
        ("unknown", None),
        ("2026.3", None),
        ("2026.3.240", None),
        ("26.3.24", None),
        ("x2026.3.24", None),
    ],
)
def test_versions(text: str, version: Version | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("version", ["2026.3.24", "2026.9.6", "2026.9.6-1", "2026.9.6 (eb377ac)", "dev", ""])
def test_nothing_is_said_of_a_version_that_is_not_newer_than_what_was_tried(version: str) -> None:
    assert untried_words(version) is None


@pytest.mark.parametrize("version", ["2026.9.7", "2026.10.1-beta.2", "2027.1.1"])
def test_a_newer_version_is_believed_as_the_newest_that_was_tried(version: str) -> None:
    said = untried_words(version)
    assert said is not None
    assert said.startswith(
        f"OpenClaw {version.partition('-')[0]} is newer than any release this program was tried on (2026.9.6)"
    )
    assert capabilities_of(version, frozenset()) == capabilities_of("2026.9.6", frozenset())


Row = tuple[str, FlagWorth, LockWorth, bool, bool, bool]


@pytest.mark.parametrize(
    ("version", "flag", "lock", "probe", "recovers_at_boot", "row_survives_stop"),
    [
        ("2026.1.24-3", ABSENT, SILENT, False, False, True),
        ("2026.3.24", ABSENT, WHOLE_RUN, True, False, True),
        ("2026.4.8", ABSENT, WHOLE_RUN, True, False, True),
        ("2026.4.14", ABSENT, WHOLE_RUN, True, False, True),
        ("2026.4.15", ABSENT, SILENT, False, False, True),
        ("2026.4.24", ABSENT, SILENT, False, True, True),
        ("2026.4.29", ABSENT, SILENT, False, True, True),
        ("2026.5.2", LIFE_ONLY, SILENT, False, True, True),
        ("2026.5.12", LIFE_ONLY, SILENT, False, True, True),
        ("2026.5.18", LIFE_ONLY, SILENT, False, True, False),
        ("2026.6.34", LIFE_ONLY, SILENT, False, True, False),
        ("2026.7.1-beta.1", TRUSTED, SILENT, False, True, False),
        ("2026.9.6", TRUSTED, SILENT, False, True, False),
        ("2027.1.1", TRUSTED, SILENT, False, True, False),
        ("dev", LIFE_ONLY, SILENT, False, True, True),
        ("", LIFE_ONLY, SILENT, False, True, True),
    ],
)
def test_what_the_signals_are_worth(
    version: str, flag: FlagWorth, lock: LockWorth, probe: bool, recovers_at_boot: bool, row_survives_stop: bool
) -> None:
    worth = capabilities_of(version, frozenset())
    assert (worth.active_run_flag, worth.lock, worth.has_abort_probe) == (flag, lock, probe)
    assert (worth.boot_recovery > timedelta(0)) is recovers_at_boot
    assert worth.row_survives_stop is worth.puts_row_back is worth.writes_time_out_as_stop is row_survives_stop
    assert worth.says_queued is (flag is TRUSTED)
    assert not worth.has_preflight


@pytest.mark.parametrize("version", ["2026.3.24", "2026.9.6", "dev"])
def test_preflight_is_where_it_is_advertised(version: str) -> None:
    assert capabilities_of(version, frozenset({"gateway.restart.preflight"})).has_preflight


def test_the_probe_that_kills_on_later_versions_is_only_where_it_was_measured() -> None:
    assert not capabilities_of("2026.9.6", frozenset({"sessions.abort"})).has_abort_probe
    assert not capabilities_of("dev", frozenset({"sessions.abort"})).has_abort_probe


VERSIONS: list[Version | None] = [V324, V414, V518, V96, None]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("step", "scope"),
    [
        (Step.NOTIFY, None),
        (Step.RESUME, WRITE),
        (Step.RECOVER, WRITE),
        (Step.ABORT, WRITE),
        (Step.RESET, ADMIN),
        (Step.NEW, ADMIN),
    ],
)
def test_the_least_scope_of_a_step(step: Step, scope: str | None, version: Version | None) -> None:
    needs = needs_of(step, version)
    assert needs.scope == scope
    assert needs.why.strip()


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (Step.ASK, "`ask` sends into the conversation"),
        (Step.RECOVER, "`recover` uses sessions.recover, which needs operator.write"),
        (Step.ABORT, "`abort` uses sessions.abort, which needs operator.write"),
    ],
)
def test_why_a_step_needs_to_write_is_what_it_does(step: Step, why: str) -> None:
    assert needs_of(step, V96).why == why


@pytest.mark.parametrize(
    ("steps", "version", "scopes"),
    [
        (frozenset(), V96, (READ,)),
        (frozenset({Step.NOTIFY}), V96, (READ,)),
        (frozenset({Step.RESUME}), V96, (READ, WRITE)),
        (frozenset({Step.RESUME, Step.NEW}), V96, (READ, WRITE, ADMIN)),
        (frozenset({Step.NEW}), V518, (READ, WRITE, ADMIN)),
        (frozenset({Step.RESUME, Step.NEW}), V324, (READ, WRITE, ADMIN)),
        (frozenset({Step.ASK}), V324, (READ, WRITE)),
        (frozenset({Step.RESUME, Step.RESET}), V324, (READ, WRITE, ADMIN)),
        (frozenset({Step.NEW}), None, (READ, WRITE, ADMIN)),
    ],
)
def test_the_fewest_scopes(steps: frozenset[Step], version: Version | None, scopes: tuple[str, ...]) -> None:
    assert scopes_for(steps, version) == scopes
