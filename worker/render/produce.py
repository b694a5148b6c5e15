"""One job end to end on this machine: prepare the media, compile, measure, deliver, preview, report.

Voice, music and FFmpeg come in as a `Studio`; nothing here knows of queues or clouds.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from dsp.loudness import integrated_lufs, speech_lufs
from dsp.plan import RenderPlan
from worker.codec.encoding import Encoding
from worker.codec.tags import Tags
from worker.errors import MediaError, WorkerError
from worker.media.reference import REFUSED
from worker.payload.schema import SAMPLE_RATE_HZ, RenderJob
from worker.plan.compile import Compiled, compile_plan
from worker.plan.lyrics import as_lrc, as_webvtt
from worker.plan.recordings import Media, Music, Speech
from worker.render import stages
from worker.render.chapters import chapters
from worker.render.deliver import PREVIEW_FADE_S, Delivered, Delivery, deliver, deliver_preview
from worker.render.expected_time import ExpectedTime
from worker.render.machine_pace import MachinePace
from worker.render.master import LoudnessOf
from worker.render.programme import Programme, measure
from worker.render.progress import JobProgress, OnProgress
from worker.render.report import Report, layer_loudness, make_report
from worker.render.studio import Studio
from worker.tts.shorten import fitted
from worker.tts.speech import SpeechStats
from worker.vendors import speech_figures

PREVIEW_FADE_FRAMES = round(PREVIEW_FADE_S * SAMPLE_RATE_HZ)  # the fade-in must not swallow the first word


@dataclass(frozen=True)
class Produced:
    """A finished job.

    Attributes
    ----------
    twin : Path or None
        The track for speakers, where both were asked for.
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


def produce(
    job: RenderJob,
    out: Path,
    *,
    studio: Studio,
    encoding: Encoding,
    preview: Path | None = None,
    preview_s: float = 15.0,
    on_progress: OnProgress | None = None,
    uploads: bool = False,
) -> Produced:
    """Turn a job into a finished track.

    When a `WorkerError` is raised, nothing is left behind, nor half-written.

    Parameters
    ----------
    out : Path
        Appears when the track is whole and its decoded sound keeps its promise; an older file is replaced then.
        A twin for speakers appears beside it as ``NAME-speakers``, lyrics as ``NAME.lrc`` and ``NAME.vtt``.
    preview : Path, optional
        For an MP3 from where every layer is heard, at the track's own gain. If it cannot be made, a note says so.
    preview_s : float
        Length of the preview in seconds.
    on_progress : callable, optional
        Gets a fraction that grows about evenly in time, and never falls.
    uploads : bool
        Whether an upload follows: the fraction then stays below 1 by its part of the time.
    """
    machine = MachinePace(studio.config.cache_dir / "machine")
    # Decoded inputs go to the temporary folder; the candidate is made beside `out`, so that it can be renamed.
    with (
        tempfile.TemporaryDirectory(prefix="mindscript-") as inputs,
        tempfile.TemporaryDirectory(prefix=".mindscript-", dir=out.parent) as candidates,
        (progress := JobProgress(on_progress or (lambda stage, fraction: None), pace=machine.read())).ticking(),
    ):
        production = _Production(job, studio, Path(inputs), progress)
        expected = ExpectedTime(job, studio.config, encoding, threads=studio.threads)
        expected.foretell(
            progress, recorded=studio.voice_file is not None, preview=preview is not None, uploads=uploads
        )
        media, cover = production.prepare()
        job = production.job
        compiled = compile_plan(job, media)
        expected.correct(progress, compiled.plan, tracks=1 if compiled.twin is None else 2)
        if job.solfeggio is not None:
            progress.at("prepare", stages.SOLFEGGIO, 1.0)
        if job.binaural is not None:
            progress.at("prepare", stages.BINAURAL, 1.0)
        tags = make_tags(job, compiled, cover)
        bounds = studio.limiter_bounds if job.safety.loudness == "balance" else None
        delivery = Delivery(encoding, tags, job.target_lufs, job.safety.limiter, tuple(compiled.spoken), bounds)
        if job.safety.measure == "speech":
            delivery = replace(delivery, loudness=production.speech_loudness(compiled))
        candidate = Path(candidates) / out.name  # so errors name the file that a person knows
        tracks = [(compiled.plan, candidate, out)]
        twin = None if compiled.twin is None else out.with_name(f"{out.stem}-speakers{out.suffix}")
        if compiled.twin is not None and twin is not None:
            tracks.append((compiled.twin, candidate.with_name(twin.name), twin))
        reports = []
        for number, (plan, made, place) in enumerate(tracks):
            delivered, loudness = production.deliver(plan, made, delivery, compiled, media, number)
            if preview is not None and number == 0:
                start = compiled.heard_from - PREVIEW_FADE_FRAMES
                production.preview(delivered.programme, preview, start, preview_s, Tags(title=tags.title))
            reports.append(
                make_report(
                    made,
                    delivered,
                    compiled,
                    name=place.name,
                    loudness=loudness,
                    ffmpeg=studio.ffmpeg.version,
                    stage_seconds=production.stage_seconds,
                    speech_cache={"hits": production.said.hits, "misses": production.said.misses},
                    speech_check=None if production.said.recognised is None else production.said.recognised.as_json(),
                    speech=speech_figures(production.said.uses),
                    notes=(*production.adapted, *production.said.notes, *compiled.notes, *_of_lyrics(job, compiled)),
                )
            )
        lyrics = _write_lyrics(job, compiled, out) if job.lyrics and _has_words(compiled) else ()
        for _, made, place in tracks:
            made.replace(place)
    if not uploads:
        progress.finish(stages.FINALIZING)
    machine.keep(progress.pace)
    return Produced(
        reports[0],
        twin=twin,
        twin_report=None if twin is None else reports[1],
        lyrics=lyrics,
        music_error=production.music_error,
        cover_error=production.cover_error,
        preview_error=production.preview_error,
    )


@dataclass
class _Production:
    """The steps of one job, and what it goes without."""

    job: RenderJob
    studio: Studio
    folder: Path
    progress: JobProgress
    said: SpeechStats = field(default_factory=SpeechStats)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    adapted: list[str] = field(default_factory=list)
    music_error: MediaError | None = None
    cover_error: MediaError | None = None
    preview_error: str | None = None

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = self.stage_seconds.get(stage, 0.0) + time.perf_counter() - started
            self.stage_seconds[stage] = round(seconds, 3)

    def prepare(self) -> tuple[Media, bytes | None]:
        """Fetch music and cover, and have the script spoken; in this order, since speech may have to be paid for."""
        if self.job.has_voice:
            self.studio.check_voice(self.job)
        with ThreadPoolExecutor(1, thread_name_prefix="recording") as beside:
            # a recording costs nothing, so it is decoded beside the music
            recording = beside.submit(self._speak) if self.studio.voice_file is not None else None
            with self.timed("fetch"):
                music = self._fetch_music()
                cover = self._fetch_cover()
            with self.timed("speak"):
                speech = None
                if recording is not None or self.job.has_voice:
                    self.progress.at("speak", stages.SPEAKING, 0.0)
                    speech = self._speak() if recording is None else recording.result()
                    into_track = fitted(
                        self.job, speech, fit=self.studio.config.fit, folder=self.folder, notes=self.said.notes
                    )
                    self.job, speech = into_track.job, into_track.speech
                    self.progress.at("speak", stages.SPOKEN, 1.0)
        return Media(speech, music), cover

    def _speak(self) -> Speech:
        return self.studio.speak(
            self.job, self.folder, lambda done: self.progress.at("speak", stages.SPEAKING, done), self.said
        )

    def _fetch_music(self) -> Music | None:
        if self.job.background_music is None and self.studio.music_file is None:
            return None
        self.progress.at("fetch", stages.FETCHING_MUSIC, 0.0)
        try:
            music = self.studio.fetch_music(self.job, self.folder)
        except MediaError as error:
            if not self.studio.without_music or set(self.job.layers) <= {"music"}:
                raise
            self.music_error, self.job = error, self.job.model_copy(update={"background_music": None})
            self.adapted.append(f"{error.customer_message.partition('.')[0]}; the track was made without it")
            return None
        self.progress.at("fetch", stages.MUSIC_READY, 1.0)
        return music

    def _fetch_cover(self) -> bytes | None:
        if self.job.metadata.cover is None:
            return None
        without = self.studio.without_cover
        try:
            return self.studio.fetch_cover(self.job.metadata.cover, self.folder)
        except MediaError as error:
            if without == "never" or (without == "missing" and error.code == REFUSED):
                raise
            self.cover_error = error
            self.adapted.append("The cover of this order could not be used; the track was made without it")
            return None

    def speech_loudness(self, compiled: Compiled) -> LoudnessOf:
        """What measures the loudness of the speech in a track; of the whole, where there is no speech to hear."""
        plan = compiled.plan
        voice = replace(plan, layers=tuple(layer for layer in plan.layers if layer.name == "voice"))
        with self.timed("measure"):
            energies = measure(Programme(voice), threads=self.studio.threads).energies
        if math.isinf(integrated_lufs(energies)):
            self.adapted.append("loudness: there is no speech to measure, so the whole track was measured")
            return integrated_lufs
        return partial(speech_lufs, voice=energies)

    def deliver(
        self, plan: RenderPlan, out: Path, delivery: Delivery, compiled: Compiled, media: Media, number: int
    ) -> tuple[Delivered, dict[str, float]]:
        """Measure the mix and make the file; also the loudness of each layer, measured beside the encoding."""
        with self.timed("measure"):
            mix = measure(
                Programme(plan),
                threads=self.studio.threads,
                on_progress=lambda done: self.progress.at(f"measure {number}", stages.MIXING, done),
            )
        with self.timed("deliver"), ThreadPoolExecutor(1, thread_name_prefix="layers") as beside:
            loudness = beside.submit(layer_loudness, plan, compiled.layer_gains_db, media)
            delivered = deliver(
                plan,
                mix,
                out,
                delivery,
                ffmpeg=self.studio.ffmpeg,
                threads=self.studio.threads,
                on_progress=lambda done: self.progress.at(f"encode {number}", stages.MIXING, done),
            )
            layers_lufs = loudness.result()
        self.progress.at(f"encode {number}", stages.MIXED, 1.0)
        return delivered, layers_lufs

    def preview(self, programme: Programme, out: Path, start: int, seconds: float, tags: Tags) -> None:
        """Make the preview; without one the track is delivered all the same."""
        self.progress.at("preview", stages.PREVIEWING, 0.0)
        try:
            with self.timed("preview"):
                deliver_preview(programme, out, start=start, seconds=seconds, tags=tags, ffmpeg=self.studio.ffmpeg)
        except (WorkerError, OSError) as error:
            self.preview_error = str(error)
            self.adapted.append("There is no preview: it could not be made")
            out.unlink(missing_ok=True)
        else:
            self.progress.at("preview", stages.PREVIEWED, 1.0)


def _has_words(compiled: Compiled) -> bool:
    """Whether any words are known: a recording has none, and a script may be pauses only."""
    return any(span.text.strip() for span in compiled.spoken)


def _of_lyrics(job: RenderJob, compiled: Compiled) -> tuple[str, ...]:
    if not job.lyrics or _has_words(compiled):
        return ()
    why = "of a recording the words are not known" if compiled.spoken else "nothing is spoken"
    return (f"lyrics: there are none, since {why}",)


def _write_lyrics(job: RenderJob, compiled: Compiled, out: Path) -> tuple[Path, ...]:
    lrc, vtt = out.with_suffix(".lrc"), out.with_suffix(".vtt")
    lrc.write_text(as_lrc(compiled.spoken, SAMPLE_RATE_HZ, title=job.metadata.title), encoding="utf-8")
    vtt.write_text(as_webvtt(compiled.spoken, SAMPLE_RATE_HZ), encoding="utf-8")
    return lrc, vtt


def make_tags(job: RenderJob, compiled: Compiled, cover: bytes | None) -> Tags:
    """Make the file's tags: what the job says, and its chapters."""
    data = job.metadata
    return Tags(
        title=data.title,
        artist=data.artist,
        album=data.album,
        comment="Made by mindscript-audio-worker",
        cover=cover,
        chapters=chapters(compiled.spoken, job.chapters, frames=compiled.plan.frames),
    )
