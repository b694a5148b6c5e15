"""Leased mode's rescue: whose death is charged to a job, when it is poison, and what a rescue leaves alone."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from claiming import claimed, due_now, expire
from database import execute, rescued_by, row_of
from figures import tell

from worker.errors import ShuttingDown, TransientError
from worker.queue.retry import runs_alone
from worker.queue.service import Claim, ClaimStatus, Outcome, Queue


@pytest.mark.parametrize("races", [20, pytest.param(200, marks=pytest.mark.faults)])
def test_rescue_racing_finish_ends_the_job_once(jobs: Queue, others: Queue, leased_dsn: str, races: int) -> None:
    """The lease has run out: one of them wins. Either it is finished, or it is back and lost to the first."""
    winners: Counter[str] = Counter()
    jitter = random.Random(5)
    for _ in range(races):
        jobs.enqueue({})
        claim = claimed(jobs)
        expire(leased_dsn)
        gate = threading.Barrier(2)

        def finish(claim: Claim = claim, gate: threading.Barrier = gate) -> ClaimStatus:
            gate.wait()
            return jobs.finish(claim, result={"by": "first"}, track={})

        with ThreadPoolExecutor(1) as pool:
            finishing = pool.submit(finish)
            gate.wait()
            time.sleep(jitter.uniform(0, 0.0008))  # finish has more to do before it asks
            rescued = rescued_by(others)
            claim_status = finishing.result()
        row = row_of(leased_dsn, claim.job_id)
        winners["both" if rescued and claim_status is ClaimStatus.HELD else "rescue" if rescued else "finish"] += 1
        if claim_status is ClaimStatus.HELD:
            assert (row["status"], rescued) == ("completed", 0)
        else:
            assert (claim_status, row["status"], rescued, row["result"]) == (ClaimStatus.LOST, "pending", 1, None)
        execute(leased_dsn, "DELETE FROM audio_job_queue")
    tell(
        "rescue racing finish",
        must="one of them wins: the job is finished, or it is back and lost to its first holder",
        races=winners.total(),
        finish_won=winners["finish"],
        rescue_won=winners["rescue"],
        both=winners["both"],
    )
    assert winners["both"] == 0


def test_a_lease_that_ran_out_but_was_not_rescued_is_still_ours(jobs: Queue, leased_dsn: str) -> None:
    jobs.enqueue({})
    claim = claimed(jobs)
    expire(leased_dsn)
    assert jobs.heartbeat(claim, progress=1, stage="s") is ClaimStatus.HELD
    assert rescued_by(jobs) == 0


def test_rescue_leaves_live_leases_alone_and_counts_the_crash(jobs: Queue, others: Queue, leased_dsn: str) -> None:
    jobs.enqueue({})
    claim = claimed(jobs)
    assert rescued_by(others) == 0
    expire(leased_dsn)
    assert rescued_by(others) == 1
    again = claimed(others)
    assert (again.job_id, again.attempt, again.crashes, again.last_error_code) == (
        claim.job_id,
        2,
        1,
        "crash",
    )
    assert jobs.heartbeat(claim, progress=50, stage="late") is ClaimStatus.LOST
    assert jobs.claim_status(claim) is ClaimStatus.LOST
    assert jobs.resolve_failure(claim, ShuttingDown()) is Outcome.LOST
    assert jobs.resolve_failure(claim, TransientError("late")) is Outcome.LOST
    assert jobs.finish(claim, result={"late": 1}, track={}) is ClaimStatus.LOST
    assert others.finish(again, result={"again": 1}, track={}) is ClaimStatus.HELD
    assert row_of(leased_dsn, claim.job_id)["result"] == {"again": 1}


def test_three_dead_workers_are_poison(jobs: Queue, leased_dsn: str) -> None:
    job_id = jobs.enqueue({})
    neighbour = jobs.enqueue({})
    for crashes in range(3):
        claim = claimed(jobs)
        assert (claim.job_id, claim.crashes) == (job_id, crashes)
        expire(leased_dsn)
        assert rescued_by(jobs) == 1
    row = row_of(leased_dsn, job_id)
    assert (row["status"], row["error_code"], row["crash_count"]) == ("failed", "poison", 3)
    assert "contact support" in row["error"]
    assert claimed(jobs).job_id == neighbour


def test_a_death_beside_others_is_charged_to_none(jobs: Queue, others: Queue, leased_dsn: str) -> None:
    """Their leases run out one after the other; the last one was no more alone than the first."""
    ids = [jobs.enqueue({}) for _ in range(3)]
    for job_id in ids:
        assert claimed(jobs).job_id == job_id
    for job_id in ids:
        expire(leased_dsn, job_id)
        assert others.rescue_jobs().put_back == (job_id,)
    again = [claimed(others) for _ in ids]
    assert [(claim.attempt, claim.crashes, claim.last_error_code) for claim in again] == [(2, 0, "crash.shared")] * 3
    assert all(runs_alone(claim) for claim in again)


def test_a_death_alone_is_charged_whatever_others_do(jobs: Queue, others: Queue, leased_dsn: str) -> None:
    """Two processes of one name: that another one dies in the same moment, or that one follows it, changes nothing."""
    ids = [jobs.enqueue({}), jobs.enqueue({})]
    claimed(jobs), claimed(others)
    expire(leased_dsn)
    assert sorted(jobs.rescue_jobs().put_back) == sorted(ids)
    again = [claimed(jobs), claimed(others)]
    assert [(claim.crashes, claim.last_error_code) for claim in again] == [(1, "crash")] * 2
    assert all(runs_alone(claim) for claim in again)


def test_a_neighbour_whose_worker_lives_is_not_touched(jobs: Queue, others: Queue, leased_dsn: str) -> None:
    lost, alive = jobs.enqueue({}), jobs.enqueue({})
    claims = {claim.job_id: claim for claim in (claimed(jobs), claimed(jobs))}
    expire(leased_dsn, lost)
    assert others.rescue_jobs().put_back == (lost,)
    assert jobs.heartbeat(claims[alive], progress=1, stage="s") is ClaimStatus.HELD
    assert jobs.finish(claims[alive], result={}, track={}) is ClaimStatus.HELD
    row = row_of(leased_dsn, alive)
    assert (row["status"], row["error_code"], row["crash_count"]) == ("completed", None, 0)


def test_crashes_of_child_and_worker_are_counted_together(jobs: Queue, leased_dsn: str) -> None:
    job_id = jobs.enqueue({})
    assert jobs.resolve_failure(claimed(jobs), TransientError("signal 9"), crashed=True) is Outcome.RETRIED
    due_now(leased_dsn)
    claimed(jobs)
    expire(leased_dsn)
    rescued_by(jobs)
    assert jobs.resolve_failure(claimed(jobs), TransientError("signal 9"), crashed=True) is Outcome.POISON
    assert row_of(leased_dsn, job_id)["error_code"] == "poison"


def test_an_attempt_beyond_the_fifth_is_not_made_by_rescue(jobs: Queue, leased_dsn: str) -> None:
    job_id = jobs.enqueue({})
    for _ in range(4):
        assert jobs.resolve_failure(claimed(jobs), TransientError("down")) is Outcome.RETRIED
        due_now(leased_dsn)
    assert claimed(jobs).attempt == 5
    expire(leased_dsn)
    assert rescued_by(jobs) == 1
    row = row_of(leased_dsn, job_id)
    assert (row["status"], row["error_code"]) == ("failed", "attempts")


def test_a_job_put_back_by_hand_gets_five_fresh_attempts(jobs: Queue, leased_dsn: str) -> None:
    jobs.enqueue({})
    for _ in range(3):
        claimed(jobs)
        expire(leased_dsn)
        rescued_by(jobs)
    execute(leased_dsn, "UPDATE audio_job_queue SET status = 'pending'")
    claim = claimed(jobs)
    assert (claim.attempt, claim.crashes, claim.last_error_code) == (1, 0, None)
