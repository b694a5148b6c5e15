"""`mindscript-worker work` as a process: start, HTTP, signals, exit statuses, and what is left of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from database import row_of
from standins.worker_process import worker_process

from worker.config import Config
from worker.queue.service import open_queue
from worker.service.heartbeat import WorkerTimings

HURRY = WorkerTimings(heartbeat_s=0.5, check_s=0.2, rescue_s=0.5, finish_within_s=1.0)


@pytest.fixture
def settings(leased_dsn: str, tmp_path: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": leased_dsn,
        "POLL_INTERVAL_MS": "60000",
        "STORAGE_DIR": str(tmp_path / "out"),
        "TMPDIR": str(tmp_path),
    }


def enqueue(dsn: str, **payload: object) -> str:
    queue = open_queue(Config(database_url=dsn), worker_name="test")
    try:
        return queue.enqueue(payload)
    finally:
        queue.close()


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.02)


TOKEN = "a-long-token"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def ask(port: int, path: str, *, token: str | None = None, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, "nobody listens"


def test_start_notify_http_and_sigterm(settings: dict[str, str], tmp_path: Path) -> None:
    """NOTIFY wakes it though it polls once a minute; the HTTP pages answer; SIGTERM to every process ends it with 0."""
    port = free_port()
    with worker_process(tmp_path, {**settings, "PORT": str(port), "WORKER_TOKEN": TOKEN}, timings=HURRY) as worker:
        assert worker.wait_for("started")["mode"] == "leased"
        eventually(lambda: ask(port, "/health") == (200, '{"status": "ok"}\n'))
        eventually(lambda: json.loads(ask(port, "/health", token=TOKEN)[1])["listener"])
        job = enqueue(settings["DATABASE_URL"], do="sleep", seconds=0.2)
        eventually(lambda: row_of(settings["DATABASE_URL"], job)["status"] == "completed")
        line = worker.wait_for("job")
        assert (line["job"], line["outcome"], line["lufs"], line["stages"]) == (job, "completed", -16.0, {"sleep": 0.2})

        health = json.loads(ask(port, "/health", token=TOKEN)[1])
        assert (health["status"], health["claimed"], health["outcomes"]) == ("ok", 1, {"completed": 1})
        assert ask(port, "/ready")[0] == 200
        assert ask(port, "/process", method="POST", token="wrong")[0] == 401
        assert ask(port, "/process", method="POST", token=TOKEN)[0] == 202
        status, metrics = ask(port, "/metrics")
        assert status == 200
        for expected in (
            'mindscript_jobs_total{outcome="completed"} 1.0',
            'mindscript_stage_seconds_count{stage="sleep"} 1.0',
            "mindscript_queue_wait_seconds_count 1.0",
            "mindscript_listener_up 1.0",
            "mindscript_claimed_total 1.0",
            "mindscript_rescued_total 0.0",
            "mindscript_fenced_total 0.0",
            "mindscript_ready 1.0",
        ):
            assert expected in metrics.splitlines()
        for expected in (
            'mindscript_resident_bytes{of="worker"} ',
            'mindscript_queue_orders{status="pending"} ',
            "mindscript_queue_oldest_seconds ",
        ):
            assert expected in metrics

        job = enqueue(settings["DATABASE_URL"], do="sleep", seconds=600)
        eventually(lambda: row_of(settings["DATABASE_URL"], job)["stage"] == "Sleeping")
        family = worker.family()
        worker.signal_everybody(signal.SIGTERM)
        assert worker.process.wait(60) == 0
        row = row_of(settings["DATABASE_URL"], job)
        assert (row["status"], row["attempt"], row["crash_count"]) == ("pending", 0, 0)
        assert worker.events()[-1]["event"] == "stopped"
        eventually(lambda: not any(process.is_running() for process in family))
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith("mindscript-")] == []


def test_files_of_a_killed_worker_are_removed_by_the_next(settings: dict[str, str], tmp_path: Path) -> None:
    note = tmp_path / "note"
    job = enqueue(settings["DATABASE_URL"], do="family", seconds=600, note=str(note), attempts=1)
    with worker_process(tmp_path, settings, timings=HURRY, lease_s=1.0) as worker:
        eventually(lambda: note.exists() and len(note.read_text().split()) == 2)
        family = worker.family()
        pids = [int(word) for word in note.read_text().split()]
        worker.kill()
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    eventually(lambda: not any(process.is_running() for process in family))
    assert any(tmp_path.glob("mindscript-worker-*"))
    with worker_process(tmp_path, settings, timings=HURRY) as worker:
        eventually(lambda: row_of(settings["DATABASE_URL"], job)["status"] == "completed")
        assert worker.stop() == 0
    assert not any(tmp_path.glob("mindscript-worker-*"))


def test_it_waits_for_a_database_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    settings = {"DATABASE_URL": f"postgresql://x@127.0.0.1:{free_port()}/x", "STORAGE_DIR": str(tmp_path)}
    with worker_process(tmp_path, settings) as worker:
        worker.wait_for("waiting")
        assert worker.stop() == 0


def test_refused_credentials_exit_1_and_name_the_variable(settings: dict[str, str], tmp_path: Path) -> None:
    dsn = settings["DATABASE_URL"].replace("app_owner@/", "nobody-we-know:tulip@/")
    with worker_process(tmp_path, {**settings, "DATABASE_URL": dsn}) as worker:
        assert worker.process.wait(60) == 1
        assert "check DATABASE_URL" in worker.text()
        assert "tulip" not in worker.text()
        assert "Traceback" not in worker.text()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"FFMPEG": "no-such-program"}, "FFMPEG is 'no-such-program'"),
        ({"DATABASE_URL": "", "DYNO": "worker.1"}, "SUPABASE_URL is not set"),
        ({"POLL_INTERVAL_MS": "soon"}, "POLL_INTERVAL_MS"),
    ],
)
def test_a_bad_configuration_exits_1_and_names_the_variable(
    settings: dict[str, str], tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "worker", "work"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **settings, **changed},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_drain_exits_by_itself_and_a_second_signal_changes_nothing(settings: dict[str, str], tmp_path: Path) -> None:
    job = enqueue(settings["DATABASE_URL"], do="sleep", seconds=0.1)
    with worker_process(tmp_path, settings, timings=HURRY, drain=True) as worker:
        assert worker.process.wait(60) == 0
    assert row_of(settings["DATABASE_URL"], job)["status"] == "completed"

    go = tmp_path / "go"
    job = enqueue(settings["DATABASE_URL"], do="wait", until=str(go))
    timings = WorkerTimings(finish_within_s=60)
    with worker_process(tmp_path, settings, timings=timings) as worker:
        eventually(lambda: row_of(settings["DATABASE_URL"], job)["stage"] == "Waiting")
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            worker.signal_everybody(number)
            time.sleep(0.1)
        go.touch()
        assert worker.process.wait(60) == 0
    assert row_of(settings["DATABASE_URL"], job)["status"] == "completed"
