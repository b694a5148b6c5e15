"""One job in its process: from payload to render to storage, and what its row and its track will hold.

Nothing here writes to the database: the worker does, fenced by its claim's token, once it has the result. Questions to
the database (the track's row, the music catalogue) go to the worker, too. The fork server loads this module, and with
it all that every job needs; the worker itself needs none of it, and does not import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from loguru import logger

from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import JobError
from worker.job.album import notes_of_tracks, produced_album, result_of_tracks
from worker.job.channel import Channel
from worker.job.messages import JobInput, JobOutput
from worker.job.publish import Published, publish
from worker.masks import masked
from worker.media.download import Listings, fetch_media
from worker.media.reference import What
from worker.payload.album import Album, is_album, parse_album
from worker.payload.parse import parse_job, pauses_s
from worker.payload.schema import RenderJob
from worker.payload.track_row import Completed, completed_payload
from worker.render.album import ProducedAlbum
from worker.render.materials import Materials
from worker.render.produce import Produced, produce
from worker.storage.choose import open_storage

_SLOW_S_PER_CHARACTER = 0.15  # at speed 1: half as fast as the voices are


def run_job(job_input: JobInput, config: Config, channel: Channel, folder: Path) -> JobOutput:
    """Render a job in its own folder, and put its track and preview into storage.

    Raises
    ------
    WorkerError
        As `worker.errors` sorts them.
    Interrupted
        From `Channel.may_publish`.
    """
    completed = _complete(job_input, channel)
    job = _parse(completed, job_input, config)
    channel.length(_work_s(job, config))
    output = job.jobs[0].output if isinstance(job, Album) else job.output
    track_file, preview_file = folder / f"track.{output.format}", folder / "preview.mp3"
    with closing(open_storage(config)) as storage:
        listings: Listings = {}

        def fetch(reference: str, *, into: Path, what: What) -> Path:
            return fetch_media(
                reference,
                what=what,
                into=into,
                config=config,
                user_id=job_input.user_id,
                cache_dir=config.cache_dir / "media",
                listings=listings,
            )

        def on_progress(stage: str, fraction: float) -> None:
            channel.progress(int(100 * fraction), stage)

        materials = Materials(
            config,
            fetch,
            waited_s=job_input.waited_s,
            asks_refused_voices=job_input.is_probe,
            check_characters=_check_of_characters(config, channel),
            speech_store=storage.small_files(config.tts_cache_bucket) if config.tts_cache_bucket else None,
            places=channel,
            catalogue=channel.catalogue,
            without_music=config.on_missing_music == "without",
            without_cover="always" if completed.has_tracks_cover else "missing",
        )
        produced: Produced | ProducedAlbum
        if isinstance(job, Album):
            produced = produced_album(job, track_file, preview_file, materials=materials, on_progress=on_progress)
        else:
            produced = produce(
                job,
                track_file,
                materials=materials,
                encoding=Encoding.for_quality(output.format, output.quality),
                preview=preview_file,
                preview_s=config.preview_seconds,
                on_progress=on_progress,
                uploads=True,
            )
        log = logger.bind(job=job_input.job_id)
        if produced.music_error is not None:
            log.bind(event="music.left_out").warning("made without its music: {}", produced.music_error.message)
        if produced.cover_error is not None:
            log.bind(event="cover.left_out").warning("made without its cover: {}", produced.cover_error.message)
        published = publish(
            job_input, produced, track_file, preview_file, config=config, storage=storage, channel=channel
        )
    notes = ["The order names no sound, so it was made from the track as it is saved."] if completed.is_of_track else []
    if isinstance(produced, ProducedAlbum):
        assert isinstance(job, Album)  # noqa: S101 - what was made is what was asked for
        notes += notes_of_tracks(produced)
        more = result_of_tracks(job, produced, published)
    else:
        more = _result_beside(produced, published)
    title = job.title if isinstance(job, Album) else job.metadata.title
    return _output(produced, published, track_file, notes=notes, title=title, more=more)


def _complete(job_input: JobInput, channel: Channel) -> Completed:
    """Complete the payload from the track's row; refuse a track that is not the customer's."""
    row = None if job_input.track_id is None else channel.track_row()
    if job_input.track_id is not None and row is None:
        raise JobError(
            f"track {job_input.track_id} is not there, or not the customer's whose job this is",
            code="job.track",
            customer_message="The track of this order could not be found. Please contact support.",
        )
    return completed_payload(job_input.payload, row)


def _parse(completed: Completed, job_input: JobInput, config: Config) -> RenderJob | Album:
    limits: dict[str, Any] = {
        "max_script_characters": config.max_script_characters,
        "max_duration_min": config.max_duration_min,
    }
    job: RenderJob | Album
    if is_album(completed.payload):
        job = parse_album(completed.payload, **limits)
        unknown = [f"tracks[{number}].{name}" for number, each in enumerate(job.jobs) for name in each.unknown_keys]
    else:
        job = parse_job(completed.payload, **limits)
        unknown = [*job.unknown_keys]
    if unknown:
        logger.bind(event="job.unknown_keys", job=job_input.job_id).debug("ignored: {}", ", ".join(unknown))
    return job


def _work_s(job: RenderJob | Album, config: Config) -> float:
    """The length of all tracks that are made: of an album, each of them and the whole."""
    if isinstance(job, Album):
        return 2 * sum(_expected_s(each, config) for each in job.jobs) + job.gap_s * (len(job.jobs) - 1)
    return _expected_s(job, config)


def _expected_s(job: RenderJob, config: Config) -> float:
    """How long the track will be; estimated, and rather too long, where it is as long as its speech."""
    if job.duration_min is not None:
        return job.duration_min * 60
    if job.voice.provider == "uploaded":
        return config.max_duration_min * 60
    return pauses_s(job) + len(job.script) * _SLOW_S_PER_CHARACTER / job.voice.speed


def _check_of_characters(config: Config, channel: Channel) -> Callable[[int], None] | None:
    """How to refuse more characters than the customer may still have spoken today; None where there is no limit."""
    limit = config.max_characters_per_day

    def check(characters: int) -> None:
        if not channel.may_speak(characters):
            raise JobError(
                f"script: {characters} characters are more than MAX_CHARACTERS_PER_DAY ({limit}) leaves this customer "
                "today",
                code="job.characters",
                customer_message=(
                    "You have ordered more speech today than can be made in a day. Please try again tomorrow."
                ),
            )

    return None if limit is None else check


def _output(
    produced: Produced | ProducedAlbum,
    published: Published,
    track_file: Path,
    *,
    notes: list[str],
    title: str | None,
    more: Mapping[str, Any],
) -> JobOutput:
    """Write what the row, the track and the log get, in both vocabularies of the app; `more` is for the row."""
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
    if report.speech is not None:
        result["speech"] = dict(report.speech)
    result |= more
    files = {path.name.removeprefix(track_file.stem): place for path, place in published.beside.items()}
    track = {"audio_url": published.track, "duration_seconds": seconds, "status": "published"}
    if published.preview is not None:
        track["preview_url"] = published.preview
    summary = {
        "stages": figures["stage_seconds"],
        "lufs": report.integrated_lufs,
        "dbtp": report.true_peak_dbtp,
        "duration_s": report.duration_s,
        "title": title,
        "files": {track_file.suffix: published.track, **files},
        "preview_url": published.preview,
        "quality": figures,
        "speech_cache": dict(report.speech_cache),
        "speech": report.speech,
        **({} if report.speech_check is None else {"speech_check": dict(report.speech_check)}),
        "without_music": None if produced.music_error is None else masked(produced.music_error.message),
    }
    return JobOutput(result, track, summary)


def _result_beside(produced: Produced, published: Published) -> dict[str, Any]:
    """What the row says of the files beside the track."""

    def places(paths: Mapping[str, Path]) -> dict[str, str]:
        return {name: published.beside[path] for name, path in paths.items() if path in published.beside}

    result: dict[str, Any] = {}
    if produced.twin is not None and produced.twin_report is not None:
        result["speakersUrl"] = published.beside[produced.twin]
        result["speakersQuality"] = produced.twin_report.as_json()
    stems = {} if produced.stems is None else places(produced.stems.files)
    stem_list = {} if produced.stems is None else places({"stemList": produced.stems.stem_list})
    peaks = {} if produced.peaks is None else places({"peaks": produced.peaks})
    named = {
        "lyrics": places({path.suffix.removeprefix("."): path for path in produced.lyrics}),
        "formats": places({path.suffix.removeprefix("."): path for path in produced.further}),
        "stems": stems,
    }
    return result | {name: paths for name, paths in named.items() if paths} | stem_list | peaks
