"""Any sequence of claim, beat, expiry, rescue, release, cancel and finish, against a model of the queue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from database import Databases, Variant, rescued_by
from figures import tell
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from psycopg.rows import dict_row

from worker.config import Config
from worker.errors import ConfigurationError, JobError, MachineError, ShuttingDown, TransientError
from worker.queue.claims import Claim, ClaimStatus, Outcome
from worker.queue.retry import MAX_ATTEMPTS, MAX_CRASHES
from worker.queue.service import Queue, open_queue


@dataclass(frozen=True)
class Model:
    """A job as it should be: who holds it, and what it has been through; `beside`: a neighbour of it has died."""

    status: str = "pending"
    holder: str | None = None
    attempt: int = 0
    crashes: int = 0
    due: bool = True
    expired: bool = False
    parked: bool = False
    finished_by: str | None = None
    beside: bool = False


class Machine(RuleBasedStateMachine):
    """Two workers and an observer, which the test opens once for all runs."""

    workers: tuple[Queue, Queue]
    seen: Counter[str]
    connection: psycopg.Connection[dict[str, Any]]
    claims = Bundle("claims")

    @initialize()
    def begin(self) -> None:
        self.connection.execute("DELETE FROM audio_job_queue")
        self.connection.execute("DELETE FROM worker_causes")
        self.cause: bool | None = None  # whether the one cause that jobs are parked under is due; None: there is none
        self.model: dict[str, Model] = {}
        self.job: list[str] = []
        for _ in range(2):
            self.enqueue()

    def worker(self, number: int) -> Queue:
        return self.workers[number % 2]

    def expected(self, claim: Claim) -> ClaimStatus:
        model = self.model[claim.job_id]
        if model.status == "cancelled":
            return ClaimStatus.CANCELLED
        held = model.status == "processing" and model.holder == claim.token
        return ClaimStatus.HELD if held else ClaimStatus.LOST

    def change(self, job_id: str, **changes: object) -> None:
        self.model[job_id] = replace(self.model[job_id], **changes)  # type: ignore[arg-type]

    @rule()
    def enqueue(self) -> None:
        job_id = self.workers[0].enqueue({"n": len(self.job)})
        self.model[job_id] = Model()
        self.job.append(job_id)

    @rule(target=claims, number=st.integers(0, 1))
    def claim(self, number: int) -> object:
        claim = self.worker(number).claim()
        waiting = [i for i in self.job if self.model[i].status == "pending" and self.model[i].due]
        probes = [i for i in waiting if self.model[i].parked]
        if any(model.status == "processing" and model.parked for model in self.model.values()) or not self.cause:
            probes = []
        due = probes or [i for i in waiting if not self.model[i].parked]
        if not due:
            assert claim is None
            return multiple()
        assert claim is not None
        model = self.model[due[0]]
        assert (claim.job_id, claim.attempt, claim.crashes) == (due[0], model.attempt + 1, model.crashes)
        assert (claim.probed_cause is not None) is model.parked
        if model.parked:
            self.cause = False
        self.change(due[0], status="processing", holder=claim.token, attempt=model.attempt + 1, expired=False)
        return claim

    @rule(claim=claims, number=st.integers(0, 1))
    def heartbeat(self, claim: Claim, number: int) -> None:
        expected = self.expected(claim)
        assert self.worker(number).heartbeat(claim, progress=1, stage="s") is expected
        if expected is ClaimStatus.HELD:
            self.change(claim.job_id, expired=False)

    @rule(claim=claims)
    def look(self, claim: Claim) -> None:
        assert self.workers[0].claim_status(claim) is self.expected(claim)

    @rule(claim=claims)
    def expire(self, claim: Claim) -> None:
        statement = "UPDATE audio_job_queue SET lease_expires_at = now() - interval '1 s' WHERE claim_token = %s"
        self.connection.execute(statement, (claim.token,))
        if self.expected(claim) is ClaimStatus.HELD:
            self.change(claim.job_id, expired=True)

    @rule(target=claims, number=st.integers(0, 1), again=st.booleans())
    def everybody_dies_and_another_takes_over(self, number: int, again: bool) -> object:
        """What chance takes long to find, in one step: all claims stale, the rows held anew."""
        self.connection.execute("UPDATE audio_job_queue SET lease_expires_at = now() - interval '1 s'")
        for job_id, model in self.model.items():
            self.change(job_id, expired=model.status == "processing")
        self.rescue(number)
        return self.claim(number) if again else multiple()

    @rule(number=st.integers(0, 1))
    def rescue(self, number: int) -> None:
        dead = [i for i, m in self.model.items() if m.status == "processing" and m.expired]
        assert rescued_by(self.worker(number)) == len(dead)
        beside = {job_id: self.neighbours(job_id) for job_id in dead}
        for job_id in dead:
            model = self.model[job_id]
            # nobody is charged with a death beside others of one process, whose tokens begin alike
            crashes = model.crashes + (not model.beside and not beside[job_id])
            given_up = crashes >= MAX_CRASHES or model.attempt >= MAX_ATTEMPTS
            status = "failed" if given_up else "pending"
            parked = self.probe_over(model) and not given_up
            self.change(job_id, status=status, holder=None, crashes=crashes, due=True, parked=parked, beside=False)
        for neighbour in (other for others in beside.values() for other in others if other not in dead):
            self.change(neighbour, beside=True)
        if not any(model.parked for model in self.model.values()):
            self.cause = None  # nobody waits for it

    def neighbours(self, job_id: str) -> list[str]:
        process = str(self.model[job_id].holder)[:18]
        held = [i for i, m in self.model.items() if m.status == "processing" and str(m.holder).startswith(process)]
        return [other for other in held if other != job_id]

    def probe_over(self, model: Model) -> bool:
        """Have the cause rest anew where the job was a probe of it; whether it was."""
        if model.parked and self.cause is not None:
            self.cause = False
        return model.parked

    @rule(claim=consumes(claims), delayed=st.booleans())
    def release(self, claim: Claim, delayed: bool) -> None:
        expected = self.expected(claim)
        error = MachineError("c") if delayed else ShuttingDown()
        outcome = self.workers[0].resolve_failure(claim, error)
        assert (outcome is Outcome.RELEASED) is (expected is ClaimStatus.HELD)
        if outcome is Outcome.RELEASED:
            self.probe_over(self.model[claim.job_id])
            attempt = self.model[claim.job_id].attempt - 1
            self.change(claim.job_id, status="pending", holder=None, attempt=attempt, due=not delayed, beside=False)

    @rule(claim=claims, which=st.sampled_from(["transient", "permanent", "configuration", "crash"]))
    def resolve_failure(self, claim: Claim, which: str) -> None:
        expected = self.expected(claim)
        model = self.model[claim.job_id]
        # A worker settles once; a claim that was settled before is stale or ended, and says so.
        ended = model.finished_by == claim.token and model.status == "failed"
        error = {
            "transient": TransientError("t"),
            "permanent": JobError("p"),
            "configuration": ConfigurationError("c"),
            "crash": TransientError("c"),
        }[which]
        outcome = self.workers[0].resolve_failure(claim, error, crashed=which == "crash")
        if expected is not ClaimStatus.HELD:
            stale = {Outcome.CANCELLED} if expected is ClaimStatus.CANCELLED else {Outcome.LOST}
            assert outcome in (stale | {Outcome.FAILED, Outcome.POISON} if ended else stale)
            return
        if which == "configuration":
            assert outcome is Outcome.PARKED
            self.cause = False if model.parked or self.cause is None else self.cause
            self.change(
                claim.job_id,
                status="pending",
                holder=None,
                attempt=model.attempt - 1,
                due=True,
                parked=True,
                beside=False,
            )
            return
        self.probe_over(model)
        crashes = model.crashes + (which == "crash")
        poison = which == "crash" and crashes >= MAX_CRASHES
        if which == "permanent" or poison or model.attempt >= MAX_ATTEMPTS:
            assert outcome is (Outcome.POISON if poison else Outcome.FAILED)
            self.change(
                claim.job_id, status="failed", crashes=crashes, finished_by=claim.token, parked=False, beside=False
            )
        else:
            assert outcome is Outcome.RETRIED
            self.change(claim.job_id, status="pending", holder=None, crashes=crashes, due=False, beside=False)

    @rule()
    def time_passes(self) -> None:
        self.connection.execute("UPDATE audio_job_queue SET run_after = now()")
        self.connection.execute("UPDATE worker_causes SET next_probe_at = now()")
        self.cause = None if self.cause is None else True
        for job_id in self.model:
            self.change(job_id, due=True)

    @rule(claim=claims)
    def cancel(self, claim: Claim) -> None:
        self.connection.execute(
            "UPDATE audio_job_queue SET status = 'cancelled' WHERE id = %s AND status IN ('pending', 'processing')",
            (claim.job_id,),
        )
        if self.model[claim.job_id].status in ("pending", "processing"):
            self.change(claim.job_id, status="cancelled", parked=False)

    @rule(claim=claims)
    def reset_by_the_old_edge_function(self, claim: Claim) -> None:
        self.connection.execute(
            "UPDATE audio_job_queue SET status = 'pending' WHERE id = %s AND status = 'processing'",
            (claim.job_id,),
        )
        if self.model[claim.job_id].status == "processing":
            # due: its run_after lies in the past, or it could not have been held
            self.change(claim.job_id, status="pending", holder=None, due=True)

    @rule(claim=claims)
    def finish(self, claim: Claim) -> None:
        expected = self.expected(claim)
        model = self.model[claim.job_id]
        claim_status = self.workers[0].finish(claim, result={"by": claim.token}, track={})
        if model.status == "completed" and model.finished_by == claim.token:
            assert claim_status is ClaimStatus.HELD, "finishing twice is finishing once"
            return
        assert claim_status is expected
        if claim_status is ClaimStatus.HELD:
            self.change(claim.job_id, status="completed", finished_by=claim.token, parked=False)
            if model.parked:  # a probe: all others are freed
                self.cause = None
                for job_id, other in self.model.items():
                    if other.parked and other.status == "pending":
                        self.change(job_id, parked=False, due=True)

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        self.seen["states"] += 1
        rows = {str(row["id"]): row for row in self.connection.execute("SELECT * FROM audio_job_queue")}
        assert rows.keys() == self.model.keys()
        for job_id, model in self.model.items():
            row = rows[job_id]
            assert (row["status"], row["attempt"], row["crash_count"]) == (
                model.status,
                model.attempt,
                model.crashes,
            )
            assert (row["parked_cause"] is not None) is model.parked
            if model.status == "completed":
                assert row["result"] == {"by": model.finished_by}
            else:
                assert row["result"] is None


@pytest.mark.parametrize(("runs", "steps"), [(80, 30), pytest.param(600, 50, marks=pytest.mark.faults)])
def test_the_queue_is_what_the_model_says(databases: Databases, runs: int, steps: int) -> None:
    dsn = databases.new(Variant("completing", "production", leased=True))
    workers = tuple(open_queue(Config(database_url=dsn), worker_name=f"w{n}") for n in range(2))
    observer = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
    seen: Counter[str] = Counter()
    machine = type("Bound", (Machine,), {"workers": workers, "connection": observer, "seen": seen})
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=runs, stateful_step_count=steps, deadline=None, suppress_health_check=checks),
    )
    for open_one in (*workers, observer):
        open_one.close()
    tell(
        "claim, beat, expire, rescue, release, settle, cancel, reset, finish in any order (hypothesis)",
        must="every answer and every row is as the model says, after every step",
        runs=runs,
        states_compared=seen["states"],
    )
    databases.release(dsn)
