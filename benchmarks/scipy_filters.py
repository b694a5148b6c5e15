"""`python -m benchmarks.scipy_filters`: our block filter beside SciPy's `sosfilt`, in pairs, and what its import costs.

SciPy's recursion runs sample by sample; ours is a matrix product a block. Printed as CPU seconds for ten minutes of
stereo at 44.1 kHz, which a ten-minute job has to filter once for each recording and twice for its loudness.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy.signal import butter, sosfilt

from dsp.blocks import BLOCK_FRAMES, spans
from dsp.high_pass import HighPass
from dsp.k_weighting import k_weighting_coefficients
from dsp.loudness import LoudnessMeter

RATE = 44_100
_SECONDS = 60
_PAIRS = 20


def main() -> None:
    """Measure and print."""
    sound = np.random.default_rng(1).standard_normal((_SECONDS * RATE, 2)).astype(np.float32) * 0.1
    for name, ours, sections in (
        ("K-weighting with its energies (the loudness meter)", _meter, k_weighting_coefficients(RATE)),
        ("high-pass at 80 Hz", _high_pass, butter(2, 80, "highpass", fs=RATE, output="sos")),
    ):
        pairs = [(_cpu_s(ours, sound), _cpu_s(_scipy(sections), sound)) for _ in range(_PAIRS)]
        scale = 600 / _SECONDS
        own_s, scipy_s = (scale * statistics.median(side) for side in zip(*pairs, strict=True))
        more_s = scale * statistics.median(theirs - own for own, theirs in pairs)
        print(f"{name}: ours {own_s:.2f} s, sosfilt {scipy_s:.2f} s, {more_s:+.2f} s in the median of {_PAIRS} pairs")
    bare, loaded = (
        statistics.median(_import_s(code) for _ in range(_PAIRS))
        for code in ("import numpy", "import numpy, scipy.signal")
    )
    print(f"import of scipy.signal: {loaded - bare:.2f} s of CPU")


def _cpu_s(run: Callable[[np.ndarray], None], sound: np.ndarray) -> float:
    began = time.process_time()
    run(sound)
    return time.process_time() - began


def _meter(sound: np.ndarray) -> None:
    meter = LoudnessMeter(RATE)
    for first, last in spans(0, len(sound), BLOCK_FRAMES):
        meter.add(sound[first:last])


def _high_pass(sound: np.ndarray) -> None:
    high_pass = HighPass(80, RATE)
    for first, last in spans(0, len(sound), BLOCK_FRAMES):
        high_pass.add(sound[first:last])


def _scipy(sections: np.ndarray) -> Callable[[np.ndarray], None]:
    def run(sound: np.ndarray) -> None:
        state = np.zeros((len(sections), 2, 2))
        for first, last in spans(0, len(sound), BLOCK_FRAMES):
            _, state = sosfilt(sections, sound[first:last], axis=0, zi=state)

    return run


def _import_s(code: str) -> float:
    measured = f"import time; began = time.process_time(); {code}; print(time.process_time() - began)"
    done = subprocess.run([sys.executable, "-c", measured], capture_output=True, text=True, check=True, timeout=60)
    return float(done.stdout)


if __name__ == "__main__":
    main()
