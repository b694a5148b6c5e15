"""Keeps this process's memory and environment from other processes of the same user.

A process may read and trace all others of its user, by /proc and by ptrace. One that is not dumpable (prctl(2)) can be
read by nobody but root; /proc/<pid>/environ, in which all that it was started with remains, is root's, too. It holds
until the next exec, and a fork inherits it.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """Make this process not dumpable, on Linux; elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, *([ctypes.c_ulong(0)] * 4))


def is_private() -> bool:
    """Whether this process is not dumpable."""
    return sys.platform == "linux" and bool(ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, *([ctypes.c_ulong(0)] * 4)) == 0)


def shown_environments(names: frozenset[str]) -> list[str]:
    """The processes whose environment this user can read, and which holds one of these variables: number and name."""
    shown = []
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            name = (process / "comm").read_text(errors="replace").strip()
        except OSError:  # it cannot be read, which is as it should be, or it has ended
            continue
        if any(value and variable.decode(errors="replace") in names for variable, _, value in map(_halves, variables)):
            shown.append(f"{process.name} ({name})")
    return shown


def _halves(variable: bytes) -> tuple[bytes, bytes, bytes]:
    return variable.partition(b"=")
