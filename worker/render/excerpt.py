"""An excerpt: a span of a track, made alone as it sounds in the whole track, at the whole track's gain."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dsp.blocks import Block, finite, gain_to_db
from dsp.limiter import Reduction
from dsp.loudness import LoudnessMeter, Measurement, integrated_lufs
from dsp.plan import RenderPlan
from worker.codec.encode import encode
from worker.codec.encoding import Encoding
from worker.codec.segments import Track
from worker.errors import JobError
from worker.formats import FORMATS
from worker.payload.schema import SAMPLE_RATE_HZ, RenderJob
from worker.plan.compile import compile_plan
from worker.render import stages
from worker.render.analysis import DeliveredAnalysis
from worker.render.deliver import Delivered, Delivery, EncodeReport, encode_report, first_programme, settle
from worker.render.expected_time import ExpectedTime
from worker.render.machine_pace import MachinePace
from worker.render.materials import Materials
from worker.render.production import Production, make_tags
from worker.render.programme import Programme, measure
from worker.render.progress import JobProgress, OnProgress

_SHORTEST_S = 0.1
_NOT_ANALYSED = DeliveredAnalysis(0.0, 0.0, {}, None, None, {})


@dataclass(frozen=True)
class ExcerptReport:
    """Figures of an excerpt. Frames, loudness and peak are of the excerpt, decoded; gains are the whole track's."""

    file: str
    excerpt: dict[str, float]
    format: str
    bitrate_kbps: int | None
    frames: int
    sample_rate_hz: int
    duration_s: float
    track_duration_s: float
    size_bytes: int
    integrated_lufs: float | None
    true_peak_dbtp: float | None
    target_lufs: float | None
    master_gain_db: float
    ceiling_dbtp: float
    limiter_max_reduction_db: float
    stage_seconds: dict[str, float]
    ffmpeg: str
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return asdict(self)


@dataclass(frozen=True)
class Excerpt:
    """Which span of a track: from where on, and for how long; None goes on to the end."""

    from_s: float
    seconds: float | None

    def frames_of(self, track_frames: int, sample_rate: int) -> tuple[int, int]:
        """First and last frame in a track; what goes beyond its end is cut off there.

        Raises
        ------
        JobError
            If it begins where the track has ended.
        """
        start = round(self.from_s * sample_rate)
        if start > track_frames - round(_SHORTEST_S * sample_rate):
            raise JobError(
                f"--from: found {self.from_s:g} s, allowed is what the track has: it is "
                f"{track_frames / sample_rate:.1f} s long",
                code="job.excerpt",
            )
        if self.seconds is None:
            return start, track_frames
        return start, min(track_frames, start + max(1, round(self.seconds * sample_rate)))


def produce_excerpt(
    job: RenderJob,
    out: Path,
    excerpt: Excerpt,
    *,
    materials: Materials,
    encoding: Encoding,
    on_progress: OnProgress | None = None,
) -> ExcerptReport:
    """Make an excerpt of a job's track: the whole is measured, and only the span is encoded.

    Before the encoder its samples are those of the whole track. Of a lossless track so is the file; what a codec takes
    from the loudness of the whole, and what is given back for it, is known only once the whole is encoded.

    Parameters
    ----------
    out : Path
        Appears when it is whole.
    """
    machine = MachinePace(materials.config.cache_dir / "machine")
    with (
        tempfile.TemporaryDirectory(prefix="mindscript-") as inputs,
        (progress := JobProgress(on_progress or (lambda stage, fraction: None), pace=machine.read())).ticking(),
    ):
        production = Production(job, materials, Path(inputs), progress)
        if job.duration_min is not None:  # before anything is spoken
            excerpt.frames_of(round(job.duration_min * 60 * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
        expected = ExpectedTime(job, materials.config, encoding, threads=materials.threads)
        expected.foretell(progress, recorded=materials.voice_file is not None, uploads=False)
        expected.shorten(progress, excerpt.seconds or 0.0)
        media, cover = production.prepare()
        compiled = compile_plan(production.job, media)
        plan = compiled.plan
        start, stop = excerpt.frames_of(plan.frames, plan.sample_rate)
        expected.correct(progress, plan, tracks=1)
        expected.shorten(progress, (stop - start) / plan.sample_rate)
        tags = replace(make_tags(production.job, compiled, cover), chapters=())
        delivery = production.delivery(compiled, encoding, tags)
        mix = production.measure(plan)
        with production.timed("measure"):
            programme = whole_programme(plan, mix, delivery, threads=materials.threads)
        reduction = Reduction()
        progress.at("encode 0", stages.MIXING, 0.0)
        with production.timed("deliver"):
            measurement = _encode_span(programme, start, stop, out, delivery, materials, reduction)
    progress.finish(stages.FINALIZING)
    return ExcerptReport(
        file=out.name,
        excerpt={"from_s": round(start / plan.sample_rate, 6), "to_s": round(stop / plan.sample_rate, 6)},
        format=encoding.format,
        bitrate_kbps=encoding.bitrate_kbps,
        frames=measurement.frames,
        sample_rate_hz=plan.sample_rate,
        duration_s=round(measurement.frames / plan.sample_rate, 6),
        track_duration_s=round(plan.frames / plan.sample_rate, 6),
        size_bytes=out.stat().st_size,
        integrated_lufs=finite(integrated_lufs(measurement.energies), 3),
        true_peak_dbtp=finite(gain_to_db(measurement.true_peak), 3),
        target_lufs=delivery.target_lufs,
        master_gain_db=round(programme.gain_db, 3),
        ceiling_dbtp=round(programme.ceiling_dbtp, 3),
        limiter_max_reduction_db=round(reduction.max_db, 3),
        stage_seconds=production.stage_seconds,
        ffmpeg=materials.ffmpeg.version,
        notes=(*production.adapted, *production.said.notes, *compiled.notes),
    )


def _encode_span(
    programme: Programme,
    start: int,
    stop: int,
    out: Path,
    delivery: Delivery,
    materials: Materials,
    reduction: Reduction,
) -> Measurement:
    """Encode frames `[start, stop)` of a programme, and measure them decoded."""
    sample_rate = programme.plan.sample_rate
    meter = LoudnessMeter(sample_rate, true_peak=True)

    def pcm(first: int, last: int) -> Iterator[Block]:
        return programme.blocks(start + first, start + last, reduction=reduction)

    track = Track(
        pcm,
        stop - start,
        sample_rate,
        delivery.tags,
        materials.ffmpeg,
        materials.threads,
        on_decoded=meter.add,
        first_frame=start,
    )
    encode(track, out, delivery.encoding)
    return meter.result()


def whole_programme(plan: RenderPlan, mix: Measurement, delivery: Delivery, *, threads: int) -> Programme:
    """Find the programme of the whole track, without encoding it.

    Of a lossless track it is what the file holds in the end. Of others it is what is encoded first, and mostly last:
    what a codec takes from the loudness is known only once it is encoded.
    """
    first = first_programme(plan, mix, delivery, threads=threads)
    if not first.limiting or FORMATS[delivery.encoding.format].lossy:
        return first

    def measured(programme: Programme, before: tuple[EncodeReport, ...]) -> Delivered:
        reduction = Reduction()
        found = measure(programme, threads=threads, true_peak=True, reduction=reduction)
        encodes = (*before, encode_report(programme, found))
        return Delivered(delivery, programme, found, reduction, _NOT_ANALYSED, encodes)

    return settle(first.plan, mix, delivery, measured, threads=threads).programme
