"""The HTTP server of a real worker process: what it says without the token, and what no client can do to it."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from standins.http_clients import attacks, send_all, watched_memory
from standins.worker_process import WorkerProcess, worker_process

from worker.config import Config
from worker.queue.service import open_queue

TOKEN = "a-long-token-for-tests"
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


def test_open_queue_pages_do_not_keep_it_from_stopping(worker: WorkerProcess, port: int) -> None:
    address = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=address, headers={"Origin": address}, timeout=60) as client:
        assert client.post("/studio/login", data={"token": STUDIO_TOKEN}).status_code == 303
        with client.stream("GET", "/studio/api/events") as events:
            told = (line for line in events.iter_lines() if line.startswith("data: "))
            assert json.loads(next(told).removeprefix("data: "))["workers"][0]["worker"] == "worker-of-the-canary"
            worker.process.send_signal(signal.SIGTERM)
            for _ in told:
                pass
    assert worker.process.wait(60) == 0
    logged = worker.text()
    assert "studio.login" in logged
    assert STUDIO_TOKEN not in logged
