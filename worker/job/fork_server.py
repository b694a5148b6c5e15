"""The process that job processes are forked from.

It loads the large modules once, so that a job process starts in milliseconds. It is single-threaded, so forking is
safe, and the worker's threads, locks and connections are not in it.

    worker ── control socket: one byte with two descriptors (channel, status pipe) ──► fork server ── fork ──► job
      ▲       (the byte: modules to load first)                                           │                  │
      ├────────────── status pipe: the process id, later the exit code ◄────────────────────┘                  │
      └────────────── channel: assignment, progress, questions, result ◄───────────────────────────────────────┘

When the worker dies, the control socket is closed and the fork server exits; each job sees its own channel close.

Why not `multiprocessing`'s fork server? Tried with CPython 3.11 and this preload: it starts a resource tracker beside
itself (6 MB more when idle); its socket lies in TMPDIR, stays there after a SIGKILL, and cannot be bound if that path
is long (120 characters); a job starts in 27 ms, here in 3 to 8 ms. By its source, a fork that fails ends the server, so
that the exit codes of running jobs are lost, and two threads that poll can read an exit code as 255.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator

from worker.private_memory import keep_memory_private

STATUS = struct.Struct("<q")  # a process id, or an exit code (negative for a signal)
# The worker handles these for itself and for all processes below it. They are blocked, not ignored: FFmpeg would
# install its own handlers, but it inherits a mask.
BLOCKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_CHILD_SUBREAPER = 36
JOB_OOM_SCORE = 800  # the kernel should kill a job before the worker (proc(5): -1000 to 1000)


def main() -> None:
    """Fork a job process for each request on the control socket, until the socket is closed.

    Arguments: the descriptor of that socket, the module of the function that the jobs run, and what the kernel goes by
    for them when memory is short.
    """
    oom_score = OomScore(int(sys.argv[3]))  # opened first: of a process whose memory is private, only root may
    keep_memory_private()
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    if sys.platform == "linux":  # children of a killed job become ours, and we reap them; elsewhere init does
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    from worker.job import large_modules, preload  # noqa: F401
    from worker.job.main import run

    with contextlib.suppress(ImportError):  # the job process meets it again, and the worker is told
        importlib.import_module(sys.argv[2])
    _keep_pages()
    child_ended, wakeup = os.pipe()
    os.set_blocking(child_ended, False)
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler nothing is written to the pipe
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(child_ended, select.POLLIN)
    jobs: dict[int, int] = {}  # process id: status pipe
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if child_ended in ready:
            os.read(child_ended, 4096)
            _reap(jobs)
        if control.fileno() in ready:
            try:
                request, descriptors, _, _ = socket.recv_fds(control, 1, 2)
            except ConnectionError:
                return
            if not request:
                return
            channel, status = descriptors
            os.set_inheritable(channel, False)
            os.set_inheritable(status, False)
            if large_modules.load(request):
                _keep_pages()
            with oom_score.of_jobs():
                pid = _fork()
            if pid == 0:
                oom_score.close()
                for descriptor in (control.fileno(), child_ended, wakeup, status, *jobs.values()):
                    os.close(descriptor)
                _run_job(run, channel)
            os.close(channel)
            if pid is None:
                os.close(status)  # the worker sees it close before any process id
            else:
                _write_status(status, pid)
                jobs[pid] = status


def _keep_pages() -> None:
    """Have the collector leave what is loaded alone: in a job it would touch these pages, and so copy them."""
    gc.collect()
    gc.freeze()


class OomScore:
    """What the kernel goes by when memory is short: a job inherits the score that this process has as it forks."""

    def __init__(self, of_jobs: int = JOB_OOM_SCORE) -> None:
        self._of_jobs = of_jobs
        self._pid = os.getpid()
        self._file: int | None = None
        with contextlib.suppress(OSError):  # not Linux
            self._file = os.open("/proc/self/oom_score_adj", os.O_RDWR)
            self._own = int(os.read(self._file, 16))

    @contextlib.contextmanager
    def of_jobs(self) -> Iterator[None]:
        """Have the score of a job meanwhile."""
        self._set(max(self._of_jobs, self._own) if self._file is not None else 0)
        try:
            yield
        finally:
            if os.getpid() == self._pid:
                self._set(self._own if self._file is not None else 0)

    def close(self) -> None:
        """Close the file, in a job: it is still that of this process."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _set(self, score: int) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self._file, str(score).encode(), 0)


def _fork() -> int | None:
    """Fork; None if the machine has no room for another process."""
    try:
        return os.fork()
    except OSError as error:
        print(f"no process could be started: {error.strerror}", file=sys.stderr, flush=True)
        return None


def _run_job(run: Callable[[int], None], channel: int) -> None:
    """Make this process a session of its own and run the job. Never returns."""
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        run(channel)
        code = 0
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # there is nothing to clean up: the worker removes the folder


def _reap(jobs: dict[int, int]) -> None:
    """Reap all children that have ended, orphans of jobs too, and report the exit codes of jobs."""
    while True:
        try:
            pid, wait_status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        status = jobs.pop(pid, None)
        if status is not None:
            _write_status(status, os.waitstatus_to_exitcode(wait_status))
            os.close(status)


def _write_status(status: int, number: int) -> None:
    with contextlib.suppress(OSError):  # the worker may have closed its end
        os.write(status, STATUS.pack(number))


if __name__ == "__main__":
    main()
