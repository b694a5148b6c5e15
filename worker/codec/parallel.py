"""The parallel map of encoders and renderers: several items at a time, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_LOOK_SECONDS = 0.2


class Stopped(Exception):  # noqa: N818 - nobody catches it
    """Raised by work whose result is not wanted any more."""


def parallel_map(
    items: Sequence[ItemT],
    work: Callable[[ItemT], ResultT],
    *,
    threads: int,
    while_waiting: Callable[[], None] = lambda: None,
    at_the_end: Callable[[], None] = lambda: None,
) -> Generator[ResultT, None, None]:
    """Work on items in several threads, and give the results in order.

    No more than ``threads + 1`` are worked on or kept at a time, beside the one that was given last. What `work` raises
    comes through and ends the work.

    Parameters
    ----------
    while_waiting : callable
        Called a few times a second by the thread that iterates; what it raises ends the work.
    at_the_end : callable
        Called before the threads are joined, however the iteration ends: makes what still runs stop.
    """
    threads = max(1, min(threads, len(items)))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="item")
    doing: deque[Future[ResultT]] = deque()
    todo = iter(items)

    def begin(count: int) -> None:
        doing.extend(pool.submit(work, item) for item in islice(todo, count))

    try:
        begin(threads + 1)  # one more than can run, so that none waits for the reader
        while doing:
            while not doing[0].done():
                wait([doing[0]], timeout=_LOOK_SECONDS)
                for item in doing:
                    if item.done():
                        item.result()  # one that failed is not kept back until those before it are done
                while_waiting()
            result = doing.popleft().result()
            begin(1)
            yield result
            del result  # not kept while the next is waited for
    finally:
        at_the_end()
        pool.shutdown(wait=True, cancel_futures=True)
