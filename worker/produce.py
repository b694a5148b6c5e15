"""One job end to end on this machine: prepare the media, compile, measure, deliver, preview, report.

Adapters (the voice, the music's source, FFmpeg) come in as a `Studio`; nothing here knows of queues or clouds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from worker.compile import SAMPLE_RATE_HZ, Compiled, compile_plan
from worker.deliver import deliver, deliver_preview
from worker.encode import Encoding
from worker.ffmpeg import Ffmpeg
from worker.master import measure_mix
from worker.media import Media, Music, Speech
from worker.payload import RenderJob
from worker.report import Report, layer_loudness, make_report
from worker.speech import Said
from worker.tags import Chapter, Tags

OnProgress = Callable[[str, float], None]
"""Called with the stage in words and the fraction of the whole job that is done."""

# Shares of a whole job, for the progress bar
_SPOKEN, _FETCHED, _MEASURED, _ENCODED = 0.30, 0.35, 0.45, 0.97


@dataclass(frozen=True)
class Studio:
    """What a job needs from outside.

    Attributes
    ----------
    ffmpeg : Ffmpeg
    threads : int
        Stretches of the track to work on at once.
    speak : callable
        ``speak(job, folder, on_progress, said) -> Speech``: the voice, decoded into `folder`.
    fetch_music : callable
        ``fetch_music(job, folder) -> Music``: the music, decoded into `folder`.
    fetch_cover : callable
        ``fetch_cover(reference, folder) -> bytes``: a JPEG or PNG image.
    """

    ffmpeg: Ffmpeg
    threads: int
    speak: Callable[[RenderJob, Path, Callable[[float], None], Said], Speech]
    fetch_music: Callable[[RenderJob, Path], Music]
    fetch_cover: Callable[[str, Path], bytes]


@dataclass
class _Stopwatch:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - started, 3)


def produce(
    job: RenderJob,
    out: Path,
    *,
    studio: Studio,
    encoding: Encoding,
    recordings: Collection[str] = (),
    preview: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Turn a job into a finished track.

    Parameters
    ----------
    job : RenderJob
    out : Path
        Appears when the track is whole and its decoded sound keeps its promise; an older file is replaced then.
    studio : Studio
    encoding : Encoding
    recordings : collection of "voice", "music"
        Layers that the studio has a recording for, whatever the job says of them.
    preview : Path, optional
        For a 15 s MP3 from where every layer is heard, at the track's own gain.
    on_progress : callable, optional

    Returns
    -------
    Report

    Raises
    ------
    WorkerError
        Nothing is left behind, nor half-written.
    """
    watch, said = _Stopwatch(), Said()

    def progress(stage: str, fraction: float) -> None:
        if on_progress is not None:
            on_progress(stage, fraction)

    # Decoded inputs go to the temporary folder; the candidate is made beside `out`, so that it can be renamed.
    with (
        tempfile.TemporaryDirectory(prefix="mindscript-") as inputs,
        tempfile.TemporaryDirectory(prefix=".mindscript-", dir=out.parent) as candidates,
    ):
        folder, candidate = Path(inputs), Path(candidates) / f"track.{encoding.format}"
        with watch.stage("speak"):
            progress("Recording the voice", 0.0)
            speech = None
            if job.has_voice or "voice" in recordings:
                speech = studio.speak(job, folder, lambda done: progress("Recording the voice", _SPOKEN * done), said)
        with watch.stage("fetch"):
            progress("Preparing the music", _SPOKEN)
            has_music = job.background_music is not None or "music" in recordings
            media = Media(speech, studio.fetch_music(job, folder) if has_music else None)
        compiled = compile_plan(job, media)
        plan = compiled.plan
        with watch.stage("measure"):
            mix = measure_mix(
                plan,
                threads=studio.threads,
                on_progress=lambda done: progress("Mixing", _FETCHED + (_MEASURED - _FETCHED) * done),
            )
        tags = make_tags(job, compiled, lambda reference: studio.fetch_cover(reference, folder))
        with watch.stage("deliver"):
            delivered = deliver(
                plan,
                mix,
                candidate,
                encoding=encoding,
                target_lufs=job.target_lufs,
                limiter=job.safety.limiter,
                tags=tags,
                ffmpeg=studio.ffmpeg,
                threads=studio.threads,
                on_progress=lambda done: progress("Finishing", _MEASURED + (_ENCODED - _MEASURED) * done),
            )
        with watch.stage("preview"):
            if preview is not None:
                start = compiled.heard_from
                deliver_preview(
                    plan, delivered, preview, start=start, tags=Tags(title=tags.title), ffmpeg=studio.ffmpeg
                )
        layers = layer_loudness(compiled, _known_lufs(media), delivered)
        candidate.replace(out)
    progress("Done", 1.0)
    return make_report(
        out,
        compiled=compiled,
        delivered=delivered,
        encoding=encoding,
        target_lufs=job.target_lufs,
        layers=layers,
        stage_seconds=watch.seconds,
        ffmpeg=studio.ffmpeg.version,
        speech_cache={"hits": said.hits, "misses": said.misses},
        notes=(*said.notes, *compiled.notes),
    )


def make_tags(job: RenderJob, compiled: Compiled, fetch_cover: Callable[[str], bytes]) -> Tags:
    """Make the file's tags: what the job says, and a chapter for each repetition of the voice."""
    data = job.metadata
    return Tags(
        title=data.title,
        artist=data.artist,
        album=data.album,
        comment="Made by mindscript-audio-worker",
        cover=fetch_cover(data.cover) if data.cover is not None else None,
        chapters=_chapters(compiled) if job.chapters else (),
    )


def _chapters(compiled: Compiled) -> tuple[Chapter, ...]:
    """From each repetition's first word to the next one's; none for a single repetition."""
    if compiled.repetitions < 2:
        return ()
    starts: dict[int, int] = {}
    for span in compiled.spoken:
        starts.setdefault(span.repetition, span.start)
    edges = [*starts.values(), compiled.plan.frames]
    return tuple(
        Chapter(f"Repetition {number}", start / SAMPLE_RATE_HZ, stop / SAMPLE_RATE_HZ)
        for number, (start, stop) in enumerate(pairwise(edges), start=1)
    )


def _known_lufs(media: Media) -> dict[str, float]:
    known = {}
    if media.speech is not None:
        known["voice"] = media.speech.loudness_lufs
    if media.music is not None:
        known["music"] = media.music.loudness_lufs
    return known
