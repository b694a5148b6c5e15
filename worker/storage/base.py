"""Where finished files go: Supabase's buckets, or the same tree on disk. Keys, content types and the protocol."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worker.formats import FORMATS

RENDERS = "audio-renders"
MUSIC = "background-music"
# Cache-Control of every file: a year. A key holds the hash of its content, so the content never changes.
FOREVER_S = 31_536_000
CONTENT_TYPES = {
    **{name: format_.content_type for name, format_ in FORMATS.items()},
    "vtt": "text/vtt",
    "lrc": "text/plain",
    "json": "application/json",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_ID = 128


@dataclass(frozen=True)
class Stored:
    """A stored file: its path ``bucket/key``, which the app keeps and signs, and its size in bytes.

    The public address answers where the bucket is public; without Supabase it is a ``file:`` URL. `already_there`: an
    earlier attempt had put it there.
    """

    path: str
    url: str
    size: int
    already_there: bool


class SmallFiles(Protocol):
    """Small files of a bucket, read and written whole; failures as of `Storage`."""

    def get(self, key: str) -> bytes | None:
        """Read a file; None where there is none."""

    def put(self, key: str, data: bytes) -> object:
        """Keep a file, unless there is one."""

    def remove(self, key: str) -> None:
        """Remove a file."""


class Storage(Protocol):
    """A place for finished files; nothing is ever overwritten."""

    def put(
        self,
        path: Path,
        key: str,
        *,
        bucket: str,
        content_type: str,
        on_progress: Callable[[int], None] | None = None,
        within_s: float | None = None,
    ) -> Stored:
        """Store a file, whole or not at all; the same file in the same place is success.

        Parameters
        ----------
        within_s : float, optional
            Give up with a `TransientError` after about so many seconds. The default allows for a slow connection and a
            service that is down for a while.
        on_progress : callable, optional
            Called with the bytes sent so far; what it raises ends the upload.

        Raises
        ------
        ConfigurationError
            If an operator must change something: the bucket, its limits, the key.
        TransientError
            If the service fails for longer than that, or another file has this key.
        """

    def remove(self, bucket: str, keys: Sequence[str]) -> None:
        """Remove files; those that are not there are no error."""

    def is_public(self, bucket: str) -> bool | None:
        """Whether everybody can read a bucket; None where that is unknown."""

    def public_url(self, bucket: str, key: str) -> str:
        """The address of a file in a public bucket."""

    def link(self, bucket: str, key: str, *, valid_s: int) -> str | None:
        """An address that anybody can open for so long, on this machine a path; None where there is no such file."""

    def names_in(self, bucket: str, folder: str, *, most: int) -> list[str]:
        """Names of the files in a folder, at most so many; none where there is no such folder."""

    def small_files(self, bucket: str) -> SmallFiles | None:
        """A bucket as a store that all workers share; None for a storage of this machine."""

    def describe(self) -> str:
        """Where files go, in words, with the setting that says so."""

    def close(self) -> None:
        """Close the connections."""


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
