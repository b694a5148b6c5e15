"""The HTTP server of a real worker process: what it says without the token, what no client can do to it, its editor."""

from __future__ import annotations

import io
import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import soundfile
from pydantic import SecretStr
from standins.http_clients import attacks, send_all, watched_memory
from standins.worker_process import WorkerProcess, worker_process

from dsp.noise import Noise
from worker.config import Config
from worker.queue.service import open_queue

TOKEN = "a-long-token-for-tests"
RATE = 44_100
STUDIO_TOKEN = "an-operator-s-token-of-34-characters"
CANARY = "the bucket is missing"


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def worker(leased_dsn: str, tmp_path: Path, port: int) -> Iterator[WorkerProcess]:
    settings = {
        "DATABASE_URL": leased_dsn,
        "STORAGE_DIR": str(tmp_path / "out"),
        "TMPDIR": str(tmp_path),
        "WORKER_NAME": "worker-of-the-canary",
        "PORT": str(port),
        "WORKER_TOKEN": TOKEN,
        "STUDIO_TOKEN": STUDIO_TOKEN,
    }
    with worker_process(tmp_path, settings) as worker:
        eventually(lambda: listens(port))
        yield worker


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int, path: str, token: str | None = None) -> tuple[int, str]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_messages_need_the_token_and_codes_do_not(worker: WorkerProcess, port: int, leased_dsn: str) -> None:
    with closing(open_queue(Config(database_url=SecretStr(leased_dsn)), worker_name="test")) as queue:
        queue.enqueue({"do": "fail", "error": "ConfigurationError", "message": CANARY.split(), "about": ["a-bucket"]})
    eventually(lambda: "a-bucket/test.asked" in ask(port, "/metrics")[1])
    for page in ("/", "/health", "/ready", "/metrics"):
        status, said = ask(port, page)
        assert status == 200
        assert not [word for word in (CANARY, "worker-of-the-canary", "leased (schema", "python 3") if word in said]
    assert ask(port, "/ready", TOKEN + "x")[1] == '{"status": "ok"}\n'
    (cause,) = json.loads(ask(port, "/ready", TOKEN)[1])["causes"]
    assert (cause["code"], cause["jobs"], cause["message"]) == ("test.asked", 1, CANARY)
    assert json.loads(ask(port, "/health", TOKEN)[1])["worker"] == "worker-of-the-canary"
    assert worker.stop() == 0


def test_no_client_can_fill_its_memory_or_silence_it(worker: WorkerProcess, port: int) -> None:
    """`make faults` has the same with 6.5 MB a request, and with 200 clients beside the slow ones."""
    ask(port, "/health")
    with watched_memory(worker.pid) as memory:
        for request in attacks(700_000, TOKEN).values():
            send_all(port, request, 8)
    assert memory.grown_bytes < 20_000_000
    with ExitStack() as slow:
        for _ in range(64):
            slow.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)).sendall(b"GET /health HT")
        assert ask(port, "/health")[0] == 200
    assert worker.stop() == 0


@contextmanager
def logged_in(port: int) -> Iterator[httpx.Client]:
    address = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=address, headers={"Origin": address}, timeout=60) as client:
        assert client.post("/studio/login", data={"token": STUDIO_TOKEN}).status_code == 303
        yield client


def test_open_queue_pages_do_not_keep_it_from_stopping(worker: WorkerProcess, port: int) -> None:
    with logged_in(port) as client, client.stream("GET", "/studio/api/events") as events:
        told = (line for line in events.iter_lines() if line.startswith("data: "))
        assert json.loads(next(told).removeprefix("data: "))["workers"][0]["worker"] == "worker-of-the-canary"
        worker.process.send_signal(signal.SIGTERM)
        for _ in told:
            pass
    assert worker.process.wait(60) == 0
    logged = worker.text()
    assert "studio.login" in logged
    assert STUDIO_TOKEN not in logged


def editors(worker: WorkerProcess) -> list[psutil.Process]:
    return [each for each in worker.family() if "worker.studio.editing" in " ".join(each.cmdline())]


def loaded_by(worker: WorkerProcess) -> str:
    """The libraries that the worker's own process has mapped."""
    return Path(f"/proc/{worker.pid}/maps").read_text()


def test_nothing_of_the_editor_is_loaded_into_the_worker(worker: WorkerProcess, port: int) -> None:
    with logged_in(port) as client:
        assert client.get("/studio/").status_code == 200
        assert editors(worker) == []
        assert client.get("/studio/edit/api/start").status_code == 200
        assert len(editors(worker)) == 2  # its fork server, and itself
    assert "numpy" not in loaded_by(worker)


def test_an_upload_is_not_kept_in_the_worker_s_memory(worker: WorkerProcess, port: int) -> None:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * Noise("white", 3, RATE).render(0, 240 * RATE), RATE, format="WAV")
    with logged_in(port) as client:
        started = client.get("/studio/edit/api/start")
        assert started.status_code == 200, f"{started.text}\n{worker.text()}"
        with watched_memory(worker.pid) as memory:
            taken = client.post("/studio/edit/api/uploads", content=file.getvalue()).json()
    assert (taken["seconds"], file.tell() > 40_000_000) == (240.0, True)
    assert memory.grown_bytes < 8_000_000


@pytest.mark.parametrize("ending", ["SIGTERM", "SIGKILL"])
def test_the_editor_ends_with_its_worker(worker: WorkerProcess, port: int, tmp_path: Path, ending: str) -> None:
    with logged_in(port) as client:
        body = {"job": {"durationMin": 480, "solfeggio": {"hz": 528}}}
        begun = client.post("/studio/edit/api/renders", json=body).json()
        with client.stream("GET", f"/studio/edit/api/renders/{begun['id']}/events") as events:
            assert next(events.iter_lines())
            found = editors(worker)
            assert len(found) == 2
            if ending == "SIGTERM":
                assert worker.stop() == 0
                assert STUDIO_TOKEN not in worker.text()
            else:
                worker.kill()
    eventually(lambda: not any(process.is_running() for process in found))
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith("mindscript-worker-")]
    assert left == [] or ending == "SIGKILL"  # the next worker removes them
