"""The files of a finished job, brought into storage; each only while the job is still ours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from worker.config import Config
from worker.errors import ConfigurationError, WorkerError
from worker.job.run import Channel, JobInput
from worker.render import stages
from worker.render.produce import Produced
from worker.storage.base import CONTENT_TYPES, RENDERS, Storage, Stored, preview_key, track_key

_PREVIEW_S = 45.0  # no order waits longer for its preview to be stored


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
    notes : tuple of str
        What could not be stored, in plain sentences.
    """

    track: str
    preview: str | None
    twin: str | None
    lyrics: Mapping[str, str]
    notes: tuple[str, ...] = ()


def publish(
    order: JobInput,
    produced: Produced,
    track_file: Path,
    preview_file: Path,
    *,
    config: Config,
    storage: Storage,
    channel: Channel,
) -> Published:
    """Upload a track, its preview, its twin and its lyrics.

    A preview or lyrics that cannot be stored are no reason to keep the track back.

    Raises
    ------
    WorkerError
        As `Storage.put` does.
    Interrupted
        From `tell.may_publish`.
    """

    def upload(path: Path, bucket: str, key: str, percent: int, *, within_s: float | None = None) -> Stored:
        channel.may_publish()
        channel.progress(percent, stages.UPLOADING)
        content_type = CONTENT_TYPES[path.suffix.removeprefix(".")]
        file = storage.put(path, key, bucket=bucket, content_type=content_type, within_s=within_s)
        if not file.already_there:  # else an earlier run's, which may have been published
            channel.uploaded(bucket, key)
        return file

    def deliver(path: Path, percent: int) -> Stored:
        key = track_key(order.track_id, order.job_id, file_digest(path), path.suffix.removeprefix("."))
        return upload(path, RENDERS, key, percent)

    def deliver_preview() -> str:
        by_address = config.preview_url == "public"
        if by_address and storage.is_public(config.preview_bucket) is False:
            raise ConfigurationError(
                f"bucket {config.preview_bucket!r} is private, so that nobody could play its public address; make it "
                "public, or set PREVIEW_URL=path (PREVIEW_BUCKET)",
                code="storage.private",
            )
        key = preview_key(order.track_id, order.job_id, file_digest(preview_file))
        file = upload(preview_file, config.preview_bucket, key, 95, within_s=_PREVIEW_S)
        return file.url if by_address else key

    track, preview, notes = deliver(track_file, 92), None, []
    log = logger.bind(event="preview.failed", job=order.job_id)
    if produced.preview_error is not None:  # which the render has noted
        log.warning("preview: {}", produced.preview_error)
    else:
        try:
            preview = deliver_preview()
        except WorkerError as error:
            log.warning("preview: {}", error.message)
            notes.append("There is no preview: it could not be stored")
    twin = None if produced.twin is None else deliver(produced.twin, 97)
    lyrics: dict[str, str] = {}
    for path in produced.lyrics:
        try:
            lyrics[path.suffix] = deliver(path, 98).path
        except ConfigurationError as error:  # a bucket that takes audio only
            logger.bind(event="lyrics.refused", job=order.job_id).warning("lyrics: {}", error.message)
    channel.progress(99, stages.FINALIZING)
    return Published(track.path, preview, None if twin is None else twin.path, lyrics, tuple(notes))


def file_digest(path: Path) -> str:
    """Hash a file's content; 16 hexadecimal digits of its SHA-256, enough to tell renders of one job apart."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
