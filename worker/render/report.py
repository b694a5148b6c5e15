"""What was measured on the delivered file, and how the job came to it; written as JSON and kept in the row's result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dsp.blocks import BLOCK_FRAMES, gain_to_db, spans
from dsp.loudness import integrated_lufs, loudness_range_lu, measure
from dsp.plan import RenderPlan, render_layer
from worker.codec.encoding import Encoding
from worker.media.signature import mp3_encoder
from worker.plan.compile import Compiled
from worker.render.analysis import DeliveredAnalysis
from worker.render.deliver import Delivered

_LAYER_SECONDS = 20.0
_COURSE_POINTS = 60


@dataclass(frozen=True)
class LayerReport:
    """One layer of the mix.

    Attributes
    ----------
    gain_db : float
        Applied to the layer's source, reference-level correction included, master gain not.
    loudness_lufs : float or None
        Of the layer alone at the track's own gain, before the limiter; None when it is silent.
    relative_to_voice_lu : float or None
        None without a voice.
    """

    gain_db: float
    loudness_lufs: float | None
    relative_to_voice_lu: float | None


@dataclass(frozen=True)
class EncodeReport:
    """The gains of one encoding and what they led to; all but the last one missed."""

    master_gain_db: float
    ceiling_dbtp: float
    level_compensation_db: float
    integrated_lufs: float | None
    true_peak_dbtp: float | None


@dataclass(frozen=True)
class GainHistory:
    """How the level came about.

    Attributes
    ----------
    encodes : tuple of EncodeReport
    limiter_reduction_db : tuple of (float, float)
        Seconds and the limiter's largest reduction from there on, at most 60 points; empty where it never worked.
    """

    encodes: tuple[EncodeReport, ...]
    limiter_reduction_db: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Report:
    """Figures of one finished track. Loudness, range, peak, frames and what was heard are of the decoded file."""

    file: str
    format: str
    bitrate_kbps: int | None
    frames: int
    sample_rate_hz: int
    duration_s: float
    size_bytes: int
    integrated_lufs: float | None
    loudness_range_lu: float
    true_peak_dbtp: float | None
    target_lufs: float | None
    master_gain_db: float
    ceiling_dbtp: float
    limiter_max_reduction_db: float
    limiter_seconds: float
    encodes: int
    repetitions: int
    layers: Mapping[str, LayerReport]
    heard: DeliveredAnalysis | None
    gain_history: GainHistory
    encoder: str
    stage_seconds: Mapping[str, float]
    ffmpeg: str
    speech_cache: Mapping[str, int]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain types only; infinities are None already, so that any JSON reader takes it."""
        return asdict(self)


def layer_loudness(
    plan: RenderPlan, gains_db: Mapping[str, float], known_lufs: Mapping[str, float]
) -> dict[str, float]:
    """Measure each layer in the mix, in LUFS.

    Recorded layers are known from their recordings (`known_lufs`, at gain 1, speech without its pauses); tones and
    noise are steady, so 20 s from the middle of the track stand for the whole.
    """
    loudness: dict[str, float] = {}
    for layer in plan.layers:
        if layer.name in known_lufs:
            loudness[layer.name] = known_lufs[layer.name] + gains_db[layer.name]
        else:
            loudness[layer.name] = _steady_lufs(plan, layer.name)
    return loudness


def layer_reports(
    loudness: Mapping[str, float], gains_db: Mapping[str, float], master_gain_db: float
) -> dict[str, LayerReport]:
    """Say how loud each layer is in the track, from what `layer_loudness` has measured."""
    voice = loudness.get("voice", math.nan)
    return {
        name: LayerReport(
            gain_db=round(gains_db[name], 3),
            loudness_lufs=finite(lufs + master_gain_db),
            relative_to_voice_lu=finite(lufs - voice),
        )
        for name, lufs in loudness.items()
    }


def _steady_lufs(plan: RenderPlan, name: str) -> float:
    layer = next(layer for layer in plan.layers if layer.name == name)
    length = min(plan.frames, round(_LAYER_SECONDS * plan.sample_rate))
    start = (plan.frames - length) // 2
    blocks = (render_layer(layer, first, last) for first, last in spans(start, start + length, BLOCK_FRAMES))
    heard = measure((block for block in blocks if block is not None), plan.sample_rate)
    return integrated_lufs(heard.energies)


def finite(value: float, digits: int = 2) -> float | None:
    """Round a figure for people; None where there is none."""
    return round(value, digits) if math.isfinite(value) else None


def make_report(
    file: Path,
    *,
    name: str,
    compiled: Compiled,
    plan: RenderPlan,
    delivered: Delivered,
    encoding: Encoding,
    target_lufs: float | None,
    layers: Mapping[str, LayerReport],
    stage_seconds: Mapping[str, float],
    ffmpeg: str,
    speech_cache: Mapping[str, int],
    notes: tuple[str, ...],
) -> Report:
    """Gather the figures."""
    heard = delivered.measurement
    return Report(
        file=name,
        format=encoding.format,
        bitrate_kbps=encoding.bitrate_kbps,
        frames=heard.frames,
        sample_rate_hz=plan.sample_rate,
        duration_s=round(heard.frames / plan.sample_rate, 6),
        size_bytes=file.stat().st_size,
        integrated_lufs=finite(delivered.integrated_lufs, 3),
        loudness_range_lu=round(loudness_range_lu(heard.energies), 2),
        true_peak_dbtp=finite(gain_to_db(heard.true_peak), 3),
        target_lufs=target_lufs,
        master_gain_db=round(delivered.master.gain_db, 3),
        ceiling_dbtp=round(delivered.master.ceiling_dbtp, 3),
        limiter_max_reduction_db=round(delivered.reduction.max_db, 3),
        limiter_seconds=round(delivered.reduction.frames / plan.sample_rate, 3),
        encodes=delivered.encodes,
        repetitions=compiled.repetitions,
        layers=layers,
        heard=None if delivered.analyzer is None else delivered.analyzer.heard(),
        gain_history=_gain_history(delivered, plan),
        encoder=_encoder(file, encoding.format, ffmpeg),
        stage_seconds=stage_seconds,
        ffmpeg=ffmpeg,
        speech_cache=speech_cache,
        notes=notes,
    )


def _gain_history(delivered: Delivered, plan: RenderPlan) -> GainHistory:
    seconds = plan.frames / plan.sample_rate
    point_s = max(seconds / _COURSE_POINTS, BLOCK_FRAMES / plan.sample_rate)
    most: dict[int, float] = {}
    for frame, reduction_db in delivered.reduction.course:
        point = min(int(frame / plan.sample_rate / point_s), _COURSE_POINTS - 1)
        most[point] = max(most.get(point, 0.0), reduction_db)
    return GainHistory(
        encodes=tuple(
            EncodeReport(
                round(made.master_gain_db, 3),
                round(made.ceiling_dbtp, 3),
                round(made.level_db, 3) + 0.0,  # never -0
                finite(made.integrated_lufs, 3),
                finite(made.true_peak_dbtp, 3),
            )
            for made in delivered.tries
        ),
        limiter_reduction_db=tuple((round(point * point_s, 1), round(most[point], 2)) for point in sorted(most)),
    )


def _encoder(file: Path, format_: str, ffmpeg: str) -> str:
    """Name what made the sound's coding: LAME signs its files, the others are FFmpeg's own."""
    if format_ == "wav":
        return "PCM"
    if format_ != "mp3":
        return f"FFmpeg {ffmpeg} {'flac' if format_ == 'flac' else 'aac'}"
    return mp3_encoder(file) or "LAME"
