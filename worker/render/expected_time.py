"""How long the parts of a job are expected to take, before anything is known of the machine.

Only the proportions of the machine's own work count, since `JobProgress` corrects them by how long the first parts
really take. `python -m benchmarks.progress` shows how near the truth they are.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Final

from dsp.plan import RenderPlan
from worker.codec.encoding import Encoding
from worker.config import Config
from worker.payload.layers import LayerFields, NoiseLayer, Sounding
from worker.payload.parse import pauses_s
from worker.payload.schema import STEMS, RenderJob
from worker.plan.layer_jobs import speech_jobs
from worker.render.progress import JobProgress
from worker.voices import PROVIDERS

_CORES: Final = 2  # that these figures were measured on
_MEASURE_S: Final = 0.0012  # of a second of track, its layers left out
_LAYER_S: Final = 0.0003  # of a second of a layer, steady or moving
_NOISE_S: Final = 0.0022  # of a second of coloured noise
_ENCODE_S: Final = {"mp3": 0.0065, "m4a": 0.016, "aac": 0.016, "flac": 0.0062, "wav": 0.0032}  # with four layers
_DECODED_SHARE: Final = {"mp3": 0.3, "m4a": 0.5, "aac": 0.5, "flac": 0.66, "wav": 1.0}  # of the time of an encoding
_FETCH_S: Final = 0.5
_LOCAL_VOICE_S: Final = 0.6  # until it is loaded
_LOCAL_CHARACTER_S: Final = 0.008
_SERVICE_PIECE_S: Final = 1.5
_PIECE_CHARACTERS: Final = 60
_CHARACTERS_A_SECOND: Final = 12.0  # of speech, where the track is as long as that
_RECORDING_S: Final = 0.01  # of a second of track
_UPLOAD_S: Final = 0.5  # beside what its bytes take
_UPLOAD_BYTES_PER_S: Final = 20_000_000
_LOSSLESS_BYTES_PER_S: Final = {"wav": 176_400, "flac": 130_000}


def decoded_share(encoding: Encoding) -> float:
    """The part of an encoding's time that the decoding of the result takes."""
    return _DECODED_SHARE[encoding.format]


@dataclass(frozen=True)
class ExpectedTime:
    """What the parts of one job are expected to take: ``fetch``, ``speak``, ``prepare``, ``measure 0``, ….

    The tracks of a job have their number in the names of their parts.
    """

    job: RenderJob
    config: Config
    encoding: Encoding
    _: KW_ONLY
    threads: int

    def foretell(self, progress: JobProgress, *, recorded: bool, uploads: bool) -> None:
        """Expect all parts, for so long as the payload says; `recorded`: a file is taken in place of the voice."""
        job = self.job
        seconds = self._track_s()
        voices = [each for each in speech_jobs(job) if not (recorded and each is job)]
        is_local = all(not PROVIDERS[each.voice.provider].key_variable for each in voices)
        speech_s = sum(self._speech_s(each, seconds) for each in voices) + _RECORDING_S * seconds * recorded
        fetched = sum(layer.kind in ("music", "recording") for layer in job.every_layer())
        progress.expect("fetch", _FETCH_S * fetched, by_machine=False)
        progress.expect("speak", speech_s, by_machine=is_local)
        progress.expect("prepare", 0.0)
        layers_s = sum(_layer_s(layer) * _sounds_s(layer, seconds) for layer in job.every_layer())
        self._expect_tracks(progress, len(job.listenings), seconds, layers_s)
        progress.expect("preview", 0.0)  # made beside the encoding
        self._expect_further(progress, seconds, layers_s, len(job.layers))
        if uploads:
            bytes_per_s = _LOSSLESS_BYTES_PER_S.get(self.encoding.format) or self.encoding.kbps * 125
            progress.expect("upload", _UPLOAD_S + seconds * bytes_per_s / _UPLOAD_BYTES_PER_S, by_machine=False)

    def correct(self, progress: JobProgress, plan: RenderPlan, *, tracks: int) -> None:
        """Expect what is left for so long as the plan says."""
        costs = {layer.name: _layer_s(layer) for layer in self.job.every_layer()}
        layers_s = sum(
            costs.get(layer.name, _LAYER_S) * (stop - start) / plan.sample_rate
            for layer in plan.layers
            for start, stop, _ in layer.spans(plan.frames)
        )
        seconds = plan.frames / plan.sample_rate
        self._expect_tracks(progress, tracks, seconds, layers_s)
        self._expect_further(progress, seconds, layers_s, len(plan.layers))

    def shorten(self, progress: JobProgress, seconds: float) -> None:
        """Expect that so much of one track is encoded, and nothing of others."""
        for number in range(len(self.job.listenings)):
            part_s = seconds if number == 0 else 0.0
            progress.expect(f"encode {number}", _ENCODE_S[self.encoding.format] * part_s * _CORES / self.threads)
            if number:
                progress.expect(f"measure {number}", 0.0)

    def _expect_tracks(self, progress: JobProgress, tracks: int, seconds: float, layers_s: float) -> None:
        """Expect so many of the job's tracks; `layers_s` is what their layers take, on two cores."""
        for number in range(len(self.job.listenings)):
            is_made = number < tracks
            measured_s = (_MEASURE_S * seconds + layers_s) * _CORES / self.threads
            progress.expect(f"measure {number}", measured_s * is_made)
            progress.expect(f"encode {number}", self._encoded_s(self.encoding.format, seconds, layers_s) * is_made)

    def _expect_further(self, progress: JobProgress, seconds: float, layers_s: float, layers: int) -> None:
        """Expect the first track in further formats, and its stems."""
        for format_ in self.job.further_formats:
            progress.expect(f"encode {format_}", self._encoded_s(format_, seconds, layers_s))
        if STEMS in self.job.deliver:
            progress.expect("stems", layers * self._encoded_s("flac", seconds, layers_s / max(layers, 1)))

    def _encoded_s(self, format_: str, seconds: float, layers_s: float) -> float:
        """How long it takes to render and encode the track once."""
        return max(0.0, (_ENCODE_S[format_] - 4 * _LAYER_S) * seconds + layers_s) * _CORES / self.threads

    def _track_s(self) -> float:
        job = self.job
        if job.duration_min is not None:
            return job.duration_min * 60
        return pauses_s(job) + len(job.script) / _CHARACTERS_A_SECOND / job.voice.speed

    def _speech_s(self, job: RenderJob, track_s: float) -> float:
        """How long the voice of a job takes, of which this is one."""
        if job.voice.provider == "uploaded":
            return _RECORDING_S * track_s
        if not PROVIDERS[job.voice.provider].key_variable:
            return _LOCAL_VOICE_S + _LOCAL_CHARACTER_S * len(job.script)
        pieces = 1 + len(job.script) // _PIECE_CHARACTERS
        return _SERVICE_PIECE_S * -(-pieces // self.config.speech_parallel)


def _layer_s(layer: LayerFields) -> float:
    """What a second of a layer takes, on two cores."""
    return _NOISE_S if isinstance(layer, NoiseLayer) and layer.colour != "white" else _LAYER_S


def _sounds_s(layer: LayerFields, track_s: float) -> float:
    """For how long a layer sounds in a track, as far as the payload says."""
    end_s = track_s if layer.end_s is None else min(layer.end_s, track_s)
    if isinstance(layer, Sounding) and layer.when:
        spans = ((span.start_s, end_s if span.end_s is None else min(span.end_s, end_s)) for span in layer.when)
        return sum(max(0.0, stop_s - start_s) for start_s, stop_s in spans)
    return max(0.0, end_s - layer.start_s)
