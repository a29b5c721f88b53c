"""One pytest run in a folder of its own, started from a server that has the libraries imported already.

Most of a short pytest run is importing; a fork of a process that knows pytest, hypothesis, pydantic and the like, but
nothing of ours, saves two thirds of it. Ours is imported anew in each fork, from the folder with the mutant in it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

LIBRARIES = (
    "pytest",
    "_pytest.assertion.rewrite",
    "pytest_asyncio.plugin",
    "pytest_timeout",
    "hypothesis",
    "hypothesis.strategies",
    "_hypothesis_pytestplugin",
    "ruamel.yaml",
    "msgspec",
    "pydantic",
    "psutil",
    "structlog",
    "rich.console",
    "rich.table",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "websockets.asyncio.client",
    "websockets.asyncio.server",
    "asyncio",
    "sqlite3",
    "httpx",
)
"""Only what is installed of these is imported ahead."""

_server = multiprocessing.get_context("forkserver")


def prepare() -> None:
    """Call once, before the first run."""
    _server.set_forkserver_preload([name for name in LIBRARIES if _is_there(name)])


def _is_there(name: str) -> bool:
    with contextlib.suppress(ImportError):
        __import__(name)
        return True
    return False


@dataclass(frozen=True, slots=True)
class Done:
    """How a run ended. ``code``: pytest's own exit status; None: it had to be killed."""

    code: int | None
    output: str


def run_pytest(folder: Path, arguments: Sequence[str], env: Mapping[str, str], *, patience: float) -> Done:
    """``pytest arguments`` with ``folder`` as the working directory and in front of every other place to import from."""
    output = folder / "pytest.out"
    child = _server.Process(target=_child, args=(str(folder), [*arguments], dict(env), str(output)))
    child.start()
    child.join(patience)
    if child.is_alive():
        child.kill()
        child.join()
        return Done(None, output.read_text(errors="replace"))
    return Done(child.exitcode, output.read_text(errors="replace"))


def _child(folder: str, arguments: list[str], env: dict[str, str], output: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "watchdog", "openclaw_simulator")]:
        del sys.modules[name]
    os.chdir(folder)
    os.environ.update(env)
    sys.path[:] = [folder, *(path for path in sys.path if path not in ("", folder))]
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    # Plugins imported ahead are not rewritten for better assertion texts, which is nothing to fail for.
    code = int(pytest.main(["-W", "ignore::pytest.PytestAssertRewriteWarning", *arguments]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # nothing of ours is owed anything, and threads of libraries need not be waited for
