"""What it costs to decode and measure the file while it is being encoded: the same encoding with and without."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cost import cost_of
from benchmarks.dsp_parts import four_layers
from benchmarks.material import prepare
from dsp.loudness import LoudnessMeter
from worker.codec.encode import encode
from worker.codec.encoding import Encoding
from worker.codec.segments import Track
from worker.codec.tags import Tags
from worker.cores import available_cores
from worker.ffmpeg.program import Ffmpeg
from worker.render.programme import Programme

_MINUTES = 10
_ROUNDS = 5


@dataclass(frozen=True)
class CheckCost:
    """Median wall times of the same ten minutes, in s."""

    encoding_s: float
    checked_encoding_s: float
    job_s: float

    @property
    def of_encoding_percent(self) -> float:
        """By how much the check makes the encoding longer."""
        return 100 * (self.checked_encoding_s / self.encoding_s - 1)

    @property
    def of_job_percent(self) -> float:
        """By how much it makes the whole job longer, of which the encoding is the last part."""
        added_s = self.checked_encoding_s - self.encoding_s
        return 100 * added_s / (self.job_s - added_s)


def check_cost(ffmpeg: Ffmpeg) -> CheckCost:
    """In turn: encode without the check and with it, and run the whole job, which has it."""
    with tempfile.TemporaryDirectory(prefix="mindscript-bench-") as name:
        folder = Path(name)
        prepare(folder, _MINUTES, ffmpeg)
        rounds = [
            (
                _encoding_s(folder, ffmpeg, checked=False),
                _encoding_s(folder, ffmpeg, checked=True),
                cost_of("whole", folder, folder / "whole.mp3", watch_memory=False).wall_s,
            )
            for _ in range(_ROUNDS)
        ]
    return CheckCost(*(statistics.median(column) for column in zip(*rounds, strict=True)))


def _encoding_s(folder: Path, ffmpeg: Ffmpeg, *, checked: bool) -> float:
    """Wall time of what the job does once its level is known."""
    plan = four_layers(_MINUTES * 60 * 44_100)
    programme = Programme(plan, 1.0, -1.8, limiting=True)
    meter = LoudnessMeter(plan.sample_rate, true_peak=True)
    on_decoded = meter.add if checked else None
    started = time.perf_counter()
    track = Track(
        programme.blocks, plan.frames, plan.sample_rate, Tags(), ffmpeg, available_cores(), on_decoded=on_decoded
    )
    encode(track, folder / "encoded.mp3", Encoding("mp3", 192))
    return time.perf_counter() - started
