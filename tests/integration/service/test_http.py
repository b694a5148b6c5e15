"""The HTTP server: who may request what, and that no client can block it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from worker.errors import ConfigurationError
from worker.service.http_server import LONGEST_BODY_BYTES, Answers, Server

TOKEN = "a-long-token-for-tests"


@dataclass
class Facts:
    """What the worker would say."""

    alive: bool = True
    ready: bool = True
    wakes: int = 0
    facts: dict[str, Any] = field(default_factory=lambda: {"status": "ok", "stage": "<script>alert(1)</script>"})

    def wake(self) -> None:
        self.wakes += 1

    def answers(self, token: str | None = TOKEN) -> Answers:
        return Answers(
            health=lambda: (self.alive, self.facts),
            ready=lambda: (self.ready, {"ready": self.ready}),
            metrics=lambda: b"mindscript_up 1\n",
            process=self.wake,
            token=token,
        )


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def raw(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.fixture
def facts() -> Facts:
    return Facts()


@pytest.fixture
def port(facts: Facts) -> Iterator[int]:
    server = Server(0, facts.answers(), host="127.0.0.1", longest_s=1.0, poll_s=0.02)
    yield server.port
    server.close()


BEARER = f"Bearer {TOKEN}"


def test_health_and_readiness_follow_the_worker(port: int, facts: Facts) -> None:
    assert ask(port, "GET", "/health").status == 200
    assert json.loads(ask(port, "GET", "/health?verbose=1").body)["status"] == "ok"
    facts.alive = facts.ready = False
    assert ask(port, "GET", "/health").status == 503
    assert json.loads(ask(port, "GET", "/ready").body) == {"ready": False}
    assert ask(port, "GET", "/ready").status == 503


def test_metrics_are_prometheus_text(port: int) -> None:
    answer = ask(port, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.body == b"mindscript_up 1\n"


def test_the_page_for_people_escapes_what_it_shows(port: int) -> None:
    answer = ask(port, "GET", "/")
    assert answer.headers["content-type"].startswith("text/html")
    assert b"<script>" not in answer.body
    assert b"&lt;script&gt;" in answer.body


def test_head_has_headers_and_no_body(port: int) -> None:
    answer = ask(port, "HEAD", "/health")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_process_wakes_the_worker_with_the_right_token_only(port: int, facts: Facts) -> None:
    assert ask(port, "POST", "/process", b"{}", Authorization=BEARER).status == 202
    assert facts.wakes == 1
    for wrong in ("", "Bearer ", f"Bearer {TOKEN}x", f"bearer {TOKEN}", TOKEN, "Basic abc", "Bearer \xe9"):
        answer = ask(port, "POST", "/process", b"{}", Authorization=wrong)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert ask(port, "POST", "/process", b"{}").status == 401
    assert facts.wakes == 1


def test_without_a_token_there_is_no_such_page(facts: Facts) -> None:
    server = Server(0, facts.answers(token=None), host="127.0.0.1")
    try:
        assert ask(server.port, "POST", "/process", b"{}", Authorization="Bearer None").status == 404
        assert ask(server.port, "GET", "/process").status == 404
    finally:
        server.close()


def test_a_body_may_have_64_kib(port: int, facts: Facts) -> None:
    assert ask(port, "POST", "/process", b"x" * LONGEST_BODY_BYTES, Authorization=BEARER).status == 202
    head = f"POST /process HTTP/1.1\r\nAuthorization: {BEARER}\r\nContent-Length: {LONGEST_BODY_BYTES + 1}\r\n\r\n"
    assert raw(port, head.encode()).startswith(b"HTTP/1.1 413 ")
    assert facts.wakes == 1


@pytest.mark.parametrize("line", ["Content-Length: -1", "Content-Length: ten", "Transfer-Encoding: chunked"])
def test_a_body_of_unknown_length_is_refused(port: int, facts: Facts, line: str) -> None:
    head = f"POST /process HTTP/1.1\r\nAuthorization: {BEARER}\r\n{line}\r\n\r\n0\r\n\r\n"
    assert raw(port, head.encode()).startswith(b"HTTP/1.1 400 ")
    assert facts.wakes == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/process", 405, "POST"),
        ("POST", "/health", 405, "GET, HEAD"),
        ("DELETE", "/health", 405, "GET, HEAD, POST"),
        ("PUT", "/process", 405, "GET, HEAD, POST"),
        ("GET", "/../etc/passwd", 404, None),
        ("POST", "/nowhere", 404, None),
        ("OPTIONS", "/nowhere", 404, None),
    ],
)
def test_other_methods_and_pages(port: int, method: str, path: str, status: int, allow: str | None) -> None:
    answer = ask(port, method, path)
    assert (answer.status, answer.headers.get("allow")) == (status, allow)


def test_no_answer_names_versions_or_shows_a_stack(port: int, facts: Facts) -> None:
    assert ask(port, "GET", "/health").headers["server"] == "mindscript"
    del facts.facts  # a bug in what makes the answer
    answer = ask(port, "GET", "/")
    assert answer.status == 500
    assert json.loads(answer.body) == {"error": "Internal Server Error"}
    for request in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"BREW / HTTP/1.1\r\n\r\n",
        b"G" * 70_000 + b"\r\n",
    ):
        answered = raw(port, request)
        assert b"Traceback" not in answered
        assert b"Python" not in answered
        assert b"<html" not in answered.lower()


def test_a_client_that_drips_is_cut_off(port: int) -> None:
    """A byte now and then would satisfy any time limit on the single read."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        deadline = time.monotonic() + 60
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:
                connection.sendall(b"X")
                time.sleep(0.02)
        assert time.monotonic() < deadline, "it may drip for ever"


def test_many_idle_connections_do_not_keep_others_out_for_long(port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(60)]
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                assert ask(port, "GET", "/health").status == 200
                break
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        for connection in idle:
            connection.close()


def test_a_port_that_is_taken_is_a_matter_of_configuration(port: int, facts: Facts) -> None:
    with pytest.raises(ConfigurationError, match=f"PORT: {port}"):
        Server(port, facts.answers(), host="127.0.0.1")
