"""What a job process does, from its fork to its exit."""

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

from worker import logs, masks
from worker.config import Config
from worker.errors import WorkerError
from worker.ffmpeg.program import FOUND_FFMPEGS
from worker.job import large_modules
from worker.job.channel import Channel
from worker.job.messages import Assignment, Failed, JobInput, JobOutput, Loaded
from worker.job.process_tree import kill_session

JobFunction = Callable[[JobInput, Config, Channel, Path], JobOutput]
_MAPPED_ONLY_BYTES = 256 << 20  # a render maps some 150 MB more than it has resident


def run(descriptor: int) -> None:
    """Run the job that the worker assigns; `descriptor` is the job's end of the channel."""
    connection = Connection(descriptor)
    try:
        assignment: Assignment = connection.recv()
    except EOFError:
        return  # the worker has closed its end, or has died
    channel = Channel(connection, on_broken=_kill_what_we_started)
    _limit_memory(assignment.memory_bytes)
    tempfile.tempdir = str(assignment.folder)
    logs.set_up_job(assignment.config, assignment.job_input.job_id)
    FOUND_FFMPEGS.update(assignment.ffmpegs)
    if assignment.job_input.payload_text is not None:
        masks.learn(assignment.job_input.payload_text)
    try:
        output = _output(assignment, channel)
        channel.send(Loaded(large_modules.loaded()))
        channel.send(output)
    finally:  # the worker may have died by now
        _kill_what_we_started()


def _kill_what_we_started() -> None:
    kill_session(os.getpid(), but=os.getpid())


def _output(assignment: Assignment, channel: Channel) -> JobOutput | Failed:
    try:
        module, name = assignment.function.split(":")
        function: JobFunction = getattr(importlib.import_module(module), name)
        return function(assignment.job_input, assignment.config, channel, assignment.folder)
    except Exception as error:  # noqa: BLE001 - the worker must be told of any error
        failed = Failed.of(error)
        if isinstance(failed.error, WorkerError) and failed.error.code == "worker.bug":
            logger.bind(event="job.bug").opt(exception=error).error("{}", failed.error)
        return failed


def _limit_memory(limit_bytes: int) -> None:
    """Limit each process's private memory, so that most blow-ups end in a MemoryError and not in a kill.

    RLIMIT_DATA counts mapped memory, resident or not (thread stacks, arenas), so it is higher than the job's limit. The
    worker checks the resident memory of all processes of the job together. RLIMIT_AS would count files and libraries.
    """
    most = limit_bytes + _MAPPED_ONLY_BYTES
    if hasattr(resource, "RLIMIT_DATA"):
        with contextlib.suppress(OSError, ValueError):  # a lower hard limit is set already
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))
