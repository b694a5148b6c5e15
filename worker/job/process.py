"""A running job, seen from its worker; and the nursery it comes from.

The job has a process of its own, so that a crash or a memory blow-up costs the job and not the worker. The process is a
session of its own, with FFmpeg and the voices inside it: killing the session ends all of them. When the worker dies,
however it dies, the line between them breaks and the job ends its session itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Self

from worker.config import Config
from worker.errors import ConfigurationError
from worker.job.channel import Answer, Assignment, Failed, Message
from worker.job.fork_server import STARTED, STATUS
from worker.job.process_tree import kill_session, session_resident_bytes
from worker.job.run import JobInput, JobOutput

DEFAULT_JOB = "worker.job.run:run_job"
_STUCK_S = 10  # a message that has begun must end, and a job must listen
_LEAVE_S = 0.5
_REAP_S = 10.0
_NURSERY_END_S = 5.0


class ForkServer:
    """The process that jobs are forked from, started at once and again should it die. Use in a ``with``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        with self._lock:
            self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid if self._process is not None else None

    def fork(self, line: int, status: int) -> None:
        """Have a job forked that gets these two descriptors.

        Raises
        ------
        ConfigurationError
            If the nursery cannot be started: no fault of the job's.
        """
        with self._lock:
            for _ in range(2):
                if self._process is None or self._process.poll() is not None:
                    self._start()
                if self._control is not None:
                    with contextlib.suppress(OSError):
                        socket.send_fds(self._control, [b"f"], [line, status])
                        return
                self._end()
        raise no_process("the nursery does not live")

    def close(self) -> None:
        """End it; jobs that still run lose nothing but their way to say how they ended."""
        with self._lock:
            self._end()

    def _start(self) -> None:
        self._end()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "worker.job.fork_server", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                )
            except OSError as error:
                ours.close()
                raise no_process(f"the nursery does not start: {error.strerror}") from None
        self._control = ours

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(_NURSERY_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


class JobProcess:
    """A job's process.

    Attributes
    ----------
    unheard : list
        After `close`, what the job had said and nobody had asked for.

    Parameters
    ----------
    nursery : Nursery
    function : str
        ``module:function`` that the process calls.
    order : Order
    config : Config
    folder : Path
        For the job's files.
    memory_bytes : int
        What one of its processes may map is a small multiple of this; the worker watches the rest.

    Raises
    ------
    ConfigurationError
        If no process can be had.
    """

    def __init__(
        self,
        fork_server: ForkServer,
        function: str,
        *,
        order: JobInput,
        config: Config,
        folder: Path,
        memory_bytes: int,
    ) -> None:
        self._pid: int | None = None
        self._exit_code: int | None = None
        self._reported = False
        self.unread: list[Message] = []
        ours, theirs = socket.socketpair()
        retry_policy = struct.pack("ll", _STUCK_S, 0)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, retry_policy)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, retry_policy)
        self._line: Connection | None = Connection(ours.detach())
        self._status, status = os.pipe()
        try:
            with theirs:
                fork_server.fork(theirs.fileno(), status)
        except ConfigurationError:
            self._line.close()
            os.close(self._status)
            raise
        finally:
            os.close(status)
        with contextlib.suppress(OSError):  # it has died already: `messages` will say so
            self._line.send(Assignment(function, order, config, folder, memory_bytes))

    @property
    def pid(self) -> int | None:
        """Its process id, which is its session's too; None until it is known."""
        return self._pid

    def messages(self, timeout_s: float) -> list[Message] | None:
        """Wait for what the job says; None when it has ended and has said all it had to say."""
        if self._line is None:
            return None
        awaited: list[Connection | int] = [self._line]
        if self._exit_code is None and self._status >= 0:
            awaited.append(self._status)
        ready = wait(awaited, timeout_s)
        if self._status in ready:
            self._read_status()
        said = self._said()
        if self._exit_code is not None and not said:
            self._hang_up()
        self._reported = self._reported or any(isinstance(message, Failed | JobOutput) for message in said)
        return said if said or self._line is not None else None

    def answer(self, value: object) -> None:
        """Answer a question of the job's: `MayPublish` with held, cancelled or lost; see `worker.job.channel`."""
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.send(Answer(value))

    def memory_bytes(self) -> int:
        """Resident memory of the whole session; shared pages count once for each process."""
        return session_resident_bytes(self._pid) if self._pid is not None else 0

    def close(self) -> str:
        """End the job and everything it has started; how it ended, in words. Safe to repeat."""
        if self._reported:
            self._await_end(_LEAVE_S)  # it is on its way out
        elif self._pid is not None:
            self._kill()
            self._await_end(_REAP_S)
        self.unread += self._said()
        self._hang_up()  # a process that we do not know yet ends by that
        if self._exit_code is None:
            self._kill()
            self._await_end(_REAP_S)
        self._kill()  # what it has left behind
        if self._status >= 0:
            os.close(self._status)
            self._status = -1
        return self.ending

    @property
    def ending(self) -> str:
        """How the process ended, in words."""
        if self._exit_code is None:
            return "ended unseen"
        if self._exit_code < 0:
            return f"killed by {signal.Signals(-self._exit_code).name}"
        return f"exit status {self._exit_code}"

    @property
    def was_killed(self) -> bool:
        """Whether it ended by SIGKILL."""
        return self._exit_code == -signal.SIGKILL

    def _said(self) -> list[Message]:
        """What has come in and was not heard yet; hangs up when nothing more can come."""
        said: list[Message] = []
        try:
            while self._line is not None and self._line.poll():
                said.append(self._line.recv())
        except (EOFError, OSError):
            self._hang_up()
        return said

    def _kill(self) -> None:
        if self._pid is not None:
            kill_session(self._pid)

    def _await_end(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._exit_code is None and self._status >= 0:
            if not wait([self._status], max(0.0, deadline - time.monotonic())):
                return
            self._read_status()

    def _read_status(self) -> None:
        told = os.read(self._status, STATUS.size)  # whole: writes to a pipe of so few bytes are
        if not told:
            # The nursery has died, or could not fork. The job, if there is one, still has its line.
            os.close(self._status)
            self._status = -1
            return
        what, number = STATUS.unpack(told)
        if what == STARTED:
            self._pid = number
        else:
            self._exit_code = number

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def no_process(why: str) -> ConfigurationError:
    """Say that the machine gives no process to work in."""
    return ConfigurationError(
        f"no process for a job: {why}; is there memory left, and room for processes?", code="configuration.process"
    )
