"""Tracks an hour: a worker on a queue of ten-minute jobs, beside bare FFmpeg encoders on all cores.

    python -m benchmarks.throughput [--jobs 8] [--minutes 10] [--formats mp3,m4a] [--rounds 3] [--concurrency 2]

The encoders have the finished PCM, one process a core, until as many tracks are encoded as there are jobs. The worker
has a real Postgres, recordings in local storage, and all else as in production. Both run in turn, so that a change of
the machine meets both. `--ffmpeg` is the worker's, `--encoder-ffmpeg` the bare encoders' (the same, unless given).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.material import Mix, prepare
from worker.cores import available_cores
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.queue.migrate import migrate

_ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(_ROOT / "tests"))

from servers import postgres_server, server_versions  # noqa: E402

_LIMIT_S = 3600
_ENCODERS = {
    "mp3": ("-c:a", "libmp3lame", "-b:a", "192k", "-f", "mp3"),
    "m4a": ("-c:a", "aac", "-b:a", "192k", "-f", "adts"),  # the image's FFmpeg has no other container of it
}
_USER = str(uuid.uuid5(uuid.NAMESPACE_DNS, "customer"))


@dataclass(frozen=True)
class Took:
    """Seconds of some tracks: on the clock, and of all processes' CPU."""

    wall_s: float
    cpu_s: float


def main() -> None:
    """Measure in turn, and print each round and the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=10.0, help="length of a track")
    parser.add_argument("--formats", default="mp3,m4a")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, help="jobs at a time; default: the worker's own")
    parser.add_argument("--threads", type=int, help="RENDER_THREADS; default: the worker's own")
    parser.add_argument("--ffmpeg", help="the worker's FFmpeg")
    parser.add_argument("--encoder-ffmpeg", help="the bare encoders' FFmpeg; default: the worker's")
    options = parser.parse_args()
    ffmpeg = find_ffmpeg(options.ffmpeg)
    bare = find_ffmpeg(options.encoder_ffmpeg or options.ffmpeg)
    settings = {"FFMPEG": str(ffmpeg.path)}
    settings |= {"WORKER_CONCURRENCY": str(options.concurrency)} if options.concurrency else {}
    settings |= {"RENDER_THREADS": str(options.threads)} if options.threads else {}
    table = Table(title=f"{options.jobs} jobs of {options.minutes:g} min", title_justify="left", box=None)
    for heading in ("", "encoders, tracks an hour", "worker, tracks an hour", "rate", "CPU"):
        table.add_column(heading, justify="right")
    for format_ in options.formats.split(","):
        with tempfile.TemporaryDirectory(prefix="mindscript-bench-") as folder:
            found = rounds(Path(folder), format_, ffmpeg, bare, settings, options)
        for number, (encoders, worker) in enumerate(found, start=1):
            hourly = [f"{3600 * options.jobs / each.wall_s:.0f}" for each in (encoders, worker)]
            table.add_row(f"{format_} {number}", *hourly, *ratios([(encoders, worker)]))
        table.add_row(f"{format_} median", "", "", *ratios(found), style="bold")
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def ratios(found: Sequence[tuple[Took, Took]]) -> tuple[str, str]:
    """The worker's rate by the encoders', and its CPU by theirs; medians."""
    rate = statistics.median(encoders.wall_s / worker.wall_s for encoders, worker in found)
    cpu = statistics.median(worker.cpu_s / encoders.cpu_s for encoders, worker in found)
    return f"{rate:.2f}", f"{cpu:.2f}"


def rounds(
    folder: Path, format_: str, ffmpeg: Ffmpeg, bare: Ffmpeg, settings: dict[str, str], options: argparse.Namespace
) -> list[tuple[Took, Took]]:
    """What the encoders and the worker took, in turn."""
    mix = prepare(folder, options.minutes, ffmpeg)
    pcm = folder / "whole.wav"
    render = [sys.executable, "-m", "worker", "render", "job.json", "--voice", "voice.wav", "--music", "music.flac"]
    subprocess.run(
        [*render, "--out", pcm.name, "--quiet"], cwd=folder, env=_environment(), check=True, timeout=_LIMIT_S
    )
    return [
        (
            timed(lambda: encoders(pcm, format_, bare, options.jobs)),
            work(folder / f"round-{number}", mix, format_, settings, options.jobs),
        )
        for number in range(options.rounds)
    ]


def timed(work: Callable[[], object]) -> Took:
    """What some work took, with the CPU of the processes that it has started and waited for."""
    began, cpu = time.perf_counter(), _children_s()
    work()
    return Took(time.perf_counter() - began, _children_s() - cpu)


def encoders(pcm: Path, format_: str, ffmpeg: Ffmpeg, jobs: int) -> None:
    """Encode a file so many times, on each core one at a time."""

    def encode(number: int) -> None:
        made = pcm.with_name(f"bare-{number}.{format_}")
        command = [str(ffmpeg.path), "-nostdin", "-v", "error", "-y", "-i", str(pcm), *_ENCODERS[format_]]
        subprocess.run([*command, "-threads", "1", str(made)], check=True, timeout=_LIMIT_S)
        made.unlink()

    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(encode, range(jobs)))


def work(folder: Path, mix: Mix, format_: str, settings: dict[str, str], jobs: int) -> Took:
    """A worker that drains a queue: from its first claim to its last job's end; the CPU is of all its processes."""
    out = folder / "out"
    for bucket, name, source in (
        ("background-music", "music.flac", "music.flac"),
        ("voice-uploads", f"{_USER}/me.wav", "voice.wav"),
    ):
        (out / bucket / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder.parent / source, out / bucket / name)
    payload = {**mix.job(), "voice": {"provider": "uploaded", "url": f"{_USER}/me.wav"}, "outputFormat": format_}
    with ExitStack() as stack:
        server = stack.enter_context(postgres_server(max(server_versions()), settings={"fsync": "on"}))
        migrate(server.dsn)
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            for _ in range(jobs):
                connection.execute(
                    "INSERT INTO audio_job_queue (user_id, payload) VALUES (%s, %s)", (_USER, json.dumps(payload))
                )
        environment = (
            _environment()
            | settings
            | {
                "DATABASE_URL": server.dsn,
                "STORAGE_DIR": str(out),
                "TMPDIR": str(folder),
                "MAX_JOBS_PER_CYCLE": "100",
                "LOG_LEVEL": "ERROR",
            }
        )
        command = [sys.executable, "-m", "worker", "work", "--drain"]
        took = timed(lambda: subprocess.run(command, cwd=folder, env=environment, check=False, timeout=_LIMIT_S))
        with psycopg.connect(server.dsn) as connection:
            done, seconds = connection.execute(
                "SELECT count(*) FILTER (WHERE status = 'completed'),"
                " extract(epoch FROM max(completed_at) - min(started_at)) FROM audio_job_queue"
            ).fetchall()[0]
    if done != jobs:
        raise RuntimeError(f"{done} of {jobs} jobs were completed")
    shutil.rmtree(folder)
    return Took(float(seconds), took.cpu_s)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "PYTHONPATH": str(_ROOT)}


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
