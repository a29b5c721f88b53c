"""A trial that hangs is ended with everything that it started, and says how far it came."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.e2e.harness.conditions import until
from tests.releases.__main__ import _end, _outcome

STRAY = """
import os, subprocess, sys, time
home = sys.argv[1] + "/gateway/home"
started = subprocess.Popen(["sleep", "600"], start_new_session=True, env={**os.environ, "HOME": home})
open(sys.argv[1] + "/pid", "w").write(str(started.pid) + ";")
time.sleep(600)
"""


def test_nothing_of_a_trial_outlives_it(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", STRAY, str(tmp_path)], start_new_session=True)
    said = tmp_path / "pid"
    until("it has started something", lambda: said.exists() and said.read_text().endswith(";"), within=20)
    stray = psutil.Process(int(said.read_text().rstrip(";")))
    other = subprocess.Popen(["sleep", "600"], env={**os.environ, "HOME": f"{tmp_path}-other"})
    try:
        _end(child, tmp_path)
        assert child.returncode is not None
        stray.wait(60)
        assert other.poll() is None, "what has another home is not ours"
    finally:
        other.kill()
        other.wait()


def test_what_was_seen_before_it_was_cut_short_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("[2026.9.7 3 s] start\nKeyError: 'key'\n\n")
    (tmp_path / "seen.json").write_text(json.dumps({"fate": "running", "facts": {"store": "files"}}))
    seen = _outcome(tmp_path, "", 1, log)
    assert seen["fate"] == "cut short"
    assert seen["reason"] == "ended with 1: KeyError: 'key'"
    assert seen["facts"] == {"store": "files"}
    (tmp_path / "seen.json").write_text(json.dumps({"fate": "tried"}))
    assert _outcome(tmp_path, "", 0, log)["fate"] == "tried"
