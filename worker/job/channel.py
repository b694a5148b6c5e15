"""What a job's process and its worker say to each other, over a pair of sockets."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from worker import errors
from worker.config import Config
from worker.errors import Cancelled, Interrupted, LeaseLost, ResourceError, TransientError, WorkerError
from worker.job.run import JobInput, JobOutput
from worker.logs import where

# No space, no quota, no memory, no descriptors.
_USED_UP = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True)
class Assignment:
    """The first thing a job's process is told.

    Attributes
    ----------
    function : str
        ``module:function``, called with the order, the configuration, the `Line` and the folder.
    folder : Path
        The job's own; the worker removes it.
    memory_bytes : int
        What the job may take.
    """

    function: str
    order: JobInput
    config: Config
    folder: Path
    memory_bytes: int


@dataclass(frozen=True)
class Progress:
    """How far the job is."""

    percent: int
    stage: str


@dataclass(frozen=True)
class MayPublish:
    """The job asks whether it is still ours, and waits for the answer: a `ClaimStatus` as text."""


@dataclass(frozen=True)
class AskTrack:
    """The job asks for its row in `tracks`: a mapping whose JSON columns are text, or None."""


@dataclass(frozen=True)
class AskCatalogue:
    """The job asks where the music catalogue has a piece, by id or slug: its `url`, or None."""

    reference: str


@dataclass(frozen=True)
class AskCharacters:
    """The job asks whether its customer may have so many characters spoken: True or False."""

    characters: int


@dataclass(frozen=True)
class Answer:
    """What the worker answers to one of these; `value` is a `Failed` where it could not find out."""

    value: object


@dataclass(frozen=True)
class Uploaded:
    """A file that the job has put into storage."""

    bucket: str
    key: str


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
        if isinstance(error, Interrupted):
            return cls(type(error).__name__, str(error), "", None, None)
        if isinstance(error, MemoryError):
            return cls("ResourceError", "the render ran out of memory", "resource.memory", None, None)
        if isinstance(error, OSError) and error.errno in _USED_UP:
            return cls("ResourceError", f"the machine is used up: {error.strerror}", "resource.machine", None, None)
        # Its own words may quote the order: only what it is, and where.
        return cls("TransientError", f"a bug, or an error nobody has sorted: {where(error)}", "worker.bug", None, None)

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


Question = AskTrack | AskCatalogue | AskCharacters
Message = Progress | MayPublish | Uploaded | Question | Failed | JobOutput


def out_of_memory(found_bytes: int, limit_bytes: int) -> ResourceError:
    """Say that a job was ended for its memory."""
    return ResourceError(
        f"the render took {found_bytes >> 20} MB of memory; {limit_bytes >> 20} MB are allowed", code="resource.memory"
    )


class Line:
    """The job's end.

    Parameters
    ----------
    connection : Connection
    on_broken : callable
        Called, from any thread, when the worker's end is gone; then the process ends.
    """

    def __init__(self, connection: Connection, on_broken: Callable[[], None]) -> None:
        self._connection = connection
        self._on_broken = on_broken
        self._sending = threading.Lock()
        self._answer: Answer | None = None
        self._asking = threading.Lock()  # one question at a time
        self._answered = threading.Condition()
        self._last: Progress | None = None
        threading.Thread(target=self._listen, name="lifeline", daemon=True).start()

    def progress(self, percent: int, stage: str) -> None:
        """Report progress, when it has changed."""
        now = Progress(percent, stage)
        if now != self._last:
            self._last = now
            self.send(now)

    def may_publish(self) -> None:
        """Ask the worker, which asks the database.

        Raises
        ------
        Cancelled, LeaseLost
        """
        answer = self._ask(MayPublish())
        if answer == "cancelled":
            raise Cancelled
        if answer != "held":
            raise LeaseLost

    def track_row(self) -> dict[str, Any] | None:
        """Read the job's row in `tracks`, its JSON columns as text; None where there is none of the customer's own.

        Raises
        ------
        WorkerError
            If the database does not answer.
        """
        row = self._ask(AskTrack())
        return row if isinstance(row, dict) else None

    def catalogue(self, reference: str) -> str | None:
        """Look a piece of music up in the catalogue, by id or slug; its `url` (object name or URL), or None."""
        url = self._ask(AskCatalogue(reference))
        return None if url is None else str(url)

    def may_speak(self, characters: int) -> bool:
        """Whether the customer may have so many more characters spoken today (MAX_CHARACTERS_PER_DAY)."""
        return bool(self._ask(AskCharacters(characters)))

    def uploaded(self, bucket: str, key: str) -> None:
        """Tell of a file that is new in storage, so that it can be taken back."""
        self.send(Uploaded(bucket, key))

    def _ask(self, question: MayPublish | Question) -> object:
        """Send a question and wait for its answer; a failure to find out is raised here."""
        with self._asking, self._answered:
            self._answer = None
            self.send(question)
            self._answered.wait_for(lambda: self._answer is not None)
            assert self._answer is not None  # noqa: S101 - for the type checker
            value = self._answer.value
        if isinstance(value, Failed):
            raise value.error()
        return value

    def send(self, message: Message) -> None:
        """Send, from any thread."""
        try:
            with self._sending:
                self._connection.send(message)
        except ConnectionError:
            self._end()

    def _listen(self) -> None:
        while True:
            try:
                answer = self._connection.recv()
            except (EOFError, OSError):
                self._end()
            with self._answered:
                self._answer = answer
                self._answered.notify()

    def _end(self) -> NoReturn:
        self._on_broken()
        os._exit(1)
