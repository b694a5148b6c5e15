"""What it costs to decode and measure the file while it is being encoded: the same encoding with and without."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.pieces import four_layers
from dsp.loudness import LoudnessMeter
from worker.codec.encode import encode
from worker.codec.encoding import Encoding
from worker.codec.ffmpeg import Ffmpeg
from worker.codec.tags import Tags
from worker.render.cores import available_cores
from worker.render.master import Master, programme

_ROUNDS = 5


def check_cost(ffmpeg: Ffmpeg, *, seconds: int = 300) -> float:
    """Encode, in turn with and without the check; by how many per cent the median wall time is longer with it."""
    plan = four_layers(seconds * 44_100)
    master = Master(gain=1.0, ceiling_dbtp=-1.8, limiting=True, integrated_lufs=-16.0)

    def wall_s(out: Path, meter: LoudnessMeter | None) -> float:
        started = time.perf_counter()
        encode(
            lambda start, stop: programme(plan, master, start, stop),
            plan.frames,
            out,
            encoding=Encoding("mp3", 192),
            sample_rate=plan.sample_rate,
            tags=Tags(),
            ffmpeg=ffmpeg,
            threads=available_cores(),
            on_decoded=None if meter is None else meter.add,
        )
        return time.perf_counter() - started

    with tempfile.TemporaryDirectory(prefix="mindscript-bench-") as folder:
        out = Path(folder) / "track.mp3"
        walls = [
            (wall_s(out, None), wall_s(out, LoudnessMeter(plan.sample_rate, true_peak=True))) for _ in range(_ROUNDS)
        ]
    without, checked = (statistics.median(column) for column in zip(*walls, strict=True))
    return 100 * (checked / without - 1)
