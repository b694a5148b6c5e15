"""The HTTP server: who may request what, and that no client can block it."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import select
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from worker.errors import ConfigurationError
from worker.service.http_connection import HTTP_LIMITS, HttpLimits
from worker.service.http_server import Server
from worker.service.state import Report
from worker.service.status_pages import Answers, status_routes

TOKEN = "a-long-token-for-tests"


@dataclass
class Facts:
    """What the worker would say."""

    code: str | None = None
    wakes: int = 0
    facts: dict[str, Any] = field(default_factory=lambda: {"status": "ok", "stage": "<script>alert(1)</script>"})

    def wake(self) -> None:
        self.wakes += 1

    def server(self, token: str | None = TOKEN, limits: HttpLimits = HTTP_LIMITS) -> Server:
        answers = Answers(
            health=lambda: Report(self.code, self.facts),
            ready=lambda: Report(self.code, {"ready": self.code is None}),
            metrics=lambda: b"mindscript_up 1\n",
            process=self.wake,
        )
        routes = status_routes(answers, with_process=token is not None)
        routes += [Route(path, _echo, methods=["POST"]) for path in ("/echo", "/open/echo", "/opened")]
        return Server(0, routes, token=token, open_path="/open", limits=limits)


async def _echo(request: Request) -> Response:
    """As a page to come might: it takes a body, and answers as long as the client likes."""
    body = await request.body()

    async def answer() -> AsyncIterator[bytes]:
        yield body
        for _ in range(int(request.query_params.get("megabytes", 0))):
            yield b"x" * 1_000_000

    return StreamingResponse(answer())


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


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Server, Facts]]:
    facts = Facts()
    server = facts.server()
    yield server, facts
    server.close()


@pytest.fixture
def facts(served: tuple[Server, Facts]) -> Facts:
    served[1].__dict__.update(Facts().__dict__)
    return served[1]


@pytest.fixture
def port(served: tuple[Server, Facts], facts: Facts) -> int:
    return served[0].port


@pytest.fixture(scope="module")
def hasty_port() -> Iterator[int]:
    server = Facts().server(limits=HASTY)
    yield server.port
    server.close()


BEARER = f"Bearer {TOKEN}"
HASTY = HttpLimits(head_s=0.3, request_s=0.3, answer_s=0.3, connections=40)
HEAD = b"GET /health HTTP/1.1\r\nHost: x\r\n"


def test_without_the_token_health_and_readiness_say_a_code_at_most(port: int, facts: Facts) -> None:
    for page in ("/health", "/ready?verbose=1"):
        answer = ask(port, "GET", page)
        assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})
    facts.code = "configuration.rights"
    for page in ("/health", "/ready"):
        answer = ask(port, "GET", page, Authorization="Bearer wrong")
        assert (answer.status, json.loads(answer.body)) == (503, {"status": "not ok", "code": "configuration.rights"})
    assert b"alert" not in ask(port, "GET", "/").body


def test_with_the_token_they_give_the_facts(port: int, facts: Facts) -> None:
    assert json.loads(ask(port, "GET", "/health", Authorization=BEARER).body) == facts.facts
    facts.code = "configuration.rights"
    answer = ask(port, "GET", "/ready", Authorization=BEARER)
    assert (answer.status, json.loads(answer.body)) == (503, {"ready": False})


def test_metrics_are_prometheus_text(port: int) -> None:
    answer = ask(port, "GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.body == b"mindscript_up 1\n"


def test_the_page_for_people_escapes_what_it_shows(port: int) -> None:
    answer = ask(port, "GET", "/", Authorization=BEARER)
    assert answer.headers["content-type"].startswith("text/html")
    assert b"<script>" not in answer.body
    assert b"&lt;script&gt;" in answer.body


def test_head_has_headers_and_no_body(port: int) -> None:
    for page in ("/", "/health", "/ready", "/metrics"):
        answer = ask(port, "HEAD", page)
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


def test_without_a_token_there_is_no_such_page_and_nobody_is_authorised(facts: Facts) -> None:
    server = facts.server(token=None)
    try:
        assert ask(server.port, "POST", "/process", b"{}", Authorization="Bearer None").status == 404
        assert ask(server.port, "GET", "/process").status == 404
        assert b"stage" not in ask(server.port, "GET", "/health", Authorization="Bearer ").body
    finally:
        server.close()


def test_a_body_may_have_64_kib(port: int, facts: Facts) -> None:
    longest = HTTP_LIMITS.body_bytes
    assert ask(port, "POST", "/process", b"x" * longest, Authorization=BEARER).status == 202
    head = f"POST /process HTTP/1.1\r\nHost: x\r\nAuthorization: {BEARER}\r\nContent-Length: {longest + 1}\r\n\r\n"
    assert raw(port, head.encode()).startswith(b"HTTP/1.1 413 ")
    assert facts.wakes == 1


def test_only_a_body_with_the_token_reaches_a_page(port: int) -> None:
    body = bytes(range(256)) * 256
    assert ask(port, "POST", "/echo", body, Authorization=BEARER).body == body
    assert ask(port, "POST", "/echo", body).body == b""


def test_below_the_open_path_a_short_body_needs_no_token(port: int) -> None:
    longest = b"x" * HTTP_LIMITS.open_body_bytes
    assert ask(port, "POST", "/open/echo", longest).body == longest
    assert ask(port, "POST", "/open/echo", longest + b"x").status == 413
    assert ask(port, "POST", "/opened", longest).body == b""


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: -1",
        "Content-Length: ten",
        f"Content-Length: {'9' * 5000}",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
    ],
)
def test_a_body_of_unknown_length_is_refused(port: int, facts: Facts, line: str) -> None:
    head = f"POST /process HTTP/1.1\r\nHost: x\r\nAuthorization: {BEARER}\r\n{line}\r\n\r\n0\r\n\r\n"
    answered = raw(port, head.encode())
    assert answered.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert facts.wakes == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/process", 405, {"POST"}),
        ("POST", "/health", 405, {"GET", "HEAD"}),
        ("DELETE", "/health", 405, {"GET", "HEAD"}),
        ("PUT", "/process", 405, {"POST"}),
        ("GET", "/../etc/passwd", 404, set()),
        ("POST", "/nowhere", 404, set()),
        ("GET", "/health/", 404, set()),
        ("OPTIONS", "/nowhere", 404, set()),
        ("CONNECT", "/health", 405, {"GET", "HEAD"}),
    ],
)
def test_other_methods_and_pages(port: int, method: str, path: str, status: int, allow: set[str]) -> None:
    answer = ask(port, method, path)
    assert (answer.status, set(answer.headers.get("allow", "").split(", ")) - {""}) == (status, allow)


def test_every_answer_has_its_headers(port: int, facts: Facts) -> None:
    for page in ("/", "/health", "/ready", "/metrics", "/nowhere"):
        headers = ask(port, "GET", page).headers
        assert headers["server"] == "mindscript"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["connection"] == "close"
        assert "date" in headers


NONSENSE = {
    "no HTTP": b"nonsense\r\n\r\n",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": HEAD + b"Host: y\r\n\r\n",
    "a bare line feed in a header": HEAD + b"X: a\nb\r\n\r\n",
    "bytes above ASCII in the path": b"GET /h\xffealth HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", NONSENSE)
def test_what_is_no_http_is_refused(port: int, name: str) -> None:
    answered = raw(port, NONSENSE[name])
    assert answered.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ")) or not answered
    assert not re.search(rb"traceback|python|uvicorn|h11|<html", answered, re.IGNORECASE)
    assert ask(port, "GET", "/health").status == 200


def test_no_answer_tells_of_a_bug(port: int, facts: Facts) -> None:
    del facts.facts  # a bug in what makes the answer
    answer = ask(port, "GET", "/", Authorization=BEARER)
    assert answer.status == 500
    assert json.loads(answer.body) == {"error": "Internal Server Error"}


def test_a_head_may_have_16_kib(port: int) -> None:
    filled = HEAD + b"X: " + b"y" * (HTTP_LIMITS.head_bytes - len(HEAD) - 7) + b"\r\n\r\n"
    assert len(filled) == HTTP_LIMITS.head_bytes
    assert raw(port, filled).startswith(b"HTTP/1.1 200 ")
    assert raw(port, filled.replace(b"X: ", b"X: z")).startswith(b"HTTP/1.1 431 ")


def test_a_head_that_comes_in_pieces_may_have_no_more(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(HEAD + b"X: " + b"y" * 10_000)
        time.sleep(0.1)  # so that it is read by itself
        connection.sendall(b"y" * 10_000 + b"\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 431 ")


def test_what_follows_a_request_is_not_read(port: int, facts: Facts) -> None:
    process = b"POST /process HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n" % BEARER.encode()
    for follows in (process, b"garbage\r\n\r\n", b"\0" * 5000):
        assert raw(port, HEAD + b"\r\n" + follows).count(b"HTTP/1.1 ") == 1
    assert facts.wakes == 0


def test_a_client_that_sends_no_more_is_answered(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"POST /echo?megabytes=5 HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert len(b"".join(iter(lambda: connection.recv(1 << 20), b""))) > 5_000_000


def test_a_websocket_is_not_opened(port: int) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    assert b" 101 " not in raw(port, HEAD + upgrade + b"\r\n")


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET /health HTTP/1.1\r\nX: ", b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"],
    ids=["silent", "head", "body"],
)
def test_a_client_that_is_slow_is_cut_off(hasty_port: int, begun: bytes) -> None:
    """A byte now and then would satisfy any time limit on the single read."""
    with socket.create_connection(("127.0.0.1", hasty_port), timeout=60) as connection:
        connection.sendall(begun)
        deadline = time.monotonic() + 60
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:
                connection.sendall(b"X" if begun else b"")
                if select.select([connection], [], [], 0.02)[0]:
                    break
        assert time.monotonic() < deadline, "it may drip for ever"


def test_a_client_that_does_not_read_is_cut_off(hasty_port: int) -> None:
    with socket.create_connection(("127.0.0.1", hasty_port), timeout=60) as connection:
        connection.sendall(b"POST /echo?megabytes=100 HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(HASTY.answer_s * 3)  # and the server has had that time to notice
        read = 0
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 20):
                read += len(part)
        assert read < 100_000_000


def test_slow_clients_take_no_place_from_others(facts: Facts) -> None:
    """Three times as many as there are places, and none is cut off for being slow."""
    server = facts.server(limits=replace(HASTY, head_s=600.0))
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(HASTY.connections * 3)]
    try:
        assert ask(server.port, "GET", "/health").status == 200
        oldest = slow[: HASTY.connections * 2 + 1]
        assert all(select.select([each], [], [], 60)[0] for each in oldest), "they are closed"
        assert not select.select(slow[len(oldest) :], [], [], 0)[0], "and no other"
    finally:
        for connection in slow:
            connection.close()
        server.close()


def test_a_port_that_is_taken_is_a_matter_of_configuration(port: int) -> None:
    with pytest.raises(ConfigurationError, match=f"PORT: {port}"):
        Server(port, [])
