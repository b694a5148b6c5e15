"""`python -m benchmarks.loops`: the loudness at the seams of looped music, on delivered files; what finding them costs.

    python -m benchmarks.loops [FILE ...]     pieces made here and, where Debian's packages are installed, real ones
    python -m benchmarks.loops --cost         the search alone, and a ten-minute job with it and without, in pairs

Exit status 1 if a seam misses its figure.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.cost import cost_of
from benchmarks.material import MUSIC, prepare
from benchmarks.sound.loops import MOST_MISS_LU, made_pieces, measured_loop
from benchmarks.sound.room import RATE, Room
from dsp.loudness import measure
from dsp.music_loop import find_loop
from worker.ffmpeg.program import find_ffmpeg
from worker.media.clip import FileClip

REAL = (  # of the packages singularity-music, hyperrogue-music and asc-music
    "/usr/share/games/singularity/music/Through Space.ogg",
    "/usr/share/games/singularity/music/Coherence.ogg",
    "/usr/share/games/singularity/music/lose/Chimes They Fade.ogg",
    "/usr/share/hyperrogue/music/hr3-rlyeh.ogg",
    "/usr/share/games/asc/music/time_to_strike.mp3",
)
_ROUNDS = 7
_SEARCHED_MINUTES = (4, 40)
_MUSIC_MINUTES = (0, 4)  # 0: the demo loop of 24 s


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loops", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="music to try; default: the pieces above")
    parser.add_argument("--cost", action="store_true", help="what it costs a ten-minute job, in pairs")
    parser.add_argument(
        "--rounds", type=int, default=_ROUNDS, help=f"of --cost; 0: the search alone; default: {_ROUNDS}"
    )
    options = parser.parse_args()
    if options.cost:
        cost(options.rounds)
        return 0
    with tempfile.TemporaryDirectory(prefix="loops-") as name:
        room = Room.at(Path(name))
        pieces = {file.name: file for file in options.files}
        if not pieces:
            real = {Path(file).name: Path(file) for file in REAL if Path(file).is_file()}
            pieces = made_pieces(room.folder) | real
        return 0 if seams(room, pieces) else 1


def seams(room: Room, pieces: dict[str, Path]) -> bool:
    """Print a row for each piece; tells whether all keep the figure."""
    print("| piece | length | repeated | crossfade | seams, LUFS | range, LUFS | out of it | as a whole |")
    print("|---|---:|---|---:|---|---|---:|---:|")
    kept = True
    for name, file in pieces.items():
        found = measured_loop(room, file)
        if found is None:
            print(f"| {name} | | as a whole |", flush=True)
            continue
        loop, seam, whole = found.loop, found.seams, found.as_a_whole
        figures = (
            f"{found.seconds:.1f} s | {loop.start / RATE:.1f} to {loop.stop / RATE:.1f} s | "
            f"{loop.crossfade_frames / RATE:.2f} s | {seam.lowest_lufs:.1f} to {seam.highest_lufs:.1f} | "
            f"{seam.low_lufs:.1f} to {seam.high_lufs:.1f} | {seam.miss_lu:.1f} LU | {whole.miss_lu:.1f} LU |"
        )
        print(f"| {name} | {figures.replace('-', '−')}", flush=True)
        kept &= seam.miss_lu <= MOST_MISS_LU
    return kept


def search_cost() -> None:
    """Print what the search alone takes, in this process: the best of some rounds."""
    loop, _ = soundfile.read(MUSIC, dtype="float32", always_2d=True)
    piece = np.ascontiguousarray(loop[: 20 * RATE])  # cut short, it is no loop already
    energies = measure([piece], RATE).energies
    for minutes in _SEARCHED_MINUTES:
        with tempfile.TemporaryDirectory(prefix="loops-") as name:
            bed, times = Path(name) / "bed.f32", minutes * 3
            with bed.open("wb") as file:
                for _ in range(times):
                    file.write(piece.tobytes())
            with FileClip(bed, channels=2) as clip:
                search = partial(find_loop, clip, np.tile(energies, times), RATE)
                taken_s = min(_cpu_s(search) for _ in range(_ROUNDS))
        print(f"search in {minutes} minutes of music: {1000 * taken_s:.0f} ms of CPU", flush=True)


def _cpu_s(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def cost(rounds: int) -> None:
    """Print what a ten-minute job takes with music that loops by itself and as a whole, in turn; medians."""
    search_cost()
    if not rounds:
        return
    ffmpeg = find_ffmpeg()
    print("| music | way | wall | CPU |")
    print("|---|---|---:|---:|")
    for minutes in _MUSIC_MINUTES:
        found: dict[str, list[tuple[float, float]]] = {"whole": [], "auto": []}
        with tempfile.TemporaryDirectory(prefix="mindscript-bench-") as name:
            folder = Path(name)
            prepare(folder, 10, ffmpeg, music_minutes=minutes)
            job: dict[str, Any] = json.loads((folder / "job.json").read_text())
            for number in range(rounds + 1):
                for way in found if number % 2 else reversed(found):
                    job["backgroundMusic"]["loop"] = way
                    (folder / "job.json").write_text(json.dumps(job))
                    run = cost_of("whole", folder, folder / "whole.mp3", watch_memory=False)
                    if number:  # the first pair warms the caches
                        found[way].append((run.wall_s, run.cpu_s))
        music = f"{minutes} minutes" if minutes else "24 s"
        for way, runs in found.items():
            wall_s, cpu_s = (statistics.median(column) for column in zip(*runs, strict=True))
            print(f"| {music} | {way} | {wall_s:.3f} s | {cpu_s:.3f} s |")
        wall, cpu = (
            statistics.median(
                100 * (auto[column] / whole[column] - 1)
                for whole, auto in zip(found["whole"], found["auto"], strict=True)
            )
            for column in (0, 1)
        )
        print(f"| {music} | more, median of the pairs | {wall:+.1f} % | {cpu:+.1f} % |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
