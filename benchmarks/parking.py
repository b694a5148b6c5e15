"""What dead jobs cost healthy ones, and what a claim costs beside many parked jobs.

    python -m benchmarks.parking [--servers 15,17] [--jobs 30] [--minutes 10] [--rows 2000000]

A real worker with the vendors' SDKs, against a stand-in of both services that has ElevenLabs' model no more. The
servers are those of the tests (`make servers`), their disk writes off.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import psycopg
import soundfile
from psycopg.rows import dict_row
from rich.console import Console
from rich.table import Table

from dsp.noise import Noise
from worker.config import Config
from worker.queue.migrate import migrate
from worker.queue.service import open_queue

_ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(_ROOT / "tests"))

from servers import postgres_server  # noqa: E402
from standins.speech import ELEVENLABS_VOICES, Service, speech_service  # noqa: E402

_RATE_HZ = 44_100
_LOOK_S = 0.1
_REQUEST_S = 0.3
_LIMIT_S = 1800.0
_CALLS = 200
_WAITING = 10_000
_HEALTHY = {"provider": "openai", "model": "tts-1", "id": "alloy"}
_DEAD = {"provider": "elevenlabs"}

Connection = psycopg.Connection[dict[str, Any]]


def main() -> None:
    """Measure on each server, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parking", description=__doc__)
    parser.add_argument("--servers", default="15,17", help="versions of Postgres")
    parser.add_argument("--jobs", type=int, default=30, help="healthy ones, and dead ones before them")
    parser.add_argument("--minutes", type=int, default=10, help="length of their tracks")
    parser.add_argument("--rows", type=int, default=2_000_000, help="jobs that have ended, in the table of the claims")
    options = parser.parse_args()
    versions = [int(version) for version in options.servers.split(",")]
    table = Table(title="Parked jobs", title_justify="left", box=None)
    for heading in ("Postgres", "", "", ""):
        table.add_column(heading)
    for version in versions:
        if options.jobs:
            for row in beside_dead_jobs(version, options.jobs, options.minutes):
                table.add_row(str(version), *row)
        if options.rows:
            for row in claims(version, options.rows):
                table.add_row(str(version), *row)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def beside_dead_jobs(version: int, count: int, minutes: int) -> list[tuple[str, str, str]]:
    """Seconds that healthy jobs take alone, and behind as many dead ones; one worker."""
    took: dict[str, float] = {}
    worked: dict[str, float] = {}
    asked = 0
    for name, kinds in (("alone", [_HEALTHY]), ("behind dead ones", [_DEAD, _HEALTHY])):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mindscript-bench-")))
            server = stack.enter_context(postgres_server(version))
            service = stack.enter_context(speech_service())
            service.takes_s = _REQUEST_S
            migrate(server.dsn)
            connection = _connection(stack, server.dsn)
            _music(folder / "out" / "background-music" / "rain.flac", minutes)
            worker = _worker(stack, folder, server.dsn, service)
            _wait(
                connection, "SELECT count(*) > 0 AS yes FROM pg_stat_activity WHERE application_name = 'bench listener'"
            )
            _enqueue(connection, kinds, count, minutes)
            took[name] = _wait(
                connection, "SELECT count(*) = %s AS yes FROM audio_job_queue WHERE status = 'completed'", count
            )
            asked = sum("text" in request["body"] for request in service.requests)  # of ElevenLabs
            rows = connection.execute(
                "SELECT parked_cause, count(*) AS jobs FROM audio_job_queue GROUP BY 1"
            ).fetchall()
            worked[name] = _cpu_s(worker.pid)
            worker.terminate()
            worker.wait(40)
    parked = {row["parked_cause"]: row["jobs"] for row in rows if row["parked_cause"]}
    ratio, work = (each["behind dead ones"] / each["alone"] for each in (took, worked))
    return [
        (f"{count} healthy jobs of {minutes} min alone", f"{took['alone']:.1f} s, {worked['alone']:.1f} s of CPU", ""),
        (
            f"behind {count} dead ones",
            f"{took['behind dead ones']:.1f} s, {worked['behind dead ones']:.1f} s of CPU",
            f"{ratio:.2f} ×, {work:.2f} × the CPU",
        ),
        ("dead: parked, requests to their service", f"{sum(parked.values())}, {asked}", ", ".join(parked)),
    ]


def claims(version: int, ended: int) -> list[tuple[str, str, str]]:
    """Milliseconds of a claim on a large table, without parked jobs and with as many of them as wait."""
    found = []
    with ExitStack() as stack:
        server = stack.enter_context(postgres_server(version, settings={"shared_buffers": "128MB"}))
        connection = _connection(stack, server.dsn)
        migrate(server.dsn)
        payload = json.dumps({"script": "Breathe in. " * 10})
        connection.execute(
            "INSERT INTO audio_job_queue (status, payload, created_at, completed_at) SELECT 'completed', %s,"
            " now() - interval '100 days' + n * interval '1 s', now() FROM generate_series(1, %s) n",
            (payload, ended),
        )
        parked = (
            "INSERT INTO audio_job_queue (payload, created_at, parked_cause, parked_since) SELECT %s,"
            " now() - interval '1 day' + n * interval '1 s', 'openai/model-' || n %% 10 || '/voice.model', now()"
            " FROM generate_series(1, %s) n"
        )
        causes = (
            "INSERT INTO worker_causes SELECT 'openai/model-' || n || '/voice.model', now(), 'ended',"
            " now() + interval '1 hour', 0 FROM generate_series(0, 9) n"
        )
        waiting = "INSERT INTO audio_job_queue (payload) SELECT %s FROM generate_series(1, %s)"
        connection.execute(waiting, (payload, _WAITING))
        connection.execute("VACUUM ANALYZE audio_job_queue")
        found.append(("claim: ended / waiting / parked", f"{ended} / {_WAITING} / 0", _claims_ms(server.dsn)))
        connection.execute(causes)
        connection.execute(parked, (payload, _WAITING))
        found.append(("the same, statistics as before", f"{ended} / {_WAITING} / {_WAITING}", _claims_ms(server.dsn)))
        connection.execute("VACUUM ANALYZE audio_job_queue")
        found.append(("the same", f"{ended} / {_WAITING} / {_WAITING}", _claims_ms(server.dsn)))
        begin = time.perf_counter()
        connection.execute("SELECT worker_end_parked(172800, '')")
        rescue_ms = 1000 * (time.perf_counter() - begin)
        begin = time.perf_counter()
        connection.execute("SELECT worker_parked()")
        causes_ms = 1000 * (time.perf_counter() - begin)
        begin = time.perf_counter()
        connection.execute("SELECT worker_free('openai/model-1/voice.model')")
        free_ms = 1000 * (time.perf_counter() - begin)
        found.append(("a round of the rescue: the limit, the causes", f"{rescue_ms:.1f} ms, {causes_ms:.1f} ms", ""))
        found.append((f"freeing {_WAITING // 10}", f"{free_ms:.0f} ms", ""))
    return found


def _claims_ms(dsn: str) -> str:
    queue = open_queue(Config.from_environ({"DATABASE_URL": dsn}), worker_name="bench")
    took = []
    for _ in range(_CALLS):
        begin = time.perf_counter()
        claim = queue.claim()
        took.append(1000 * (time.perf_counter() - begin))
        if claim is None or claim.probed_cause is not None:
            raise RuntimeError("a job that is not parked should have been claimed")
    queue.close()
    took.sort()
    return f"median {statistics.median(took):.2f} ms, p95 {took[int(0.95 * len(took))]:.2f} ms, worst {took[-1]:.1f} ms"


def _connection(stack: ExitStack, dsn: str) -> Connection:
    return stack.enter_context(psycopg.connect(dsn, autocommit=True, row_factory=dict_row))


def _music(path: Path, minutes: int) -> None:
    path.parent.mkdir(parents=True)
    soundfile.write(path, 0.1 * Noise("pink", 3, _RATE_HZ).render(0, minutes * 60 * _RATE_HZ), _RATE_HZ)


def _worker(stack: ExitStack, folder: Path, dsn: str, service: Service) -> subprocess.Popen[bytes]:
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PYTHONPATH": str(_ROOT),
        "DATABASE_URL": dsn,
        "STORAGE_DIR": str(folder / "out"),
        "TMPDIR": str(folder),
        "WORKER_NAME": "bench",
        "LOG_LEVEL": "CRITICAL",
        "MAX_JOBS_PER_CYCLE": "100",  # so that no pause between cycles hides what a dead job costs
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": f"{service.url}/v1",
        "ELEVENLABS_API_KEY": "el-bench",
        "ELEVENLABS_BASE_URL": service.url,
        "ELEVENLABS_TTS_VOICE": ELEVENLABS_VOICES[0],
        "ELEVENLABS_TTS_MODEL": "eleven_monolingual_v1",  # has ended
    }
    command = [sys.executable, "-m", "worker", "work"]
    worker = stack.enter_context(subprocess.Popen(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL))
    stack.callback(worker.kill)
    return worker


def _cpu_s(pid: int) -> float:
    """Of the worker, its fork server, and all that has ended below them."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return float(sum(sum(member.cpu_times()[:4]) for member in family))


def _enqueue(connection: Connection, kinds: Sequence[dict[str, str]], count: int, minutes: int) -> None:
    """All in one transaction, the first kind oldest; scripts differ, so that no piece comes from the cache."""
    with connection.transaction():
        for order, voice in enumerate(kinds):
            for number in range(count):
                payload = {
                    "script": f"{voice['provider']} {number}: I am calm. I trust the rhythm of my breath. I rest.",
                    "voice": voice,
                    "durationMin": minutes,
                    "backgroundMusic": {"url": "rain.flac"},
                    "solfeggio": {"hz": 528},
                    "binaural": {"band": "theta"},
                }
                connection.execute(
                    "INSERT INTO audio_job_queue (payload, created_at) VALUES (%s, now() + %s * interval '1 ms')",
                    (json.dumps(payload), order * count + number - 10_000),
                )


def _wait(connection: Connection, query: str, *values: object) -> float:
    """Wait until a query's answer is true; the seconds without those in which the whole benchmark was suspended."""
    took, at = 0.0, time.monotonic()
    while not connection.execute(query.encode(), values or None).fetchall()[0]["yes"]:
        if took > _LIMIT_S:
            raise RuntimeError(f"not within {_LIMIT_S:.0f} s: {query}")
        time.sleep(_LOOK_S)
        before, at = at, time.monotonic()
        took += min(at - before, 10 * _LOOK_S)
    return took


if __name__ == "__main__":
    main()
