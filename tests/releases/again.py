"""``python -m tests.releases.again [VERSION]``: a release of the record is tried once more. Does it show something new?

Without a version it is today's: the releases that were found good take turns, but for those that the end-to-end tests run on
anyway. A release that npm does not give is skipped. Nothing is written: neither the record nor its document.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from tests.e2e.harness.conditions import epoch_ms
from tests.e2e.harness.releases import RELEASES
from tests.releases import record
from tests.releases.__main__ import installed_before, leave, try_one
from tests.releases.published import is_stable, place_of

WITHIN = 1200.0
"""Seconds for all of it: four times what it takes on an idle machine."""
DAYS_PER_TURN = 5
"""`.ci/run` has one on every fifth day."""
A_DAY = 24 * 3600 * 1000


def main() -> int:
    """0 when it was tried to its end and showed nothing that the record does not say, or could not be had here."""
    parser = argparse.ArgumentParser(prog="python -m tests.releases.again", description=__doc__)
    parser.add_argument("version", nargs="?", help="this one, not today's")
    options = parser.parse_args()
    releases = record.load()["releases"]
    version = options.version or of_the_day(releases, int(os.environ.get("CI_DAY") or epoch_ms() // A_DAY))
    if version not in releases:
        parser.error(f"the record does not have {version}: make releases VERSIONS={version}")
    _say(f"OpenClaw {version}, as the record of {releases[version]['date']} has it")
    seen = try_one(version, is_kept=installed_before(version), within=WITHIN)
    if seen["fate"] == "not installed":
        _say(f"skipped, it could not be installed: {seen.get('reason', '')}")
        return 0
    told = news(releases[version], seen)
    _say(f"{version}: {', '.join(f'{what} {took} s' for what, took in seen.get('seconds', {}).items())}")
    _say("\n    ".join(["this is new:", *told]) if told else "nothing is new")
    return 1 if told else 0


def of_the_day(releases: Mapping[str, record.Seen], day: int) -> str:
    """One of those that were tried to the end with nothing found. ``day``: days since 1970."""
    by_others = {release.version for release in RELEASES}
    good = [
        version
        for version in sorted(releases, key=place_of)
        if is_stable(version)
        and version not in by_others
        and releases[version]["fate"] == "tried"
        and not record.remarks(releases[version])
    ]
    return good[day // DAYS_PER_TURN % len(good)]


def news(known: record.Seen, seen: Mapping[str, Any]) -> list[str]:
    """What it shows and the record does not say of it."""
    fate = [] if seen["fate"] == known["fate"] else [f"{seen['fate']}: {seen.get('reason', '')}"]
    return fate + [each for each in record.remarks(seen) if each not in record.remarks(known)]


def _say(text: str) -> None:
    print(f"[releases] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, leave)
    sys.exit(main())
