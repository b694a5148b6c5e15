"""The queue for all open pages: read once for all of them while there is one, sent to each when it has changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from loguru import logger

from worker.errors import WorkerError
from worker.logs import where
from worker.operate.view import json_text


@dataclass(frozen=True)
class FeedTimings:
    """How often the queue is read while a page is open, and how many may be.

    Every `read_s`, and `least_s` after a notification; but never for more than a quarter of the time. A stream that has
    nothing to send says so every `quiet_s`, which is how a page that has gone is noticed.
    """

    read_s: float = 3.0
    least_s: float = 0.5
    quiet_s: float = 10.0
    streams: int = 16


FEED_TIMINGS = FeedTimings()
_PAUSE_FOR_READING = 3.0  # so many times what the last read took


@dataclass(eq=False)
class _Stream:
    news: asyncio.Event = field(default_factory=asyncio.Event)
    has_ended: bool = False

    def end(self) -> None:
        self.has_ended = True
        self.news.set()


class Feed:
    """Streams of server-sent events; all but `wake` and `close` belongs to the server's loop.

    Parameters
    ----------
    read : callable
        Gives the queue as a document, or raises a `WorkerError`; called in a thread of `pool`. What differs in nothing
        but its ``now`` is not sent.
    """

    def __init__(
        self, read: Callable[[], Mapping[str, Any]], pool: Executor, *, timings: FeedTimings = FEED_TIMINGS
    ) -> None:
        self._read = read
        self._pool = pool
        self._timings = timings
        self._streams: list[_Stream] = []  # the oldest first
        self._latest: Mapping[str, Any] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """Read soon, since something may have changed; from any thread."""
        self._call(self._woken.set)

    def close(self) -> None:
        """End all streams; from any thread."""
        self._call(self._end_all)

    async def stream(self, is_allowed: Callable[[], bool]) -> AsyncIterator[str]:
        """Events for one page, while it may have them. Of too many streams the oldest is ended."""
        self._loop = asyncio.get_running_loop()
        mine = _Stream()
        self._streams.append(mine)
        if len(self._streams) > self._timings.streams:
            self._streams[0].end()
        if self._reading is None or self._reading.done():
            self._latest = None
            self._reading = asyncio.create_task(self._read_on())
        elif self._latest is not None:
            mine.news.set()
        try:
            yield "retry: 5000\n\n"
            while is_allowed():
                try:
                    await asyncio.wait_for(mine.news.wait(), self._timings.quiet_s)
                except TimeoutError:
                    yield ": quiet\n\n"
                    continue
                if mine.has_ended or self._latest is None:
                    return
                mine.news.clear()
                yield f"data: {json_text(self._latest)}\n\n"
        finally:
            self._streams.remove(mine)
            if not self._streams:
                self._reading.cancel()

    def _call(self, act: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(act)

    def _end_all(self) -> None:
        for stream in self._streams:
            stream.end()

    async def _read_on(self) -> None:
        timings = self._timings
        while True:
            self._woken.clear()
            began = time.monotonic()
            found = await asyncio.get_running_loop().run_in_executor(self._pool, self._read_safely)
            took_s = time.monotonic() - began
            is_news = self._latest is None or {**found, "now": None} != {**self._latest, "now": None}
            self._latest = found
            if is_news:
                for stream in self._streams:
                    stream.news.set()
            pause_s = max(timings.least_s, took_s * _PAUSE_FOR_READING)
            await asyncio.sleep(pause_s)
            try:
                await asyncio.wait_for(self._woken.wait(), max(0.0, timings.read_s - pause_s))
            except TimeoutError:
                continue

    def _read_safely(self) -> Mapping[str, Any]:
        try:
            return self._read()
        except WorkerError as error:
            return {"failed": error.message}
        except Exception as error:  # noqa: BLE001 - the page shows it, whatever it was
            logger.bind(event="studio.bug").error("studio: a bug, {} {}", type(error).__name__, where(error))
            return {"failed": "a bug of this program; its log says where"}
