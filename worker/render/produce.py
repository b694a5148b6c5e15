"""One job end to end on this machine: prepare the media, compile, measure, deliver, preview, report.

Adapters (the voice, the music's source, FFmpeg) come in as a `Studio`; nothing here knows of queues or clouds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

from worker.codec.encode import ready_to_encode
from worker.codec.encoding import Encoding
from worker.codec.tags import Chapter, Tags
from worker.errors import MediaError, WorkerError
from worker.ffmpeg.program import Ffmpeg
from worker.media.reference import REFUSED
from worker.payload.schema import SAMPLE_RATE_HZ, RenderJob
from worker.plan.compile import Compiled, compile_plan
from worker.plan.lyrics import as_lrc, as_webvtt
from worker.plan.recordings import Media, Music, Speech
from worker.render import stages
from worker.render.analysis import DeliveredAnalyzer
from worker.render.deliver import PREVIEW_FADE_S, deliver, deliver_preview
from worker.render.master import measure_mix
from worker.render.report import Report, layer_loudness, layer_reports, make_report
from worker.tts.shorten import FitMode, fitted
from worker.tts.speech import SpeechStats

WithoutCover = Literal["never", "missing", "always"]
OnProgress = Callable[[str, float], None]
"""Called with the stage in words and the fraction of the whole job that is done."""

PREVIEW_FADE_FRAMES = round(PREVIEW_FADE_S * SAMPLE_RATE_HZ)  # the fade-in must not swallow the first word

# Shares of a whole job, for the progress bar
_FETCHED, _SPOKEN = 0.05, 0.35
_MEASURED = 0.15  # of what is left


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
    fit : "adapt" or "fail"
        What becomes of a recording that is longer than its track.
    without_music : bool
        Whether a job that still has something to hear goes without music that cannot be had.
    without_cover : "never", "missing" or "always"
        Whether a job goes without a cover that cannot be had: "missing", unless it is refused; "always", for one that
        the order does not name itself.
    """

    ffmpeg: Ffmpeg
    threads: int
    speak: Callable[[RenderJob, Path, Callable[[float], None], SpeechStats], Speech]
    fetch_music: Callable[[RenderJob, Path], Music]
    fetch_cover: Callable[[str, Path], bytes]
    fit: FitMode = "adapt"
    without_music: bool = False
    without_cover: WithoutCover = "never"


@dataclass(frozen=True)
class Produced:
    """A finished job.

    Attributes
    ----------
    report : Report
        Of the track.
    twin : Path or None
        The track for speakers, where both were asked for.
    twin_report : Report or None
    lyrics : tuple of Path
        The spoken lines with their times (LRC, WebVTT), where they were asked for.
    music_error : MediaError or None
        Why the track has no music, though the job names some.
    cover_error : MediaError or None
        The same of the cover.
    preview_error : str or None
        Why there is no preview, though one was asked for; for operators.
    """

    report: Report
    twin: Path | None = None
    twin_report: Report | None = None
    lyrics: tuple[Path, ...] = ()
    music_error: MediaError | None = None
    cover_error: MediaError | None = None
    preview_error: str | None = None


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
    preview_s: float = 15.0,
    on_progress: OnProgress | None = None,
) -> Produced:
    """Turn a job into a finished track.

    Parameters
    ----------
    job : RenderJob
    out : Path
        Appears when the track is whole and its decoded sound keeps its promise; an older file is replaced then.
        A twin for speakers appears beside it as ``NAME-speakers``, lyrics as ``NAME.lrc`` and ``NAME.vtt``.
    studio : Studio
    encoding : Encoding
    recordings : collection of "voice", "music"
        Layers that the studio has a recording for, whatever the job says of them.
    preview : Path, optional
        For an MP3 from where every layer is heard, at the track's own gain. If it cannot be made, a note says so.
    preview_s : float
        Length of the preview in seconds.
    on_progress : callable, optional

    Returns
    -------
    Produced

    Raises
    ------
    WorkerError
        Nothing is left behind, nor half-written.
    """
    watch, said = _Stopwatch(), SpeechStats()
    adapted: list[str] = []
    music_error: MediaError | None = None
    cover_error: MediaError | None = None
    preview_error: str | None = None

    def progress(stage: str, fraction: float) -> None:
        if on_progress is not None:
            on_progress(stage, fraction)

    # Decoded inputs go to the temporary folder; the candidate is made beside `out`, so that it can be renamed.
    with (
        tempfile.TemporaryDirectory(prefix="mindscript-") as inputs,
        tempfile.TemporaryDirectory(prefix=".mindscript-", dir=out.parent) as candidates,
    ):
        folder, candidate = Path(inputs), Path(candidates) / f"track.{encoding.format}"

        def speak() -> Speech:
            return studio.speak(
                job,
                folder,
                lambda done: progress(stages.SPEAKING, _FETCHED + (_SPOKEN - _FETCHED) * done),
                said,
            )

        with ThreadPoolExecutor(1, thread_name_prefix="recording") as aside:
            # a recording costs nothing, so it is decoded beside the music
            recording = aside.submit(speak) if "voice" in recordings else None
            with watch.stage("fetch"):  # before a voice speaks: a job that lacks its music must not have paid for it
                has_music = job.background_music is not None or "music" in recordings
                music = None
                if has_music:
                    progress(stages.FETCHING_MUSIC, 0.0)
                    try:
                        music = studio.fetch_music(job, folder)
                    except MediaError as error:
                        if not studio.without_music or set(job.layers) <= {"music"}:
                            raise
                        music_error, job = error, job.model_copy(update={"background_music": None})
                        adapted.append(f"{error.customer_message.partition('.')[0]}; the track was made without it")
                    else:
                        progress(stages.MUSIC_READY, _FETCHED)
                cover = None
                if job.metadata.cover is not None:
                    try:
                        cover = studio.fetch_cover(job.metadata.cover, folder)
                    except MediaError as error:
                        if studio.without_cover == "never" or (
                            studio.without_cover == "missing" and error.code == REFUSED
                        ):
                            raise
                        cover_error = error
                        adapted.append("The cover of this order could not be used; the track was made without it")
            with watch.stage("speak"):
                speech = None
                if recording is not None or job.has_voice:
                    progress(stages.SPEAKING, _FETCHED)
                    speech = speak() if recording is None else recording.result()
                    into_track = fitted(job, speech, fit=studio.fit, folder=folder, notes=said.notes)
                    job, speech = into_track.job, into_track.speech
                    progress(stages.SPOKEN, _SPOKEN)
        media = Media(speech, music)
        compiled = compile_plan(job, media)
        if job.solfeggio is not None:
            progress(stages.SOLFEGGIO, _SPOKEN)
        if job.binaural is not None:
            progress(stages.BINAURAL, _SPOKEN)
        tags = make_tags(job, compiled, cover)
        wanted = [(compiled.plan, candidate, out)]
        if compiled.twin is not None:
            twin = out.with_name(f"{out.stem}-speakers{out.suffix}")
            wanted.append((compiled.twin, candidate.with_stem("twin"), twin))
        reports = []
        for number, (plan, made, place) in enumerate(wanted):
            done_before, share = _SPOKEN + (1 - _SPOKEN) * number / len(wanted), (1 - _SPOKEN) / len(wanted)

            def progressed(stage: str, done: float, done_before: float = done_before, share: float = share) -> None:
                progress(stage, done_before + share * done)

            with watch.stage("measure"):
                mix = measure_mix(
                    plan,
                    threads=studio.threads,
                    on_progress=lambda done: progressed(stages.MIXING, _MEASURED * done),
                )
            # the layers are measured beside the encoding, and encoders start while the master gain is found
            with (
                watch.stage("deliver"),
                ready_to_encode(
                    plan.frames,
                    encoding=encoding,
                    sample_rate=plan.sample_rate,
                    ffmpeg=studio.ffmpeg,
                    threads=studio.threads,
                ),
                ThreadPoolExecutor(1, thread_name_prefix="layers") as beside,
            ):
                loudness = beside.submit(layer_loudness, plan, compiled.layer_gains_db, _known_lufs(media))
                delivered = deliver(
                    plan,
                    mix,
                    made,
                    encoding=encoding,
                    target_lufs=job.target_lufs,
                    limiter=job.safety.limiter,
                    tags=tags,
                    ffmpeg=studio.ffmpeg,
                    threads=studio.threads,
                    on_progress=lambda done: progressed(stages.MIXING, _MEASURED + (1 - _MEASURED) * done),
                    make_analyzer=partial(DeliveredAnalyzer, plan, compiled.spoken),
                )
            progressed(stages.MIXED, 1.0)
            if preview is not None and number == 0:
                progressed(stages.PREVIEWING, 1.0)
                try:
                    with watch.stage("preview"):
                        deliver_preview(
                            plan,
                            delivered,
                            preview,
                            start=compiled.heard_from - PREVIEW_FADE_FRAMES,
                            seconds=preview_s,
                            tags=Tags(title=tags.title),
                            ffmpeg=studio.ffmpeg,
                        )
                except (WorkerError, OSError) as error:  # no reason to keep the track back
                    preview_error = str(error)
                    adapted.append("There is no preview: it could not be made")
                    preview.unlink(missing_ok=True)
                else:
                    progressed(stages.PREVIEWED, 1.0)
            reports.append(
                make_report(
                    made,
                    name=place.name,
                    compiled=compiled,
                    plan=plan,
                    delivered=delivered,
                    encoding=encoding,
                    target_lufs=job.target_lufs,
                    layers=layer_reports(loudness.result(), compiled.layer_gains_db, delivered.master.gain_db),
                    stage_seconds=watch.seconds,
                    ffmpeg=studio.ffmpeg.version,
                    speech_cache={"hits": said.hits, "misses": said.misses},
                    notes=(*adapted, *said.notes, *compiled.notes),
                )
            )
        lyrics = _write_lyrics(job, compiled, out) if job.lyrics and compiled.spoken else ()
        for _, made, place in wanted:
            made.replace(place)
    progress(stages.FINALIZING, 1.0)
    made_twin = len(reports) > 1
    return Produced(
        reports[0],
        twin=wanted[1][2] if made_twin else None,
        twin_report=reports[1] if made_twin else None,
        lyrics=lyrics,
        music_error=music_error,
        cover_error=cover_error,
        preview_error=preview_error,
    )


def _write_lyrics(job: RenderJob, compiled: Compiled, out: Path) -> tuple[Path, ...]:
    lrc, vtt = out.with_suffix(".lrc"), out.with_suffix(".vtt")
    lrc.write_text(as_lrc(compiled.spoken, SAMPLE_RATE_HZ, title=job.metadata.title), encoding="utf-8")
    vtt.write_text(as_webvtt(compiled.spoken, SAMPLE_RATE_HZ), encoding="utf-8")
    return lrc, vtt


def make_tags(job: RenderJob, compiled: Compiled, cover: bytes | None) -> Tags:
    """Make the file's tags: what the job says, and a chapter for each repetition of the voice."""
    data = job.metadata
    return Tags(
        title=data.title,
        artist=data.artist,
        album=data.album,
        comment="Made by mindscript-audio-worker",
        cover=cover,
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
