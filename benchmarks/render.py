"""The measurements: the same job by everybody, memory over length, and how the cost grows."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.cost import Cost, cost_of
from benchmarks.material import prepare
from worker.ffmpeg.program import Ffmpeg

Say = Callable[[str], None]

PEERS = (
    "whole",
    "encoder",
    "encoder_halves",
    "graph_loudnorm",
    "graph_loudnorm_twice",
    "graph_gain",
    "staged",
    "pydub",
    "sox",
)
_FREE_MB_PER_MINUTE = 90  # pydub's and SoX's WAVs and the project's own, all kept at a time
_LENGTHS_MIN = (1, 10, 60, 480)
_LAYERS = (1, 2, 3, 4, 5)
_THREADS = (1, 2)
_SHORT_RUNS = 5


@dataclass(frozen=True)
class Measured:
    """A finished file, as FFmpeg's ebur128 measures it."""

    lufs: float
    dbtp: float
    seconds: float


@dataclass(frozen=True)
class Result:
    """A contender's runs: medians, the most memory, and what came out."""

    name: str
    wall_s: float
    cpu_s: float
    pss_mb: float
    rss_mb: float
    times_real_time: float
    walls_s: tuple[float, ...]
    measured: Measured | None


@dataclass(frozen=True)
class Figure:
    """One of the project's quality figures, as measured here."""

    name: str
    value: float
    target: float
    at_most: bool

    @property
    def kept(self) -> bool:
        """Whether the target is kept."""
        return self.value <= self.target if self.at_most else self.value >= self.target


@dataclass(frozen=True)
class Run:
    """This project's cost at one length, with so many layers and threads."""

    minutes: float
    layers: int
    threads: int | None
    cost: Cost

    def as_json(self) -> dict[str, object]:
        """Flat."""
        return {
            "minutes": self.minutes,
            "layers": self.layers,
            "threads": self.threads,
            "times_real_time": self.minutes * 60 / self.cost.wall_s,
            **asdict(self.cost),
        }


def compare(ffmpeg: Ffmpeg, *, minutes: float, rounds: int, peers: Sequence[str], say: Say) -> list[Result]:
    """Let every contender make the same track, in turn, round by round, this project before each of the others.

    So neighbours on the machine disturb all alike; and the one that all are compared with, which takes a few seconds on
    all cores and is disturbed most, is measured most often.
    """
    with _folder(minutes * _FREE_MB_PER_MINUTE) as folder:
        mix = prepare(folder, minutes, ffmpeg)
        if "sox" in peers and shutil.which("sox") is None:
            say("sox is not installed: left out")
            peers = [name for name in peers if name != "sox"]
        say("the finished PCM, for the encoder alone")
        say("and each once, for its memory")
        cost_of("whole", folder, folder / "whole.wav", watch_memory=False)
        costs: dict[str, list[Cost]] = {name: [] for name in peers}
        memory_of = {name: cost_of(name, folder, folder / f"{name}.mp3") for name in peers}
        others = [name for name in peers if name != "whole"]
        turns = [name for other in others for name in ("whole", other)] if others and "whole" in peers else peers
        for number in range(1, rounds + 1):
            for name in turns:
                cost = cost_of(name, folder, folder / f"{name}.mp3", watch_memory=False)
                costs[name].append(cost)
                say(f"round {number}: {name} {cost.wall_s:.1f} s, CPU {cost.cpu_s:.1f} s")
        return [
            _result(name, runs, memory_of[name], mix.seconds, _measure(folder / f"{name}.mp3", ffmpeg))
            for name, runs in costs.items()
        ]


def ratios(results: Sequence[Result]) -> list[Figure]:
    """Put the medians into relation as the quality figures do; what did not run is left out.

    A graph that is run twice, to measure and then to apply a gain, is no single one; it is in the table beside.
    """
    wall = {result.name: result.wall_s for result in results}
    cpu = {result.name: result.cpu_s for result in results}
    if "whole" not in wall:
        return []
    whole, found = wall["whole"], []
    if "encoder" in wall:
        found.append(Figure("whole job ÷ encoder alone", whole / wall["encoder"], 0.70, True))
        found.append(
            Figure("CPU of the whole job ÷ CPU of the encoder alone", cpu["whole"] / cpu["encoder"], 1.27, True)
        )
    if "staged" in wall:
        found.append(Figure("staged FFmpeg ÷ whole job", wall["staged"] / whole, 13, False))
    if "graph_loudnorm" in wall:
        found.append(
            Figure("single FFmpeg graph with loudness control ÷ whole job", wall["graph_loudnorm"] / whole, 4, False)
        )
    return found


def growth(runs: Sequence[Run]) -> float:
    """By how much per cent the last run's memory is above the first's."""
    return 100 * (runs[-1].cost.pss_mb / runs[0].cost.pss_mb - 1)


def memory(ffmpeg: Ffmpeg, *, say: Say) -> list[Run]:
    """Ten minutes with a short loop, then eight hours with a 40-minute bed of music.

    A peak is what happens to be needed at one moment by all threads and processes. Eight hours have many moments, so of
    ten minutes the highest of some runs counts.
    """
    runs = []
    for minutes, music_minutes, free_mb, times in ((10, 0, 500, _SHORT_RUNS), (480, 40, 4000, 1)):
        with _folder(free_mb) as folder:
            prepare(folder, minutes, ffmpeg, music_minutes=music_minutes)
            costs = [cost_of("whole", folder, folder / "whole.mp3") for _ in range(times)]
        cost = max(costs, key=lambda cost: cost.pss_mb)
        say(f"{minutes} minutes: {cost.pss_mb:.0f} MB PSS, {cost.rss_mb:.0f} MB RSS")
        runs.append(Run(minutes, 4, None, cost))
    return runs


def scaling(ffmpeg: Ffmpeg, *, say: Say) -> list[Run]:
    """How the cost grows with length, with layers, and what a second thread brings."""
    wanted: list[tuple[float, int, int | None]] = [(minutes, 4, None) for minutes in _LENGTHS_MIN]
    wanted += [(10, layers, None) for layers in _LAYERS]
    wanted += [(10, 4, threads) for threads in _THREADS]
    runs = []
    for minutes, layers, threads in wanted:
        with _folder(500 + 5 * minutes) as folder:
            prepare(folder, minutes, ffmpeg, layers=layers)
            name = "only_voice" if layers == 1 else "whole"
            cost = cost_of(name, folder, folder / "whole.mp3", threads=threads)
        runs.append(Run(minutes, layers, threads, cost))
        say(f"{minutes} min, {layers} layers, {threads or 'all'} threads: {cost.wall_s:.1f} s, CPU {cost.cpu_s:.1f} s")
    return runs


def _result(name: str, runs: Sequence[Cost], watched: Cost, seconds: float, measured: Measured | None) -> Result:
    wall = statistics.median(run.wall_s for run in runs)
    return Result(
        name=name,
        wall_s=wall,
        cpu_s=statistics.median(run.cpu_s for run in runs),
        pss_mb=watched.pss_mb,
        rss_mb=watched.rss_mb,
        times_real_time=seconds / wall,
        walls_s=tuple(run.wall_s for run in runs),
        measured=measured,
    )


def _measure(track: Path, ffmpeg: Ffmpeg) -> Measured:
    """Measure a finished file with a meter that is not ours."""
    listen = [
        "-nostdin",
        "-hide_banner",
        "-i",
        str(track),
        "-af",
        "ebur128=peak=true:framelog=verbose",
        "-f",
        "null",
        "-",
    ]
    said = subprocess.run(
        [str(ffmpeg.path), *listen], capture_output=True, text=True, errors="replace", timeout=600, check=True
    ).stderr
    hours, minutes, seconds = re.findall(r"time=(\d+):(\d+):([\d.]+)", said)[-1]
    return Measured(
        lufs=float(re.findall(r"I:\s+(-?[\d.]+) LUFS", said)[-1]),
        dbtp=float(re.findall(r"Peak:\s+(-?[\d.]+|-inf) dBFS", said)[-1]),
        seconds=int(hours) * 3600 + int(minutes) * 60 + float(seconds),
    )


@contextmanager
def _folder(free_mb: float) -> Iterator[Path]:
    """A temporary folder on a disk with room enough, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mindscript-bench-") as name:
        free = shutil.disk_usage(name).free / 1e6
        if free < free_mb:
            raise SystemExit(f"the disk of temporary files has {free:.0f} MB free; {free_mb:.0f} MB are needed")
        yield Path(name)
