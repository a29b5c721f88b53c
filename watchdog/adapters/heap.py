"""What the C library keeps of memory that was given back to it.

A list of many sessions is one block of 100 KB to 20 MB, there for a moment. glibc raises its limit for blocks with a mapping
of their own to the largest it has seen, so the next ones lie in the heap, below small things that stay, and the heap never
shrinks again: beside 200 gateways it held 75 MB, of which 17 were in use (glibc 2.36). With the limit fixed such blocks go
back to the system when they end: beside 200 gateways of 100 sessions the process is resident with 120 MiB instead of 144.
"""

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
OWN_MAPPING_FROM = 64 * 1024
"""Bytes; glibc's own beginning is 128 KB."""
TRIM_FROM = 128 * 1024
"""Bytes free at the heap's end from which it shrinks: glibc's default, which ends with the first limit that is set."""


def give_large_blocks_back() -> bool:
    """For the whole process; whether the C library knows how. Elsewhere than on glibc nothing is done."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_M_MMAP_THRESHOLD, OWN_MAPPING_FROM)) and bool(mallopt(_M_TRIM_THRESHOLD, TRIM_FROM))
    return False
