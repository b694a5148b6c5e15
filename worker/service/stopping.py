"""Wake the worker's loop, and stop it, from any thread and from signal handlers.

`threading.Event` is not safe here: its lock is not reentrant, so a signal handler that sets the event while the main
thread is about to wait on it would wait for ever. `queue.SimpleQueue.put` is reentrant.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from queue import Empty, SimpleQueue


class WakeEvent:
    """Ends the loop's wait. Set before the wait, it ends the wait at once."""

    def __init__(self) -> None:
        self._sets: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """End the wait."""
        self._sets.put(None)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is set, and clear it; False if it was not set in time."""
        try:
            self._sets.get(timeout=timeout_s)
        except Empty:
            return False
        with suppress(Empty):
            while True:
                self._sets.get_nowait()
        return True


class Stopping:
    """The request to stop, which also sets the wake event. To set it again changes nothing."""

    def __init__(self, wake_event: WakeEvent) -> None:
        self._wake_event = wake_event
        self._since: float | None = None

    def set(self, *, at_once: bool = False) -> None:
        """Stop; with `at_once`, jobs get no time to finish."""
        if self._since is None or at_once:
            self._since = -math.inf if at_once else time.monotonic()
            self._wake_event.set()

    def is_set(self) -> bool:
        """Whether a stop was requested."""
        return self._since is not None

    @property
    def seconds(self) -> float:
        """Seconds since the request; 0 before it."""
        return time.monotonic() - self._since if self._since is not None else 0.0
