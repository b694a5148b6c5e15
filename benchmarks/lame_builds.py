"""Builds of LAME beside each other: the CPU that they take, and the coding noise that they leave.

    python -m benchmarks.lame_builds --ffmpeg PROGRAM [--rounds 5] FOLDER FOLDER ...

Each folder has a `libmp3lame.so.0`; PROGRAM is an FFmpeg that is linked to that library. All encode the same samples in
turn, and each is compared with the first. The noise is that of `benchmarks.sound.coding`.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.sound.coding import Parts, figures, parts_of, told
from benchmarks.sound.masking import noise_to_mask_db, window_of
from benchmarks.sound.room import RATE, Room
from dsp.blocks import Block
from worker.codec.encoding import Encoding
from worker.codec.mp3 import DECODER_DELAY, ENCODER_DELAY

_BITRATES_KBPS = (128, 192, 320)
_LIMIT_S = 600


def main() -> None:
    """Print seconds of CPU and coding noise of each build."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lame_builds", description=__doc__)
    parser.add_argument("--ffmpeg", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("folders", nargs="+", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mindscript-bench-") as folder:
        parts = parts_of(Room.at(Path(folder)))
    sound = np.concatenate(list(parts.values()))
    for kbps in _BITRATES_KBPS:
        print(f"{kbps} kbit/s, {len(sound) / RATE / 60:.1f} min")
        took: dict[Path, list[float]] = {}
        made: dict[Path, bytes] = {}
        for _ in range(options.rounds):
            for build in options.folders:
                made[build], cpu_s = encoded(sound, options.ffmpeg, build, kbps)
                took.setdefault(build, []).append(cpu_s)
        first = took[options.folders[0]]
        for build, data in made.items():
            ratio = statistics.median(own / other for own, other in zip(took[build], first, strict=True))
            print(f"  {build}: {statistics.median(took[build]):.2f} s of CPU, {ratio:.3f} of the first's")
            for line in noise_lines(sound, parts, data, kbps):
                print(f"    {line}")


def encoded(sound: Block, ffmpeg: str, build: Path, kbps: int) -> tuple[bytes, float]:
    """Encode with one build; returns the MP3 and the seconds of CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [
            *(ffmpeg, "-v", "error", "-f", "wav", "-i", "pipe:0", "-c:a", "libmp3lame", "-b:a", f"{kbps}k"),
            *("-write_xing", "0", "-id3v2_version", "0", "-f", "mp3", "pipe:1"),
        ],
        input=_wav(sound),
        env={**os.environ, "LD_LIBRARY_PATH": str(build)},
        capture_output=True,
        check=True,
        timeout=_LIMIT_S,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def noise_lines(sound: Block, parts: Parts, data: bytes, kbps: int) -> list[str]:
    """Coding noise against masking, a line for each part."""
    decoded, _ = soundfile.read(io.BytesIO(data), dtype="float64", always_2d=True)
    decoded = decoded[ENCODER_DELAY + DECODER_DELAY :][: len(sound)]
    scaled = sound[: len(decoded)] * 10 ** (Encoding("mp3", kbps).level_change_db / 20)
    noise_db = noise_to_mask_db(scaled, decoded, RATE).max(axis=1)
    lines, first = [], 0
    for name, part in parts.items():
        windows = slice(window_of(first), window_of(first + len(part)))
        lines.append(f"{name}: {told(figures(noise_db[windows]))}")
        first += len(part)
    return lines


def _wav(sound: Block) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, "FLOAT", format="WAV")
    return file.getvalue()


if __name__ == "__main__":
    main()
