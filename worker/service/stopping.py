"""How the loop is woken and told to stop, from any thread and from signal handlers.

A `threading.Event` will not do: its lock is not reentrant, and a handler that sets the event on which the interrupted
main thread is just beginning to wait would wait for ever. `queue.SimpleQueue.put` is made for this.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from queue import Empty, SimpleQueue


class WakeEvent:
    """Wakes who waits for it; rung before the wait, it ends the wait at once."""

    def __init__(self) -> None:
        self._rings: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """Wake the one who waits."""
        self._rings.put(None)

    def wait(self, timeout_s: float) -> bool:
        """Wait for a ring; False when none came. Several count as one."""
        try:
            self._rings.get(timeout=timeout_s)
        except Empty:
            return False
        with suppress(Empty):
            while True:
                self._rings.get_nowait()
        return True


class Stopping:
    """Set once, with a ring; a second time changes nothing.

    Parameters
    ----------
    bell : Bell
    """

    def __init__(self, wake_event: WakeEvent) -> None:
        self._bell = wake_event
        self._since: float | None = None

    def set(self, *, at_once: bool = False) -> None:
        """Stop; `at_once` as if the time to finish what is under way had run out."""
        if self._since is None or at_once:
            self._since = -math.inf if at_once else time.monotonic()
            self._bell.ring()

    def is_set(self) -> bool:
        """Whether we have been told to stop."""
        return self._since is not None

    @property
    def seconds(self) -> float:
        """Since we were told; 0 before."""
        return time.monotonic() - self._since if self._since is not None else 0.0
