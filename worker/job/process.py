"""The worker's view of a job process, and of the fork server that it comes from.

Each job has a process of its own, so that a crash or a memory blow-up costs the job and not the worker. The process is
a session of its own, with the FFmpegs and voices that it starts: to kill the session ends all of them. However the
worker dies, the channel closes, and the job then kills its session itself.
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
from typing import Self

from worker.config import without_secrets
from worker.errors import ConfigurationError, MachineError
from worker.job import large_modules
from worker.job.fork_server import JOB_OOM_SCORE, STATUS
from worker.job.messages import Answer, Assignment, Failed, JobOutput, Message
from worker.job.process_tree import kill_session, session_resident_bytes

DEFAULT_JOB = "worker.job.run:run_job"
_STUCK_S = 10  # a message that has begun must arrive whole, and a job must read what it is sent
_START_S = 60.0  # a fork server that has just been started loads its modules first
_EXIT_S = 0.5
_REAP_S = 10.0
_FORK_SERVER_EXIT_S = 5.0


class ForkServer:
    """Starts the fork server for the first job, and again if it has died. Use in a ``with``.

    An idle worker has none: with NumPy in it, it is as large as the worker itself. It loads the module of `job`, a
    ``module:function``, so that no job process has to. The kernel goes by `oom_score` when memory is short: the process
    with the highest is killed first.
    """

    def __init__(self, job: str = DEFAULT_JOB, *, oom_score: int = JOB_OOM_SCORE) -> None:
        self._arguments = (job.partition(":")[0], str(oom_score))
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._wanted: frozenset[str] = frozenset()
        self._forked_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._end()

    @property
    def pid(self) -> int | None:
        """Its process id; None while there is none."""
        return self._process.pid if self._process is not None else None

    def want_loaded(self, names: frozenset[str]) -> None:
        """Have large modules loaded before the next fork (`worker.job.large_modules`); from any thread."""
        with self._lock:
            self._wanted |= names

    def rest(self, *, after_s: float) -> None:
        """End the fork server, and with it what it has loaded, if no job was started for so long.

        Only while none runs: the fork server is their parent.
        """
        with self._lock:
            if self._process is not None and time.monotonic() - self._forked_at > after_s:
                self._wanted = frozenset()
                self._end()

    def fork(self, channel: int, status: int) -> None:
        """Fork a job process that gets these two descriptors.

        Raises
        ------
        ConfigurationError
            If the fork server cannot be started, which is not the job's fault.
        """
        with self._lock:
            for _ in range(2):
                if self._process is None or self._process.poll() is not None:
                    self._start()
                if self._control is not None:
                    with contextlib.suppress(OSError):
                        socket.send_fds(self._control, [large_modules.request(self._wanted)], [channel, status])
                        self._forked_at = time.monotonic()
                        return
                self._end()
        raise no_process("the fork server has died")

    def _start(self) -> None:
        self._end()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "worker.job.fork_server",
                        str(theirs.fileno()),
                        *self._arguments,
                    ],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env={**without_secrets(), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                )
            except OSError as error:
                ours.close()
                raise no_process(f"the fork server does not start: {error.strerror}") from None
        self._control = ours

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(_FORK_SERVER_EXIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


class JobProcess:
    """A job process, started at once.

    Attributes
    ----------
    pid : int
        Its process id, and its session's.
    unread : list of Message
        After `close`: the messages that were sent and not read.

    Raises
    ------
    ConfigurationError
        If no process could be started.
    """

    def __init__(self, fork_server: ForkServer, assignment: Assignment) -> None:
        self.unread: list[Message] = []
        self._exit_code: int | None = None
        self._has_result = False
        ours, theirs = socket.socketpair()
        timeout = struct.pack("ll", _STUCK_S, 0)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        self._channel = Connection(ours.detach())
        self._status, status = os.pipe()
        try:
            with theirs:
                try:
                    fork_server.fork(theirs.fileno(), status)
                finally:
                    os.close(status)
            pid = self._read_status(_START_S)
            if pid is None:
                raise no_process("the fork server could not fork")
        except ConfigurationError:
            self._channel.close()  # a process that starts late exits by that
            os.close(self._status)
            raise
        self.pid: int = pid
        with contextlib.suppress(OSError):  # it has died already; `messages` finds out
            self._channel.send(assignment)

    def messages(self, timeout_s: float) -> list[Message] | None:
        """Wait for messages from the job; None when it has ended and all have been read."""
        if not self._channel.closed:
            wait([self._channel], timeout_s)
        received = self._receive()
        self._has_result = self._has_result or any(isinstance(message, Failed | JobOutput) for message in received)
        return received if received or not self._channel.closed else None

    def answer(self, value: object) -> None:
        """Answer the job's question; for the answers see `worker.job.messages`."""
        with contextlib.suppress(OSError):
            self._channel.send(Answer(value))

    def memory_bytes(self) -> int:
        """Resident memory of the whole session; shared pages count once for each process."""
        return session_resident_bytes(self.pid)

    def close(self) -> str:
        """End the job process and everything it has started; return how it ended, in words. Safe to repeat."""
        self._await_exit(_EXIT_S if self._has_result or self._channel.closed else 0.0)  # it may exit by itself
        if self._exit_code is None:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)  # it may not be a session yet
        kill_session(self.pid)  # or what it has left behind
        self._await_exit(_REAP_S)
        self.unread += self._receive()
        self._channel.close()
        if self._status >= 0:
            os.close(self._status)
            self._status = -1
        if self._exit_code is None:
            return "ended unseen"
        if self._exit_code < 0:
            return f"killed by {signal.Signals(-self._exit_code).name}"
        return f"exit status {self._exit_code}"

    @property
    def was_killed(self) -> bool:
        """Whether it ended by SIGKILL."""
        return self._exit_code == -signal.SIGKILL

    def _receive(self) -> list[Message]:
        """Read all messages that have arrived; close the channel when no more can come."""
        received: list[Message] = []
        try:
            while not self._channel.closed and self._channel.poll():
                received.append(self._channel.recv())
        except (EOFError, OSError):
            self._channel.close()
        return received

    def _await_exit(self, timeout_s: float) -> None:
        if self._exit_code is None:
            self._exit_code = self._read_status(timeout_s)

    def _read_status(self, timeout_s: float) -> int | None:
        """Read the next number from the fork server; None if there is none in time, or the fork server has died."""
        if self._status < 0 or not wait([self._status], timeout_s):
            return None
        number = os.read(self._status, STATUS.size)  # a write of so few bytes to a pipe is atomic
        return STATUS.unpack(number)[0] if number else None


def no_process(why: str) -> MachineError:
    """Return the error of a machine on which no process can be started."""
    return MachineError(
        f"no process for a job: {why}; is there memory left, and room for processes?", code="configuration.process"
    )
