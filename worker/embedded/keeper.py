"""Keep one embedded Postgres running for as long as any process uses it; a process of its own.

Every user of the server holds a shared lock on one file, which the kernel drops however the user dies. This process
waits for the exclusive lock: once it has it, no user is left, and it stops the server. A server that dies while it is
used is started again. Standard library only, started with ``-I -S``: it costs some 10 MB.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_RESTART_PAUSE_S = 0.3
_STOP_LIMIT_S = 20.0


def _dies_with_parent() -> Callable[[], None] | None:
    """Make the server ask for SIGINT (a fast, clean shutdown) when this process dies."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT)

    return ask


def main() -> None:
    """Run a server until nobody holds the lock file.

    The argument is a JSON object: `command`, the server and its arguments; `in_use`, the lock file that each user of
    the server holds shared; `log`, to which the server's output is appended; `owner`, the [uid, gid] that the server
    runs as, or null for the user of this process.
    """
    given = json.loads(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the server ends only after its last user
    unused = threading.Event()
    process: subprocess.Popen[bytes] | None = None

    def wait_until_unused() -> None:
        with Path(given["in_use"]).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            unused.set()
            if process is not None:
                # SIGINT: fast shutdown, which does not wait for clients. A server that hangs is not waited for.
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(_STOP_LIMIT_S)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGQUIT)
            os._exit(0)  # with the lock still held: whoever comes now starts a server of their own

    waiting = threading.Thread(target=wait_until_unused, daemon=True)
    uid, gid = given["owner"] or (None, None)
    before_exec = _dies_with_parent()
    while not unused.is_set():
        with Path(given["log"]).open("ab") as output:
            process = subprocess.Popen(
                given["command"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
                preexec_fn=before_exec,  # one prctl; the only other thread waits inside flock
            )
        is_first = not waiting.is_alive()
        if is_first:
            waiting.start()
        if process.wait() == 1 and is_first and not unused.is_set():
            sys.exit(1)  # it could not start at all, and says why in the log
        time.sleep(_RESTART_PAUSE_S)
    waiting.join()


if __name__ == "__main__":
    main()
