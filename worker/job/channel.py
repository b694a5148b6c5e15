"""The job's end of the channel to its worker."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, NoReturn

from worker import masks
from worker.errors import Cancelled, LeaseLost
from worker.job.messages import Answer, Failed, Length, Message, PlaceDone, PlaceWanted, Progress, Question, Uploaded


class Channel:
    """Sends messages to the worker and receives its answers. Safe to use from any thread.

    When the worker's end is closed, `on_broken` is called, from any thread, and the process exits.
    """

    def __init__(self, connection: Connection, on_broken: Callable[[], None]) -> None:
        self._connection = connection
        self._on_broken = on_broken
        self._sending = threading.Lock()
        self._asking = threading.Lock()  # one question at a time
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._last: Progress | None = None
        threading.Thread(target=self._receive, name="channel", daemon=True).start()

    @property
    def percent(self) -> int:
        """The progress that was reported last."""
        return 0 if self._last is None else self._last.percent

    def progress(self, percent: int, stage: str) -> None:
        """Report progress in percent, and the stage that the customer reads. Sent only if it has changed."""
        now = Progress(percent, stage)
        if now != self._last:
            self._last = now
            self.send(now)

    def length(self, seconds: float) -> None:
        """Report how long the track is to be: its deadline follows from it."""
        self.send(Length(seconds))

    def may_publish(self) -> None:
        """Return if the claim still holds; the worker asks the database.

        Raises
        ------
        Cancelled, LeaseLost
            If it does not: nothing may be uploaded any more.
        """
        claim_status = self._ask(Question("claim"))
        if claim_status == "cancelled":
            raise Cancelled
        if claim_status != "held":
            raise LeaseLost

    def track_row(self) -> dict[str, Any] | None:
        """Read the job's row in `tracks`, JSON columns as text; None if the customer has no such track.

        Raises
        ------
        WorkerError
            If the database does not answer.
        """
        row: dict[str, Any] | None = self._ask(Question("track"))
        masks.learn(row)  # customers write it, too
        return row

    def catalogue(self, reference: str) -> str | None:
        """Look a piece of music up in the catalogue, by id or slug; its `url` (object name or URL), or None."""
        url: str | None = self._ask(Question("catalogue", reference))
        return url

    def may_speak(self, characters: int) -> bool:
        """Whether the customer may have so many more characters spoken today (MAX_CHARACTERS_PER_DAY)."""
        return bool(self._ask(Question("characters", characters)))

    def take(self, account: str, most: int, place: str) -> bool:
        """See `worker.tts.places.Places`; the worker asks the database."""
        return bool(self._ask(Question("place", PlaceWanted(account, most, place))))

    def give_back(self, place: str) -> None:
        """See `worker.tts.places.Places`."""
        self.send(PlaceDone(place))

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

    def _ask(self, question: Question) -> Any:
        """Send a question, wait for its answer and return it; raise it if it is a failure."""
        with self._asking:
            self.send(question)
            value = self._answers.get().value
        if isinstance(value, Failed):
            raise value.error
        return value

    def _receive(self) -> None:
        while True:
            try:
                self._answers.put(self._connection.recv())
            except (EOFError, OSError):
                self._exit()

    def _exit(self) -> NoReturn:
        self._on_broken()
        os._exit(1)
