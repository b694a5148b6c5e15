"""The summary of `work --drain`: a line for each job, what to do next, and 1 if one has failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from typing import Any, cast

import pytest

from worker.cli.drain import DrainSummary
from worker.cli.main import run
from worker.config import Config
from worker.errors import ConfigurationError, JobError, ShuttingDown, TransientError, WorkerError
from worker.queue.claims import Cause, Claim, JobRow, QueueState
from worker.queue.listing import ListedJob
from worker.queue.service import Queue
from worker.service.runner import JobResult

CONFIG = Config.from_environ({"STORAGE_DIR": "out"})
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD, BAD, OLD = (digit * 8 + "-0000-0000-0000-000000000000" for digit in "abc")
WAITS = Cause("OPENAI_API_KEY/configuration.key", "OPENAI_API_KEY is not set", NOW, 1)


def result(job_id: str, outcome: str, error: Exception | None = None, seconds: float = 2.0) -> JobResult:
    return JobResult(Claim(job_id, "token", 1, None, None, None, 0.0), outcome, error, {}, seconds)


def listed(job_id: str, title: str, path: str | None = None, cause: str | None = None) -> ListedJob:
    row = JobRow(job_id, "completed", 100, None, None, None, None, NOW, NOW, NOW, parked_cause=cause)
    return ListedJob(row, "done", title, 90.0, None, None, path)


@dataclass
class RowsOfQueue:
    """A queue that has these rows."""

    jobs: Sequence[ListedJob] = ()
    parked: Sequence[ListedJob] = ()
    paused_at: datetime | None = None
    gone: WorkerError | None = None

    def queue_state(self) -> QueueState:
        if self.gone is not None:
            raise self.gone
        return QueueState(self.paused_at, "ann", "lunch", {"pending": 3}, None)

    def causes(self) -> list[Cause]:
        return [WAITS] if self.parked else []

    def listed(self, group: str, *, limit: int) -> Sequence[ListedJob]:
        assert (group, limit > 0) == ("parked", True)
        return self.parked

    def listed_by_id(self, ids: Sequence[str]) -> dict[str, ListedJob]:
        return {job.row.job_id: job for job in (*self.jobs, *self.parked) if job.row.job_id in ids}


def told(summary: DrainSummary, rows: RowsOfQueue, printed: pytest.CaptureFixture[str]) -> str:
    """What is printed where the log takes standard output."""
    summary.tell(cast(Queue, rows), CONFIG, document=None)
    streams = printed.readouterr()
    assert streams.out == ""
    return streams.err


def document(summary: DrainSummary, rows: RowsOfQueue) -> dict[str, Any]:
    file = StringIO()
    summary.tell(cast(Queue, rows), CONFIG, document=file)
    return cast("dict[str, Any]", json.loads(file.getvalue()))


def test_a_job_is_told_with_title_length_and_file_or_error(capsys: pytest.CaptureFixture[str]) -> None:
    summary = DrainSummary()
    summary.ended(result(BAD, "retried", TransientError("no network")))
    summary.ended(result(GOOD, "completed"))
    summary.ended(result(BAD, "failed", JobError("bpm: two", mistakes=["bpm: found [/b]", "pauseSec: \x1b[2J"])))
    rows = RowsOfQueue([listed(GOOD, "[take 2]\n", "audio-renders/a.mp3"), listed(BAD, "Rain")])
    _, bad, more, good, count, *hints = told(summary, rows, capsys).splitlines()
    assert bad.split() == ["bbbbbbbb", "Rain", "failed", "1:30", "2.0", "s", "bpm:", "found", "[/b]"]
    assert more.split() == ["pauseSec:", "\\x1b[2J"]
    assert good.split() == ["aaaaaaaa", "[take", "2]\\n", "completed", "1:30", "2.0", "s", "out/audio-renders/a.mp3"]
    assert count == "2 jobs: 1 failed, 1 completed"
    assert "jobs show bbbbbbbb`" in hints[0]
    assert "jobs retry bbbbbbbb`" in hints[1]
    assert summary.exit_status == 1


@pytest.mark.parametrize("outcome", ["completed", "cancelled", "released", "parked"])
def test_only_failed_jobs_end_it_with_1(outcome: str) -> None:
    summary = DrainSummary()
    summary.ended(result(GOOD, outcome, ShuttingDown() if outcome == "released" else None))
    assert summary.exit_status == 0
    summary.given_up(OLD, "poison", "the workers that had it have died over it too often")
    assert summary.exit_status == 1


def test_jobs_parked_before_are_named_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    summary = DrainSummary()
    summary.ended(result(BAD, "parked", ConfigurationError("no bucket covers")))
    text = told(summary, RowsOfQueue(parked=[listed(OLD, "Sea", cause=WAITS.name)]), capsys)
    assert "no bucket covers" in text
    assert "cccccccc  Sea" in text
    assert "OPENAI_API_KEY is not set" in text
    assert "work --drain` once more" in text


def test_an_empty_queue_and_a_paused_one_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "the queue is empty" in told(DrainSummary(), RowsOfQueue(), capsys)
    paused = told(DrainSummary(), RowsOfQueue(paused_at=NOW), capsys)
    assert "paused, 3 jobs wait" in paused
    assert "empty" not in paused


def test_a_queue_that_is_gone_meanwhile_loses_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    summary = DrainSummary()
    summary.ended(result(BAD, "failed", JobError("bpm: found 300")))
    assert "bpm: found 300" in told(summary, RowsOfQueue(gone=TransientError("no network")), capsys)


def test_the_json_document_has_all_of_it() -> None:
    summary = DrainSummary()
    summary.ended(result(GOOD, "completed"))
    seen = document(
        summary,
        RowsOfQueue([listed(GOOD, "Sea", "audio-renders/a.mp3")], [listed(OLD, "Old", cause=WAITS.name)], NOW),
    )
    good, old = seen["jobs"]
    assert good == {
        "id": GOOD,
        "outcome": "completed",
        "title": "Sea",
        "length_s": 90.0,
        "seconds": 2.0,
        "file": "out/audio-renders/a.mp3",
        "code": None,
        "errors": [],
    }
    assert (old["id"], old["outcome"], old["errors"]) == (OLD, "parked", [WAITS.message])
    assert [cause["jobs"] for cause in seen["causes"]] == [1]
    assert seen["paused"] == {"since": "2026-01-01T00:00:00+00:00", "by": "ann", "reason": "lunch"}


def test_json_needs_a_worker_that_ends(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["work", "--json"]) == 2
    assert "--drain --json" in capsys.readouterr().err


@pytest.mark.integration
def test_what_others_print_stays_out_of_the_document() -> None:
    """What this process prints, and what a child of it prints, goes to standard error meanwhile."""
    program = (
        "import subprocess\n"
        "from worker.cli.drain import kept_for_document\n"
        "with kept_for_document() as document:\n"
        "    print('log', flush=True)\n"
        "    subprocess.run(['echo', 'child'], check=True)\n"
        "    document.write('document ')\n"
        "print('after')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=dict(os.environ), capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("document after\n", "log\nchild\n")
