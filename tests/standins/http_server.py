"""The HTTP server of all stand-ins, with one at each prefix, and how these write answers, whole or broken off."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

JSON = {"Content-Type": "application/json; charset=utf-8"}


@dataclass(frozen=True)
class Request:
    """What came in; `path` is relative to the mount point, header names are in lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes

    def parameter(self, name: str) -> str | None:
        return next((value for key, value in self.query if key == name), None)

    @property
    def key(self) -> str:
        return self.headers.get("apikey", "")


@dataclass(frozen=True)
class Response:
    """What goes out; `status` 0 closes the connection without an answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


App = Callable[[Request], Response]


def as_json(status: int, value: Any, **headers: str) -> Response:
    return Response(
        status,
        json.dumps(value, separators=(",", ":")).encode(),
        {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}},
    )


class Raw(Protocol):
    """An app that writes its own answer; `path` is relative to the mount point, without the query."""

    def handle(self, handler: BaseHTTPRequestHandler, path: str) -> None: ...


def sent(handler: BaseHTTPRequestHandler, stop: int | None) -> Iterator[bytes]:
    """The body in slices; after `stop` bytes the line breaks."""
    length = int(handler.headers.get("content-length") or 0)
    taken = 0
    while taken < length:
        if stop is not None and taken >= stop:
            raise ConnectionError("the fault asked for")
        slice_ = handler.rfile.read(min(65536, length - taken, *([stop - taken] if stop is not None else [])))
        if not slice_:
            raise ConnectionError("the client went away")
        taken += len(slice_)
        yield slice_
    handler.body_is_read = True  # type: ignore[attr-defined]


def read_the_rest(handler: BaseHTTPRequestHandler) -> None:
    if not getattr(handler, "body_is_read", False):
        with contextlib.suppress(ConnectionError):
            for _ in sent(handler, None):
                pass


def go_silent(handler: BaseHTTPRequestHandler) -> None:
    """Keep the connection open, but read nothing more from it and answer nothing on it, until the client closes it.

    So does Storage once it has refused a request whose body it has not read.
    """
    handler.close_connection = True
    closed = select.poll()
    closed.register(handler.connection, select.POLLRDHUP)
    closed.poll(60_000)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    with contextlib.suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)


def answer(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    only: int | None = None,
    pause_s: float | None = None,
    then: Callable[[], object] | None = None,
) -> None:
    """Write an answer: all of it, or only so many bytes before the line breaks; with a pause after each byte if asked.

    `then` is called once that is written, unless the client has gone.
    """
    handler.send_response_only(status)
    for name, value in {"Date": handler.date_time_string(), **headers}.items():
        handler.send_header(name, value)
    if status not in (204, 304):
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command == "HEAD":
        return
    with contextlib.suppress(OSError):
        if pause_s is not None:
            for byte in body:
                handler.wfile.write(bytes([byte]))
                time.sleep(pause_s)
        else:
            handler.wfile.write(body[:only])
        if then is not None:
            then()
    if only is not None:
        hang_up(handler)


@contextmanager
def serve(apps: Mapping[str, App | Raw], *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve each app at its prefix on a free port of this machine; yields the address.

    Takes both kinds: those that write their own answers, and plain functions of a request. The
    prefix ``""`` is for an app that answers everywhere.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else head and body in two writes cost 40 ms

        def handle_request(self) -> None:
            self.body_is_read = False
            parts = urlsplit(self.path)
            prefix = next((p for p in apps if parts.path.startswith(p + "/") or parts.path == p), None)
            if prefix is None:
                read_the_rest(self)
                message = json.dumps({"message": "no Route matched with those values"}).encode()
                return answer(self, 404, message, JSON)
            app, path = apps[prefix], parts.path.removeprefix(prefix)
            if callable(app):
                return self._call(app, path, parts.query)
            return app.handle(self, path)

        def _call(self, app: App, path: str, query: str) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            pairs = tuple(parse_qsl(query, keep_blank_values=True))
            response = app(Request(self.command, path, pairs, headers, body))
            if response.status == 0:
                return hang_up(self)
            given = {name: value for name, value in response.headers.items() if name.lower() != "content-length"}
            return answer(self, response.status, response.body, given)

        do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = handle_request  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
            if tls is None:
                return super().finish_request(request, client_address)
            # The handshake here, in the request's own thread: a client that gives up must not stop the others.
            with contextlib.suppress(OSError), tls.wrap_socket(request, server_side=True) as line:
                Handler(line, client_address, self)

        def handle_error(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
            """Clients that go away are the point of some tests; any other error is one of a stand-in."""
            if not isinstance(sys.exception(), OSError):
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
