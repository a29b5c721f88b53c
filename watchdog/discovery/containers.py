"""What docker or podman says of a container. Asks only; changes nothing. No message shows what was answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watchdog.adapters.programs import run_and_wait

LONGEST = 5.0
"""Seconds a runtime may take to answer."""
_MOST_READ = 16 * 1024 * 1024
"""Bytes: some 10 KiB for each container."""


class ContainerTrouble(Exception):
    """There is no answer; the message says why in a few words."""


@dataclass(frozen=True, slots=True)
class Containers:
    """The container runtimes that this environment finds on its PATH. One that hangs is asked once, then no more."""

    env: Mapping[str, str] = field(repr=False)
    _silent: set[str] = field(default_factory=set, repr=False)

    def inspect(self, runtime: str, names: Sequence[str]) -> dict[str, dict[str, Any] | ContainerTrouble]:
        """``<runtime> container inspect <names>``, once for all of them (50 ms of CPU with podman 4.3, for one and for
        three): what it says of each, or why it says nothing. The answers may hold secrets."""
        try:
            found, said = self._inspected([runtime, "container", "inspect", *names])
        except ContainerTrouble as problem:
            return dict.fromkeys(names, problem)
        return {name: found.get(name) or ContainerTrouble(_why(name, said)) for name in names}

    def _inspected(self, command: Sequence[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """The containers that were shown, by name, and the lines about those that were not."""
        runtime = command[0]
        silence = f"{runtime} did not answer in {LONGEST:.0f} s"
        if runtime in self._silent:
            raise ContainerTrouble(silence)
        ran = run_and_wait(command, self.env, LONGEST, most=_MOST_READ)
        if ran.is_late:
            self._silent.add(runtime)
            raise ContainerTrouble(silence)
        if ran.problem is not None:
            raise ContainerTrouble(ran.err.lower())
        said = ran.err.strip().splitlines()
        try:
            answer = json.loads(ran.out or "[]")
        except ValueError:
            answer = None
        if not isinstance(answer, list):
            raise ContainerTrouble(f"{runtime} answered something else")
        if ran.code != 0 and not said:
            said = [f"{runtime} ended with {ran.code}"]
        return {_name(one): one for one in answer if isinstance(one, dict)}, said


def _name(container: dict[str, Any]) -> str:
    """docker's begins with a slash, podman's does not."""
    return str(container.get("Name", "")).removeprefix("/")


def _why(name: str, said: list[str]) -> str:
    about_it = [line for line in said if name in line.split()] or said
    return about_it[-1][:200] if about_it else f"nothing was said of {name}"
