"""The processes of a session: who they are, what memory they take, how they are ended. From /proc, where it is."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_PROC = Path("/proc")
_ROUNDS = 20  # a process that forks while we look is found in the next round


def members(session: int) -> list[int]:
    """Processes of a session, by the id of its leader; whether the leader itself still lives does not matter."""
    found = []
    with contextlib.suppress(OSError):  # no /proc: not Linux
        for name in os.listdir(_PROC):  # noqa: PTH208 - twice as fast as iterdir, and done twice a second
            if name.isdecimal():
                with contextlib.suppress(OSError):
                    if os.getsid(int(name)) == session:
                        found.append(int(name))
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory of one process; 0 when it has gone."""
    try:
        fields = (_PROC / str(pid) / "statm").read_text().split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGESIZE")


def session_resident_bytes(session: int) -> int:
    """Resident memory of a whole session; a page that processes share counts once for each."""
    return sum(resident_bytes(pid) for pid in members(session))


def kill_session(session: int, *, but: int | None = None) -> None:
    """End every process of a session except `but`; groups inside the session too. Safe to repeat.

    SIGKILL only: nothing that a job has started may have a say in whether it ends.
    """
    if but is None:
        with contextlib.suppress(OSError):
            os.killpg(session, signal.SIGKILL)
    for _ in range(_ROUNDS):
        alive = [pid for pid in members(session) if pid != but and not _is_zombie(pid)]
        if not alive:
            return
        for pid in alive:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and only waits for its parent to hear of it."""
    try:
        status = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"
