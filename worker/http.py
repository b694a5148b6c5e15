"""The worker's HTTP port: health, readiness, metrics, a wake-up call, and a page for people. Standard library only."""

from __future__ import annotations

import hmac
import html
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

LONGEST_BODY_BYTES = 64 * 1024
_TIMEOUT_S = 10.0
_MOST_THREADS = 32


@dataclass(frozen=True)
class Answers:
    """What the server has to say.

    Attributes
    ----------
    health : callable
        ``health() -> (alive, facts)``.
    ready : callable
        ``ready() -> (ready, facts)``.
    metrics : callable
        ``metrics() -> bytes`` in Prometheus' text format.
    process : callable
        Called on an authorised POST /process; returns at once.
    token : str or None
        Bearer token of POST /process; without one there is no such page.
    """

    health: Callable[[], tuple[bool, dict[str, Any]]]
    ready: Callable[[], tuple[bool, dict[str, Any]]]
    metrics: Callable[[], bytes]
    process: Callable[[], None]
    token: str | None


class Server:
    """Serves in threads of its own until it is closed.

    Parameters
    ----------
    port : int
        0 takes any that is free.
    answers : Answers
    host : str
        All interfaces by default: the dyno's router comes from outside the container.
    """

    def __init__(self, port: int, answers: Answers, *, host: str = "") -> None:
        handler = type("Handler", (_Handler,), {"answers": answers, "gate": threading.BoundedSemaphore(_MOST_THREADS)})
        self._server = ThreadingHTTPServer((host, port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.5,), name="http", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    answers: ClassVar[Answers]
    gate: ClassVar[threading.BoundedSemaphore]
    timeout = _TIMEOUT_S
    protocol_version = "HTTP/1.1"
    server_version = "mindscript"
    sys_version = ""

    def handle(self) -> None:
        if not self.gate.acquire(blocking=False):
            return  # too many at once: the connection is closed
        try:
            super().handle()
        except OSError:
            pass  # the client went away
        finally:
            self.gate.release()

    def do_GET(self) -> None:
        path = self.path.split("?", 1)[0]
        match path:
            case "/health":
                self._facts(*self.answers.health())
            case "/ready":
                self._facts(*self.answers.ready())
            case "/metrics":
                self._send(HTTPStatus.OK, self.answers.metrics(), "text/plain; version=0.0.4; charset=utf-8")
            case "/":
                self._send(HTTPStatus.OK, _page(*self.answers.health()), "text/html; charset=utf-8")
            case "/process" if self.answers.token is not None:
                self._error(HTTPStatus.METHOD_NOT_ALLOWED, allow="POST")
            case _:
                self._error(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET  # noqa: N815 - the base class's names

    def do_POST(self) -> None:
        self.close_connection = True  # whatever is left of the body is not read
        if self.path.split("?", 1)[0] != "/process" or self.answers.token is None:
            known = self.path.split("?", 1)[0] in ("/", "/health", "/ready", "/metrics")
            if known:
                self._error(HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD")
            else:
                self._error(HTTPStatus.NOT_FOUND)
            return
        given = self.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.answers.token}".encode()):
            self._error(HTTPStatus.UNAUTHORIZED)
            return
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isascii() or not length.isdigit():
            self._error(HTTPStatus.BAD_REQUEST)
            return
        if int(length) > LONGEST_BODY_BYTES:
            self._error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        self.rfile.read(int(length))  # the body says nothing that we need: the queue does
        self.answers.process()
        self._send(HTTPStatus.ACCEPTED, b'{"accepted": true}\n', "application/json")

    def _other_method(self) -> None:
        self.close_connection = True
        self._error(HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD, POST")

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _other_method  # noqa: N815 - as above

    def _facts(self, good: bool, facts: dict[str, Any]) -> None:
        body = json.dumps(facts, default=str).encode() + b"\n"
        self._send(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, body, "application/json")

    def _error(self, status: HTTPStatus, *, allow: str | None = None) -> None:
        body = json.dumps({"error": status.phrase}).encode() + b"\n"
        headers = {}
        if allow is not None:
            headers["Allow"] = allow
        if status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        self._send(status, body, "application/json", headers)

    def _send(self, status: HTTPStatus, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what the base class refuses (malformed requests) without its page."""
        self.close_connection = True
        self._send(HTTPStatus(code), b'{"error": "bad request"}\n', "application/json")

    def version_string(self) -> str:
        """Name no versions."""
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: health checks would fill the log."""


def _page(alive: bool, facts: dict[str, Any]) -> bytes:
    """A status page for people."""
    rows = "".join(
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(json.dumps(value, default=str))}</td></tr>"
        for name, value in facts.items()
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=10>"
        "<title>mindscript-audio-worker</title>"
        "<style>body{font:15px/1.5 system-ui;margin:3rem auto;max-width:46rem}"
        "th{text-align:left;padding-right:2rem;vertical-align:top;font-weight:500}td{font-family:monospace}</style>"
        f"<h1>{'Alive' if alive else 'Not well'}</h1><table>{rows}</table></html>"
    ).encode()
