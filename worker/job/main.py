"""What runs in a job's process, from its birth in the nursery to its last word."""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from loguru import logger

from worker import logs
from worker.config import Config
from worker.errors import Interrupted, WorkerError
from worker.job.channel import Assignment, Failed, Line, Message
from worker.job.process_tree import kill_session
from worker.job.run import JobInput, JobOutput

JobFunction = Callable[[JobInput, Config, Line, Path], JobOutput]
_MAPPED_ONLY_BYTES = 256 << 20  # a render maps some 150 MB more than it has resident
_OOM_SCORE = "800"  # if the kernel must kill, then a job and not the worker (proc(5): -1000 to 1000)


def run(descriptor: int) -> None:
    """Do the job that the line's other end assigns.

    Parameters
    ----------
    descriptor : int
        Of our end of the line.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    connection = Connection(descriptor)
    try:
        assignment: Assignment = connection.recv()
    except EOFError:
        return  # the worker has changed its mind, or is gone
    line = Line(connection, on_broken=_end_what_we_started)
    _limit_memory(assignment.memory_bytes)
    tempfile.tempdir = str(assignment.folder)
    logs.set_up_job(assignment.config, assignment.order.job_id)
    try:
        line.send(_outcome(assignment, line))
    finally:  # the worker may be gone by then, and close nothing
        _end_what_we_started()


def _end_what_we_started() -> None:
    kill_session(os.getpid(), but=os.getpid())


def _outcome(assignment: Assignment, line: Line) -> Message:
    try:
        module, name = assignment.function.split(":")
        function: JobFunction = getattr(importlib.import_module(module), name)
        return function(assignment.order, assignment.config, line, assignment.folder)
    except (WorkerError, Interrupted, MemoryError) as error:
        return Failed.of(error)
    except Exception as error:  # noqa: BLE001 - whatever it was, the worker must hear of it
        failed = Failed.of(error)
        if failed.code == "worker.bug":
            logger.bind(event="job.bug").opt(exception=error).error("{}", failed.message)
        return failed


def _limit_memory(limit_bytes: int) -> None:
    """Bound each process's private memory, so that most blow-ups are a MemoryError and no kill.

    RLIMIT_DATA counts what is mapped, resident or not (thread stacks, arenas), hence the room; the worker watches what
    is resident, of all of the job's processes together. RLIMIT_AS would count files and libraries too.
    """
    most = limit_bytes + _MAPPED_ONLY_BYTES
    if hasattr(resource, "RLIMIT_DATA"):
        with contextlib.suppress(OSError, ValueError):  # a harder limit is there already
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))
