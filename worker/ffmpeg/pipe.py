"""Runs FFmpeg: in its sandbox, through pipes, within limits of time and memory, and always to its end.

No FFmpeg outlives this process: each depends on a pipe, which closes when this process dies, even by SIGKILL.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import resource
import selectors
import signal
import subprocess
import termios
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from worker.errors import MachineError, ResourceError, TransientError, WorkerError
from worker.ffmpeg.program import HINT, Ffmpeg, clean_environment
from worker.ffmpeg.sandbox import start

_LINES_KEPT = 40
_LINE_BYTES = 2048
_READ_BYTES = 1 << 18
_PIPE_BYTES = 1 << 20  # what an unprivileged process may ask for; fewer changes between the two sides
_CHECK_SECONDS = 0.5
_LOG_CHECK_S = 0.001


@dataclass(frozen=True)
class Limits:
    """Limits of one FFmpeg process; on Linux it can write to its pipes and nowhere else, besides.

    Parameters
    ----------
    seconds : float or None
        From start to end; None where the caller sets the pace.
    stall_seconds : float
        That one read, one write or the ending may wait.
    memory_bytes : int or None
        Of private writable memory; the kernel holds it to that, on Linux.
    """

    seconds: float | None = None
    stall_seconds: float = 120.0
    memory_bytes: int | None = None


class Pipe:
    """One FFmpeg process; a context manager that never leaves it behind.

    Parameters
    ----------
    arguments : sequence of str
        What comes after the options common to all.
    feed : bool
        Whether the caller writes its standard input.
    collect : bool
        True: `take` and `finish` give standard output. False: the caller reads it.
    pass_fd : int, optional
        A file descriptor that the process inherits, of the only file that it may open.
    blame : callable, optional
        Makes the error of a failure that is not the machine's, from FFmpeg's error lines.
    on_line : callable, optional
        Called from another thread with each line of FFmpeg's log, which then holds more than errors.

    Raises
    ------
    MachineError
        If the program cannot be run.
    ResourceError
        If no memory or process is left for it.
    """

    def __init__(
        self,
        ffmpeg: Ffmpeg,
        arguments: Sequence[str],
        *,
        feed: bool = False,
        collect: bool = False,
        limits: Limits | None = None,
        pass_fd: int | None = None,
        blame: Callable[[Sequence[str]], WorkerError] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._blame = blame or _encoder_failed
        self._on_line = on_line
        self._errors: deque[str] = deque(maxlen=_LINES_KEPT)
        self._collected = bytearray() if collect else None
        self._arrived = threading.Condition()  # guards the collected bytes
        self._timed_out = False
        self._ended = False  # nothing more comes on its standard output and error
        self._since: dict[int, float] = {}  # when each thread began to wait: one may write while another reads
        self._log_lock = threading.Lock()  # held while a part of the log is read and parsed
        common = ("-nostdin", "-nostats", "-loglevel", "repeat+level+info" if on_line else "level+error")
        try:
            self._process = start(
                [ffmpeg.path, *common, "-filter_threads", "1", *arguments],
                sandbox=ffmpeg.sandbox,
                env=clean_environment(),
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                reads=() if pass_fd is None else (pass_fd,),
            )
        except BlockingIOError:
            raise ResourceError("no process is left to run FFmpeg", code="resource.processes") from None
        except MemoryError:
            raise ResourceError("no memory is left to run FFmpeg", code="resource.memory") from None
        except OSError as error:
            raise MachineError(
                f"{ffmpeg.path} cannot be run: {error.strerror}: {HINT}", code="configuration.ffmpeg"
            ) from None
        self._confine()
        self._deadline = None if self._limits.seconds is None else time.monotonic() + self._limits.seconds
        self._watcher = threading.Thread(target=self._watch, name="ffmpeg-watch", daemon=True)
        try:
            self._watcher.start()
        except RuntimeError:
            self.kill()
            self._process.wait()
            raise ResourceError("no thread is left to watch FFmpeg", code="resource.processes") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._watcher.join()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def kill(self) -> None:
        """End the process and all it started at once; safe from any thread, and when it has ended already."""
        if self._process.returncode is None:  # not yet waited for, so its pid cannot be another's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data` to the process's standard input.

        Raises `WorkerError` if the process has ended; its class depends on the reason.
        """
        assert self._process.stdin is not None  # noqa: S101 - a fed process was asked for
        descriptor = self._process.stdin.fileno()
        view = memoryview(data).cast("B")
        try:
            with self._waiting():
                while view:
                    view = view[os.write(descriptor, view) :]
        except BrokenPipeError:
            raise self._failure() from None

    def read(self, size: int = _READ_BYTES) -> bytes:
        """Read up to `size` bytes of the process's standard output; empty at its end."""
        assert self._process.stdout is not None  # noqa: S101
        with self._waiting():
            return os.read(self._process.stdout.fileno(), size)

    def wait_for_log(self) -> None:
        """Wait until all is parsed that the process has logged before it wrote what was read last."""
        assert self._process.stderr is not None  # noqa: S101
        waiting = array("i", [0])
        while self._watcher.is_alive():
            fcntl.ioctl(self._process.stderr.fileno(), termios.FIONREAD, waiting)
            if not waiting[0]:
                break
            time.sleep(_LOG_CHECK_S)
        with self._log_lock:
            pass

    def take(self, size: int) -> bytes:
        """Wait until `size` bytes are collected, and take them off.

        Raises `WorkerError` if the process ends before.
        """
        assert self._collected is not None  # noqa: S101 - collecting was asked for
        with self._waiting(), self._arrived:
            collected = self._collected
            self._arrived.wait_for(lambda: len(collected) >= size or self._ended)
            with memoryview(collected) as view:
                taken = bytes(view[:size])
            del collected[:size]
        if len(taken) < size:
            raise self._failure()
        return taken

    def close_input(self) -> None:
        """Close the process's standard input."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def finish(self) -> bytes:
        """Close the input, wait until the process succeeds, and return what was collected.

        Raises `WorkerError` if the process failed; its class depends on the reason.
        """
        self.close_input()
        if self._wait() != 0:
            raise self._failure()
        collected, self._collected = bytes(self._collected or b""), None  # not kept beside its copy
        return collected

    def _wait(self) -> int:
        with self._waiting():
            self._watcher.join()
            return self._process.wait()

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        thread = threading.get_ident()
        self._since[thread] = time.monotonic()
        try:
            yield
        finally:
            del self._since[thread]

    def _confine(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
                with contextlib.suppress(OSError):  # the user's share of pipe memory is used up: slower, no harm
                    fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        if hasattr(os, "SCHED_BATCH"):
            # FFmpeg 9 passes each frame of 26 ms from thread to thread; in Linux's batch class a thread that wakes up
            # does not interrupt the other: 8 % of a ten-minute job (8 rounds in turn, two cores).
            with contextlib.suppress(OSError):  # it has ended already, or a sandbox forbids it
                os.sched_setscheduler(self._process.pid, os.SCHED_BATCH, os.sched_param(0))
        if not hasattr(resource, "prlimit"):
            return
        # From outside, since code between fork and exec is not safe beside threads.
        limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}
        if self._limits.memory_bytes is not None:
            limits[resource.RLIMIT_DATA] = self._limits.memory_bytes
        for limit, most in limits.items():
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended already
                resource.prlimit(self._process.pid, limit, (most, most))

    def _watch(self) -> None:
        """Read standard error, and standard output when collecting, until both end; kill a late process."""
        assert self._process.stderr is not None and self._process.stdout is not None  # noqa: S101, PT018
        log = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stderr, selectors.EVENT_READ, log)
            if self._collected is not None:
                selector.register(self._process.stdout, selectors.EVENT_READ, self._collected)
            while selector.get_map():
                for key, _ in selector.select(timeout=_CHECK_SECONDS):
                    with self._log_lock:
                        data = os.read(key.fd, _READ_BYTES)
                        with self._arrived:
                            key.data.extend(data)
                            self._arrived.notify_all()
                        if key.data is log:
                            self._parse_log(log, end=not data)
                    if not data:
                        selector.unregister(key.fileobj)
                if not self._timed_out and self._late():
                    self._timed_out = True
                    self.kill()
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()

    def _late(self) -> bool:
        now = time.monotonic()
        stalled = any(now - since > self._limits.stall_seconds for since in list(self._since.values()))
        return stalled or (self._deadline is not None and now > self._deadline)

    def _parse_log(self, log: bytearray, *, end: bool) -> None:
        *lines, rest = log.split(b"\n")
        if end or len(rest) > _LINE_BYTES:
            lines, rest = [*lines, rest], bytearray()
        log[:] = rest
        for raw in lines:
            line = raw[:_LINE_BYTES].decode(errors="replace").rstrip()
            if "[error]" in line or "[fatal]" in line:
                self._errors.append(re.sub(r"\[[^\]]* @ 0x[0-9a-f]+\] |\[(error|fatal)\] ", "", line))
            if self._on_line is not None:
                self._on_line(line)

    def _failure(self) -> WorkerError:
        status = self._wait()
        errors = list(self._errors) or [f"it ended with status {status}"]
        words, everything = "; ".join(errors[:2]), "\n".join(errors)
        if self._timed_out:
            return TransientError("FFmpeg took too long and was stopped", code="ffmpeg.timeout")
        if "No space left on device" in everything or status == -signal.SIGXFSZ:
            return ResourceError("the disk is full", code="resource.disk")
        # A header may ask for more than any memory holds: then the file is wrong, however often we try.
        starved = "Cannot allocate memory" in everything and "error reading header" not in everything
        if starved or status == -signal.SIGKILL:
            return ResourceError(f"FFmpeg was killed or ran out of memory ({words})", code="resource.memory")
        missing = re.search(
            r"Unknown (encoder|decoder|input format) '[^']*'|Requested output format .* not", everything
        )
        if missing:
            return MachineError(
                f"this FFmpeg lacks a component that is needed ({missing[0]}): {HINT}",
                code="configuration.ffmpeg",
                about=(missing[1] or "output format",),  # a job that needs no such part does not show that it is there
            )
        if status in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP) or "received signal" in everything:
            return TransientError("FFmpeg was stopped from outside", code="ffmpeg.stopped")
        return self._blame(errors)


def _encoder_failed(errors: Sequence[str]) -> WorkerError:
    return TransientError(f"FFmpeg failed: {'; '.join(errors[:2])}", code="ffmpeg.failed")
