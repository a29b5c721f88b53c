"""``python -m tests.releases [VERSION...]``: one release after the other, each in a process of its own that is bounded.

Finished ones are left out, unless they are named. What is left over can be gone on with at any time: the record is written
after every release. A beta is tried when it is named, and only then. Two at a time are two of these, each with releases of its
own named.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from tests.e2e.harness.conditions import epoch_ms, monotonic
from tests.e2e.harness.install import cache_root
from tests.e2e.harness.releases import RELEASES
from tests.releases import record
from tests.releases.published import by_distance, place_of, published

WITHIN = 2400.0
"""Seconds for one release, 600 of them for its install: on an idle machine it is done within five minutes."""


def main() -> int:
    """0 when every release that was to be tried was tried to its end or could not be had here."""
    parser = argparse.ArgumentParser(prog="python -m tests.releases", description=__doc__)
    parser.add_argument("versions", nargs="*", help="these only, again if they were tried before")
    parser.add_argument("--minutes", type=float, default=None, help="begin no further release after so many minutes")
    parser.add_argument("--document", action="store_true", help="only write docs/compatibility.md anew")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, leave)
    for version in options.versions:
        try:
            place_of(version)
        except ValueError as problem:
            parser.error(str(problem))
    known = record.load()
    if options.document:
        record.save(known)
        return 0
    known["published"] = published()
    finished = {version for version, seen in known["releases"].items() if seen["fate"] != "cut short"}
    wanted = options.versions or by_distance(known["published"], finished)
    began = monotonic()
    is_whole = True
    kept = {release.version for release in RELEASES} | {version for version in wanted if installed_before(version)}
    for number, version in enumerate(wanted, 1):
        if options.minutes is not None and monotonic() - began > options.minutes * 60:
            _say(f"{len(wanted) - number + 1} releases are left for another time")
            return 1
        _say(f"{number} of {len(wanted)}: OpenClaw {version}")
        with _ahead(wanted[number] if number < len(wanted) else None, kept):
            seen = try_one(version, is_kept=version in kept)
        record.enter(version, seen, known["published"])
        is_whole = is_whole and seen["fate"] != "cut short"
        told = [*seen.get("findings", ()), *seen.get("disagreements", ())]
        _say(f"{version}: {seen['fate']} {seen.get('reason', '')}" + "".join(f"\n    {each}" for each in told))
    return 0 if is_whole else 1


def try_one(version: str, *, is_kept: bool, within: float = WITHIN) -> dict[str, Any]:
    """What was seen of it, ``within`` seconds. Whatever happens, nothing of it runs afterwards, and its install is gone
    unless ``is_kept``: it was there before, or the end-to-end tests use it, too."""
    folder = Path(tempfile.mkdtemp(prefix=f"openclaw-{version}-"))
    log = cache_root() / "releases" / f"{version}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.releases.trial", version, str(folder)]
    late = ""
    try:
        with log.open("wb") as out:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, preexec_fn=_nicely
            )
            try:
                child.wait(within)
            except subprocess.TimeoutExpired:
                late = f"not done within {within:.0f} s"
            finally:
                _end(child, folder)
        return _outcome(folder, late, child.returncode, log)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not is_kept:
            _uninstall(version)


@contextlib.contextmanager
def _ahead(version: str | None, kept: Collection[str]) -> Iterator[None]:
    """The next release is installed while the present one is tried, behind everything else that this machine does: an
    install takes as long as half a trial. What it has begun, the next trial waits for, and then does itself."""
    if version is None or version in kept:
        yield
        return
    command = [sys.executable, "-m", "tests.releases.trial", version]
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(
        command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True, preexec_fn=partial(_nicely, 15)
    )
    try:
        yield
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        _uninstall(version)
        raise


def installed_before(version: str) -> bool:
    return _folder(version).exists()


def _folder(version: str) -> Path:
    return cache_root() / "versions" / version


def _uninstall(version: str) -> None:
    """Under another name first: half of it is not to be taken for an install. It goes on while the next one is tried, and
    even when this program ends: 100,000 files take minutes on a busy machine."""
    folder = _folder(version)
    gone = [folder.with_name(f"{version}.{word}") for word in ("gone", "part")]
    if folder.exists():
        folder.rename(gone[0])
    subprocess.Popen(["rm", "-rf", *gone], start_new_session=True, preexec_fn=partial(_nicely, 15))
    for left in (f"{version}.lock", f"{version}.install.log"):
        folder.with_name(left).unlink(missing_ok=True)


def _outcome(folder: Path, late: str, code: int, log: Path) -> dict[str, Any]:
    path = folder / "seen.json"
    seen: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if seen.get("fate", "running") == "running":
        seen |= {"fate": "cut short", "reason": late or f"ended with {code}: {_last_line(log)}"}
    today = datetime.datetime.fromtimestamp(epoch_ms() / 1000, datetime.UTC).date()
    return {**seen, "date": today.isoformat()}


def _last_line(log: Path) -> str:
    return next((line for line in reversed(log.read_text(errors="replace").splitlines()) if line.strip()), "")[:300]


def _nicely(to: int = 5) -> None:
    os.nice(max(0, to - os.nice(0)))


def _end(child: subprocess.Popen[bytes], folder: Path) -> None:
    """Its whole group, and whatever has a home in its folder: gateways are in groups of their own, and so are their
    tools."""
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("HOME", "").startswith(f"{folder}{os.sep}"):
                process.kill()


def leave(number: int, frame: FrameType | None) -> None:
    """A handler for SIGTERM: what was begun is ended in order."""
    sys.exit(128 + number)


def _say(text: str) -> None:
    print(f"[releases] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
