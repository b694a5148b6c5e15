"""The worker's HTTP server: health, readiness, metrics, a request to poll, and a status page. Standard library only.

One request for each connection, and every connection has a time limit: clients are routers, scrapers and `pg_net`.
"""

from __future__ import annotations

import contextlib
import hmac
import html
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from loguru import logger

from worker.errors import ConfigurationError
from worker.logs import where

LONGEST_BODY_BYTES = 64 * 1024
_MOST_CONNECTIONS = 32
_POLL_S = 0.5
_PAGES = ("/", "/health", "/ready", "/metrics")


@dataclass(frozen=True)
class Answers:
    """Where the server's answers come from.

    Attributes
    ----------
    health, ready : callable
        ``() -> (good, facts)``.
    metrics : callable
        ``() -> bytes`` in Prometheus' text format.
    process : callable
        Called on an authorised POST /process; returns at once.
    token : str or None
        Bearer token of POST /process; without one that page does not exist.
    """

    health: Callable[[], tuple[bool, dict[str, Any]]]
    ready: Callable[[], tuple[bool, dict[str, Any]]]
    metrics: Callable[[], bytes]
    process: Callable[[], None]
    token: str | None


class Server(ThreadingHTTPServer):
    """Serves in threads of its own until it is closed.

    Parameters
    ----------
    port : int
        0 for any free port.
    answers : Answers
    host : str
        All interfaces by default, since the dyno's router is outside the container.
    longest_s : float
        Time limit of a connection, from its first byte to its last.

    Raises
    ------
    ConfigurationError
        If the port is not available.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # with the default of 5, a few idle clients delay all others by seconds

    def __init__(self, port: int, answers: Answers, *, host: str = "", longest_s: float = 10.0) -> None:
        self.answers = answers
        self._longest_s = longest_s
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise ConfigurationError(f"PORT: {port} cannot be listened on: {error.strerror}") from None
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL_S,), name="http", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self.server_address[1])

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()
        self._thread.join(5)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Limit the connections that are served at a time; further ones are closed."""
        with self._lock:
            if len(self._open) >= _MOST_CONNECTIONS:
                return False
            self._open[request] = time.monotonic() + self._longest_s
            return True

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection, then close it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Close connections that are over their time limit."""
        now = time.monotonic()
        with self._lock:
            late = [request for request, ends_at in self._open.items() if now > ends_at]
            for request in late:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect; `_Handler` logs everything else."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "mindscript"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(self._get)

    do_HEAD = do_GET  # noqa: N815 - the base class's names

    def do_POST(self) -> None:
        self._answer(self._post)

    def _other_method(self) -> None:
        known = self._page() in (*_PAGES, "/process")
        self._error(HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_FOUND, allow="GET, HEAD, POST")

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _other_method  # noqa: N815 - as above

    def _answer(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError:
            raise  # the client has disconnected, or was too slow
        except Exception as error:  # noqa: BLE001 - the client learns nothing of a bug
            logger.bind(event="http.bug").opt(exception=error).error("http: a bug, {}", where(error))
            self._error(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _get(self) -> None:
        match self._page():
            case "/health":
                self._facts(*self.server.answers.health())
            case "/ready":
                self._facts(*self.server.answers.ready())
            case "/metrics":
                self._send(HTTPStatus.OK, self.server.answers.metrics(), "text/plain; version=0.0.4; charset=utf-8")
            case "/":
                self._send(HTTPStatus.OK, _status_page(*self.server.answers.health()), "text/html; charset=utf-8")
            case "/process" if self.server.answers.token is not None:
                self._error(HTTPStatus.METHOD_NOT_ALLOWED, allow="POST")
            case _:
                self._error(HTTPStatus.NOT_FOUND)

    def _post(self) -> None:
        if self._page() in _PAGES:
            self._error(HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD")
            return
        if self._page() != "/process" or self.server.answers.token is None:
            self._error(HTTPStatus.NOT_FOUND)
            return
        given = self.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self.server.answers.token}".encode()):
            self._error(HTTPStatus.UNAUTHORIZED)
            return
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isascii() or not length.isdigit():
            self._error(HTTPStatus.BAD_REQUEST)
            return
        if int(length) > LONGEST_BODY_BYTES:
            self._error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        if len(self.rfile.read(int(length))) < int(length):  # the body is not used, but a client expects it to be read
            return
        self.server.answers.process()
        self._send(HTTPStatus.ACCEPTED, b'{"accepted": true}\n', "application/json")

    def _page(self) -> str:
        return self.path.split("?", 1)[0]

    def _facts(self, good: bool, facts: dict[str, Any]) -> None:
        body = json.dumps(facts, default=str).encode() + b"\n"
        self._send(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, body, "application/json")

    def _error(self, status: HTTPStatus, *, allow: str | None = None) -> None:
        headers = {}
        if status is HTTPStatus.METHOD_NOT_ALLOWED and allow is not None:
            headers["Allow"] = allow
        if status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        body = json.dumps({"error": status.phrase}).encode() + b"\n"
        self._send(status, body, "application/json", headers)

    def _send(self, status: HTTPStatus, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer malformed requests without the base class's page."""
        self._error(HTTPStatus(code))

    def version_string(self) -> str:
        """Leave the Python version out."""
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: health checks would fill the log."""


def _status_page(good: bool, facts: dict[str, Any]) -> bytes:
    """Format the facts of /health as a page for people."""
    rows = "".join(
        f"<tr><th>{html.escape(str(name).replace('_', ' '))}</th><td>{_cell(value)}</td></tr>"
        for name, value in facts.items()
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=10>"
        "<meta name=viewport content='width=device-width'><title>mindscript-audio-worker</title>"
        "<style>body{font:15px/1.5 system-ui;margin:3rem auto;max-width:46rem;padding:0 1rem}"
        "th{text-align:left;padding-right:2rem;vertical-align:top;font-weight:500}</style>"
        f"<h1>{'Alive' if good else 'Not well'}</h1><table>{rows}</table></html>"
    ).encode()


def _cell(value: object) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list):
        return "<br>".join(_cell(item) for item in value) or "none"
    return html.escape("none" if value in (None, "") else str(value))
