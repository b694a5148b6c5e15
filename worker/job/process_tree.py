"""The processes of a session: list them, measure their memory, kill them. Reads /proc.

`psutil` does not list sessions; with it, the idle worker takes 0.8 MB more, and `session_resident_bytes`, called four
times a second, twice the time (2.6 ms for 1.3 ms).
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_PROC = Path("/proc")
_ROUNDS = 20  # a process forked during one round is found in the next


def members(session: int) -> list[int]:
    """List the processes of a session by its id; its leader may have exited."""
    found = []
    with contextlib.suppress(OSError):  # no /proc: not Linux
        for name in os.listdir(_PROC):  # noqa: PTH208 - twice as fast as iterdir, and done twice a second
            if name.isdecimal():
                with contextlib.suppress(OSError):
                    if os.getsid(int(name)) == session:
                        found.append(int(name))
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory of one process; 0 if it has exited."""
    try:
        fields = (_PROC / str(pid) / "statm").read_text().split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGESIZE")


def session_resident_bytes(session: int) -> int:
    """Resident memory of a whole session; shared pages count once for each process."""
    return sum(resident_bytes(pid) for pid in members(session))


def kill_session(session: int, *, but: int | None = None) -> None:
    """Kill every process of a session except `but`, process groups inside the session too. Safe to repeat.

    Only SIGKILL is used: a process that a job has started must not be able to refuse.
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
    """Whether a process has exited and is not reaped yet."""
    try:
        status = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"
