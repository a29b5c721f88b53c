"""Large blocks go back to the system when they end; where the C library cannot do it, nothing happens."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import textwrap

import pytest

from watchdog.adapters import heap

_HEAP_OF_LARGE_BLOCKS = """
    import sys
    from watchdog.adapters.heap import give_large_blocks_back

    told = give_large_blocks_back() if sys.argv[1] == "fixed" else True
    bytearray(8 << 20)  # glibc: from now on, blocks up to 8 MiB lie in the heap
    kept = []
    for number in range(64):
        large = bytearray(200_000)
        kept.append(bytearray(600))  # something small that stays, above it
        del large
        large = [bytearray(200_000) for _ in range(8)]
    del large
    mapped = next(line for line in open("/proc/self/maps") if "[heap]" in line).split()[0].split("-")
    print(told, int(mapped[1], 16) - int(mapped[0], 16))
"""


def _heap_size(how: str) -> int:
    program = textwrap.dedent(_HEAP_OF_LARGE_BLOCKS)
    done = subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, check=True)
    told, size = done.stdout.split()
    assert told == "True"
    return int(size)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="only glibc keeps them")
def test_a_heap_that_saw_large_blocks_is_no_larger_for_it() -> None:
    assert _heap_size("fixed") + 1_000_000 < _heap_size("as it comes")


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert not heap.give_large_blocks_back()
