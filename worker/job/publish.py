"""Upload the files of a finished job, each only while the claim holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from worker.config import Config
from worker.errors import ConfigurationError, WorkerError
from worker.job.channel import Channel
from worker.job.messages import JobInput
from worker.render import stages
from worker.render.produce import Produced
from worker.storage.base import CONTENT_TYPES, RENDERS, Storage, Stored, preview_key, track_key

_PREVIEW_S = 45.0  # a job waits no longer for its preview to be stored


@dataclass(frozen=True)
class Published:
    """Where the files are in storage, as ``bucket/key``; the preview as `tracks.preview_url` holds it.

    `preview` is None if it could not be stored, `lyrics` is by the file's suffix, `notes` says what was not stored.
    """

    track: str
    preview: str | None
    twin: str | None
    lyrics: Mapping[str, str]
    notes: tuple[str, ...] = ()


def publish(
    job_input: JobInput,
    produced: Produced,
    track_file: Path,
    preview_file: Path,
    *,
    config: Config,
    storage: Storage,
    channel: Channel,
) -> Published:
    """Upload a track, its preview, its twin for speakers and its lyrics.

    The track is published even if its preview or its lyrics cannot be stored.

    Raises
    ------
    WorkerError, Interrupted
        From `Storage.put` and `Channel.may_publish`.
    """

    def upload(path: Path, bucket: str, key: str, percent: int, *, within_s: float | None = None) -> Stored:
        channel.may_publish()
        channel.progress(percent, stages.UPLOADING)
        content_type = CONTENT_TYPES[path.suffix.removeprefix(".")]
        file = storage.put(path, key, bucket=bucket, content_type=content_type, within_s=within_s)
        if not file.already_there:  # else an earlier attempt's, which may have been published
            channel.uploaded(bucket, key)
        return file

    def upload_render(path: Path, percent: int) -> str:
        key = track_key(job_input.track_id, job_input.job_id, file_digest(path), path.suffix.removeprefix("."))
        return upload(path, RENDERS, key, percent).path

    def upload_preview() -> str:
        is_public = config.preview_url == "public"
        if is_public and storage.is_public(config.preview_bucket) is False:
            raise ConfigurationError(
                f"bucket {config.preview_bucket!r} is private, so that nobody could play its public address; make it "
                "public, or set PREVIEW_URL=path (PREVIEW_BUCKET)",
                code="storage.private",
                about=(config.preview_bucket,),
            )
        key = preview_key(job_input.track_id, job_input.job_id, file_digest(preview_file))
        file = upload(preview_file, config.preview_bucket, key, 95, within_s=_PREVIEW_S)
        return file.url if is_public else key

    track, preview, notes = upload_render(track_file, 92), None, []
    log = logger.bind(event="preview.failed", job=job_input.job_id)
    if produced.preview_error is not None:  # the render has added a note
        log.warning("preview: {}", produced.preview_error)
    else:
        try:
            preview = upload_preview()
        except WorkerError as error:
            log.warning("preview: {}", error.message)
            notes.append("There is no preview: it could not be stored")
    twin = None if produced.twin is None else upload_render(produced.twin, 97)
    lyrics: dict[str, str] = {}
    for path in produced.lyrics:
        try:
            lyrics[path.suffix] = upload_render(path, 98)
        except ConfigurationError as error:  # a bucket for audio only
            logger.bind(event="lyrics.refused", job=job_input.job_id).warning("lyrics: {}", error.message)
    channel.progress(99, stages.FINALIZING)
    return Published(track, preview, twin, lyrics, tuple(notes))


def file_digest(path: Path) -> str:
    """Hash a file's content: 16 hexadecimal digits of its SHA-256, enough to tell the renders of one job apart."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
