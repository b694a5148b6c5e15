"""Runs one server program for a test session, and stops it and removes its folder when the session has gone.

A process of its own, so that it outlives a session that is killed: the session holds the other end of its stdin.
Standard library only. Usage: ``python server_keeper.py '{"command": …, "home": …, "owner": [uid, gid]}'``.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_STOP_LIMIT_S = 20.0


def _die_with_this_process() -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def keep(command: list[str], *, home: Path, owner: tuple[int, int] | None) -> int:
    """Run `command` until it ends, stdin ends or SIGTERM comes; then remove `home`."""
    uid, gid = owner or (None, None)
    with (home / "log").open("ab") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            user=uid,
            group=gid,
            extra_groups=None if owner is None else [],
            preexec_fn=_die_with_this_process,  # there is no other thread yet
        )
    told = threading.Event()

    def stop(*_: object) -> None:
        told.set()
        server.send_signal(signal.SIGINT)  # Postgres does not wait for its clients then, nor does PgBouncer

    def stop_at_the_end_of_stdin() -> None:
        sys.stdin.buffer.read()
        stop()
        try:
            server.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)

    signal.signal(signal.SIGTERM, stop)  # stdin stays open where a forked child of the session still holds it
    threading.Thread(target=stop_at_the_end_of_stdin, daemon=True).start()
    status = server.wait()
    if told.is_set():
        shutil.rmtree(home, ignore_errors=True)
    return status  # else it ended by itself: the session reads the log, and removes the folder


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    given = json.loads(sys.argv[1])
    sys.exit(
        keep(
            given["command"],
            home=Path(given["home"]),
            owner=tuple(given["owner"]) if given["owner"] else None,
        )
    )
