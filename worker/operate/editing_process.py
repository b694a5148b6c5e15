"""The process that the editor runs in: one a worker, from its first use until nobody has used it for a while.

An idle worker has none, and nothing of what it loads. It is a process as jobs have (`worker.job.process`), forked from
a fork server of its own, and dies with the worker, however that dies. When memory is short the kernel kills it before
any job.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loguru import logger

from worker.config import Config
from worker.errors import MachineError, TransientError
from worker.ffmpeg.program import FOUND_FFMPEGS
from worker.job.memory import job_memory_limit_bytes
from worker.job.messages import Assignment, Failed, JobInput, Progress
from worker.job.process import ForkServer, JobProcess
from worker.job.workspace import workspace

EDITING: Final = "worker.studio.editing:serve"
_SOCKET: Final = "studio.socket"  # as in worker.studio.editing, which is not loaded here
_NAME: Final = "editor"
_OOM_SCORE: Final = 1000
# What no part of the studio asks for; without them whoever takes the process over has less.
_NOT_NEEDED: Final[dict[str, Any]] = dict.fromkeys(
    ("database_url", "worker_token", "studio_token", "resend_api_key", "sentry_dsn")
)


@dataclass(frozen=True)
class EditingTimings:
    """It ends after `idle_s` without a request; whether it lives, and what it holds, is looked at every `check_s`."""

    idle_s: float = 600.0
    check_s: float = 0.5
    start_s: float = 60.0


EDITING_TIMINGS = EditingTimings()


class EditingEndedError(TransientError):
    """The process has ended while it was asked; the next request starts another one."""

    default_code = "editor.ended"


class EditingProcess:
    """One such process, started at once; `close` ends it.

    Raises
    ------
    MachineError
        If it cannot be started.
    """

    def __init__(self, config: Config, timings: EditingTimings = EDITING_TIMINGS) -> None:
        self._timings = timings
        self._limit_bytes = job_memory_limit_bytes(config)
        self._lock = threading.Lock()
        self._in_use = 0
        self._used_at = time.monotonic()
        self._ending: str | None = None
        with ExitStack() as stack:
            folder = stack.enter_context(workspace())
            fork_server = stack.enter_context(ForkServer(EDITING, oom_score=_OOM_SCORE))
            assignment = Assignment(
                EDITING,
                JobInput(_NAME, None, None, None),
                config.model_copy(update=_NOT_NEEDED),
                folder,
                self._limit_bytes,
                dict(FOUND_FFMPEGS),
            )
            self._process = JobProcess(fork_server, assignment)
            stack.callback(self._process.close)
            self._await_start()
            self.address = stack.enter_context(_address_in(folder))
            self._stack = stack.pop_all()
        self.pid = self._process.pid
        logger.bind(event="editor.started").info("the editor runs, process {}", self.pid)
        self._thread = threading.Thread(target=self._watch, name=_NAME, daemon=True)
        self._thread.start()

    def take(self) -> bool:
        """Use it, until `give_back`; False if it has ended or is about to."""
        with self._lock:
            self._in_use += self._ending is None
            return self._ending is None

    def give_back(self) -> None:
        """It is not used any more by one of those who took it."""
        with self._lock:
            self._in_use -= 1
            self._used_at = time.monotonic()

    def close(self) -> None:
        """End it, with all that it has started and made."""
        self.end("the worker ends")
        self._thread.join(10)

    def end(self, why: str) -> None:
        """Have it end soon."""
        with self._lock:
            self._ending = self._ending or why

    def _await_start(self) -> None:
        deadline = time.monotonic() + self._timings.start_s
        while time.monotonic() < deadline:
            messages = self._process.messages(self._timings.check_s)
            if messages is None:
                raise MachineError("the editor's process has died as it began", code="configuration.process")
            for message in messages:
                if isinstance(message, Failed):
                    raise message.error
                if isinstance(message, Progress):
                    return
        raise MachineError("the editor's process does not begin", code="configuration.process")

    def _watch(self) -> None:
        """End it when it is time."""
        while self._ending is None:
            messages = self._process.messages(self._timings.check_s)
            if messages is None or any(isinstance(message, Failed) for message in messages):
                self.end("it has died")
            elif self._process.memory_bytes() > self._limit_bytes:
                self.end(f"it holds more than {self._limit_bytes >> 20} MB")
            else:
                with self._lock:
                    is_idle = not self._in_use and time.monotonic() - self._used_at > self._timings.idle_s
                    if is_idle:
                        self._ending = "nobody has used it for a while"
        self._stack.close()
        logger.bind(event="editor.ended").info("the editor has ended: {}", self._ending)


@contextmanager
def _address_in(folder: Path) -> Iterator[str]:
    """The socket's path; on Linux a short one, since a longer one than 107 characters could not be connected to."""
    if sys.platform != "linux":
        yield str(folder / _SOCKET)
        return
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)
