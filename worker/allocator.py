"""The C library's memory allocator, told to keep what the renderer frees."""

from __future__ import annotations

import ctypes

_KEEP_BYTES = 16 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> None:
    """Let glibc reuse blocks of some megabytes instead of giving them back to the kernel.

    Blocks of audio are made and freed hundreds of times a second; each time the kernel would hand out fresh, zeroed
    pages. Call it before threads are started. Other C libraries have no `mallopt`: nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
