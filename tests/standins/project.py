"""One Supabase project on this machine: an HTTP server with a stand-in at each prefix, and how these write answers,
whole or broken off.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from standins.postgrest import App, Request

JSON = {"Content-Type": "application/json; charset=utf-8"}


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
) -> None:
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
    if only is not None:
        hang_up(handler)


@contextmanager
def serve_project(apps: Mapping[str, App | Raw]) -> Iterator[str]:
    """A local HTTP server with each app at its prefix; yields the project's URL.

    Takes both kinds: those that write their own answers, and plain functions as `standins.postgrest` has
    them.
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

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
