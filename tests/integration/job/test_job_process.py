"""The job process: its messages, its exits, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from standins.jobs import PERFORM

from worker.config import Config
from worker.errors import ConfigurationError, JobError, LeaseLost, ResourceError, TransientError, WaitError
from worker.ffmpeg.program import Ffmpeg
from worker.job.messages import Assignment, Failed, JobInput, JobOutput, Loaded, Message, Progress, Question, Uploaded
from worker.job.process import ForkServer, JobProcess
from worker.queue.transport import StatementRefusedError
from worker.tts.service_errors import PieceTooLongError, RewordedError, SpoiltError, TooManyAtOnceError

_LIMIT = 512 << 20


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as fork_server:
        yield fork_server


@dataclass
class Ended:
    """All messages of a job, and how it ended."""

    messages: list[Message]
    ending: str
    job: JobProcess

    @property
    def last(self) -> Message | None:
        return self.messages[-1] if self.messages else None


def job(fork_server: ForkServer, folder: Path, function: str = PERFORM, **payload: object) -> JobProcess:
    job_input = JobInput("job-1", None, None, json.dumps(payload))
    return JobProcess(fork_server, Assignment(function, job_input, Config(), folder, _LIMIT))


def run_to_end(running: JobProcess, *, until: Callable[[Message], bool] = lambda _: False) -> Ended:
    received: list[Message] = []
    deadline = time.monotonic() + 90
    while (more := running.messages(1)) is not None:
        assert time.monotonic() < deadline, "the job has not come to its end"
        received += more
        if received and (isinstance(received[-1], JobOutput | Failed) or until(received[-1])):
            break
    return Ended(received, running.close(), running)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)


def test_a_job_does_not_look_for_the_ffmpeg_that_its_worker_has_found(fork_server: ForkServer, tmp_path: Path) -> None:
    found = {None: Ffmpeg(Path("/bin/ffmpeg"), "7.7")}
    assignment = Assignment(PERFORM, JobInput("job-1", None, None, "{}"), Config(), tmp_path, _LIMIT, found)
    assert run_to_end(JobProcess(fork_server, assignment)).last.summary["ffmpegs"] == ["7.7"]


def test_a_job_is_a_session_of_its_own_and_its_pid_is_known_at_once(fork_server: ForkServer, tmp_path: Path) -> None:
    running = job(fork_server, tmp_path, do="silent", seconds=30)
    assert psutil.Process(running.pid).ppid() == fork_server.pid
    eventually(lambda: os.getsid(running.pid) == running.pid)
    assert running.close() == "killed by SIGKILL"


def test_a_job_reports_its_progress_and_its_result(fork_server: ForkServer, tmp_path: Path) -> None:
    ended = run_to_end(job(fork_server, tmp_path, do="sleep", seconds=0.2))
    stages = [message for message in ended.messages if isinstance(message, Progress)]
    assert [message.percent for message in stages] == sorted({message.percent for message in stages})
    assert isinstance(ended.last, JobOutput)
    assert ended.last.result["url"] == "audio-renders/tracks/None/job-1-0.mp3"
    assert ended.ending == "exit status 0"


def large_modules_of(ended: Ended) -> tuple[list[str], frozenset[str]]:
    """The large modules that a job had as it began, and those it had as it ended."""
    loaded = next(message for message in ended.messages if isinstance(message, Loaded))
    assert isinstance(ended.last, JobOutput)
    return ended.last.summary["had"], loaded.names


def test_what_one_job_has_loaded_the_next_finds_loaded(tmp_path: Path) -> None:
    with ForkServer(PERFORM) as fork_server:
        assert fork_server.pid is None
        had, loaded = large_modules_of(run_to_end(job(fork_server, tmp_path, do="load")))
        assert "websockets.sync.client" in loaded - set(had)
        fork_server.want_loaded(loaded)
        first = fork_server.pid
        assert large_modules_of(run_to_end(job(fork_server, tmp_path)))[0] == sorted(loaded)
        fork_server.rest(after_s=600)
        assert fork_server.pid == first
        fork_server.rest(after_s=0)
        assert fork_server.pid is None
        assert large_modules_of(run_to_end(job(fork_server, tmp_path)))[0] == had
        assert fork_server.pid != first


def test_a_job_starts_though_a_large_module_cannot_be_loaded(monkeypatch, tmp_path: Path, capfd) -> None:
    (tmp_path / "elevenlabs").mkdir()
    (tmp_path / "elevenlabs" / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    with ForkServer(PERFORM) as fork_server:
        fork_server.want_loaded(frozenset({"elevenlabs.text_to_speech.client"}))
        assert isinstance(run_to_end(job(fork_server, tmp_path)).last, JobOutput)
    assert "elevenlabs.text_to_speech.client could not be loaded: RuntimeError" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("payload", "ending"),
    [
        ({"do": "kill self"}, "killed by SIGKILL"),
        ({"do": "segfault"}, "killed by SIGSEGV"),
        ({"do": "exit", "code": 7}, "exit status 7"),
    ],
)
def test_a_crash_is_no_result(fork_server: ForkServer, tmp_path: Path, payload: dict[str, object], ending: str) -> None:
    ended = run_to_end(job(fork_server, tmp_path, **payload))
    assert ended.messages == []
    assert ended.ending == ending
    assert ended.job.was_killed == (ending == "killed by SIGKILL")


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
def test_errors_keep_their_type_and_code(
    fork_server: ForkServer, tmp_path: Path, payload: dict[str, object], kind: type[Exception], code: str | None
) -> None:
    if payload.get("error") == "LeaseLost":
        payload = {"do": "sleep", "seconds": 0, "ledger": str(tmp_path / "ledger")}
    running = job(fork_server, tmp_path, **payload)
    if kind is LeaseLost:
        while not any(message == Question("claim") for message in running.messages(20) or ()):
            pass
        running.answer("lost")
    ended = run_to_end(running)
    assert isinstance(ended.last, Failed)
    error = ended.last.error
    assert type(error) is kind
    assert getattr(error, "code", None) == code


def test_an_error_keeps_its_messages_and_retry_after() -> None:
    error = TransientError("busy", code="voice.busy", customer_message="soon", retry_after_s=12.0)
    again = pickle.loads(pickle.dumps(Failed.of(error))).error  # noqa: S301
    assert isinstance(again, TransientError)
    assert (again.message, again.code, again.customer_message, again.retry_after_s) == (
        "busy",
        "voice.busy",
        "soon",
        12.0,
    )


def test_an_error_that_the_worker_does_not_know_arrives_as_its_kind() -> None:
    """A class from elsewhere becomes the nearest one of `worker.errors`; its cause is kept."""
    for error, kind in (
        (PieceTooLongError("too long", about=("openai", "tts-1")), ConfigurationError),
        (StatementRefusedError("no", code="configuration.statement", sqlstate="P0001"), ConfigurationError),
        (TooManyAtOnceError("full"), WaitError),
        (RewordedError("other words"), TransientError),
        (SpoiltError("no"), TransientError),
    ):
        again = pickle.loads(pickle.dumps(Failed.of(error))).error  # noqa: S301
        assert (type(again), again.code) == (kind, error.code)
        assert getattr(again, "cause", None) == getattr(error, "cause", None)


def test_the_text_of_a_bug_does_not_leave_the_process(fork_server: ForkServer, tmp_path: Path) -> None:
    """A KeyError quotes its key, and that may be the customer's text."""
    ended = run_to_end(job(fork_server, tmp_path, do="bug", script="I am calm"))
    assert isinstance(ended.last, Failed)
    assert "I am calm" not in str(ended.last.error)
    assert "KeyError at jobs.py:" in str(ended.last.error)


@pytest.mark.parametrize("claim_status", ["held", "cancelled", "lost"])
def test_nothing_is_published_unless_the_claim_holds(
    fork_server: ForkServer, tmp_path: Path, claim_status: str
) -> None:
    ledger = tmp_path / "ledger"
    running = job(fork_server, tmp_path, do="nothing", ledger=str(ledger))
    while not any(message == Question("claim") for message in running.messages(20) or ()):
        pass
    assert running.messages(0.1) == []
    assert not ledger.exists()
    running.answer(claim_status)
    ended = run_to_end(running)
    assert isinstance(ended.last, JobOutput) == (claim_status == "held")
    assert ledger.exists() == (claim_status == "held")


def test_close_ends_everything_the_job_has_started(fork_server: ForkServer, tmp_path: Path) -> None:
    note = tmp_path / "note"
    running = job(fork_server, tmp_path, do="family", seconds=600, note=str(note))
    eventually(lambda: note.exists() and len(note.read_text().split()) == 2)
    pids = [int(word) for word in note.read_text().split()]
    running.messages(0.1)
    assert running.memory_bytes() > 10 << 20
    running.close()
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))  # reaped, too: no zombies


def test_a_job_ends_when_its_channel_closes(tmp_path: Path) -> None:
    """As when the worker is killed: nothing calls `close`, the socket just closes."""
    note = tmp_path / "note"
    with ForkServer() as fork_server:
        running = job(fork_server, tmp_path, do="family", seconds=600, note=str(note))
        eventually(lambda: note.exists() and len(note.read_text().split()) == 2)
        pids = [int(word) for word in note.read_text().split()]
        assert not running._channel.closed
        running._channel.close()
        eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))
        running.close()


def test_a_job_that_ends_by_itself_leaves_nothing_running(fork_server: ForkServer, tmp_path: Path) -> None:
    """Its worker may have died by then, and so not call `close`."""
    note = tmp_path / "note"
    running = job(fork_server, tmp_path, do="family", seconds=0, note=str(note))
    while (more := running.messages(20)) is not None and not any(isinstance(message, JobOutput) for message in more):
        pass
    started = int(note.read_text().split()[1])
    eventually(lambda: not psutil.pid_exists(started))
    running.close()


def test_messages_sent_before_a_kill_are_unread_not_lost(fork_server: ForkServer, tmp_path: Path) -> None:
    """They may name an upload that must be removed."""
    done = tmp_path / "audio-renders" / "key"
    config = Config(storage_dir=tmp_path)
    job_input = JobInput("job-1", None, None, '{"upload": "audio-renders/key", "linger": 600}')
    running = JobProcess(fork_server, Assignment(PERFORM, job_input, config, tmp_path, _LIMIT))
    eventually(done.exists)
    time.sleep(0.05)
    running.close()
    assert running.unread == [Uploaded("audio-renders", "key")]


def test_a_signal_to_every_process_ends_no_job(fork_server: ForkServer, tmp_path: Path) -> None:
    """Heroku sends SIGTERM to every process of a dyno; Ctrl-C goes to every process of a terminal."""
    note = tmp_path / "note"
    running = job(fork_server, tmp_path, do="family", seconds=3, note=str(note))
    eventually(lambda: note.exists() and len(note.read_text().split()) == 2)
    grandchild = psutil.Process(int(note.read_text().split()[1]))
    for number in (signal.SIGTERM, signal.SIGINT):
        for pid in (fork_server.pid, running.pid, grandchild.pid):
            assert pid is not None
            os.kill(pid, number)
    ended = run_to_end(running, until=lambda message: isinstance(message, Progress) and message.percent > 50)
    assert ended.messages
    assert isinstance(ended.last, Progress)


def test_a_dead_fork_server_is_replaced_and_its_job_finishes(tmp_path: Path) -> None:
    with ForkServer() as fork_server:
        running = job(fork_server, tmp_path, do="sleep", seconds=0.5)
        while not running.messages(20):
            pass
        assert fork_server.pid is not None
        os.kill(fork_server.pid, signal.SIGKILL)
        assert isinstance(run_to_end(running).last, JobOutput)
        assert isinstance(run_to_end(job(fork_server, tmp_path, do="nothing")).last, JobOutput)


def test_the_fork_server_loads_the_job_s_module_once_for_all(tmp_path: Path) -> None:
    with ForkServer(PERFORM) as fork_server:
        for _ in range(2):
            ended = run_to_end(job(fork_server, tmp_path, do="nothing"))
            assert isinstance(ended.last, JobOutput)
            assert ended.last.summary["loaded_by"] == fork_server.pid


def test_a_job_that_exceeds_its_memory_fails_with_an_error(fork_server: ForkServer, tmp_path: Path) -> None:
    ended = run_to_end(job(fork_server, tmp_path, do="allocate"))
    assert isinstance(ended.last, Failed)
    assert getattr(ended.last.error, "code", None) == "resource.memory"


def test_jobs_leave_no_descriptors_and_no_processes(fork_server: ForkServer, tmp_path: Path) -> None:
    run_to_end(job(fork_server, tmp_path, do="nothing"))
    process, server = psutil.Process(), psutil.Process(fork_server.pid)
    before = process.num_fds(), server.num_fds(), len(process.children(recursive=True))
    for payload in ({"do": "nothing"}, {"do": "kill self"}, {"do": "bug"}) * 3:
        run_to_end(job(fork_server, tmp_path, **payload))
    # at most: the first job may have been counted while it was still being reaped
    eventually(
        lambda: all(
            now <= then
            for now, then in zip(
                (process.num_fds(), server.num_fds(), len(process.children(recursive=True))), before, strict=True
            )
        )
    )


def test_the_kernel_kills_a_job_before_the_worker(fork_server: ForkServer, tmp_path: Path) -> None:
    running = job(fork_server, tmp_path, do="silent", seconds=30)
    score = Path(f"/proc/{running.pid}/oom_score_adj")
    eventually(lambda: score.read_text().strip() == "800")
    assert int(Path("/proc/self/oom_score_adj").read_text()) < 800
    running.close()


def test_a_fork_that_fails_is_a_configuration_error(tmp_path: Path) -> None:
    class Full:
        """Like the fork server on a machine without room for a process: it closes both descriptors."""

        def fork(self, channel: int, status: int) -> None:
            del channel, status

    before = psutil.Process().num_fds()
    with pytest.raises(ConfigurationError, match="could not fork") as raised:
        job(Full(), tmp_path)  # type: ignore[arg-type]
    assert raised.value.code == "configuration.process"
    assert psutil.Process().num_fds() == before


def test_an_unknown_job_function_is_an_error(fork_server: ForkServer, tmp_path: Path) -> None:
    ended = run_to_end(job(fork_server, tmp_path, function="standins.jobs:no_such"))
    assert isinstance(ended.last, Failed)
