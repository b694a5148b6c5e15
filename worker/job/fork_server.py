"""The process that jobs are forked from: it has loaded what is large once, so a job's process starts in milliseconds.

It does nothing else, and it is single-threaded: forking is safe. The worker's threads, locks and connections are not in
here. multiprocessing's fork server would do, but for what it adds: a second helper process of 12 MB, children that die
with a SIGTERM to everybody (Heroku sends one to every process of a dyno), and orphans that nobody reaps.

    worker ── control socket: one byte, with two descriptors (a line, a status pipe) ──► nursery ── fork ──► job
      ▲                                                                                    │                  │
      └────────────── status pipe: the job's process id; when it has ended, how ◄──────────┴──────────────────┤
      └────────────── line: the assignment, progress, questions, the result ◄─────────────────────────────────┘

When the worker dies, the control socket ends and so does the nursery; each job sees its own line end.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable

STATUS = struct.Struct("<cq")  # what it tells, and the number
STARTED, ENDED = b"b", b"e"  # with the process id; with the exit code, negative for a signal
# The worker decides about these, for itself and all below it. They stay blocked, not ignored: FFmpeg would set its own
# handlers, but a mask it inherits.
BLOCKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Fork a job for each request on the control socket, until it ends."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    _adopt_orphans()
    from worker import logs
    from worker.job import preload  # noqa: F401
    from worker.job.main import run

    logs.open_sinks()

    gc.collect()
    gc.freeze()  # the collector in a job need not touch, and so copy, these pages
    ended, wakeup = _pipe()
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # else nothing is written to the wake-up pipe
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(ended, select.POLLIN)
    jobs: dict[int, int] = {}  # process id: status pipe
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if ended in ready:
            os.read(ended, 4096)
            _reap(jobs)
        if control.fileno() in ready:
            try:
                asked, descriptors, _, _ = socket.recv_fds(control, 1, 2)
            except ConnectionError:
                return
            if not asked:
                return
            line, status = descriptors
            os.set_inheritable(line, False)
            os.set_inheritable(status, False)
            pid = _fork()
            if pid == 0:
                for descriptor in (control.fileno(), ended, wakeup, *jobs.values()):
                    os.close(descriptor)
                _be_a_job(run, line, status)
            os.close(line)
            if pid is None:
                os.close(status)  # the worker sees it end without a word
            else:
                jobs[pid] = status


def _fork() -> int | None:
    """Fork; None when the machine has no room for another process."""
    try:
        return os.fork()
    except OSError as error:
        print(f"no process could be started: {error.strerror}", file=sys.stderr, flush=True)
        return None


def _be_a_job(run: Callable[[int], None], line: int, status: int) -> None:
    """Become a session of our own, say so, and do the job. Never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.write(status, STATUS.pack(STARTED, os.getpid()))
        os.close(status)
        run(line)
        code = 0
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # nothing is left to tidy up: the worker removes the folder


def _reap(jobs: dict[int, int]) -> None:
    """Report the jobs that have ended; orphans of theirs are reaped, too."""
    while True:
        try:
            pid, how = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        status = jobs.pop(pid, None)
        if status is not None:
            with contextlib.suppress(OSError):
                os.write(status, STATUS.pack(ENDED, os.waitstatus_to_exitcode(how)))
            os.close(status)


def _adopt_orphans() -> None:
    """Have FFmpegs whose job was killed come to us when they end (Linux); elsewhere to init."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _pipe() -> tuple[int, int]:
    """A pipe that never blocks: the signal machinery writes into it."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer


if __name__ == "__main__":
    main()
