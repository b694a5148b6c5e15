"""What must be fixed: parked jobs, their probes, and a machine that can do none; on a real queue."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from database import execute
from works import HURRY, Works, attempts, eventually, probe_now

from worker.backoff import RetryPolicy
from worker.errors import ConfigurationError


def dead(works: Works, model: str = "tts-1", **more: object) -> str:
    """A job on a model that has ended."""
    about = ["openai", model]
    return works.enqueue(
        do="fail", error="ConfigurationError", message=f"{model} has ended".split(), about=about, **more
    )


def test_healthy_jobs_do_not_wait_for_dead_ones(works: Works) -> None:
    """Each dead one is tried once; a cycle of two, with no other for an hour, still gets through all of them."""
    works.set(max_jobs_per_cycle=2, poll_interval_ms=600_000)
    dead_ones = [dead(works) for _ in range(6)]
    good = [works.enqueue() for _ in range(2)]
    with works.working() as worker:
        eventually(lambda: works.outcomes().count("completed") == 2)
        assert attempts(works) == [(job, "parked") for job in dead_ones] + [(job, "completed") for job in good]
        assert worker.state.ready, "the next job would be claimed"
        assert [cause.name for cause in worker.state.causes] == ["openai/tts-1/test.asked"]
        assert "tts-1 has ended" in str(worker.state.trouble)
    assert {works.row(job)["attempt"] for job in dead_ones} == {0}


def test_what_must_be_fixed_is_told_once_for_each_cause(works: Works) -> None:
    fixed = works.folder / "fixed"
    jobs = [dead(works, model, fixed_by=str(fixed)) for model in ("tts-1", "tts-1-hd") for _ in range(3)]
    with works.working():
        eventually(lambda: works.outcomes().count("parked") == 6)
        causes = {f"openai/{model}/test.asked" for model in ("tts-1", "tts-1-hd")}
        eventually(lambda: len(works.observer.told) == 2)
        assert set(works.observer.told) == {("must be fixed", name) for name in causes}
        fixed.touch()
        probe_now(works.dsn)
        eventually(lambda: works.outcomes().count("completed") == 6)
        eventually(lambda: len(works.observer.told) == 4)
        assert set(works.observer.told[2:]) == {("fixed", name) for name in causes}
        eventually(lambda: works.worker is not None and works.worker.state.trouble is None)
    assert works.outcomes() == ["parked"] * 6 + ["completed"] * 6
    assert {works.row(job)["attempt"] for job in jobs} == {1}


def test_a_probe_that_meets_its_cause_again_is_the_only_one(works: Works) -> None:
    jobs = [dead(works) for _ in range(3)]
    with works.working():
        eventually(lambda: works.outcomes() == ["parked"] * 3)
        probe_now(works.dsn)
        eventually(lambda: len(works.observer.all) == 4)
        works.enqueue()
        eventually(lambda: works.outcomes() == ["parked"] * 4 + ["completed"])
    assert attempts(works)[3] == (jobs[0], "parked")


def test_a_job_that_was_parked_for_too_long_is_told_of(works: Works) -> None:
    job = dead(works)
    with works.working():
        eventually(lambda: works.outcomes() == ["parked"])
        execute(works.dsn, "UPDATE audio_job_queue SET parked_since = now() - interval '49 hours'")
        eventually(lambda: works.row(job)["status"] == "failed")
        eventually(lambda: ("failed", job) in works.observer.told)
    assert works.row(job)["error_code"] == "configuration.limit"


def test_a_machine_that_can_do_no_job_releases_it_and_backs_off(works: Works) -> None:
    works.timings = replace(
        HURRY, trouble=RetryPolicy(first_wait_s=600.0, longest_wait_s=600.0)
    )  # longer than any test run
    works.set(max_jobs_per_cycle=1, poll_interval_ms=600_000)  # so that no other cycle begins during the job
    job = works.enqueue(do="fail", error="MachineError", message=["there", "is", "no", "FFmpeg"])
    with works.working() as worker:
        eventually(lambda: works.outcomes() == ["released"])
        assert worker.state.trouble == "there is no FFmpeg"
        assert not worker.state.ready
        row = works.row(job)
        assert (row["status"], row["attempt"], row["parked_cause"]) == ("pending", 0, None)
        works.enqueue()
        worker.wake()
        time.sleep(0.3)
        assert works.outcomes() == ["released"], "nothing is claimed while the worker backs off"


def test_the_worker_is_ready_again_after_backing_off(works: Works) -> None:
    works.queue.retries = replace(works.queue.retries, machine_s=600.0)  # so that it has no further trouble
    works.set(max_jobs_per_cycle=1)
    works.enqueue(do="fail", error="MachineError", message=["there", "is", "no", "FFmpeg"])
    good = works.enqueue()
    with works.working() as worker:
        eventually(lambda: works.row(good)["status"] == "completed")
        eventually(lambda: worker.state.ready)


def test_trouble_is_fixed_by_its_own_cause_only(works: Works) -> None:
    """Neither by claims, nor by jobs that do not need what is missing; then by the job that does."""
    fixed = works.folder / "fixed"
    works.set(max_jobs_per_cycle=1)
    machine = {"do": "fail", "error": "MachineError", "message": "no such encoder", "fixed_by": str(fixed)}
    works.enqueue(**machine, about=["encoder"])
    with works.working() as worker:
        eventually(lambda: works.outcomes()[:1] == ["released"])
        good = works.enqueue()
        eventually(lambda: works.row(good)["status"] == "completed")
        assert [cause.name for cause in worker.state.own.causes] == ["encoder/test.asked"]
        assert worker.state.readiness().code == "test.asked"
        fixed.touch()
        eventually(lambda: worker.state.ready)
    assert works.outcomes().count("completed") == 2


def test_drain_ends_when_only_parked_jobs_are_left(works: Works) -> None:
    job = dead(works)
    retried = works.enqueue(do="fail", error="TransientError", attempts=2)
    with pytest.raises(ConfigurationError, match="tts-1 has ended"):
        works.drain()
    assert works.row(retried)["status"] == "completed"
    assert works.row(job)["status"] == "pending"
    assert works.outcomes().count("parked") == 1
