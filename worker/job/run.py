"""One claimed order in the job's process: render, upload, and say what the row and the track are to hold.

Nothing here writes to the database: the worker does, fenced by its lease, once this has come back. What must be known
of the database (the track's row, the music catalogue) is asked of the worker, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from loguru import logger

from worker.config import Config
from worker.errors import JobError

PAID_PROVIDERS = ("openai", "elevenlabs")


@dataclass(frozen=True)
class JobInput:
    """What was claimed: the row's ids and its payload.

    Attributes
    ----------
    payload_text : str or None
        JSON as it stands in the row. Customers write it, so only the job's process parses it.
    """

    job_id: str
    track_id: str | None
    user_id: str | None
    payload_text: str | None
    attempt: int = 1

    @property
    def payload(self) -> Mapping[str, Any]:
        """The payload as an object; empty where the row has none.

        Raises
        ------
        JobError
            If the text is no JSON that Python can hold.
        """
        from worker.payload.aliases import load_payload

        return load_payload(self.payload_text) if self.payload_text is not None else {}


class Channel(Protocol):
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

    def track_row(self) -> Mapping[str, Any] | None:
        """Read the job's row in `tracks`, its JSON columns as text; None where there is none of the customer's own."""

    def catalogue(self, reference: str) -> str | None:
        """Look a piece of music up in the catalogue, by id or slug; its `url` (object name or URL), or None."""

    def may_speak(self, characters: int) -> bool:
        """Whether the customer may have so many more characters spoken today (MAX_CHARACTERS_PER_DAY)."""


@dataclass(frozen=True)
class JobOutput:
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


def run_job(order: JobInput, config: Config, channel: Channel, folder: Path) -> JobOutput:
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
    # Heavy modules are loaded here, in the job's process: the idle worker needs none of them.
    from worker.codec.formats import Encoding
    from worker.job.publish import publish
    from worker.media.download import fetch_media
    from worker.media.reference import What
    from worker.payload.parse import parse_job
    from worker.payload.track_row import completed_payload
    from worker.render.produce import produce
    from worker.render.studio import open_studio
    from worker.storage.choose import open_storage
    from worker.tts.shared_cache import speech_store

    row = None if order.track_id is None else channel.track_row()
    if order.track_id is not None and row is None:
        raise JobError(
            f"track {order.track_id} is not there, or not the customer's whose job this is",
            code="job.track",
            customer_message="The track of this order could not be found. Please contact support.",
        )
    completed = completed_payload(order.payload, row)
    notes = ["The order names no sound, so it was made from the track as it is saved."] if completed.is_of_track else []
    job = parse_job(
        completed.payload,
        max_script_characters=config.max_script_characters,
        max_duration_min=config.max_duration_min,
    )

    if job.unknown_keys:
        logger.bind(event="job.unknown_keys", job=order.job_id).debug("ignored: {}", ", ".join(job.unknown_keys))

    characters = len(job.script) if job.has_voice and job.voice.provider in PAID_PROVIDERS else 0
    if characters and config.max_characters_per_day is not None and not channel.may_speak(characters):
        raise JobError(
            f"script: {characters} characters are more than MAX_CHARACTERS_PER_DAY ({config.max_characters_per_day}) "
            "leaves this customer today",
            code="job.characters",
            customer_message="You have ordered more speech today than can be made in a day. Please try again tomorrow.",
        )

    def fetch(reference: str, *, into: Path, what: What) -> Path:
        return fetch_media(
            reference,
            what=what,
            into=into,
            config=config,
            user_id=order.user_id,
            cache_dir=config.cache_dir / "media",
        )

    encoding = Encoding.for_quality(job.output.format, job.output.quality)
    track_file, preview_file = folder / f"track.{encoding.format}", folder / "preview.mp3"
    storage = open_storage(config)
    try:
        produced = produce(
            job,
            track_file,
            studio=open_studio(
                config,
                fetch,
                speech_store=speech_store(config, storage),
                catalogue=channel.catalogue,
                without_music=config.on_missing_music == "without",
                without_cover="always" if completed.has_tracks_cover else "missing",
            ),
            encoding=encoding,
            preview=preview_file,
            preview_s=config.preview_seconds,
            on_progress=lambda stage, fraction: channel.progress(int(90 * fraction), stage),
        )
        if produced.music_error is not None:
            said = produced.music_error.message
            logger.bind(event="music.left_out", job=order.job_id).warning("made without its music: {}", said)
        if produced.cover_error is not None:
            said = produced.cover_error.message
            logger.bind(event="cover.left_out", job=order.job_id).warning("made without its cover: {}", said)
        published = publish(order, produced, track_file, preview_file, config=config, storage=storage, channel=channel)
    finally:
        storage.close()
    report = produced.report
    figures = report.as_json()
    seconds = round(report.duration_s)
    result: dict[str, Any] = {
        "url": published.track,
        "audioUrl": published.track,
        "audio_url": published.track,
        "preview_url": published.preview,
        "previewUrl": published.preview,
        "storagePath": published.track,
        "duration": seconds,
        "duration_seconds": seconds,
        "durationMs": round(report.duration_s * 1000),
        "size": report.size_bytes,
        "file_size_bytes": report.size_bytes,
        "format": report.format,
        "layers": len(report.layers),
        "notes": [*notes, *report.notes, *published.notes],
        "quality": figures,
    }
    if published.twin is not None and produced.twin_report is not None:
        result["speakersUrl"] = published.twin
        result["speakersQuality"] = produced.twin_report.as_json()
    if published.lyrics:
        result["lyrics"] = {ending.removeprefix("."): place for ending, place in published.lyrics.items()}
    twins = {} if published.twin is None else {f"-speakers{track_file.suffix}": published.twin}
    track = {"audio_url": published.track, "duration_seconds": seconds, "status": "published"}
    if published.preview is not None:
        track["preview_url"] = published.preview
    return JobOutput(
        result=result,
        track=track,
        summary={
            "stages": figures["stage_seconds"],
            "lufs": report.integrated_lufs,
            "dbtp": report.true_peak_dbtp,
            "duration_s": report.duration_s,
            "title": job.metadata.title,
            "files": {track_file.suffix: published.track, **twins, **published.lyrics},
            "preview_url": published.preview,
            "quality": figures,
            "speech_cache": dict(report.speech_cache),
            "without_music": None if produced.music_error is None else produced.music_error.message,
        },
    )
