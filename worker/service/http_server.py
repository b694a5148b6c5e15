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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from loguru import logger

from worker.errors import ConfigurationError
from worker.logs import where

LONGEST_BODY_BYTES = 64 * 1024
_MOST_CONNECTIONS = 32
_PAGES = ("/", "/health", "/ready", "/metrics")


@dataclass(frozen=True)
class Answers:
    """Where the server's answers come from.

    `health` and `ready` return whether all is well, and facts; `metrics` Prometheus' text format. `process` is called
    on an authorised POST /process, and returns at once; without a `token` that page does not exist.
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
    host : str
        All interfaces by default, since the dyno's router is outside the container.
    longest_s : float
        Time limit of a connection, from its first byte to its last.
    poll_s : float
        Between checks of the time limits.

    Raises
    ------
    ConfigurationError
        If the port is not available.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # with the default of 5, a few idle clients delay all others by seconds

    def __init__(
        self, port: int, answers: Answers, *, host: str = "", longest_s: float = 10.0, poll_s: float = 0.5
    ) -> None:
        self.answers = answers
        self._longest_s = longest_s
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise ConfigurationError(f"PORT: {port} cannot be listened on: {error.strerror}") from None
        self._thread = threading.Thread(target=self.serve_forever, args=(poll_s,), name="http", daemon=True)
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

    def _answer(self) -> None:
        try:
            self._route(self.path.split("?", 1)[0], self.server.answers)
        except OSError:
            raise  # the client has disconnected, or was too slow
        except Exception as error:  # noqa: BLE001 - the client learns nothing of a bug
            logger.bind(event="http.bug").opt(exception=error).error("http: a bug, {}", where(error))
            self._error(HTTPStatus.INTERNAL_SERVER_ERROR)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _answer  # noqa: N815 - the base class's names

    def _route(self, page: str, answers: Answers) -> None:
        allowed = "POST" if page == "/process" else "GET, HEAD"
        if page not in _PAGES and (page != "/process" or answers.token is None):
            self._error(HTTPStatus.NOT_FOUND)
        elif self.command not in allowed.split(", "):
            known = self.command in ("GET", "HEAD", "POST")
            self._error(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": allowed if known else "GET, HEAD, POST"})
        elif page == "/process":
            self._process(answers)
        elif page == "/metrics":
            self._send(HTTPStatus.OK, answers.metrics(), "text/plain; version=0.0.4; charset=utf-8")
        elif page == "/":
            self._send(HTTPStatus.OK, _status_page(*answers.health()), "text/html; charset=utf-8")
        else:
            good, facts = answers.health() if page == "/health" else answers.ready()
            body = json.dumps(facts, default=str).encode() + b"\n"
            self._send(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, body, "application/json")

    def _process(self, answers: Answers) -> None:
        given, length = self.headers.get("Authorization", ""), self.headers.get("Content-Length", "0")
        if not hmac.compare_digest(given.encode(), f"Bearer {answers.token}".encode()):
            self._error(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
        elif "Transfer-Encoding" in self.headers or not length.isascii() or not length.isdigit():
            self._error(HTTPStatus.BAD_REQUEST)
        elif int(length) > LONGEST_BODY_BYTES:
            self._error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif len(self.rfile.read(int(length))) == int(length):  # not used, but a client expects its body to be read
            answers.process()
            self._send(HTTPStatus.ACCEPTED, b'{"accepted": true}\n', "application/json")

    def _error(self, status: HTTPStatus, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps({"error": status.phrase}).encode() + b"\n", "application/json", headers)

    def _send(self, status: HTTPStatus, body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        self.close_connection = True
        self.send_response(status)
        always = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",
        }
        for name, value in {**always, **(headers or {})}.items():
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
    if isinstance(value, list):
        return "<br>".join(map(_cell, value)) or "none"
    if isinstance(value, dict):
        value = ", ".join(f"{name} {item}" for name, item in value.items())
    return html.escape("none" if value in (None, "") else str(value))
