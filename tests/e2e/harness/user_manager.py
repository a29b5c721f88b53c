"""A real ``systemd --user``, all its own: process, mount and control-group namespaces, so that nothing of this machine
is seen, moved or killed by it, and everything it started ends with it. Needs root.

Why so much care: a user manager takes the control group it is started in for its own and moves every process in there
into ``init.scope``. Started plainly in a container that is the whole machine. So it gets a group of its own first, and of
the version 1 controllers it sees none but ``name=systemd``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.harness.conditions import until

from .failures import HarnessError

SYSTEMD = Path("/lib/systemd/systemd")
CGROUPS = Path("/sys/fs/cgroup")

_START = r"""
set -eu
echo $$ > "$GROUP/cgroup.procs"
exec unshare --mount --propagation private --pid --fork --kill-child=SIGKILL /bin/sh -eu -c '
mount -t proc proc /proc
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir "$BASE/cgroup"
  mount --bind /sys/fs/cgroup/systemd "$BASE/cgroup"
  mount -t tmpfs tmpfs /sys/fs/cgroup
  mkdir /sys/fs/cgroup/systemd
  mount --move "$BASE/cgroup" /sys/fs/cgroup/systemd
fi
mount -t tmpfs -o mode=755 tmpfs /run/systemd
mkdir /run/systemd/system
"$SYSTEMD" --user &
trap "" TERM
wait
'
"""


def missing() -> str | None:
    """Why no such manager can be had here, in words; None: it can."""
    if os.geteuid() != 0:
        return "needs root, for namespaces and a control group"
    if not SYSTEMD.exists() or shutil.which("systemctl") is None:
        return "needs the Debian package systemd"
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "needs util-linux"
    if not os.access(_group_root() / "cgroup.procs", os.W_OK):
        return "needs a control-group hierarchy that can be written"
    return None


def _group_root() -> Path:
    """The group this process is in, where systemd looks: version 2, or ``name=systemd`` of version 1."""
    is_unified = (CGROUPS / "cgroup.controllers").exists()
    wanted = "0::" if is_unified else ":name=systemd:"
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if wanted in line:
            base = CGROUPS if is_unified else CGROUPS / "systemd"
            return base / line.rsplit(":", 1)[1].lstrip("/")
    return CGROUPS / "none"


class UserManager:
    """``with UserManager() as manager: manager.systemctl("status")``"""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="ocw-systemd-"))
        self.home = self.base / "home"
        self.runtime = self.base / "run"
        self.log = self.base / "manager.log"
        self._group = _group_root() / f"openclaw-watchdog-test-{os.getpid()}"
        self._process: subprocess.Popen[bytes] | None = None
        self.environment = {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            **(environment or {}),
        }

    def __enter__(self) -> UserManager:
        self.home.mkdir()
        self.runtime.mkdir(mode=0o700)
        self._group.mkdir()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        own = {"GROUP": str(self._group), "BASE": str(self.base), "SYSTEMD": str(SYSTEMD)}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _START],
                env={**self.environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until("the user manager answers", self._answers, within=20)

    @property
    def _first(self) -> int:
        """Process 1 of the namespace, as it is called outside."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if len(children) != 1:
            raise HarnessError("the namespace is not there yet")
        return int(children[0])

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise HarnessError(f"the user manager ended: {self.log.read_text(errors='replace')[-2000:]}")
        return self.systemctl("is-system-running").stdout.strip() in ("running", "degraded")

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", "--user", "--no-pager", *arguments)

    def run(self, *command: str, within: float = 60) -> subprocess.CompletedProcess[str]:
        """A command as this manager's user types it, in the manager's own world."""
        return subprocess.run(
            ["nsenter", "--target", str(self._first), "--mount", "--pid", "--wd=" + str(self.home), *command],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def show(self, unit: str, name: str) -> str:
        return self.systemctl("show", unit, f"--property={name}", "--value").stdout.strip()

    def processes(self) -> list[int]:
        """Everything that lives in its control group."""
        found: list[int] = []
        for procs in self._group.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                found += [int(word) for word in procs.read_text().split()]
        if self._group.exists():
            found += [int(word) for word in (self._group / "cgroup.procs").read_text().split()]
        return sorted(set(found))

    def close(self) -> None:
        """Kills the namespace's first process, and with it everything; leaves no group and no folder."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            self._process.wait(timeout=20)
        for _ in range(100):
            if not self.processes():
                break
            time.sleep(0.1)
        for folder in sorted(self._group.rglob("*"), key=lambda path: -len(path.parts)):
            if folder.is_dir():
                with contextlib.suppress(OSError):
                    folder.rmdir()
        with contextlib.suppress(OSError):
            self._group.rmdir()
        shutil.rmtree(self.base, ignore_errors=True)
