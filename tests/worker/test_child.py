"""A job's process: what it says, how it dies, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from standins.jobs import PERFORM

from worker.config import Config
from worker.errors import ConfigurationError, JobError, LeaseLost, ResourceError, TransientError
from worker.job.channel import Failed, MayPublish, Message, Progress, Uploaded
from worker.job.process import ForkServer, JobProcess
from worker.job.run import JobInput, JobOutput

_LIMIT = 512 << 20


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as fork_server:
        yield fork_server


@dataclass
class Told:
    """All that a job said, and how it ended."""

    messages: list[Message]
    ending: str
    child: JobProcess

    @property
    def last(self) -> Message | None:
        return self.messages[-1] if self.messages else None


def job(fork_server: ForkServer, folder: Path, function: str = PERFORM, **payload: object) -> JobProcess:
    order = JobInput("job-1", None, None, json.dumps(payload))
    return JobProcess(fork_server, function, order=order, config=Config(), folder=folder, memory_bytes=_LIMIT)


def hear_out(child: JobProcess, *, until: Callable[[Message], bool] = lambda _: False) -> Told:
    said: list[Message] = []
    deadline = time.monotonic() + 90
    while (more := child.messages(1)) is not None:
        assert time.monotonic() < deadline, "the job has not come to its end"
        said += more
        if said and (isinstance(said[-1], JobOutput | Failed) or until(said[-1])):
            break
    return Told(said, child.close(), child)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)


def test_a_job_reports_its_progress_and_its_result(fork_server: ForkServer, tmp_path: Path) -> None:
    told = hear_out(job(fork_server, tmp_path, do="sleep", seconds=0.2))
    stages = [message for message in told.messages if isinstance(message, Progress)]
    assert [message.percent for message in stages] == sorted({message.percent for message in stages})
    assert isinstance(told.last, JobOutput)
    assert told.last.result["url"] == "audio-renders/tracks/None/job-1-0.mp3"
    assert told.ending == "exit status 0"


@pytest.mark.parametrize(
    ("payload", "ending"),
    [
        ({"do": "kill self"}, "killed by SIGKILL"),
        ({"do": "segfault"}, "killed by SIGSEGV"),
        ({"do": "exit", "code": 7}, "exit status 7"),
    ],
)
def test_a_death_without_a_word_is_told_from_a_result(
    fork_server: ForkServer, tmp_path: Path, payload: dict[str, object], ending: str
) -> None:
    told = hear_out(job(fork_server, tmp_path, **payload))
    assert told.messages == []
    assert told.ending == ending
    assert told.child.was_killed == (ending == "killed by SIGKILL")


@pytest.mark.parametrize(
    ("payload", "kind", "code"),
    [
        ({"do": "fail", "error": "JobError", "message": "bpm: 300"}, JobError, "test.asked"),
        ({"do": "fail", "error": "ConfigurationError"}, ConfigurationError, "test.asked"),
        ({"do": "full disk"}, ResourceError, "resource.machine"),
        ({"do": "bug"}, TransientError, "worker.bug"),
        ({"do": "fail", "error": "LeaseLost"}, LeaseLost, None),
    ],
)
def test_errors_travel_with_their_kind(
    fork_server: ForkServer, tmp_path: Path, payload: dict[str, object], kind: type[Exception], code: str | None
) -> None:
    if payload.get("error") == "LeaseLost":
        payload = {"do": "sleep", "seconds": 0, "ledger": str(tmp_path / "ledger")}
    child = job(fork_server, tmp_path, **payload)
    if kind is LeaseLost:
        while not any(isinstance(message, MayPublish) for message in child.messages(20) or ()):
            pass
        child.answer("lost")
    told = hear_out(child)
    assert isinstance(told.last, Failed)
    error = told.last.error()
    assert type(error) is kind
    assert getattr(error, "code", None) == code


def test_an_error_keeps_what_it_says_and_how_long_to_wait() -> None:
    error = TransientError("busy", code="voice.busy", customer_message="soon", retry_after_s=12.0)
    again = Failed.of(error).error()
    assert isinstance(again, TransientError)
    assert (again.message, again.code, again.customer_message, again.retry_after_s) == (
        "busy",
        "voice.busy",
        "soon",
        12.0,
    )


def test_what_a_bug_says_stays_in_the_process(fork_server: ForkServer, tmp_path: Path) -> None:
    """A KeyError quotes its key, and that may be the customer's text."""
    told = hear_out(job(fork_server, tmp_path, do="bug", script="I am calm"))
    assert isinstance(told.last, Failed)
    assert "I am calm" not in told.last.message
    assert "KeyError at jobs.py:" in told.last.message


@pytest.mark.parametrize("claim_status", ["held", "cancelled", "lost"])
def test_nothing_is_published_without_leave(fork_server: ForkServer, tmp_path: Path, claim_status: str) -> None:
    ledger = tmp_path / "ledger"
    child = job(fork_server, tmp_path, do="nothing", ledger=str(ledger))
    while not any(isinstance(message, MayPublish) for message in child.messages(20) or ()):
        pass
    assert child.messages(0.1) == []
    assert not ledger.exists()
    child.answer(claim_status)
    told = hear_out(child)
    assert isinstance(told.last, JobOutput) == (claim_status == "held")
    assert ledger.exists() == (claim_status == "held")


def test_closing_ends_all_that_the_job_has_started(fork_server: ForkServer, tmp_path: Path) -> None:
    note = tmp_path / "note"
    child = job(fork_server, tmp_path, do="family", seconds=600, note=str(note))
    eventually(lambda: note.exists() and len(note.read_text().split()) == 2)
    pids = [int(word) for word in note.read_text().split()]
    child.messages(0.1)
    assert child.memory_bytes() > 10 << 20
    child.close()
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))  # reaped, too: no zombies


def test_a_job_ends_with_the_line_to_its_worker(tmp_path: Path) -> None:
    """As when the worker is killed: nobody closes the child, the sockets just go."""
    note = tmp_path / "note"
    with ForkServer() as fork_server:
        child = job(fork_server, tmp_path, do="family", seconds=600, note=str(note))
        eventually(lambda: note.exists() and len(note.read_text().split()) == 2)
        pids = [int(word) for word in note.read_text().split()]
        assert child._line is not None
        child._line.close()
        child._line = None
        eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))
        child.close()


def test_a_job_leaves_nothing_running_when_it_ends_by_itself(fork_server: ForkServer, tmp_path: Path) -> None:
    """Its worker may be gone by then, and close nothing."""
    note = tmp_path / "note"
    child = job(fork_server, tmp_path, do="family", seconds=0, note=str(note))
    while (more := child.messages(20)) is not None and not any(isinstance(message, JobOutput) for message in more):
        pass
    started = int(note.read_text().split()[1])
    eventually(lambda: not psutil.pid_exists(started))
    child.close()


def test_what_a_job_said_before_it_was_killed_is_not_lost(fork_server: ForkServer, tmp_path: Path) -> None:
    """It may have uploaded something that must be taken back."""
    done = tmp_path / "audio-renders" / "key"
    config = Config(storage_dir=tmp_path)
    order = JobInput("job-1", None, None, '{"upload": "audio-renders/key", "linger": 600}')
    child = JobProcess(fork_server, PERFORM, order=order, config=config, folder=tmp_path, memory_bytes=_LIMIT)
    eventually(done.exists)
    time.sleep(0.05)
    child.close()
    assert child.unread == [Uploaded("audio-renders", "key")]


def test_a_signal_to_everybody_ends_no_job(fork_server: ForkServer, tmp_path: Path) -> None:
    """Heroku sends SIGTERM to every process of a dyno; Ctrl-C goes to every process of a terminal."""
    note = tmp_path / "note"
    child = job(fork_server, tmp_path, do="family", seconds=3, note=str(note))
    eventually(lambda: note.exists() and len(note.read_text().split()) == 2)
    grandchild = psutil.Process(int(note.read_text().split()[1]))
    for number in (signal.SIGTERM, signal.SIGINT):
        for pid in (fork_server.pid, child.pid, grandchild.pid):
            if pid is not None:
                os.kill(pid, number)
    told = hear_out(child, until=lambda message: isinstance(message, Progress) and message.percent > 50)
    assert told.messages
    assert isinstance(told.last, Progress)


def test_a_nursery_that_dies_is_replaced_and_its_job_finishes(tmp_path: Path) -> None:
    with ForkServer() as fork_server:
        child = job(fork_server, tmp_path, do="sleep", seconds=0.5)
        while not child.messages(20):
            pass
        assert fork_server.pid is not None
        os.kill(fork_server.pid, signal.SIGKILL)
        assert isinstance(hear_out(child).last, JobOutput)
        assert isinstance(hear_out(job(fork_server, tmp_path, do="nothing")).last, JobOutput)


def test_a_job_without_end_of_memory_ends_by_an_error_of_its_own(fork_server: ForkServer, tmp_path: Path) -> None:
    told = hear_out(job(fork_server, tmp_path, do="allocate"))
    assert isinstance(told.last, Failed)
    assert told.last.code == "resource.memory"


def test_jobs_leave_no_descriptors_and_no_processes(fork_server: ForkServer, tmp_path: Path) -> None:
    hear_out(job(fork_server, tmp_path, do="nothing"))
    process, born = psutil.Process(), psutil.Process(fork_server.pid)
    before = process.num_fds(), born.num_fds(), len(process.children(recursive=True))
    for payload in ({"do": "nothing"}, {"do": "kill self"}, {"do": "bug"}) * 3:
        hear_out(job(fork_server, tmp_path, **payload))
    # at most: the first job's own may have been counted while it was still being reaped
    eventually(
        lambda: all(
            now <= then
            for now, then in zip(
                (process.num_fds(), born.num_fds(), len(process.children(recursive=True))), before, strict=True
            )
        )
    )


def test_the_kernel_would_kill_the_job_before_the_worker(fork_server: ForkServer, tmp_path: Path) -> None:
    child = job(fork_server, tmp_path, do="silent", seconds=30)
    eventually(lambda: child.messages(0.05) is not None and child.pid is not None)
    score = Path(f"/proc/{child.pid}/oom_score_adj")
    eventually(lambda: score.read_text().strip() == "800")
    assert int(Path("/proc/self/oom_score_adj").read_text()) < 800
    child.close()


def test_a_job_that_is_no_function_is_an_error(fork_server: ForkServer, tmp_path: Path) -> None:
    told = hear_out(job(fork_server, tmp_path, function="standins.jobs:no_such"))
    assert isinstance(told.last, Failed)


def test_what_jobs_are_forked_from_is_in_the_batch_class():
    code = "import os, worker.job.preload; print(os.sched_getscheduler(0) == os.SCHED_BATCH)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\n"
