"""Places at voice services in plain mode: those of this process, since the database has no table for them."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class _Place:
    """A place at a voice service that a job holds."""

    account: str
    job_id: str


class Places:
    """The places that are taken, by name. Safe to use from any thread."""

    def __init__(self) -> None:
        self._taken: dict[str, _Place] = {}
        self._lock = threading.Lock()

    def take(self, job_id: str, account: str, *, most: int, place: str) -> bool:
        """Take one of `most` places of an account; False where none is free."""
        with self._lock:
            if sum(other.account == account for other in self._taken.values()) >= most:
                return False
            self._taken[place] = _Place(account, job_id)
            return True

    def give(self, place: str) -> None:
        """Give a place back."""
        with self._lock:
            self._taken.pop(place, None)

    def end(self, job_id: str) -> None:
        """Give back all places of a job."""
        with self._lock:
            self._taken = {name: place for name, place in self._taken.items() if place.job_id != job_id}
