"""One claimed order in the child process: render, upload, and say what the row and the track are to hold.

Nothing here writes to the database: the parent does, fenced by its lease, once this has come back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from loguru import logger

from worker.config import Config
from worker.errors import ConfigurationError


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

    def uploaded(self, bucket: str, key: str) -> None:
        """Note a file that is new in storage, to be taken back if the customer cancels."""


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
    """

    result: dict[str, Any]
    track: dict[str, Any]
    summary: dict[str, Any] = field(default_factory=dict)


def fulfil(order: Order, config: Config, tell: Tell, folder: Path) -> Fulfilled:
    """Render an order and put the track and its preview into storage.

    Parameters
    ----------
    order : Order
    config : Config
    tell : Tell
    folder : Path
        The job's own; whoever made it removes it.

    Raises
    ------
    WorkerError
        Sorted as `worker.errors` says.
    Interrupted
        From `tell.may_publish`.
    """
    # Heavy modules are loaded here, in the child: the idle worker needs none of them.
    from worker.codec.encoding import Encoding
    from worker.fetch.fetch import fetch_media
    from worker.order.job import parse_job
    from worker.render.produce import produce
    from worker.render.studio import open_studio
    from worker.storage.choose import open_storage
    from worker.storage.storage import CONTENT_TYPES, PREVIEWS, RENDERS, Stored, preview_key, track_key
    from worker.tts.shared_cache import speech_store

    job = parse_job(
        order.payload,
        max_script_characters=config.max_script_characters,
        max_duration_min=config.max_duration_min,
    )

    if job.unknown_keys:
        logger.bind(event="job.unknown_keys", job=order.job_id).debug("ignored: {}", ", ".join(job.unknown_keys))

    def fetch(reference: str, *, bucket: str, into: Path, what: str) -> Path:
        return fetch_media(
            reference, bucket=bucket, into=into, config=config, cache_dir=config.cache_dir / "media", what=what
        )

    encoding = Encoding.for_quality(job.output.format, job.output.quality)
    track_file, preview_file = folder / f"track.{encoding.format}", folder / "preview.mp3"
    storage = open_storage(config)
    try:
        produced = produce(
            job,
            track_file,
            studio=open_studio(config, fetch, speech_store=speech_store(config, storage)),
            encoding=encoding,
            preview=preview_file,
            on_progress=lambda stage, fraction: tell.progress(int(90 * fraction), stage),
        )

        def upload(path: Path, bucket: str, percent: int) -> Stored:
            digest, ending = file_digest(path), path.suffix.removeprefix(".")
            key = preview_key(order.track_id, order.job_id, digest)
            if bucket == RENDERS:
                key = track_key(order.track_id, order.job_id, digest, ending)
            tell.may_publish()
            tell.progress(percent, "Uploading")
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
    finally:
        storage.close()
    report = produced.report
    figures = report.as_json()
    result: dict[str, Any] = {
        "url": track.path,
        "audioUrl": track.path,
        "preview_url": preview.url,
        "previewUrl": preview.url,
        "storagePath": track.path,
        "duration": round(report.duration_s),
        "durationMs": round(report.duration_s * 1000),
        "size": report.size_bytes,
        "format": report.format,
        "layers": len(report.layers),
        "quality": figures,
    }
    if twin is not None and produced.twin_report is not None:
        result["speakersUrl"] = twin.path
        result["speakersQuality"] = produced.twin_report.as_json()
    if lyrics:
        result["lyrics"] = {ending.removeprefix("."): place for ending, place in lyrics.items()}
    twins = {} if twin is None else {f"-speakers{track_file.suffix}": twin.path}
    return Fulfilled(
        result=result,
        track={
            "audio_url": track.path,
            "preview_url": preview.url,
            "duration_seconds": round(report.duration_s),
            "status": "published",
        },
        summary={
            "stages": figures["stage_seconds"],
            "lufs": report.integrated_lufs,
            "dbtp": report.true_peak_dbtp,
            "duration_s": report.duration_s,
            "title": job.metadata.title,
            "files": {track_file.suffix: track.path, **twins, **lyrics},
            "preview_url": preview.url,
            "quality": figures,
            "speech_cache": dict(report.speech_cache),
        },
    )


def file_digest(path: Path) -> str:
    """Hash a file's content; 16 hexadecimal digits of its SHA-256, enough to tell renders of one job apart."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
