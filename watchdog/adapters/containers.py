"""What docker or podman says of a container. Asks only; changes nothing. No message shows what was answered."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LONGEST = 5.0
"""Seconds a runtime may take to answer."""


class ContainerTrouble(Exception):
    """There is no answer; the message says why in a few words."""


@dataclass(frozen=True, slots=True)
class Containers:
    """The container runtimes that this environment finds on its PATH. One that hangs is asked once, then no more."""

    env: Mapping[str, str] = field(repr=False)
    _silent: set[str] = field(default_factory=set, repr=False)

    def inspect(self, runtime: str, name: str) -> dict[str, Any]:
        """``<runtime> container inspect <name>``. Raises ``ContainerTrouble``. The answer may hold secrets."""
        silence = f"{runtime} did not answer in {LONGEST:.0f} s"
        if runtime in self._silent:
            raise ContainerTrouble(silence)
        command = [runtime, "container", "inspect", name]
        try:
            done = subprocess.run(
                command,
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self._silent.add(runtime)
            raise ContainerTrouble(silence) from None
        except OSError as problem:
            reason = (problem.strerror or type(problem).__name__).lower()
            raise ContainerTrouble(f"{runtime} cannot be run: {reason}") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise ContainerTrouble(said[-1][:200] if said else f"{runtime} ended with {done.returncode}")
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            answer = None
        if not isinstance(answer, list) or len(answer) != 1 or not isinstance(answer[0], dict):
            raise ContainerTrouble(f"{runtime} answered something else")
        return answer[0]
