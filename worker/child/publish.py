"""The files of a finished job, brought into storage; each only while the job is still ours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from worker.child.fulfil import Order, Tell
from worker.errors import ConfigurationError
from worker.render import stages
from worker.render.produce import Produced
from worker.storage.storage import CONTENT_TYPES, PREVIEWS, RENDERS, Storage, Stored, preview_key, track_key


@dataclass(frozen=True)
class Published:
    """Where the files are.

    Attributes
    ----------
    track : str
        ``bucket/key``.
    preview : str or None
        As `tracks.preview_url` holds it; None where it could not be stored.
    twin : str or None
        The track for speakers.
    lyrics : mapping
        By the file's ending.
    """

    track: str
    preview: str | None
    twin: str | None
    lyrics: Mapping[str, str]


def publish(
    order: Order, produced: Produced, track_file: Path, preview_file: Path, *, storage: Storage, tell: Tell
) -> Published:
    """Upload a track, its preview, its twin and its lyrics.

    Raises
    ------
    WorkerError
        As `Storage.put` does.
    Interrupted
        From `tell.may_publish`.
    """

    def upload(path: Path, bucket: str, percent: int) -> Stored:
        digest, ending = file_digest(path), path.suffix.removeprefix(".")
        key = preview_key(order.track_id, order.job_id, digest)
        if bucket == RENDERS:
            key = track_key(order.track_id, order.job_id, digest, ending)
        tell.may_publish()
        tell.progress(percent, stages.UPLOADING)
        file = storage.put(path, key, bucket=bucket, content_type=CONTENT_TYPES[ending])
        if not file.already_there:  # else an earlier run's, which may have been published
            tell.uploaded(bucket, key)
        return file

    track = upload(track_file, RENDERS, 92)
    preview = upload(preview_file, PREVIEWS, 95)
    twin = None if produced.twin is None else upload(produced.twin, RENDERS, 97)
    lyrics: dict[str, str] = {}
    for path in produced.lyrics:
        try:
            lyrics[path.suffix] = upload(path, RENDERS, 98).path
        except ConfigurationError as error:  # a bucket that takes audio only is no reason to keep the track back
            logger.bind(event="lyrics.refused", job=order.job_id).warning("lyrics: {}", error.message)
    tell.progress(99, stages.FINALIZING)
    return Published(track.path, preview.url, None if twin is None else twin.path, lyrics)


def file_digest(path: Path) -> str:
    """Hash a file's content; 16 hexadecimal digits of its SHA-256, enough to tell renders of one job apart."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
