"""Upload the files of a finished job, each only while the claim holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from worker.config import Config
from worker.errors import ConfigurationError, WorkerError
from worker.job.channel import Channel
from worker.job.messages import JobInput
from worker.render import stages
from worker.render.album import ProducedAlbum
from worker.render.produce import Produced
from worker.storage.base import CONTENT_TYPES, RENDERS, Storage, Stored, preview_key, track_key

_TEXTS = (".lrc", ".vtt", ".json")
_PREVIEW_S = 45.0  # a job waits no longer for its preview to be stored
_UPLOADED_PERCENT = 99  # 100 is for a job that has ended


@dataclass(frozen=True)
class Published:
    """Where the files are in storage, as ``bucket/key``; the preview as `tracks.preview_url` holds it.

    `preview` is None if it could not be stored, `beside` has what the bucket took of `Produced.beside`, `notes` says
    what was not stored.
    """

    track: str
    preview: str | None
    beside: Mapping[Path, str]
    notes: tuple[str, ...] = ()


def publish(
    job_input: JobInput,
    produced: Produced | ProducedAlbum,
    track_file: Path,
    preview_file: Path,
    *,
    config: Config,
    storage: Storage,
    channel: Channel,
) -> Published:
    """Upload a track, its preview and the files beside it.

    The track is published even if its preview, or a text beside it, cannot be stored.

    Raises
    ------
    WorkerError, Interrupted
        From `Storage.put` and `Channel.may_publish`.
    """

    sent = _Sent(channel, [track_file, preview_file, *produced.beside])

    def upload(path: Path, bucket: str, key: str, *, within_s: float | None = None) -> Stored:
        channel.may_publish()
        sent.begin(path)
        content_type = CONTENT_TYPES[path.suffix.removeprefix(".")]
        file = storage.put(
            path, key, bucket=bucket, content_type=content_type, on_progress=sent.report, within_s=within_s
        )
        if not file.already_there:  # else an earlier attempt's, which may have been published
            channel.uploaded(bucket, key)
        return file

    def upload_render(path: Path) -> str:
        key = track_key(job_input.track_id, job_input.job_id, file_digest(path), path.suffix.removeprefix("."))
        return upload(path, RENDERS, key).path

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
        file = upload(preview_file, config.preview_bucket, key, within_s=_PREVIEW_S)
        return file.url if is_public else key

    track, preview, notes = upload_render(track_file), None, []
    log = logger.bind(event="preview.failed", job=job_input.job_id)
    if produced.preview_error is not None:  # the render has added a note
        log.warning("preview: {}", produced.preview_error)
    else:
        try:
            preview = upload_preview()
        except WorkerError as error:
            log.warning("preview: {}", error.message)
            notes.append("There is no preview: it could not be stored")
    beside: dict[Path, str] = {}
    for path in produced.beside:
        try:
            beside[path] = upload_render(path)
        except ConfigurationError as error:
            if path.suffix not in _TEXTS:
                raise
            # a bucket for audio only
            if path in produced.lyrics:
                logger.bind(event="lyrics.refused", job=job_input.job_id).warning("lyrics: {}", error.message)
            else:
                logger.bind(event="text.refused", job=job_input.job_id).warning("{}: {}", path.suffix, error.message)
    channel.progress(_UPLOADED_PERCENT, stages.FINALIZING)
    return Published(track, preview, beside, tuple(notes))


class _Sent:
    """Reports the progress of all uploads of a job, from what the render has reached to `_UPLOADED_PERCENT`."""

    def __init__(self, channel: Channel, files: Sequence[Path]) -> None:
        self._channel = channel
        self._sizes = {path: path.stat().st_size for path in files if path.is_file()}
        self._reached = channel.percent
        self._before_bytes = self._file_bytes = 0

    def begin(self, path: Path) -> None:
        """Report that the files before this one are sent, or left out."""
        self._before_bytes += self._file_bytes
        self._file_bytes = self._sizes[path]
        self.report(0)

    def report(self, file_bytes: int) -> None:
        """Report how much of the current file has been sent."""
        share = (self._before_bytes + file_bytes) / max(1, sum(self._sizes.values()))
        percent = self._reached + int((_UPLOADED_PERCENT - self._reached) * share)
        self._channel.progress(max(percent, self._channel.percent), stages.UPLOADING)


def file_digest(path: Path) -> str:
    """Hash a file's content: 16 hexadecimal digits of its SHA-256, enough to tell the renders of one job apart."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
