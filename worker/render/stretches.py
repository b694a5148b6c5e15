"""A track cut into stretches that are worked on side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import pairwise
from threading import Event, Lock
from typing import TypeVar

_T = TypeVar("_T")
_SHORTEST_FRAMES = 441_000  # 10 s: below, the run-up costs more than another core brings


class Abandoned(Exception):  # noqa: N818 - not an error of its own: another stretch has failed
    """The work on this stretch was given up because another one failed or the caller was interrupted."""


class Stretches:
    """Counts what is done, and ends all stretches when one fails."""

    def __init__(self, frames: int, on_progress: Callable[[float], None] | None) -> None:
        self._frames = frames
        self._on_progress = on_progress
        self._done = 0
        self._lock = Lock()
        self.stop = Event()

    def advance(self, frames: int) -> None:
        """Say that `frames` more are done.

        Raises
        ------
        Abandoned
            If there is no point in going on.
        """
        if self.stop.is_set():
            raise Abandoned
        with self._lock:
            self._done += frames
            if self._on_progress is not None:
                self._on_progress(min(1.0, self._done / max(self._frames, 1)))


def in_stretches(
    work: Callable[[int, int, Stretches], _T],
    frames: int,
    *,
    multiple_of: int,
    threads: int,
    on_progress: Callable[[float], None] | None = None,
) -> list[_T]:
    """Call ``work(start, stop, stretches)`` for consecutive stretches of `[0, frames)`, `threads` of them at once.

    All but the last are a multiple of `multiple_of` frames long. Results are in order. The first error ends the
    others and is raised; so does an interrupt of the caller.
    """
    count = max(1, min(threads, frames // _SHORTEST_FRAMES))
    length = -(-frames // (count * multiple_of)) * multiple_of
    edges = [min(number * length, frames) for number in range(count)] + [frames]
    stretches = Stretches(frames, on_progress)
    if count == 1:
        return [work(0, frames, stretches)]
    with ThreadPoolExecutor(count, thread_name_prefix="stretch") as pool:
        futures = [pool.submit(work, start, stop, stretches) for start, stop in pairwise(edges)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            if not all(future.done() and future.exception() is None for future in futures):
                stretches.stop.set()
    failures = [error for future in futures if (error := future.exception()) is not None]
    for error in failures:
        if not isinstance(error, Abandoned):
            raise error
    return [future.result() for future in futures]
