"""The report of a finished track, as JSON: `render --report` writes it, and the job's row keeps it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dsp.blocks import BLOCK_FRAMES, finite, spans
from dsp.envelope import Constant
from dsp.loudness import integrated_lufs, loudness_range_lu, measure
from dsp.plan import RenderPlan, render_layer
from worker.formats import FORMATS
from worker.media.sniff import mp3_encoder
from worker.payload.short_form import VOICE
from worker.plan.compile import Compiled
from worker.plan.promised import promised_of
from worker.plan.sounding import sounding_spans
from worker.render.analysis import DeliveredAnalysis
from worker.render.deliver import Delivered

_LAYER_SECONDS = 20.0
_HISTORY_POINTS = 60
_LOUDER_LU = 0.1
_NAMES = {"solfeggio": "Solfeggio tone", "binaural": "binaural beat"}


@dataclass(frozen=True)
class Report:
    """Figures of one finished track. Loudness, range, peak, frames and `heard` are of the decoded file.

    Attributes
    ----------
    layers : mapping of layer name to mapping
        ``gain_db``: applied to the layer's source, reference-level correction included, master gain not;
        ``loudness_lufs``: of the layer alone at the track's own gain, before the limiter, None when it is silent;
        ``relative_to_voice_lu``: to the first voice; None without one; ``sounds``: of
        `worker.plan.sounding.sounding_spans`.
    gain_history : mapping
        ``encodes``: the gains of each encoding and what they led to; ``limiter_reduction_db``: seconds and the largest
        reduction from there on, at most 60 points, empty where the limiter never worked.
    speech : mapping, optional
        Of `worker.vendors.speech_figures`.
    promised : mapping
        Tones and beats that should be in the file: `worker.plan.promised.Promised.as_json`.
    """

    file: str
    format: str
    bitrate_kbps: int | None
    frames: int
    sample_rate_hz: int
    duration_s: float
    size_bytes: int
    integrated_lufs: float | None
    speech_lufs: float | None
    loudness_range_lu: float
    true_peak_dbtp: float | None
    target_lufs: float | None
    master_gain_db: float
    ceiling_dbtp: float
    limiter_max_reduction_db: float
    limiter_seconds: float
    limiter_noticed_seconds: float
    encodes: int
    repetitions: int
    layers: Mapping[str, Mapping[str, Any]]
    heard: DeliveredAnalysis
    gain_history: Mapping[str, Sequence[Any]]
    encoder: str
    stage_seconds: Mapping[str, float]
    ffmpeg: str
    speech_cache: Mapping[str, int]
    notes: tuple[str, ...] = ()
    speech_check: Mapping[str, object] | None = None
    speech: Mapping[str, Any] | None = None
    promised: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain types only; infinities are None already, so that any JSON reader takes it."""
        return asdict(self)


def layer_loudness(
    plan: RenderPlan, gains_db: Mapping[str, float], recorded_lufs: Mapping[str, float]
) -> dict[str, float]:
    """Measure each layer in the mix, in LUFS.

    Recorded layers are known from their recordings (at gain 1; speech without its pauses, of looped music the loop);
    tones and noise are steady, so 20 s from the middle of each represent the whole; of several spans, of the longest.
    """
    loudness: dict[str, float] = {}
    for layer in plan.layers:
        if layer.name in recorded_lufs:
            loudness[layer.name] = recorded_lufs[layer.name] + gains_db[layer.name]
        else:
            first, last, _ = max(layer.spans(plan.frames), key=lambda span: span[1] - span[0])
            length = min(last - first, round(_LAYER_SECONDS * plan.sample_rate))
            start = first + (last - first - length) // 2
            blocks = (render_layer(layer, *span) for span in spans(start, start + length))
            measured = measure((block for block in blocks if block is not None), plan.sample_rate)
            loudness[layer.name] = integrated_lufs(measured.energies)
    return loudness


def make_report(
    file: Path,
    delivered: Delivered,
    compiled: Compiled,
    *,
    name: str,
    loudness: Mapping[str, float],
    ffmpeg: str,
    stage_seconds: Mapping[str, float],
    speech_cache: Mapping[str, int],
    notes: tuple[str, ...],
    speech_check: Mapping[str, object] | None = None,
    speech: Mapping[str, Any] | None = None,
) -> Report:
    """Gather the figures of a finished file; `loudness` as of `layer_loudness`, `name` as the customer sees it."""
    measured, encoding, programme = delivered.measurement, delivered.delivery.encoding, delivered.programme
    sample_rate = programme.plan.sample_rate
    voice_lufs = next((loudness[name] for name in compiled.voices if name in loudness), math.nan)
    layers = {
        layer.name: {
            "gain_db": round(compiled.layer_gains_db[layer.name], 3),
            "loudness_lufs": finite(loudness[layer.name] + programme.gain_db),
            "relative_to_voice_lu": finite(loudness[layer.name] - voice_lufs),
            "sounds": sounding_spans(programme.plan, layer),
        }
        for layer in programme.plan.layers
        if layer.name in loudness
    }
    return Report(
        file=name,
        format=encoding.format,
        bitrate_kbps=encoding.bitrate_kbps,
        frames=measured.frames,
        sample_rate_hz=sample_rate,
        duration_s=round(measured.frames / sample_rate, 6),
        size_bytes=file.stat().st_size,
        integrated_lufs=finite(delivered.integrated_lufs, 3),
        speech_lufs=None if delivered.delivery.loudness is integrated_lufs else finite(delivered.lufs, 3),
        loudness_range_lu=round(loudness_range_lu(measured.energies), 2),
        true_peak_dbtp=finite(delivered.true_peak_dbtp, 3),
        target_lufs=delivered.delivery.target_lufs,
        master_gain_db=round(programme.gain_db, 3),
        ceiling_dbtp=round(programme.ceiling_dbtp, 3),
        limiter_max_reduction_db=round(delivered.reduction.max_db, 3),
        limiter_seconds=round(delivered.reduction.frames / sample_rate, 3),
        limiter_noticed_seconds=round(delivered.reduction.noticed_frames / sample_rate, 3),
        encodes=len(delivered.encodes),
        repetitions=compiled.repetitions,
        layers=layers,
        heard=delivered.analysis,
        gain_history={"encodes": delivered.encodes, "limiter_reduction_db": _reduction_history(delivered)},
        encoder=_encoder(file, encoding.format, ffmpeg),
        stage_seconds=stage_seconds,
        ffmpeg=ffmpeg,
        speech_cache=speech_cache,
        notes=(*notes, *delivered.notes, *_louder_than_voice(compiled, layers)),
        speech_check=speech_check,
        speech=speech,
        promised=promised_of(programme.plan, programme.gain_db).as_json(),
    )


def _louder_than_voice(compiled: Compiled, layers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Note each layer that is set louder than the voice; where the gain of either moves, no one figure says that."""
    steady = {layer.name for layer in compiled.plan.layers if isinstance(layer.gain, Constant)}
    voice = next(iter(compiled.voices), VOICE)
    for layer in compiled.plan.layers:
        louder_lu = layers.get(layer.name, {}).get("relative_to_voice_lu")
        if louder_lu is not None and louder_lu >= _LOUDER_LU and {layer.name, voice} <= steady:
            name = _NAMES.get(layer.name, layer.name)
            than = "the voice" if voice == VOICE else voice
            yield f"balance: the {name} is {louder_lu:.1f} LU louder than {than}, as its gain asks"


def _reduction_history(delivered: Delivered) -> tuple[tuple[float, float], ...]:
    plan = delivered.programme.plan
    seconds = plan.frames / plan.sample_rate
    point_s = max(seconds / _HISTORY_POINTS, BLOCK_FRAMES / plan.sample_rate)
    most: dict[int, float] = {}
    for frame, reduction_db in delivered.reduction.history:
        point = min(int(frame / plan.sample_rate / point_s), _HISTORY_POINTS - 1)
        most[point] = max(most.get(point, 0.0), reduction_db)
    return tuple((round(point * point_s, 1), round(most[point], 2)) for point in sorted(most))


def _encoder(file: Path, format_: str, ffmpeg: str) -> str:
    """Name the encoder with its version; LAME signs its files."""
    match FORMATS[format_].encoder:
        case "libsndfile":
            import soundfile

            return f"libsndfile {soundfile.__libsndfile_version__}"
        case "LAME":
            return mp3_encoder(file) or "LAME"
        case "FFmpeg aac":
            return f"FFmpeg {ffmpeg} aac"
        case name:
            return name
