"""Many jobs in a row in one worker: nothing grows."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from database import execute
from field import Field, eventually
from standins.worker_process import WorkerProcess

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Size:
    """What an idle worker holds."""

    resident_mb: float
    descriptors: int
    threads: int
    processes: int
    files: int
    connections: int


def test_300_short_jobs_in_one_worker_leak_nothing(field: Field) -> None:
    """Of every kind: good ones, failures, crashes, cancelled ones; the last hundred cost what the second did."""
    worker = field.worker(poll_interval_ms=200, max_jobs_per_cycle=100, worker_concurrency=2, port=_free_port())
    worker.wait_for("started")
    kinds: tuple[dict[str, object], ...] = (
        {"do": "sleep", "seconds": 0.05},
        {"do": "nothing", "upload": "audio-renders/tracks/x/y.mp3"},
        {"do": "fail", "error": "JobError"},
        {"do": "kill self", "attempts": 1},
        {"do": "bug", "attempts": 1},
        {"do": "family", "seconds": 0.1, "note": str(field.folder / "note")},
        {"do": "sleep", "seconds": 600},  # cancelled
    )
    sizes = []
    for _ in range(6):
        for number in range(50):
            field.enqueue(**kinds[number % len(kinds)])
        eventually(lambda: _done(field), 120)
        time.sleep(2)  # until the last job process is reaped
        sizes.append(_size(worker, field.folder))
    assert worker.stop() == 0
    resident = [size.resident_mb for size in sizes]
    field.count(
        say="soak: 300 short jobs in one worker, four in seven of them failing, crashing or cancelled",
        must="memory, descriptors, threads, processes, files and connections do not grow",
        resident_mb=" ".join(f"{value:.1f}" for value in resident),
        descriptors=" ".join(str(size.descriptors) for size in sizes),
        processes=" ".join(str(size.processes) for size in sizes),
        files=" ".join(str(size.files) for size in sizes),
    )
    settled = sizes[1]
    for size in sizes[2:]:
        assert size.descriptors <= settled.descriptors
        assert size.threads <= settled.threads
        assert size.processes == settled.processes
        assert size.files == settled.files
        assert size.connections <= settled.connections
    assert resident[-1] - resident[1] < 3.0, "MB in two hundred jobs"


def _done(field: Field) -> bool:
    """Cancel the long ones that have begun; whether none is left."""
    execute(
        field.dsn,
        "UPDATE audio_job_queue SET status = 'cancelled' WHERE stage = 'Sleeping' AND payload ->> 'seconds' = '600'"
        " AND status = 'processing'",
    )
    return field.left() == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _size(worker: WorkerProcess, folder: Path) -> Size:
    process = psutil.Process(worker.pid)
    family = [process, *worker.family()]
    return Size(
        resident_mb=sum(member.memory_info().rss for member in family) / (1 << 20),
        descriptors=sum(member.num_fds() for member in family),
        threads=sum(member.num_threads() for member in family),
        processes=len(family),
        files=len(list(folder.glob("mindscript-*/**/*"))),
        connections=len(process.net_connections("all")),
    )
