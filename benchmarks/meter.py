"""What the meter, the true peak, the limiter and the dither cost on one core of this machine, as times real time.

    python benchmarks/meter.py [--seconds 60] [--rounds 7]

CPU time, the median and the best of some rounds taken in turn, so that neighbours disturb all alike. A programme at
-16 LUFS is what is delivered; at -9 the limiter hardly rests. Beside them what others need for the same: pyloudnorm
for the integrated loudness, and FFmpeg's ebur128 filter (which takes the WAV apart, too) with and without true peak.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyloudnorm
import soundfile

from dsp.blocks import Block, db_to_gain, gain_to_db, spans
from dsp.dither import to_int16
from dsp.limiter import Reduction, limit
from dsp.loudness import LoudnessMeter, integrated_lufs, measure
from dsp.noise import Noise
from dsp.true_peak import REACH_FRAMES, TruePeak, frame_peaks
from worker.ffmpeg.program import find_ffmpeg

RATE = 44_100
CEILING_DBTP = -1.0
FFMPEG_PLAYS = 10  # so that its start does not count
MUSIC = Path(__file__).parent.parent / "examples" / "demo-loop.flac"


def music(frames: int) -> Block:
    """The demo's loop, over and over."""
    loop, rate = soundfile.read(MUSIC, dtype="float32", always_2d=True)
    assert rate == RATE
    return np.resize(loop, (frames, 2))


def voice(frames: int) -> Block:
    """Syllables of a buzzing voice with pauses."""
    seconds = np.arange(frames) / RATE
    syllables = np.abs(np.sin(2 * np.pi * 1.7 * seconds)) ** 4 * (np.sin(2 * np.pi * 0.11 * seconds) > -0.5)
    buzz = sum(np.sin(2 * np.pi * 150 * n * seconds + n * np.sin(6 * np.pi * seconds)) / n for n in range(1, 20))
    return np.repeat((0.2 * syllables * buzz)[:, None], 2, axis=1).astype(np.float32)


def at_lufs(samples: Block, lufs: float) -> Block:
    """The same, as loud as said."""
    return samples * np.float32(db_to_gain(lufs - integrated_lufs(measure([samples], RATE).energies)))


def in_blocks(samples: Block) -> list[Block]:
    """As the worker hands them on."""
    return [samples[first:last] for first, last in spans(0, len(samples))]


def meter_hops(samples: Block) -> None:
    """Loudness and sample peak, without the true peak."""
    measure(in_blocks(samples), RATE)


def true_peak(samples: Block) -> None:
    """Running true peak."""
    running = TruePeak()
    for block in in_blocks(samples):
        running.add(block)
    running.result()


def true_peak_everywhere(samples: Block) -> None:
    """Interpolate everything: no floor, no shortcut."""
    for first, last in spans(REACH_FRAMES, len(samples) - REACH_FRAMES):
        frame_peaks(samples[first - REACH_FRAMES : last + REACH_FRAMES], 0.0)


def meter_and_true_peak(samples: Block) -> None:
    """What the check of a delivered file does."""
    meter = LoudnessMeter(RATE, true_peak=True)
    for block in in_blocks(samples):
        meter.add(block)
    meter.result()


def limited(samples: Block, reduction: Reduction | None = None) -> Iterator[Block]:
    """Limit a programme at its own level."""
    return limit(
        lambda start, stop: samples[start:stop],
        0,
        len(samples),
        frames=len(samples),
        sample_rate=RATE,
        gain=1.0,
        ceiling_dbtp=CEILING_DBTP,
        reduction=reduction,
    )


def limiter(samples: Block) -> None:
    """Limit and throw away."""
    for _ in limited(samples):
        pass


def dither(samples: Block) -> None:
    """Quantise to 16 bits."""
    for first, last in spans(0, len(samples)):
        to_int16(samples[first:last], first, seed=1)


def by_pyloudnorm(samples: Block) -> None:
    """Integrated loudness alone."""
    pyloudnorm.Meter(RATE).integrated_loudness(samples)


def by_ffmpeg(program: Path, wav: Path, peak: str) -> None:
    """Integrated loudness, range and the asked-for peak, of the file `FFMPEG_PLAYS` times over."""
    again = ["-stream_loop", str(FFMPEG_PLAYS - 1)]
    filters = [
        "-filter_threads",
        "1",
        *again,
        "-i",
        str(wav),
        "-af",
        f"ebur128=peak={peak}:framelog=verbose",
        "-f",
        "null",
        "-",
    ]
    subprocess.run(
        [str(program), "-nostdin", "-v", "error", "-threads", "1", *filters],
        check=True,
        timeout=600,
        capture_output=True,
    )


def cpu_seconds() -> float:
    """Of this process and its children that have ended."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    frames = arguments.seconds * RATE
    bed = at_lufs(music(frames), -26) + 0.05 * Noise("pink", 1, RATE).render(0, frames)
    mix = at_lufs(at_lufs(voice(frames), -16) + bed, -16)
    dense, quiet = at_lufs(mix, -9), at_lufs(mix, -30)
    ffmpeg = find_ffmpeg()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}")
    print(f"FFmpeg {ffmpeg.version}; {arguments.seconds} s stereo at {RATE} Hz, {arguments.rounds} rounds")
    for name, programme in (("-16 LUFS", mix), ("-9 LUFS", dense)):
        measured, reduction = measure([programme], RATE, true_peak=True), Reduction()
        for _ in limited(programme, reduction):
            pass
        print(
            f"  {name}: {gain_to_db(measured.true_peak):+.2f} dBTP before the limiter, which takes "
            f"{reduction.max_db:.1f} dB at most and works on {reduction.frames / frames:.1%} of the frames"
        )
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "mix.wav"
        soundfile.write(wav, mix, RATE, subtype="FLOAT")
        pieces: dict[str, Callable[[], None]] = {
            "meter: loudness and sample peak": lambda: meter_hops(mix),
            "true peak": lambda: true_peak(mix),
            "true peak, interpolating everything": lambda: true_peak_everywhere(mix),
            "meter with true peak": lambda: meter_and_true_peak(mix),
            "limiter, nothing near the ceiling": lambda: limiter(quiet),
            "limiter, -16 LUFS": lambda: limiter(mix),
            "limiter, -9 LUFS": lambda: limiter(dense),
            "dither to 16 bits": lambda: dither(mix),
            "pyloudnorm, integrated alone": lambda: by_pyloudnorm(mix),
            "FFmpeg ebur128": lambda: by_ffmpeg(ffmpeg.path, wav, "sample"),
            "FFmpeg ebur128 with true peak": lambda: by_ffmpeg(ffmpeg.path, wav, "true"),
        }
        taken: dict[str, list[float]] = {name: [] for name in pieces}
        for _ in range(arguments.rounds):
            for name, work in pieces.items():
                before = cpu_seconds()
                work()
                plays = FFMPEG_PLAYS if name.startswith("FFmpeg") else 1
                taken[name].append((cpu_seconds() - before) / plays)
    print(f"\n{'× real time, one core':38} {'median':>8} {'best':>8} {'ns/frame':>9}")
    for name, seconds in taken.items():
        middle, best = statistics.median(seconds), min(seconds)
        times = (arguments.seconds / middle, arguments.seconds / best)
        print(f"{name:38} {times[0]:8.0f} {times[1]:8.0f} {middle / frames * 1e9:9.2f}")


if __name__ == "__main__":
    main()
