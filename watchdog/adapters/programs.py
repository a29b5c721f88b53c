"""Runs a program of this machine (``systemctl``, ``docker``, a command of the operator's) and says how it ended.

Invariants: no shell; standard input is empty; every program has a time limit; what is read of its output is cut; it inherits
nothing with which it could speak to our supervisor in our name. A program that outlives its limit is ended alone, never its
group: what it started may be the gateway. Output goes to a file rather than a pipe: a gateway started by the program and
left behind must not lose its standard error when we stop reading.

Not run through here: apprise, a part of ours that takes an order and gives an answer through pipes (``notify.senders``),
and ``test -r`` as another account (``cli.service``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

MOST_READ = 64 * 1024
"""Bytes of each output."""
PLAIN_WORDS = {"LC_ALL": "C", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
"""Variables that make a program answer in English, uncoloured and whole."""
_OURS_ALONE = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
"""What a child must not inherit: with these it could speak to our supervisor in our name."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended. ``code`` None: it could not be started (``problem``; ``err`` says it in words), or did not end
    in time (``is_late``). ``code`` below 0: the signal that ended it."""

    code: int | None
    out: str = ""
    err: str = ""
    is_late: bool = False
    problem: OSError | ValueError | None = None


async def run_program(argv: Sequence[str], env: Mapping[str, str], limit: float, *, keeps_output: bool = False) -> Ran:
    """Run it to its end, or to ``limit`` seconds, beside the event loop. Raises nothing but a cancellation."""
    with _scratch(keeps_output) as out, _scratch(True) as err:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=_child_env(env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out if out is not None else asyncio.subprocess.DEVNULL,
                stderr=err if err is not None else asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as problem:
            return _not_started(argv, problem)
        is_late = False
        try:
            async with asyncio.timeout(limit):
                await process.wait()
        except TimeoutError:
            is_late = True
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
        return Ran(None if is_late else process.returncode, _read(out), _read(err), is_late)


async def run_and_read(argv: Sequence[str], env: Mapping[str, str], limit: float) -> Ran:
    """As ``run_program``, with what it printed."""
    return await run_program(argv, env, limit, keeps_output=True)


def run_and_wait(argv: Sequence[str], env: Mapping[str, str], limit: float, *, most: int = MOST_READ) -> Ran:
    """As ``run_and_read`` where there is no event loop to keep free; ``most`` bytes are read of each output."""
    with _scratch(True) as out, _scratch(True) as err:
        code: int | None = None
        try:
            code = subprocess.run(
                argv,
                env=_child_env(env),
                stdin=subprocess.DEVNULL,
                stdout=out if out is not None else subprocess.DEVNULL,
                stderr=err if err is not None else subprocess.DEVNULL,
                start_new_session=True,
                timeout=limit,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            pass
        except (OSError, ValueError) as problem:
            return _not_started(argv, problem)
        return Ran(code, _read(out, most), _read(err, most), is_late=code is None)


def _child_env(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in _OURS_ALONE}


def _not_started(argv: Sequence[str], problem: OSError | ValueError) -> Ran:
    words = problem.strerror if isinstance(problem, OSError) else None
    return Ran(None, err=f"{argv[0]} cannot be run: {words or type(problem).__name__}", problem=problem)


@contextlib.contextmanager
def _scratch(is_wanted: bool) -> Iterator[IO[bytes] | None]:
    """A nameless file; None where there is no place for one (a read-only /tmp)."""
    made: IO[bytes] | None = None
    if is_wanted:
        with contextlib.suppress(OSError):
            # In memory where that can be: under systemd's ProtectSystem=strict there is no /tmp to write to.
            if hasattr(os, "memfd_create"):
                made = os.fdopen(os.memfd_create("output"), "w+b")
            else:
                made = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    try:
        yield made
    finally:
        if made is not None:
            made.close()


def _read(file: IO[bytes] | None, most: int = MOST_READ) -> str:
    return "" if file is None else os.pread(file.fileno(), most, 0).decode("utf-8", "replace")
