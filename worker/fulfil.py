"""One claimed order in the child process: render, upload, and say what the row and the track are to hold.

Nothing here writes to the database: the parent does, fenced by its lease, once this has come back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Order:
    """What was claimed: the row's ids and its payload."""

    job_id: str
    track_id: str | None
    user_id: str | None
    payload: Mapping[str, Any]
    attempt: int = 1


class Tell(Protocol):
    """The child's line to its worker."""

    def progress(self, percent: int, stage: str) -> None:
        """Report progress in percent and the stage the customer reads."""

    def may_publish(self) -> None:
        """Return if the job is still ours.

        Raises
        ------
        Cancelled, LeaseLost
            If it is not: nothing may be uploaded any more.
        """


@dataclass(frozen=True)
class Fulfilled:
    """What the finished order is made of.

    Attributes
    ----------
    result : dict
        For the row's `result`, in both vocabularies of the app.
    track : dict
        Columns for the row in `tracks`.
    summary : dict
        For the one summary line of the log: stage times, loudness, peak.
    uploads : tuple of (bucket, key)
        What this run put into storage, to be removed if the customer has cancelled.
    """

    result: dict[str, Any]
    track: dict[str, Any]
    summary: dict[str, Any] = field(default_factory=dict)
    uploads: tuple[tuple[str, str], ...] = ()


def file_digest(path: Path) -> str:
    """Hash a file's content; 16 hexadecimal digits of its SHA-256, enough to tell renders of one job apart."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
