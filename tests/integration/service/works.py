"""A worker in a thread on a real queue, with small jobs in real processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from database import execute, row_of
from processes import shared_fork_servers
from standins.jobs import PERFORM

from worker.backoff import RetryPolicy
from worker.config import Config
from worker.job.process import ForkServer
from worker.queue.retry import JobRetries
from worker.queue.service import Cause, Queue, open_queue
from worker.service.heartbeat import WorkerTimings
from worker.service.observers import JobObserver
from worker.service.runner import JobResult
from worker.service.worker import Worker

HURRY = WorkerTimings(
    heartbeat_s=0.3,
    check_s=0.1,
    lost_after_s=20.0,
    rescue_s=0.3,
    finish_within_s=1.0,
    trouble=RetryPolicy(first_wait_s=0.4, longest_wait_s=0.8, jitter=0.0),
    drain_poll_s=0.1,
)


class Recorder(JobObserver):
    def __init__(self) -> None:
        self.all: list[JobResult] = []
        self.told: list[tuple[str, str]] = []

    def ended(self, ended: JobResult) -> None:
        self.all.append(ended)

    def given_up(self, job_id: str, outcome: str, why: str) -> None:
        del why
        self.told.append((outcome, job_id))

    def must_be_fixed(self, cause: Cause) -> None:
        self.told.append(("must be fixed", cause.name))

    def fixed(self, cause: Cause) -> None:
        self.told.append(("fixed", cause.name))


@dataclass
class Works:
    """A worker in a thread, and its queue."""

    dsn: str
    folder: Path
    queue: Queue
    config: Config
    timings: WorkerTimings = HURRY
    observer: Recorder = field(default_factory=Recorder)
    worker: Worker | None = None
    open_fork_server: Callable[[str], AbstractContextManager[ForkServer]] = ForkServer

    def enqueue(self, **payload: object) -> str:
        return self.queue.enqueue(payload)

    def set(self, **settings: object) -> None:
        self.config = self.config.model_copy(update=settings)

    def make(self, *, drain: bool = False) -> Worker:
        self.worker = Worker(
            self.config,
            self.queue,
            drain=drain,
            job=PERFORM,
            timings=self.timings,
            observers=[self.observer],
            open_fork_server=self.open_fork_server,
        )
        return self.worker

    def drain(self) -> None:
        self.make(drain=True).run()

    @contextmanager
    def working(self) -> Iterator[Worker]:
        worker = self.make()
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        try:
            yield worker
        finally:
            worker.stop()
            thread.join(90)
            assert not thread.is_alive()

    def row(self, job_id: str) -> dict[str, Any]:
        return row_of(self.dsn, job_id)

    def statuses(self) -> list[str]:
        return [row["status"] for row in execute(self.dsn, "SELECT status FROM audio_job_queue ORDER BY created_at")]

    def outcomes(self) -> list[str]:
        return [ended.outcome for ended in self.observer.all]


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """One for all workers in threads: to start one takes half a second of a core."""
    with ForkServer(PERFORM) as fork_server:
        shared_fork_servers.append(fork_server)
        yield fork_server


@pytest.fixture
def works(leased_dsn: str, tmp_path: Path, fork_server: ForkServer) -> Iterator[Works]:
    config = Config(database_url=leased_dsn, poll_interval_ms=100, storage_dir=tmp_path / "out")
    policy = RetryPolicy(first_wait_s=0.1, longest_wait_s=900.0)
    retries = JobRetries(policy, machine_s=1.0, machine_again_s=1.0)
    queue = open_queue(config, worker_name="w", retries=retries)
    yield Works(leased_dsn, tmp_path, queue, config, open_fork_server=lambda _: nullcontext(fork_server))
    queue.close()


def probe_now(dsn: str) -> None:
    """Have the pauses of all causes end."""
    execute(dsn, "UPDATE worker_causes SET next_probe_at = now()")


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)


def attempts(works: Works) -> list[tuple[str, str]]:
    return [(ended.claim.job_id, ended.outcome) for ended in works.observer.all]
