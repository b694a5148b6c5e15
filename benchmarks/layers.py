"""What further layers cost: the DSP of ten beside that of four, and the memory of sixteen of every kind.

    python -m benchmarks.layers --minutes 10

DSP is both passes on one core, as CPU time: the mix measured, then rendered again and limited. Four and ten have tones
and noises in one proportion, 3 to 2; the smallest of some turns counts. Memory is the peak (PSS) of a process tree that
renders sixteen layers to an MP3.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile

from dsp.noise import Noise
from dsp.plan import RenderPlan
from worker.payload.parse import parse_job
from worker.plan.compile import compile_plan
from worker.plan.recordings import Media
from worker.render.programme import Programme, measure

_ROOT = Path(__file__).parent.parent
_RATE = 44_100
_LOOK_S = 0.1
_TURNS = 3
MOST_RATIO = 1.6
MOST_MB = 300


def tones_and_noises(count: int) -> Iterator[dict[str, Any]]:
    """So many layers: of five, three are tones and two noises."""
    for number in range(count):
        if number % 5 in (1, 3):
            yield {"kind": "noise", "colour": ("pink", "brown", "white")[number % 3], "gainDb": -36}
        else:
            yield {"kind": "tone", "hz": 111.5 + 97 * number, "gainDb": -30, "pan": (number % 3 - 1) / 2}


def of_every_kind() -> Iterator[dict[str, Any]]:
    """Sixteen layers: voices, music that loops, recordings, tones, beats and noises, some of them moving."""
    moving = [{"atMin": 0, "pan": -1}, {"atMin": 3, "pan": 1}, {"atMin": 6, "pan": -1}]
    for number in range(3):
        voice = {"provider": "uploaded", "url": f"voice{number}.flac"}
        yield {"kind": "speech", "name": f"voice {number}", "voice": voice, "startSec": 3 + 7 * number, "pauseSec": 9}
        beside = {"gainDb": -16, "duckedBy": ["voice 0"], "pan": moving}
        yield {"kind": "music", "name": f"bed {number}", "url": f"music{number}.flac", **beside}
        yield {"kind": "noise", "gainDb": -40, "width": 1.5, "colour": ("pink", "brown", "white")[number]}
        yield {"kind": "tone", "hz": 220.5 + 211 * number, "gainDb": -32, "fadeInMs": 60_000}
        yield {"kind": "binaural", "carrierHz": 150 + 90 * number, "beatHz": 4 + number, "gainDb": -34}
    yield {"kind": "recording", "url": "music0.flac", "startSec": 10, "loop": True, "gainDb": -20}


def plan_of(layers: Iterator[dict[str, Any]], minutes: float) -> RenderPlan:
    """A plan of layers that need no recording."""
    job = parse_job({"durationMin": minutes, "seed": 1, "layers": list(layers)})
    return compile_plan(job, Media()).plan


def dsp_s(plan: RenderPlan) -> float:
    """CPU seconds of both passes on one core."""
    started = time.process_time()
    measure(Programme(plan), threads=1)
    for _ in Programme(plan, gain=2.0, ceiling_dbtp=-1.0, limiting=True).blocks(0, plan.frames):
        pass
    return time.process_time() - started


def peak_mb(minutes: float) -> float:
    """The most memory of a process tree that renders sixteen layers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(3):
            noise = Noise("pink", number + 1, _RATE)
            time_s = np.arange(4 * _RATE) / _RATE
            words = 0.3 * np.sin(2 * np.pi * (200 + 40 * number) * time_s) * (np.sin(2 * np.pi * time_s) > 0)
            soundfile.write(folder / f"voice{number}.flac", np.stack([words, words], axis=1), _RATE)
            soundfile.write(folder / f"music{number}.flac", 0.3 * noise.render(0, 60 * _RATE), _RATE)
        job = {"durationMin": minutes, "layers": list(of_every_kind())}
        (folder / "job.json").write_text(json.dumps(job))
        command = [sys.executable, "-m", "worker", "render", str(folder / "job.json"), "-o", str(folder / "track.mp3")]
        environment = {**os.environ, "CACHE_DIR": str(folder / "cache"), "STORAGE_DIR": name, "PYTHONPATH": str(_ROOT)}
        made = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        most = 0.0
        while made.poll() is None:
            most = max(most, _pss_mb(made.pid))
            time.sleep(_LOOK_S)
        if made.returncode:
            raise SystemExit(f"the job of sixteen layers ended with {made.returncode}")
        return most


def _pss_mb(pid: int) -> float:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.Error:  # one of them has just ended
        pass
    return total / 1e6


def main() -> int:
    """Measure, print; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    plans = {count: plan_of(tones_and_noises(count), minutes) for count in (4, 10)}
    seconds = {count: min(dsp_s(plan) for _ in range(_TURNS)) for count, plan in plans.items()}
    ratio, memory_mb = seconds[10] / seconds[4], peak_mb(minutes)
    for count, each_s in seconds.items():
        print(f"{count:2} tones and noises: {each_s:.2f} s of DSP, {minutes * 60 / each_s:.0f} × real time")
    print(f"ten ÷ four: {ratio:.2f} (at most {MOST_RATIO})")
    print(f"sixteen layers of every kind: {memory_mb:.0f} MB (at most {MOST_MB})")
    return int(ratio > MOST_RATIO or memory_mb > MOST_MB)


if __name__ == "__main__":
    sys.exit(main())
