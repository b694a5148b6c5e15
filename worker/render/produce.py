"""One job end to end on this machine: prepare the media, compile, measure, deliver, preview, report.

Voice, music and FFmpeg come in as a `Materials`; nothing here knows of queues or clouds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.codec.encoding import Encoding
from worker.errors import MediaError
from worker.payload.schema import SAMPLE_RATE_HZ, STEMS, RenderJob
from worker.plan.compile import Compiled, compile_plan
from worker.plan.lyrics import as_lrc, as_webvtt
from worker.render import stages
from worker.render.deliver import Delivered
from worker.render.expected_time import ExpectedTime
from worker.render.files_beside import lyrics_files, peaks_file, twin_file
from worker.render.machine_pace import MachinePace
from worker.render.materials import Materials
from worker.render.peaks import write_peaks
from worker.render.production import Production, make_tags
from worker.render.progress import JobProgress, OnProgress
from worker.render.report import Report, make_report
from worker.render.stems import Stems
from worker.vendors import speech_figures


@dataclass(frozen=True)
class Produced:
    """A finished job.

    Attributes
    ----------
    twin : Path or None
        The track for speakers, where both were asked for.
    lyrics : tuple of Path
        The spoken lines with their times (LRC, WebVTT), where they were asked for.
    further : mapping of Path to Report
        The track in further formats, where they were asked for.
    stems : Stems or None
        A file a layer, and their list, where they were asked for.
    peaks : Path or None
        The waveform for players, where it was asked for.
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
    further: Mapping[Path, Report] = field(default_factory=dict)
    stems: Stems | None = None
    peaks: Path | None = None
    music_error: MediaError | None = None
    cover_error: MediaError | None = None
    preview_error: str | None = None

    @property
    def beside(self) -> tuple[Path, ...]:
        """All files beside the track."""
        found = (self.twin, *self.further, *(self.stems.paths if self.stems else ()), *self.lyrics, self.peaks)
        return tuple(path for path in found if path is not None)

    def as_json(self) -> dict[str, Any]:
        """The report as a document; those of the twin and of further formats are in it."""
        twin = {} if self.twin_report is None else {"twin": self.twin_report.as_json()}
        further = {path.suffix.removeprefix("."): report.as_json() for path, report in self.further.items()}
        return self.report.as_json() | twin | ({"further": further} if further else {})


def produce(
    job: RenderJob,
    out: Path,
    *,
    materials: Materials,
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
        Beside it appears what else the job asks for, as `worker.render.files_beside` names it.
    preview : Path, optional
        For an MP3 from where every layer is heard, at the track's own gain. If it cannot be made, a note says so.
    preview_s : float
        Length of the preview in seconds.
    on_progress : callable, optional
        Gets a fraction that grows about evenly in time, and never falls.
    uploads : bool
        Whether an upload follows: the fraction then stays below 1 by its part of the time.
    """
    machine = MachinePace(materials.config.cache_dir / "machine")
    # Decoded inputs go to the temporary folder; the candidate is made beside `out`, so that it can be renamed.
    with (
        tempfile.TemporaryDirectory(prefix="mindscript-") as inputs,
        tempfile.TemporaryDirectory(prefix=".mindscript-", dir=out.parent) as candidates,
        ThreadPoolExecutor(1, thread_name_prefix="preview") as beside,
        (progress := JobProgress(on_progress or (lambda stage, fraction: None), pace=machine.read())).ticking(),
    ):
        production = Production(job, materials, Path(inputs), progress)
        expected = ExpectedTime(job, materials.config, encoding, threads=materials.threads)
        expected.foretell(progress, recorded=materials.voice_file is not None, uploads=uploads)
        media, cover = production.prepare()
        job = production.job
        compiled = compile_plan(job, media)
        expected.correct(progress, compiled.plan, tracks=1 if compiled.twin is None else 2)
        kinds = {layer.kind for layer in compiled.layers}
        for kind, stage in (("tone", stages.SOLFEGGIO), ("binaural", stages.BINAURAL)):
            if kind in kinds:
                progress.at("prepare", stage, 1.0)
        tags = make_tags(job, compiled, cover)
        delivery = production.delivery(compiled, encoding, tags)
        candidate = Path(candidates) / out.name  # so errors name the file that a person knows
        tracks = [(compiled.plan, candidate)]
        if compiled.twin is not None:
            tracks.append((compiled.twin, twin_file(candidate)))

        def reported(delivered: Delivered, made: Path, loudness: Mapping[str, float]) -> Report:
            return make_report(
                made,
                delivered,
                compiled,
                name=made.name,
                loudness=loudness,
                ffmpeg=materials.ffmpeg.version,
                stage_seconds=production.stage_seconds,
                speech_cache={"hits": production.said.hits, "misses": production.said.misses},
                speech_check=None if production.said.recognised is None else production.said.recognised.as_json(),
                speech=speech_figures(production.said.uses),
                notes=(*production.adapted, *production.said.notes, *compiled.notes, *_of_lyrics(job, compiled)),
            )

        reports = []
        for number, (plan, made) in enumerate(tracks):
            early = None
            if preview is not None and number == 0:
                early = production.early_preview(preview, preview_s, compiled, tags, beside)
            delivered, loudness = production.deliver(plan, made, delivery, compiled, number, early)
            reports.append(reported(delivered, made, loudness))
            if number == 0:
                first, first_loudness = delivered, loudness
        further = {
            path: reported(again, path, first_loudness)
            for path, again in production.further(compiled.plan, delivery, candidate)
        }
        stems = production.stems(first.programme, candidate) if STEMS in job.deliver else None
        peaks = () if first.peaks is None else (write_peaks(first.peaks, peaks_file(candidate)),)
        lyrics = _write_lyrics(job, compiled, out) if job.lyrics and _has_words(compiled) else ()
        for made in (*(made for _, made in tracks), *further, *(stems.paths if stems else ()), *peaks):
            made.replace(out.with_name(made.name))
    if not uploads:
        progress.finish(stages.FINALIZING)
    machine.keep(progress.pace)
    return Produced(
        reports[0],
        twin=twin_file(out) if len(reports) > 1 else None,
        twin_report=reports[1] if len(reports) > 1 else None,
        lyrics=lyrics,
        further={out.with_name(path.name): report for path, report in further.items()},
        stems=None if stems is None else stems.moved(out.parent),
        peaks=peaks_file(out) if peaks else None,
        music_error=production.music_error,
        cover_error=production.cover_error,
        preview_error=production.preview_error,
    )


def _has_words(compiled: Compiled) -> bool:
    """Whether any words are known: a recording has none, and a script may be pauses only."""
    return any(span.text.strip() for span in compiled.spoken)


def _of_lyrics(job: RenderJob, compiled: Compiled) -> tuple[str, ...]:
    if not job.lyrics or _has_words(compiled):
        return ()
    why = "of a recording the words are not known" if compiled.spoken else "nothing is spoken"
    return (f"lyrics: there are none, since {why}",)


def _write_lyrics(job: RenderJob, compiled: Compiled, out: Path) -> tuple[Path, ...]:
    lrc, vtt = lyrics_files(out)
    lrc.write_text(as_lrc(compiled.spoken, SAMPLE_RATE_HZ, title=job.metadata.title), encoding="utf-8")
    vtt.write_text(as_webvtt(compiled.spoken, SAMPLE_RATE_HZ), encoding="utf-8")
    return lrc, vtt
