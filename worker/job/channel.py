"""The job's end of the channel to its worker."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from worker.errors import Cancelled, LeaseLost
from worker.job.messages import (
    Answer,
    AskCatalogue,
    AskCharacters,
    AskTrack,
    Failed,
    MayPublish,
    Message,
    Progress,
    Question,
    Uploaded,
)


class Channel:
    """Sends messages to the worker and receives its answers. Safe to use from any thread.

    Parameters
    ----------
    connection : Connection
    on_broken : callable
        Called, from any thread, when the worker's end is closed; then the process exits.
    """

    def __init__(self, connection: Connection, on_broken: Callable[[], None]) -> None:
        self._connection = connection
        self._on_broken = on_broken
        self._sending = threading.Lock()
        self._answer: Answer | None = None
        self._asking = threading.Lock()  # one question at a time
        self._answered = threading.Condition()
        self._last: Progress | None = None
        threading.Thread(target=self._receive, name="channel", daemon=True).start()

    def progress(self, percent: int, stage: str) -> None:
        """Report progress in percent, and the stage that the customer reads. Sent only if it has changed."""
        now = Progress(percent, stage)
        if now != self._last:
            self._last = now
            self.send(now)

    def may_publish(self) -> None:
        """Return if the claim still holds; the worker asks the database.

        Raises
        ------
        Cancelled, LeaseLost
            If it does not: nothing may be uploaded any more.
        """
        answer = self._ask(MayPublish())
        if answer == "cancelled":
            raise Cancelled
        if answer != "held":
            raise LeaseLost

    def track_row(self) -> dict[str, Any] | None:
        """Read the job's row in `tracks`, JSON columns as text; None if the customer has no such track.

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
        """Report a file that is new in storage; the worker removes it if the customer cancels."""
        self.send(Uploaded(bucket, key))

    def send(self, message: Message) -> None:
        """Send a message."""
        try:
            with self._sending:
                self._connection.send(message)
        except ConnectionError:
            self._exit()

    def _ask(self, question: Question) -> object:
        """Send a question, wait for its answer and return it; raise it if it is a failure."""
        with self._asking, self._answered:
            self._answer = None
            self.send(question)
            self._answered.wait_for(lambda: self._answer is not None)
            assert self._answer is not None  # noqa: S101 - for the type checker
            value = self._answer.value
        if isinstance(value, Failed):
            raise value.error()
        return value

    def _receive(self) -> None:
        while True:
            try:
                answer = self._connection.recv()
            except (EOFError, OSError):
                self._exit()
            with self._answered:
                self._answer = answer
                self._answered.notify()

    def _exit(self) -> NoReturn:
        self._on_broken()
        os._exit(1)
