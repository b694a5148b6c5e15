"""Workers that are killed, stopped, or killed by their jobs."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

import psutil
import pytest
from database import age_row, execute
from field import BRISK, BRISK_LEASE_S, Field, eventually
from standins.worker_process import WorkerProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_kill_9_at_fifty_random_moments_with_eight_workers(field: Field) -> None:
    """Production's lease and timings: the jobs of a dead worker are back in the queue within 75 s."""
    jitter = random.Random(20)
    kills, workers_n = 50, 8
    settings = {"poll_interval_ms": 1000, "max_jobs_per_cycle": 100}
    workers = [field.worker(**settings) for _ in range(workers_n)]
    field.enqueue(250, do="sleep", seconds=1.2)
    killed_at: dict[str, float] = {}
    for _ in range(kills):
        time.sleep(jitter.uniform(0.1, 1.6))
        place = jitter.randrange(workers_n)
        killed_at[workers[place].settings["WORKER_NAME"]] = time.time()
        workers[place].kill()
        workers[place] = field.worker(**settings)
        if field.left() < 60:  # there must be something to be killed over until the last
            field.enqueue(60, do="sleep", seconds=1.2)
    field.wait_until_all_ended(200)
    # How long after its holder's death a job was back in the queue, or given up.
    waits = [
        row["at"].timestamp() - killed_at[row["worker"]]
        for row in execute(field.dsn, "SELECT worker, at FROM book WHERE what = 'pending'")
        if row["worker"] in killed_at
    ]
    crashes = execute(field.dsn, "SELECT max(crash_count) n FROM audio_job_queue")[0]["n"]
    assert waits
    counts = field.count(
        say=f"kill -9 at {kills} random moments, {workers_n} workers",
        must="every job ends exactly once; what a dead worker held is rescued within 75 s",
        killed=kills,
        rescued=len(waits),
        slowest_rescue_s=round(max(waits), 1),
        most_crashes_on_one_job=crashes,
    )
    assert counts["ended once"] == counts["jobs in"]
    assert max(waits) <= 75


def test_sigstop_past_the_lease_then_sigcont(field: Field) -> None:
    """A frozen worker wakes up and finds its job lost: nothing that it then writes has an effect."""
    lost = frozen = 0
    for everybody in (False, True, False):
        victims = [field.brisk(worker_concurrency=2) for _ in range(3)]
        field.started(*victims)
        jobs = field.enqueue(6, do="sleep", seconds=4)
        eventually(lambda jobs=jobs: all(field.stage(job) == "Sleeping" for job in jobs))  # type: ignore[misc]
        stopped: list[psutil.Process] = []
        for victim in victims:
            stopped += [psutil.Process(victim.pid), *(victim.family() if everybody else [])]
        _tell(stopped, signal.SIGSTOP)
        healthy = field.brisk(worker_concurrency=6, poll_interval_ms=300)
        field.wait_until_all_ended(60)
        _tell(stopped, signal.SIGCONT)
        frozen += len(jobs)
        eventually(lambda victims=victims: sum(_outcomes(victim).count("lost") for victim in victims) >= 6)  # type: ignore[misc]
        lost += sum(_outcomes(victim).count("lost") for victim in victims)
        for worker in (*victims, healthy):
            assert worker.stop() == 0
    field.count(
        say="SIGSTOP past the lease, then SIGCONT",
        must="the rescued job ends once; the frozen worker finds it lost and writes nothing",
        frozen=frozen,
        found_lost=lost,
    )
    assert lost == frozen


def _tell(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _outcomes(worker: WorkerProcess) -> list[str]:
    return [event["outcome"] for event in worker.events() if event.get("event") == "job"]


@pytest.mark.parametrize("do", ["allocate", "allocate apart"])
def test_a_job_that_allocates_without_end(field: Field, do: str) -> None:
    limit_mb = 200
    worker = field.brisk(memory_limit_mb=limit_mb, poll_interval_ms=200, worker_concurrency=2)
    bad = field.enqueue(do=do)
    good = field.enqueue(20, do="sleep", seconds=0.3)
    most, deadline = 0, time.monotonic() + 120
    while field.left():
        assert time.monotonic() < deadline
        taken = [process for process in worker.family() if process.is_running()]
        most = max(most, sum(_rss(process) for process in taken))
        time.sleep(0.02)
    row = execute(field.dsn, "SELECT * FROM audio_job_queue WHERE id = %s", bad[0])[0]
    assert (row["status"], row["error_code"], row["attempt"]) == ("failed", "resource.memory", 2)
    assert all(field.status(job) == "completed" for job in good)
    assert worker.stop() == 0
    field.count(
        say=f"a job that allocates without end ({'in one process' if do == 'allocate' else 'in many'})",
        must="one more try, then failed; the worker lives and the neighbours finish",
        limit_mb=limit_mb,
        most_seen_mb=most >> 20,
        attempts=row["attempt"],
    )


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_job_that_kills_its_worker(either_field: Field, at_once: int) -> None:
    """The worker is restarted each time, as a dyno is. A death beside others is charged to none."""
    field = either_field
    bad = field.enqueue(do="kill worker")[0]
    good = field.enqueue(12, do="sleep", seconds=0.5)
    deaths = 0
    settings = {"poll_interval_ms": 200, "worker_concurrency": at_once, "max_jobs_per_cycle": 100}
    worker = field.brisk(**settings)
    deadline = time.monotonic() + 240
    while field.left():
        assert time.monotonic() < deadline
        if worker.process.poll() is not None:
            assert worker.process.returncode == -signal.SIGKILL
            deaths += 1
            if field.mode == "plain":  # whose rescue comes after ten minutes
                age_row(field.dsn, "10 minutes 10 seconds")
            worker = field.brisk(**settings)
        time.sleep(0.05)
    crashes = {job: field.crashes(job) for job in (bad, *good)}
    assert field.status(bad) == "failed"
    assert all(field.status(job) == "completed" for job in good)
    assert worker.stop() == 0
    field.count(
        say=f"a job that kills its worker, which runs {at_once} at once ({field.mode})",
        must="given up after 3 crashes; its neighbours finish, and none of them is charged",
        deaths=deaths,
        crashes=crashes[bad],
        most_crashes_of_a_neighbour=max(crashes[job] for job in good),
    )
    assert deaths == (3 if at_once == 1 else 4)
    assert crashes[bad] == (3 if field.mode == "leased" else 0), "plain mode has cleared its notes"
    assert not any(crashes[job] for job in good)


def test_a_job_that_kills_its_parent(field: Field) -> None:
    """The parent is the fork server; the worker starts another one and loses nothing."""
    worker = field.brisk(poll_interval_ms=200)
    jobs = [job for _ in range(5) for job in (*field.enqueue(do="kill parent"), *field.enqueue(2))]
    field.wait_until_all_ended(60)
    assert all(field.status(job) == "completed" for job in jobs)
    fork_servers = sum("worker.job.fork_server" in " ".join(process.cmdline()) for process in worker.family())
    assert worker.stop() == 0
    field.count(
        say="a job that kills its parent process (5 of them)",
        must="the worker lives, every job completes",
        fork_servers_after=fork_servers,
    )
    assert fork_servers == 1


def test_the_job_dies_with_its_worker_at_once(field: Field) -> None:
    """With everything it has started: nothing renders or uploads for a dead worker."""
    slowest = 0.0
    for round_number in range(10):
        note = field.folder / f"note{round_number}"
        job = field.enqueue(do="family", seconds=600, note=str(note), attempts=1)
        worker = field.worker(timings=BRISK, lease_s=BRISK_LEASE_S, poll_interval_ms=200)
        eventually(lambda note=note: note.exists() and len(note.read_text().split()) == 2)  # type: ignore[misc]
        pids = [int(word) for word in note.read_text().split()]
        os.kill(worker.pid, signal.SIGKILL)
        killed_at = time.monotonic()
        eventually(lambda pids=pids: not any(_lives(pid) for pid in pids), every_s=0.005)  # type: ignore[misc]
        slowest = max(slowest, time.monotonic() - killed_at)
        heir = field.brisk(poll_interval_ms=200)
        eventually(lambda job=job: field.status(job[0]) == "completed")  # type: ignore[misc]
        assert heir.stop() == 0
    field.count(
        say="the job's processes after kill -9 of the worker (10 times)",
        must="gone within a second, FFmpeg-like grandchildren too",
        slowest_s=round(slowest, 3),
    )
    assert slowest < 1.0


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
