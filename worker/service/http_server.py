"""The worker's HTTP server: uvicorn in a thread of its own, beside the loop. Its pages are routes of Starlette.

One request for each connection: clients are routers, scrapers and `pg_net`. `http_connection.py` has the limits.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import socket
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import uvicorn
from loguru import logger
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.errors import ConfigurationError
from worker.logs import where
from worker.os_errors import in_words
from worker.service.http_connection import HTTP_LIMITS, READ_BYTES, Connection, HttpLimits

_QUEUED_CONNECTIONS = 1024  # by the kernel: few, and clients that come together wait a second for the next try
_ACCEPTED_TOGETHER = 64  # so that those accepted before are read before others may take their places
_HEADERS = [("Server", "mindscript"), ("X-Content-Type-Options", "nosniff"), ("Connection", "close")]
NOT_KEPT = {"Cache-Control": "no-store"}


class Server:
    """Serves until it is closed.

    Parameters
    ----------
    port : int
        0 for any free port.
    routes : sequence of BaseRoute
        Whether a request has the token is in `request.state.authorised`. Endpoints are coroutines: they run in the
        server's thread, and must not wait for anything but their client.
    token : str, optional
        What authorises a request, as ``Authorization: Bearer …``; without one none is.
    open_path : str, optional
        Below it, requests may have a short body without the token: the endpoints there check who sends it.
    long_path : str, optional
        Below it, what is longer than that short body is passed on as it comes, up to `HttpLimits.long_body_bytes`: the
        endpoints there must check who sends it before they read any of it.
    host : str
        All interfaces by default, since the dyno's router is outside the container.

    Raises
    ------
    ConfigurationError
        If the port is not available.
    """

    def __init__(
        self,
        port: int,
        routes: Sequence[BaseRoute],
        *,
        token: str | None = None,
        open_path: str | None = None,
        long_path: str | None = None,
        host: str = "",
        limits: HttpLimits = HTTP_LIMITS,
    ) -> None:
        try:
            self._socket = socket.create_server((host, port), backlog=_QUEUED_CONNECTIONS)
        except OSError as error:
            raise ConfigurationError(f"PORT: {port} cannot be listened on: {in_words(error)}") from None
        self.port = int(self._socket.getsockname()[1])
        connection = partial(Connection, limits, memoryview(bytearray(READ_BYTES)))
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                application(routes, token=token, open_path=open_path, long_path=long_path, limits=limits),
                http=cast(type[asyncio.Protocol], connection),
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level=logging.CRITICAL + 1,  # health checks would fill the log, and what fails is logged here
                access_log=False,
                proxy_headers=False,
                server_header=False,
                headers=_HEADERS,
                backlog=_ACCEPTED_TOGETHER,
                h11_max_incomplete_event_size=limits.head_bytes,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._uvicorn.stop()
        self._thread.join(5)
        self._socket.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._uvicorn.serve(sockets=[self._socket]))
        except Exception as error:  # noqa: BLE001 - the worker goes on without its pages
            logger.bind(event="http.bug").opt(exception=error).error("http: it has ended, {}", where(error))


class _Uvicorn(uvicorn.Server):
    """uvicorn's server; in a thread that is not the main one it leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked_to_stop = asyncio.Event()

    def stop(self) -> None:
        """End `serve`; from any thread."""
        self._started.wait(5)
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._asked_to_stop.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():
            each.listen(_QUEUED_CONNECTIONS)  # asyncio takes one number for this and for what it accepts at once
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_log_loop_error)
        self._started.set()

    async def main_loop(self) -> None:
        """Tick once a second, for the header Date, instead of ten times."""
        while not await self.on_tick(0):
            try:
                await asyncio.wait_for(self._asked_to_stop.wait(), 1.0)
            except TimeoutError:
                continue


def application(
    routes: Sequence[BaseRoute],
    *,
    token: str | None,
    open_path: str | None = None,
    long_path: str | None = None,
    limits: HttpLimits = HTTP_LIMITS,
) -> ASGIApp:
    """The routes, with the token checked, requests read to their end, and errors as JSON."""
    whole = Middleware(_WholeRequests, token=token, open_path=open_path, long_path=long_path, limits=limits)
    made = Starlette(
        routes=list(routes),
        middleware=[whole],
        exception_handlers={HTTPException: _http_error, Exception: _bug},
    )
    made.router.redirect_slashes = False  # it would lead to wherever the client's Host says
    return made


def as_json(content: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that nobody may keep."""
    body = json.dumps(content, default=str).encode() + b"\n"
    return Response(body, status, {**NOT_KEPT, **(headers or {})}, "application/json")


class _WholeRequests:
    """Reads a request's body before it is answered: a client that still sends might not see the answer.

    Only an authorised request's body is kept, and a short one below the open path; others would fill the memory. A
    longer one below the long path is left to the application.
    """

    def __init__(
        self, app: ASGIApp, *, token: str | None, open_path: str | None, long_path: str | None, limits: HttpLimits
    ) -> None:
        self._app = app
        self._expected = None if token is None else f"Bearer {token}".encode()
        self._open = None if open_path is None else f"{open_path}/"
        self._long = None if long_path is None else f"{long_path}/"
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        given = headers.get("authorization", "").encode()
        authorised = self._expected is not None and hmac.compare_digest(given, self._expected)
        scope.setdefault("state", {})["authorised"] = authorised
        if "transfer-encoding" in headers:  # nobody knows how long it is
            await _error(HTTPStatus.BAD_REQUEST)(scope, receive, send)
            return
        is_open = self._open is not None and scope["path"].startswith(self._open)
        longest = self._limits.open_body_bytes if is_open else self._limits.body_bytes
        length = int(headers.get("content-length", "0"))
        is_long = self._long is not None and scope["path"].startswith(self._long)
        if is_long and longest < length <= self._limits.long_body_bytes:
            await self._app(scope, receive, send)
            return
        if length > longest:
            await _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)(scope, receive, send)
            return
        body, is_whole = b"", False
        while not is_whole:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has gone
            body += message["body"] if authorised or is_open else b""
            is_whole = not message["more_body"]
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def received() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, received, send)


def _error(status: int, headers: Mapping[str, str] | None = None) -> Response:
    return as_json({"error": HTTPStatus(status).phrase}, status, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    del request
    error = cast(HTTPException, error)
    return _error(error.status_code, error.headers)


async def _bug(request: Request, error: Exception) -> Response:
    """Tell the log of a bug, and the client nothing of it."""
    del request
    logger.bind(event="http.bug").opt(exception=error).error("http: a bug, {}", where(error))
    return _error(HTTPStatus.INTERNAL_SERVER_ERROR)


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what asyncio would write to standard error in its own words."""
    del loop
    error = context.get("exception")
    if not isinstance(error, OSError):  # a client that has gone
        logger.bind(event="http.bug").opt(exception=error).error("http: {}", context["message"])
