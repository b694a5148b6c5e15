"""How many requests an account may have at once: learnt in this process, or set for all workers together."""

from __future__ import annotations

import hashlib
import math
import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

_NEXT_LOOK_S = 0.5  # until another request may have ended; jitter over the upper half


class Places(Protocol):
    """The places of all workers; each has a name that whoever takes it makes up."""

    def take(self, account: str, most: int, place: str) -> bool:
        """Take a place, unless `most` are taken."""

    def give_back(self, place: str) -> None:
        """Give a place back."""


class RequestSlots:
    """How many requests this process has at once: any number, until one is refused for that."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = 0
        self._most = math.inf

    @contextmanager
    def one(self, at_most: float = math.inf) -> Iterator[None]:
        """Wait until a request may be sent, and count it until it has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken < min(self._most, at_most))
            self._taken += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken -= 1
                self._changed.notify_all()

    def lower(self) -> None:
        """Have one less than now, and at least one; for a request that was refused and still counts."""
        with self._changed:
            self._most = max(1, min(self._most, self._taken) - 1)


request_slots: defaultdict[str, RequestSlots] = defaultdict(RequestSlots)
"""By provider, address and key, for the life of the process."""


@contextmanager
def one_place(
    places: Places, account: str, most: int, *, deadline: float, wait: Callable[[float], None]
) -> Iterator[bool]:
    """Wait for a place among those of all workers, and give it back at the end; False if there was none in time.

    `deadline` is on the monotonic clock; `wait` sleeps, or raises where nobody needs the place any more.
    """
    place = str(uuid.uuid4())
    try:
        while not places.take(account, most, place):
            pause_s = _NEXT_LOOK_S * random.uniform(0.5, 1.0)
            if time.monotonic() + pause_s > deadline:
                yield False
                return
            wait(pause_s)
        yield True
    finally:
        places.give_back(place)  # even if it is not known to be taken: the answer may have been lost


def account_name(address: str, key: str) -> str:
    """Name an account without its key: all workers with this key at this address have the same name for it."""
    return hashlib.sha256(f"{address} {key}".encode()).hexdigest()
