"""``make newcomer``: the path of docs/newcomer.md, typed as it stands there, with an empty home, and timed.

From a clone of what is committed, on a simulated gateway with stuck sessions. An answer that is not as the document says ends it.
With ``--record`` the document says what it took.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from openclaw_simulator.profiles import PROFILES
from openclaw_simulator.scenarios import demo_world
from tests.e2e.harness.conditions import monotonic
from tests.faults.simulation import Simulation
from tests.figures import record
from watchdog import PROGRAM
from watchdog.adapters.clock import SystemClock

REPOSITORY = Path(__file__).resolve().parents[1]
VERSION = "2026.9.6"
PATIENCE = 900.0
"""Seconds for a command; most of them are for installing."""
Row = dict[str, object]


class Newcomer:
    """Somebody with an empty home, who types one command after the other."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.clone = folder / PROGRAM
        self.home.mkdir()
        # Where packages come from is the machine's affair, and may stand in the home of who runs this.
        foreign = ("OPENCLAW", "PYTHON", "XDG", "MAKE", "MFLAGS", "ARGS", "VIRTUAL_ENV")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.environment |= {"NO_COLOR": "1", "COLUMNS": "200"}

    def types(self, *words: str, status: int = 0, says: str, shown: str = "", ends: str, is_ours: bool = True) -> Row:
        """It ends with this status and says so; a row of the table. Raises ``AssertionError`` with what it said instead."""
        began = monotonic()
        done = subprocess.run(
            [str(self.clone / ".venv/bin" / PROGRAM), *words] if is_ours else words,
            cwd=self.home if is_ours or not self.clone.exists() else self.clone,
            env={**self.environment, "HOME": str(self.home)} if is_ours else self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        took = monotonic() - began
        said = done.stdout + done.stderr
        assert done.returncode == status, f"{words} ended with {done.returncode}: {said}"
        assert re.search(says, said), f"{words} said: {said}"
        return _row(shown or f"`{' '.join((PROGRAM, *words))}`", took, ends)

    def runs_until(self, event: str, *words: str) -> float:
        """Seconds from the start of the daemon to the line of its log; it is stopped then."""
        began = monotonic()
        daemon = subprocess.Popen(
            [str(self.clone / ".venv/bin" / PROGRAM), *words],
            cwd=self.home,
            env={**self.environment, "HOME": str(self.home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert daemon.stderr is not None
        said = []
        try:
            for line in daemon.stderr:
                said.append(line)
                if event in line:
                    return monotonic() - began
                assert monotonic() - began < PATIENCE, said
        finally:
            daemon.send_signal(signal.SIGTERM)
            for _ in daemon.stderr:  # a pipe that nobody reads would hold it up
                pass
            daemon.wait(90)
        raise AssertionError("".join(said))


def _row(typed: str, took: float, ends: str) -> Row:
    return {"typed": typed, "took_s": round(took, 1), "ends": ends}


def without_a_gateway(newcomer: Newcomer) -> list[Row]:
    words = ("git", "clone", "--quiet", str(REPOSITORY), str(newcomer.clone))
    cloned = newcomer.types(*words, says="", shown="`git clone …`", ends="", is_ours=False)
    end = "All 8 stuck sessions recovered, all 14 others left alone"
    demos = (
        newcomer.types("make", "demo", shown=shown, says=end, ends=f"`{end}`", is_ours=False)
        for shown in ("`make demo`", "`make demo`, again")
    )
    return [cloned, *demos]


def on_a_gateway(newcomer: Newcomer) -> list[Row]:
    """The gateway is found in the home, as a real one would be."""
    with Simulation(lambda: demo_world(SystemClock().now().wall, PROFILES[VERSION]).world, newcomer.home) as gateway:
        settings = {"gateway": {"port": gateway.gateway.port, "auth": {"mode": "token", "token": gateway.token}}}
        place = newcomer.home / ".openclaw/openclaw.json"
        place.parent.mkdir()
        place.write_text(json.dumps(settings), "utf-8")
        place.chmod(0o600)
        trial = newcomer.home / "try.yaml"
        trial.write_text(_shown_trial(), "utf-8")
        rows = [
            newcomer.types(
                "init",
                says=r"wrote .*watchdog\.yaml",
                ends="`wrote ~/.config/openclaw-watchdog/watchdog.yaml`, and the next command",
            ),
            newcomer.types(
                "doctor",
                says="nobody is told",
                ends="one line each for package, configuration, ledger, service, connection, clock, scopes, signals: all OK; "
                "which mode is on, and WARN that nobody is told yet",
            ),
            newcomer.types(
                "check",
                status=2,
                says="stuck",
                ends="each session's verdict; exit status 2, because some are stuck; for that it looks twice, `confirm_for` (a minute) apart",
            ),
        ]
        took = newcomer.runs_until("recovery.succeeded", "run", "--config", "try.yaml")
        ends = "the first `recovery.succeeded`, with the thresholds of a trial, below; with the defaults it is `stuck_after`, by design"
        rows.append(_row(f"`{PROGRAM} run --config try.yaml`", took, ends))
        rows.append(newcomer.types("history", says="recovered", ends="what was stuck, what was done, what proved it"))
    return rows


def _shown_trial() -> str:
    text = (REPOSITORY / "docs/newcomer.md").read_text("utf-8")
    (found,) = re.findall(r"^```yaml\n# try\.yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return str(found)


def main(arguments: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="openclaw-watchdog-newcomer-") as folder:
        newcomer = Newcomer(Path(folder))
        demo = without_a_gateway(newcomer)
        gateway = on_a_gateway(newcomer)
    for row in (*demo, *gateway):
        print(f"{row['took_s']:>8} s  {row['typed']}")
    if "--record" in arguments:
        record.save("newcomer", openclaw=VERSION, demo=demo, gateway=gateway)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
