"""Which releases npm serves, how each is installed, and which one is worth trying next."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Collection, Sequence

from tests.e2e.harness.failures import HarnessError
from tests.e2e.harness.releases import RELEASES, V3_24, V5_18, V9_6, Release

FIRST = "2026.3.24"
"""The first release whose rows have a status."""
_STABLE = re.compile(r"(\d{4})\.(\d+)\.(\d+)(?:-(\d+))?")
_BETA = re.compile(r"(\d{4})\.(\d+)\.(\d+)-beta\.(\d+)")
_MANY = 1_000
Place = tuple[int, int, int, int]


def place_of(version: str) -> Place:
    """Where it stands among the others: ``2026.5.3-1`` comes after ``2026.5.3``, a beta of that before it. Raises
    ``ValueError`` for anything else."""
    for pattern, offset in ((_STABLE, 0), (_BETA, -_MANY)):
        if match := pattern.fullmatch(version):
            year, month, patch, number = match.groups()
            return int(year), int(month), int(patch), offset + int(number or 0)
    raise ValueError(f"{version} is no release")


def is_stable(version: str) -> bool:
    return _STABLE.fullmatch(version) is not None


def published() -> list[str]:
    """Every stable release from ``FIRST`` on, oldest first, as npm says now."""
    asked = ["npm", "view", "openclaw", "versions", "--json"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise HarnessError(f"npm does not say which releases there are: {done.stderr.strip()[-500:]}")
    stable = [version for version in json.loads(done.stdout) if is_stable(version)]
    return sorted((version for version in stable if place_of(version) >= place_of(FIRST)), key=place_of)


def by_distance(versions: Sequence[str], tried: Collection[str]) -> list[str]:
    """The untried ones, each as far from those before it as can be, the newest first: whenever it is stopped, what was
    tried is spread over all there is. ``versions``: all, oldest first."""
    known = {index for index, version in enumerate(versions) if version in tried}
    found: list[str] = []
    while left := [index for index in range(len(versions)) if index not in known]:
        best = max(left, key=lambda index: (min((abs(index - one) for one in known), default=0), index))
        known.add(best)
        found.append(versions[best])
    return found


def recipe(version: str) -> Release:
    """How to install and configure it. Those that the end-to-end tests know are as they say; for the others this knows no
    more than what npm and the configuration need, and the rest is looked at when it runs."""
    known = next((one for one in RELEASES if one.version == version), None)
    if known is not None:
        return known
    year, *rest = place_of(version)
    at = (rest[0], rest[1]) if year == 2026 else (99, 0)
    return Release(
        version,
        node=22 if at < (7, 1) else 26,
        overrides=V3_24.overrides if at < (5, 0) else V5_18.overrides if at < (9, 0) else V9_6.overrides,
        npm_flags=V3_24.npm_flags if at < (5, 0) else (),
        needless_plugins=("acpx",) if (4, 10) <= at < (5, 0) else (),
        # Whether a Stop ends the row: what is waited for when one is made.
        tells_active_runs=at >= (5, 18),
        resumes_on_boot=at >= (8, 0),
        restarts_on_sigusr1=at < (8, 0),
        agents_without_skills=at >= (5, 0),
        gives_up_silent_models=(5, 0) <= at < (8, 0),
        ends_silent_runs=(5, 12) <= at < (8, 0),
        gives_up_after_a_minute=(3, 31) <= at < (4, 9),
        empties_transcript=at == (5, 2),
        silent_in_groups=(4, 27) <= at < (5, 18),
    )
