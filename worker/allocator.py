"""Settings of the C library's memory allocator: it keeps what the renderer frees."""

from __future__ import annotations

import ctypes

# What is larger goes back to the kernel at once: an encoded segment, or a figure for each hop of eight hours.
_LARGEST_BLOCK_BYTES = 1_100_000
_KEEP_BYTES = 8 << 20
_MOST_ARENAS = 1  # with more, one thread cannot reuse what another frees, and memory grows with the track
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h


def keep_freed_memory() -> None:
    """Let glibc reuse blocks of about a megabyte instead of giving them back to the kernel.

    Blocks of audio are made and freed hundreds of times a second; each time the kernel would hand out fresh, zeroed
    pages: 4 % of a job's CPU (14 pairs). Call it before threads are started. Other C libraries have no `mallopt`:
    nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
    mallopt(_M_ARENA_MAX, _MOST_ARENAS)
