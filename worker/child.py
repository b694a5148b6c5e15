"""The process a job runs in, so that a crash or a memory blow-up costs the job and not the worker.

A fork server imports the renderer once; each job is a fork of it. The child is a session of its own, with FFmpeg and
the voices inside it: killing the session ends all of them. It holds one end of a pipe; when the worker dies, however
it dies, the pipe breaks and the child ends its own session.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from worker import errors
from worker.config import Config
from worker.errors import Cancelled, Interrupted, LeaseLost, ResourceError, TransientError, WorkerError
from worker.fulfil import Fulfilled, Order

JobFunction = Callable[[Order, Config, "Line", Path], Fulfilled]
DEFAULT_JOB = "worker.fulfil:fulfil"
_PRELOAD = ["worker.preload"]


@dataclass(frozen=True)
class Progress:
    """How far the child is."""

    percent: int
    stage: str


@dataclass(frozen=True)
class MayPublish:
    """The child asks whether the job is still ours; it waits for `Child.answer`."""


@dataclass(frozen=True)
class Failed:
    """An error as plain data: exceptions with arguments of their own do not travel."""

    name: str
    message: str
    code: str
    customer_message: str | None
    retry_after_s: float | None

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """Take an error apart."""
        if isinstance(error, WorkerError):
            return cls(type(error).__name__, error.message, error.code, error.customer_message, error.retry_after_s)
        if isinstance(error, MemoryError):
            return cls("ResourceError", "the render ran out of memory", "resource.memory", None, None)
        return cls("TransientError", f"{type(error).__name__}: {error}", "worker.bug", None, None)

    def error(self) -> WorkerError | Interrupted:
        """Put it together again."""
        kind = getattr(errors, self.name, TransientError)
        if issubclass(kind, Interrupted):
            return kind(self.message)
        error: WorkerError = kind(
            self.message,
            code=self.code,
            customer_message=self.customer_message,
            retry_after_s=self.retry_after_s,
        )
        return error


Message = Progress | MayPublish | Failed | Fulfilled


class Line:
    """The child's end: what the job tells its worker."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answer: str | None = None
        self._answered = threading.Condition()
        self._last: Progress | None = None
        threading.Thread(target=self._listen, name="lifeline", daemon=True).start()

    def progress(self, percent: int, stage: str) -> None:
        """Report progress, when it has changed."""
        now = Progress(percent, stage)
        if now != self._last:
            self._last = now
            self._connection.send(now)

    def may_publish(self) -> None:
        """Ask the worker, which asks the database."""
        with self._answered:
            self._answer = None
            self._connection.send(MayPublish())
            self._answered.wait_for(lambda: self._answer is not None)
            answer = self._answer
        if answer == "cancelled":
            raise Cancelled
        if answer != "held":
            raise LeaseLost

    def _listen(self) -> None:
        while True:
            try:
                answer = self._connection.recv()
            except (EOFError, OSError):
                os.killpg(0, signal.SIGKILL)  # the worker is gone: so are we, and all that we started
                return
            with self._answered:
                self._answer = answer
                self._answered.notify()


class Child:
    """A running job, seen from the worker."""

    def __init__(self, job: str, order: Order, config: Config, folder: Path) -> None:
        context = _context()
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, job, order, config, folder), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The child's process id, which is also its session's."""
        return self._process.pid or 0

    def messages(self, timeout_s: float) -> list[Message] | None:
        """Wait for what the child says; None when it has ended and said all it had to say."""
        ready = wait([self._connection, self._process.sentinel], timeout_s)
        said: list[Message] = []
        with contextlib.suppress(EOFError, OSError):
            while self._connection.poll():
                said.append(self._connection.recv())
        if said or not ready or self._process.sentinel not in ready:
            return said
        return None

    def answer(self, standing: str) -> None:
        """Answer a `MayPublish`: held, cancelled or lost."""
        with contextlib.suppress(OSError):
            self._connection.send(standing)

    def memory_bytes(self) -> int:
        """Resident memory of the whole session; shared pages count once for each process."""
        return sum(_resident_bytes(pid) for pid in _session(self.pid))

    def kill(self) -> None:
        """End the child and everything it started; safe to repeat."""
        # The leader may die before it has made its session: then there is only itself.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(self.pid) == self.pid:
                os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join(10)

    def close(self) -> str:
        """Reap the child; how it ended, in words."""
        self.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # grandchildren that outlived it
        code = self._process.exitcode
        self._connection.close()
        self._process.close()
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit status {code}"


def warm_up() -> None:
    """Start the fork server ahead of the first job."""
    from multiprocessing import forkserver

    _context()
    forkserver.ensure_running()


def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


def _run(connection: Connection, job: str, order: Order, config: Config, folder: Path) -> None:
    """Do one job in the child process."""
    os.setsid()
    # The worker decides about signals of the terminal or the dyno; it ends us when it must.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")  # if the kernel must kill, then the job, not the worker
    tempfile.tempdir = str(folder)
    line = Line(connection)
    try:
        module, name = job.split(":")
        function: JobFunction = getattr(importlib.import_module(module), name)
        message: Message = function(order, config, line, folder)
    except Interrupted as stop:
        message = Failed(type(stop).__name__, "", "", None, None)
    except Exception as error:  # noqa: BLE001 - whatever it was, the worker must hear of it
        if not isinstance(error, WorkerError | MemoryError):
            from loguru import logger

            logger.opt(exception=error).error("job {}: a bug, or an error nobody has sorted", order.job_id)
        message = Failed.of(error)
    connection.send(message)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # nothing is left to tidy up: the worker removes the folder


def _session(leader: int) -> list[int]:
    """Processes of a session."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ProcessLookupError):
            if os.getsid(int(entry.name)) == leader:
                pids.append(int(entry.name))
    return pids


def _resident_bytes(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGESIZE")


def out_of_memory(found_bytes: int, limit_bytes: int) -> ResourceError:
    """Say that a job was ended for its memory."""
    return ResourceError(
        f"the render took {found_bytes >> 20} MB of memory; {limit_bytes >> 20} MB are allowed", code="resource.memory"
    )
