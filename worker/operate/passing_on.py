"""Passes a request on to a server on this machine, part by part: of neither body more than a part is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import h11
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

_READ_BYTES: Final = 64 * 1024
_CONNECT_S: Final = 10.0
BEGINS_WITHIN_S: Final = 1800.0  # a track of eight hours is measured in some minutes, on a slow machine in more
_ONCE_S: Final = 30.0
_ASKED: Final = ("accept", "content-length", "content-type", "if-range", "range")
_ANSWERED: Final = frozenset(
    {
        b"accept-ranges", b"content-disposition", b"content-length", b"content-range", b"content-type", b"etag",
        b"last-modified", b"x-heard",
    }
)  # fmt: skip


class NoAnswerError(Exception):
    """The server has ended before it answered."""


@dataclass(frozen=True)
class Connected:
    """A connection to the server, for one request."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def connect(address: str) -> Connected:
    """Connect to a server at the address of a socket; raises `NoAnswerError` if none is there."""
    try:
        async with asyncio.timeout(_CONNECT_S):
            return Connected(*await asyncio.open_unix_connection(address))
    except (OSError, TimeoutError):
        raise NoAnswerError from None


async def pass_on(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    to: Connected,
    path: str,
    is_allowed: Callable[[], bool],
    begins_within_s: float = BEGINS_WITHIN_S,
) -> None:
    """Ask for a path, with the request's own method, query and body, and close the connection.

    The answer, and with it a stream, ends when the client goes, or may not have it any more.

    Raises
    ------
    NoAnswerError
        If nothing has been answered in that time.
    """
    http = h11.Connection(h11.CLIENT)
    try:
        to.writer.write(_head(http, scope, path))
        asking = asyncio.create_task(_ask(receive, http, to.writer))
        answering = asyncio.create_task(_answer(to.reader, http, send, is_allowed, begins_within_s))
        try:
            await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (asking, answering):
                task.cancel()
            _, answered = await asyncio.gather(asking, answering, return_exceptions=True)
        if isinstance(answered, Exception):
            raise answered
    finally:
        to.writer.transport.abort()


async def ask_once(to: Connected, path: str, body: bytes) -> tuple[int, bytes]:
    """Post a JSON document; status and body of the answer. Raises as `pass_on`."""
    status, answer = 0, bytearray()
    scope: Scope = {
        "method": "POST",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
    }
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not parts:
            await asyncio.Future()  # it never goes
        return parts.pop()

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        answer.extend(message.get("body", b""))

    await pass_on(scope, receive, send, to=to, path=path, is_allowed=lambda: True, begins_within_s=_ONCE_S)
    return status, bytes(answer)


def _head(http: h11.Connection, scope: Scope, path: str) -> bytes:
    given = Headers(scope=scope)
    query = scope["query_string"].decode("latin-1")
    headers = [("Host", "studio"), *((name, given[name]) for name in _ASKED if name in given)]
    target = quote(path) + (f"?{query}" if query else "")
    return http.send(h11.Request(method=scope["method"], target=target, headers=headers)) or b""


async def _ask(receive: Receive, http: h11.Connection, writer: asyncio.StreamWriter) -> None:
    """Send the body, then wait until the client goes."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        with suppress(ConnectionError):  # it has answered, or ended: the other task finds out
            writer.write(http.send(h11.Data(data=message.get("body", b""))) or b"")
            if not message.get("more_body", False):
                writer.write(http.send(h11.EndOfMessage()) or b"")
            await writer.drain()


async def _answer(
    reader: asyncio.StreamReader,
    http: h11.Connection,
    send: Send,
    is_allowed: Callable[[], bool],
    begins_within_s: float,
) -> None:
    has_begun = False
    while is_allowed():
        try:
            event = http.next_event()
            if event is h11.NEED_DATA:
                async with asyncio.timeout(None if has_begun else begins_within_s):
                    http.receive_data(await reader.read(_READ_BYTES))
                continue
        except (OSError, TimeoutError, h11.RemoteProtocolError):
            if not has_begun:
                raise NoAnswerError from None
            return  # the client sees that the rest is missing
        if isinstance(event, h11.Response):
            has_begun = True
            headers = [(name, value) for name, value in event.headers if name in _ANSWERED]
            await send({"type": "http.response.start", "status": event.status_code, "headers": headers})
        elif isinstance(event, h11.Data):
            await send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
        elif isinstance(event, h11.EndOfMessage):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        elif isinstance(event, h11.ConnectionClosed):
            if not has_begun:
                raise NoAnswerError
            return
