"""`make bench-queue`: how soon a job is taken, and what the queue, an empty job and an idle worker cost.

    python -m benchmarks.queue [--quick] [--json FILE]

Real workers as processes, on a Postgres of their own with its disk writes on, on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.table import Table

from worker.config import Config
from worker.embedded.postgres import embedded_postgres
from worker.queue.claims import Claim
from worker.queue.migrate import migrate
from worker.queue.service import Queue, open_queue

T = TypeVar("T")
Connection = psycopg.Connection[dict[str, Any]]
_ROOT = Path(__file__).parent.parent
_LIMIT_S = 60.0
_REAL = [sys.executable, "-m", "worker", "work"]
_EMPTY = [sys.executable, "-m", "benchmarks.empty"]
_CYCLE = 100  # the most that a worker takes between two polls
_PAYLOAD = {"script": "Breathe in. " * 100, "durationMin": 10}


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, and what the project keeps, where it does.

    Attributes
    ----------
    median : float
        Or the one value there is.
    """

    name: str
    unit: str
    median: float
    p95: float | None = None
    worst: float | None = None
    median_at_most: float | None = None
    worst_at_most: float | None = None
    at_least: float | None = None

    @property
    def kept(self) -> bool:
        return (self.at_least is None or self.median >= self.at_least) and all(
            limit is None or (value is not None and value <= limit)
            for value, limit in ((self.median, self.median_at_most), (self.worst, self.worst_at_most))
        )


@dataclass(frozen=True)
class Counts:
    """How often each thing is done."""

    calls: int = 500
    notified: int = 100
    polled: int = 8
    empty: int = 500
    starts: int = 5
    together: int = 2000
    idle_s: float = 60.0


QUICK = Counts(calls=50, notified=20, polled=2, empty=100, starts=2, together=400, idle_s=10.0)


@dataclass(frozen=True)
class Bench:
    """A database and a folder."""

    dsn: str
    folder: Path
    connection: Connection

    def enqueue(self, count: int = 1) -> None:
        self.connection.execute(
            "INSERT INTO audio_job_queue (payload) SELECT %s FROM generate_series(1, %s)", (Jsonb(_PAYLOAD), count)
        )

    def ask(self, query: str) -> list[dict[str, Any]]:
        return self.connection.execute(query).fetchall()

    def clear(self) -> None:
        self.connection.execute("DELETE FROM audio_job_queue")

    def wait(self, query: str) -> None:
        """Until the query's one answer is true."""
        deadline = time.monotonic() + _LIMIT_S
        while not self.ask(f"SELECT ({query}) AS yes")[0]["yes"]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {_LIMIT_S:.0f} s: {query}")
            time.sleep(0.05)  # seldom: who looks on takes no core from what is measured

    def wait_until_ended(self) -> None:
        self.wait("NOT EXISTS (SELECT FROM audio_job_queue WHERE status IN ('pending', 'processing'))")

    @contextmanager
    def worker(self, command: Sequence[str], **settings: object) -> Iterator[subprocess.Popen[bytes]]:
        """A worker for the length of a block, as an operator starts it."""
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "DATABASE_URL": self.dsn,
            "STORAGE_DIR": str(self.folder / "out"),
            "TMPDIR": str(self.folder),
            "WORKER_NAME": "bench",
            "LOG_LEVEL": "ERROR",
            **{name.upper(): str(value) for name, value in settings.items()},
        }
        with subprocess.Popen(command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.wait(40)

    def wait_for_listener(self) -> None:
        """Until it listens; a moment later it has received its own nonce, too."""
        self.wait("EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'bench listener')")
        time.sleep(1.5)


def main() -> None:
    """Measure, print, write down; exit status 1 when a figure is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer of everything")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    options = parser.parse_args()
    counts = QUICK if options.quick else Counts()
    log = Console(stderr=True, style="dim", highlight=False)
    figures: list[Figure] = []
    with _bench() as bench:
        for measure in (calls, together, pickup_by_notify, pickup_by_polling, empty_jobs, start_to_first_claim, idle):
            log.print(f"{measure.__name__.replace('_', ' ')} …")
            figures += measure(bench, counts)
            bench.clear()
    _print(figures)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        found = {"counts": asdict(counts), "figures": [{**asdict(one), "kept": one.kept} for one in figures]}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(not all(figure.kept for figure in figures))


def calls(bench: Bench, counts: Counts) -> list[Figure]:
    """Milliseconds a call, one caller, nobody else."""
    queue = open_queue(Config.from_environ({"DATABASE_URL": bench.dsn}), worker_name="bench")
    took: dict[str, list[float]] = {}

    def timed(name: str, call: Callable[[], T]) -> T:
        begin = time.perf_counter()
        answer = call()
        took.setdefault(name, []).append(1000 * (time.perf_counter() - begin))
        return answer

    for _ in range(counts.calls):
        timed("enqueue", lambda: queue.enqueue(_PAYLOAD))
    for _ in range(counts.calls):
        timed("claim + beat + finish", lambda: _one(queue, timed))
    for _ in range(counts.calls):
        timed("claim, nothing there", queue.claim)
        timed("rescue, nothing there", queue.rescue_jobs)
    queue.close()
    return [_spread(name, values) for name, values in took.items()]


def _one(queue: Queue, timed: Callable[[str, Callable[[], Any]], Any]) -> None:
    claim: Claim = timed("claim", queue.claim)
    timed("beat", lambda: queue.heartbeat(claim, progress=50, stage="Mixing"))
    timed("look", lambda: queue.claim_status(claim))
    timed("finish", lambda: queue.finish(claim, result={"url": "x"}, track={}))


def together(bench: Bench, counts: Counts) -> list[Figure]:
    """Jobs a second that 1, 8 and 50 connections together claim and finish, all inserted by one statement."""
    rates = {connections: jobs_a_second(bench, connections, counts.together) for connections in (1, 8, 50)}
    share = Figure("50 connections ÷ 8", "", rates[50] / rates[8], at_least=0.8)
    return [*(Figure(f"empty jobs, {count} connections", "jobs/s", rate) for count, rate in rates.items()), share]


def jobs_a_second(bench: Bench, connections: int, jobs: int) -> float:
    """Have threads claim and finish so many jobs; half as many more wait behind them."""
    bench.clear()
    bench.enqueue(jobs + jobs // 2)
    numbers = iter(range(jobs))  # next() of a range is one step of the interpreter
    config = Config.from_environ({"DATABASE_URL": bench.dsn})
    queues = [open_queue(config, worker_name=f"bench {n}") for n in range(connections)]
    start = threading.Barrier(connections + 1)

    def work(queue: Queue) -> None:
        start.wait()
        for _ in numbers:
            claim = queue.claim()
            if claim is None:
                raise RuntimeError("a claim found nothing while jobs were waiting")
            queue.finish(claim, result={"url": "x"}, track={})

    with ThreadPoolExecutor(connections) as pool:
        running = [pool.submit(work, queue) for queue in queues]
        start.wait()
        begin = time.perf_counter()
        for each in running:
            each.result()
        took_s = time.perf_counter() - begin
    for queue in queues:
        queue.close()
    return jobs / took_s


def pickup_by_notify(bench: Bench, counts: Counts) -> list[Figure]:
    """Single jobs for an idle worker that polls as in production."""
    inserted = []
    with bench.worker(_EMPTY):
        bench.wait_for_listener()
        for _ in range(counts.notified):
            time.sleep(random.uniform(0.1, 0.4))
            bench.enqueue()
            inserted.append(time.time())
            bench.wait_until_ended()
    rows = bench.ask(
        "SELECT extract(epoch FROM started_at - created_at)::float8 AS wait, (result ->> 'ran_at')::float8 AS ran_at"
        " FROM audio_job_queue ORDER BY created_at"
    )
    return [
        _spread("insert → claim, by NOTIFY", [1000 * row["wait"] for row in rows], median=20, worst=300),
        _spread(
            "insert → the job's code runs",
            [1000 * (row["ran_at"] - at) for row, at in zip(rows, inserted, strict=True)],
        ),
    ]


def pickup_by_polling(bench: Bench, counts: Counts) -> list[Figure]:
    """The same when the listener gets no notification."""
    bench.connection.execute("ALTER TABLE audio_job_queue DISABLE TRIGGER worker_notify_insert")
    try:
        with bench.worker(_EMPTY):
            bench.wait_for_listener()
            for _ in range(counts.polled):
                time.sleep(random.uniform(0, 5))
                bench.enqueue()
                bench.wait_until_ended()
    finally:
        bench.connection.execute("ALTER TABLE audio_job_queue ENABLE TRIGGER worker_notify_insert")
    rows = bench.ask("SELECT extract(epoch FROM started_at - created_at)::float8 AS wait FROM audio_job_queue")
    return [_spread("insert → claim, by polling", [row["wait"] for row in rows], unit="s", worst=12)]


def empty_jobs(bench: Bench, counts: Counts) -> list[Figure]:
    """Many jobs that do nothing wait for one worker: from a job's claim to the next one's."""
    steps: list[float] = []
    with bench.worker(_EMPTY, max_jobs_per_cycle=_CYCLE):
        bench.wait_for_listener()
        for _ in range(counts.empty // _CYCLE):
            bench.enqueue(_CYCLE)
            bench.wait_until_ended()
            rows = bench.ask(
                "SELECT extract(epoch FROM started_at)::float8 AS at FROM audio_job_queue"
                " WHERE status = 'completed' ORDER BY started_at"
            )
            if len(rows) != _CYCLE:
                raise RuntimeError(f"{len(rows)} of {_CYCLE} empty jobs completed")
            steps += [1000 * (later["at"] - row["at"]) for row, later in pairwise(rows)]
            bench.clear()
    return [_spread("empty job, from claim to the next claim", steps, median=20)]


def start_to_first_claim(bench: Bench, counts: Counts) -> list[Figure]:
    """`mindscript-worker work` as it is, a job waiting."""
    took = []
    for _ in range(counts.starts):
        bench.enqueue()
        begin = time.time()
        with bench.worker(_REAL):
            bench.wait("SELECT count(*) = 0 FROM audio_job_queue WHERE started_at IS NULL")
            (row,) = bench.ask("SELECT extract(epoch FROM started_at)::float8 AS at FROM audio_job_queue")
            took.append(row["at"] - begin)
        bench.clear()
    return [_spread("start → first claim", took, unit="s", worst=3)]


def idle(bench: Bench, counts: Counts) -> list[Figure]:
    """`mindscript-worker work` with nothing to do: all its processes together."""
    with bench.worker(_REAL) as process:
        bench.wait_for_listener()
        time.sleep(5)  # until it has done what it does at its start
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        before, begin = _cpu_s(family), time.monotonic()
        time.sleep(counts.idle_s)
        busy = (_cpu_s(family) - before) / (time.monotonic() - begin)
        memory = [member.memory_full_info() for member in family]
    return [
        Figure("idle: memory, PSS", "MB", sum(one.pss for one in memory) / 1e6, median_at_most=60),
        Figure("idle: memory, RSS (shared pages twice)", "MB", sum(one.rss for one in memory) / 1e6),
        Figure(f"idle: CPU over {counts.idle_s:.0f} s", "%", 100 * busy, median_at_most=0.5),
    ]


def _cpu_s(family: Sequence[psutil.Process]) -> float:
    return float(sum(sum(member.cpu_times()[:2]) for member in family))


def _spread(
    name: str, values: Sequence[float], *, unit: str = "ms", median: float | None = None, worst: float | None = None
) -> Figure:
    ordered = sorted(values)
    p95 = ordered[round(0.95 * (len(ordered) - 1))]
    return Figure(f"{name} ({len(ordered)})", unit, statistics.median(ordered), p95, ordered[-1], median, worst)


def _print(figures: Sequence[Figure]) -> None:
    table = Table(title="The queue", title_justify="left", title_style="bold")
    for number, column in enumerate(("", "", "median", "p95", "worst", "to keep: median", "worst", "")):
        table.add_column(column, justify="left" if number < 2 else "right", no_wrap=True)
    for figure in figures:
        numbers = (figure.median, figure.p95, figure.worst)
        limits = (figure.median_at_most, figure.worst_at_most)
        least = "" if figure.at_least is None else f"≥ {figure.at_least:g}"
        table.add_row(
            figure.name,
            figure.unit,
            *("" if number is None else f"{number:.2f}" for number in numbers),
            least or ("" if limits[0] is None else f"≤ {limits[0]:g}"),
            "" if limits[1] is None else f"≤ {limits[1]:g}",
            "" if limits == (None, None) and not least else "kept" if figure.kept else "MISSED",
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


@contextmanager
def _bench() -> Iterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="mindscript-bench-"))
    folder.chmod(0o755)  # started by root, the server runs as nobody, who must get in
    try:
        with embedded_postgres(folder / "server") as server:
            migrate(server.dsn)
            with psycopg.connect(server.dsn, autocommit=True, row_factory=dict_row) as connection:
                yield Bench(server.dsn, folder, connection)
    finally:
        while any(folder.rglob("postmaster.pid")):  # the server goes when its last user has
            time.sleep(0.05)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
