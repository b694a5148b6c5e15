"""What a worker keeps of each attempt, and for how long; on a real queue."""

from __future__ import annotations

import pytest
from database import execute
from pydantic import SecretStr
from works import Works, eventually

from worker.errors import ConfigurationError


def test_what_a_trigger_quotes_of_a_payload_is_in_no_attempt(works: Works) -> None:
    job = works.enqueue(do="nothing", script="Gwendolyn sleeps soundly")
    execute(
        works.dsn,
        "CREATE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.status = 'completed' THEN RAISE 'no: %', NEW.payload; END IF; RETURN NEW; END $$",
    )
    execute(works.dsn, "CREATE TRIGGER quote BEFORE UPDATE ON audio_job_queue FOR EACH ROW EXECUTE FUNCTION quote()")
    with pytest.raises(ConfigurationError):
        works.drain()
    (attempt,) = works.queue.attempts(job)
    assert attempt.report.error is not None
    assert "P0001" in attempt.report.error
    assert "Gwendolyn" not in attempt.report.error


def test_each_attempt_leaves_its_story_with_secrets_masked(works: Works) -> None:
    works.set(openai_api_key=SecretStr("a-key-of-no-known-form"))
    deeds = ["sleep", "fail"]
    job = works.enqueue(
        do=deeds, seconds=0.2, error="TransientError", message="a-key-of-no-known-form \x1b", attempts=1
    )
    works.drain()
    first, second = works.queue.attempts(job)
    assert (first.number, first.outcome) == (1, "retried")
    assert first.report.error == "<text of 24 characters>", "nothing of a key, nor what a terminal obeys"
    assert list(first.report.stages) == ["Sleeping"]
    assert (second.number, second.outcome, second.report.error) == (2, "completed", None)
    assert (second.report.figures["lufs"], second.report.figures["dbtp"]) == (-16.0, -1.5)
    assert "worker" in second.report.versions
    assert "a-key" not in str(execute(works.dsn, "SELECT * FROM worker_attempts"))


def test_a_cancelled_job_s_worker_tells_how_far_it_came(works: Works) -> None:
    job = works.enqueue(do="wait", until=str(works.folder / "never"))
    with works.working() as worker:
        eventually(lambda: [job.stage for job in worker.state.running] == ["Waiting"])
        works.queue.cancel([job])
        worker.cancelled(job)
        eventually(lambda: works.outcomes() == ["cancelled"])
    (attempt,) = works.queue.attempts(job)
    assert (attempt.outcome, list(attempt.report.stages)) == ("cancelled", ["Waiting"])


def test_a_worker_purges_by_itself_what_is_too_old(works: Works) -> None:
    works.set(purge_after_d=30)
    old, young = works.enqueue(), works.enqueue()
    works.drain()
    execute(
        works.dsn,
        "UPDATE audio_job_queue SET created_at = now() - interval '31 days', completed_at = now() - interval '31 days'"
        " WHERE id = %s",
        old,
    )
    with works.working():
        eventually(lambda: works.row(old)["purged_at"] is not None)
    assert works.row(young)["purged_at"] is None
    assert works.queue.attempts(old) == []
