"""Programs of this machine, run for real."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from watchdog.adapters.programs import Ran, run_and_read, run_and_wait, run_program

ENV = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": "/run/ours"}


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


async def test_it_does_not_block_the_event_loop_and_can_be_cancelled() -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.01)

    heart = asyncio.create_task(beat())
    await run_program(python("import signal; signal.pause()"), ENV, 0.3)
    assert beats > 5
    deed = asyncio.create_task(run_program(python("import signal; signal.pause()"), ENV, 60))
    await asyncio.wait({deed}, timeout=0.2)
    deed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deed
    heart.cancel()
    await asyncio.gather(heart, return_exceptions=True)


async def test_what_a_program_prints_is_read() -> None:
    assert (await run_and_read(python("print('ActiveState=active')"), ENV, 20)).out == "ActiveState=active\n"


def test_who_waits_reads_it_too_and_no_more_than_was_asked_for() -> None:
    code = (
        "import os, sys; sys.stderr.write('no'); print(sys.stdin.read(), os.environ.get('NOTIFY_SOCKET')); sys.exit(3)"
    )
    assert run_and_wait(python(code), ENV, 20) == Ran(3, " None\n", "no")
    assert run_and_wait(python(code), ENV, 20, most=3) == Ran(3, " No", "no")


def test_a_program_that_outlives_its_limit_is_ended() -> None:
    ran = run_and_wait(python("import signal; print('so far', flush=True); signal.pause()"), ENV, 1.0)
    assert (ran.code, ran.is_late, ran.problem) == (None, True, None)


async def test_what_cannot_be_started_says_why() -> None:
    for ran in (run_and_wait(["/nowhere/x"], ENV, 20), await run_program(["/nowhere/x"], ENV, 20)):
        assert (ran.code, ran.is_late, ran.err) == (None, False, "/nowhere/x cannot be run: No such file or directory")
        assert isinstance(ran.problem, FileNotFoundError)
