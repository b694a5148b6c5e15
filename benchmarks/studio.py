"""`python -m benchmarks.studio`: from a change of a gain or a tone to a span of an eight-hour track, by HTTP.

A real server with the page's own requests: 15 s of the track as WAV, over speech that is spoken already. Prints the
median and the worst of so many changes at minute 1, minute 30 and hour 7. The job states its seed, as the page has it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from studio_server import OpenStudio, open_studio

from benchmarks.environment import environment
from worker.config import Config
from worker.ffmpeg.program import find_ffmpeg

_EXAMPLES = Path(__file__).parents[1] / "examples"
_PLACES = {"minute 1": 60.0, "minute 30": 1800.0, "hour 7": 25_200.0}
_JOB: Mapping[str, Any] = {
    "voice": {"provider": "uploaded", "url": "recording.flac"},
    "durationMin": 480,
    "pauseSec": 20,
    "backgroundMusic": {"url": "demo-loop.flac"},
    "ducking": {"enabled": True},
}
_KINDS: Mapping[str, Mapping[str, Any]] = {"without noise": {}, "with noise": {"carrierType": "pink", "seed": 1}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studio", description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=50, help="at each place; default: 50")
    options = parser.parse_args()
    for name, value in environment(find_ffmpeg()).items():
        print(f"{name}: {value}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "studio"
        folder.mkdir()
        for file in ("demo-loop.flac", "start/recording.flac"):
            shutil.copy(_EXAMPLES / file, folder)
        with open_studio(folder, Config(cache_dir=Path(name) / "cache"), _JOB) as studio:
            studio.hear(_JOB, 0.0, 15.0).raise_for_status()  # what was spoken and decoded is kept from here on
            print("\n| job | place | median ms | worst ms | CPU ms, median |\n|---|---|---:|---:|---:|")
            for kind, more in _KINDS.items():
                for place, at_s in _PLACES.items():
                    taken = list(measured_ms(studio, {**_JOB, **more}, at_s, options.changes))
                    took_ms, cpu_ms = (sorted(each) for each in zip(*taken, strict=True))
                    figures = f"{statistics.median(took_ms):.0f} | {took_ms[-1]:.0f} | {statistics.median(cpu_ms):.0f}"
                    print(f"| {kind} | {place} | {figures} |", flush=True)


def measured_ms(
    studio: OpenStudio, base: Mapping[str, Any], at_s: float, changes: int
) -> Iterator[tuple[float, float]]:
    """How long each change takes, from the request to the last byte; and the CPU of both ends, which share a process.

    The CPU's time says what the change costs where other programs have the machine.
    """
    for number in range(changes):
        job = {
            **base,
            "gains": {"musicDb": -10 - number / 10, "voiceDb": -1 - number / 20},
            "solfeggio": {"hz": (396, 528, 741)[number % 3]},
            "binaural": {"beatHz": 4 + number / 10, "carrierHz": 200},
        }
        started, cpu = time.perf_counter(), time.process_time()
        studio.hear(job, at_s, 15.0).raise_for_status()
        yield 1000 * (time.perf_counter() - started), 1000 * (time.process_time() - cpu)


if __name__ == "__main__":
    main()
