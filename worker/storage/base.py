"""Where finished files go: Supabase's buckets, or the same tree on disk. Keys, types and the one protocol."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

RENDERS = "audio-renders"
MUSIC = "background-music"
# A key holds the hash of its content, so that what is behind it never changes: a year, in seconds.
FOREVER_S = 31_536_000
CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "vtt": "text/vtt",
    "lrc": "text/plain",
    "json": "application/json",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_ID = 128


@dataclass(frozen=True)
class Stored:
    """A file in its place.

    Attributes
    ----------
    path : str
        ``bucket/key``: what the app keeps and signs.
    url : str
        The public address, which answers where the bucket is public; without Supabase a ``file:`` URL.
    size : int
        In bytes.
    already_there : bool
        An earlier attempt had put it there.
    """

    path: str
    url: str
    size: int
    already_there: bool


class Storage(Protocol):
    """A place for finished files; nothing in it is ever overwritten."""

    def put(
        self,
        path: Path,
        key: str,
        *,
        bucket: str,
        content_type: str,
        cache_control_s: int = FOREVER_S,
        on_progress: Callable[[int], None] | None = None,
        within_s: float | None = None,
    ) -> Stored:
        """Store a file, whole or not at all; the same file in the same place is success.

        Parameters
        ----------
        within_s : float, optional
            Give up, with a `TransientError`, after about so many seconds, whatever the service does; the default allows
            for a poor line and a service that is down for a while.
        on_progress : callable, optional
            Told the bytes sent so far; whatever it raises ends the upload.

        Raises
        ------
        ConfigurationError
            If an operator must mend something: bucket, its limits, the key.
        TransientError
            If the service fails for longer than we wait; or another file is in the place.
        """

    def remove(self, bucket: str, keys: Sequence[str]) -> None:
        """Take files away; those that are not there are no error."""

    def size(self, bucket: str, key: str) -> int | None:
        """In bytes; None where there is no such file."""

    def is_public(self, bucket: str) -> bool | None:
        """Whether everybody can read a bucket; None where that cannot be found out."""

    def public_url(self, bucket: str, key: str) -> str:
        """The address of a file in a public bucket."""

    def close(self) -> None:
        """Give the connections back."""


def track_key(track_id: str | None, job_id: str, digest: str, extension: str) -> str:
    """Place of a finished track in `RENDERS`: ``tracks/<track>/<job>-<hash>.<ext>``.

    A job without a track is its own folder.
    """
    return f"tracks/{_id(track_id or job_id)}/{_id(job_id)}-{_id(digest)}.{_id(extension)}"


def preview_key(track_id: str | None, job_id: str, digest: str) -> str:
    """Place of a preview in PREVIEW_BUCKET: ``<track>/<job>-<hash>.mp3``."""
    return f"{_id(track_id or job_id)}/{_id(job_id)}-{_id(digest)}.mp3"


def _id(text: str) -> str:
    """One harmless part of a path: letters, digits, hyphens and underscores only."""
    return _UNSAFE.sub("-", text).strip("-")[:_LONGEST_ID] or "unnamed"
