"""One connection of the HTTP server: uvicorn's, with limits of our own for time, bytes and number.

uvicorn bounds neither how long a request may take to arrive nor how many connections are open, and it answers a head
that is too large only when all of a read has been taken in. So this class counts and times what a client sends.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.web.bodies import UPLOAD_BYTES

READ_BYTES = 16 * 1024
_REFUSED_S = 1.0


@dataclass(frozen=True)
class HttpLimits:
    """What a client may take of the server.

    `head_s` is from the opening of the connection to the end of the request's head, `request_s` from there to the
    end of its body; `answer_s` is how long a client may leave an answer unread. `connections` may be open at once.
    `open_body_bytes` of a body are kept without the token, by those paths that take one; `long_body_bytes` are passed
    on part by part, by those that take a long one.
    """

    head_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024
    open_body_bytes: int = 4 * 1024
    long_body_bytes: int = UPLOAD_BYTES
    head_s: float = 2.0
    request_s: float = 8.0
    answer_s: float = 10.0
    connections: int = 256


HTTP_LIMITS = HttpLimits()
BODY_TIME = "body_time"
"""In a request's state: how an application gives its body more time; called with seconds."""


class Connection(H11Protocol, asyncio.BufferedProtocol):
    """Takes one request, of which never more than `READ_BYTES` beyond its limits are in memory.

    `shared` is the buffer that all connections of a server read into, one after the other: asyncio's own reads are up
    to 256 KB.
    """

    def __init__(self, limits: HttpLimits, shared: memoryview, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._shared = shared
        self._received_bytes = 0
        self._has_head = self._is_whole = False  # the request
        self._deadline: asyncio.TimerHandle | None = None
        self.opened_at = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the head's time; close the oldest connection without a whole request where there are too many."""
        super().connection_made(transport)
        self._allow(self._limits.head_s)
        if len(self.connections) > self._limits.connections:
            waiting = [each for each in self.connections if isinstance(each, Connection) and not each._is_whole]
            min(waiting, key=lambda each: each.opened_at)._cut_off()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._allow(None)
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes."""
        del sizehint
        return self._shared

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read, before another connection reads."""
        self.data_received(bytes(self._shared[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Pass the head on as far as it may go, then the body; drop what follows the request."""
        if self._is_whole:
            return
        if not self._has_head:
            left_bytes = self._limits.head_bytes - self._received_bytes
            head, data = data[:left_bytes], data[left_bytes:]
            self._received_bytes += len(head)
            super().data_received(head)
            if self.cycle is None:
                if self._received_bytes == self._limits.head_bytes and not self._is_whole:
                    self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return
            self._has_head = True
            self.scope["state"][BODY_TIME] = self._allow_body  # its application has not been called yet
            self._allow(self._limits.request_s)
        if data:
            super().data_received(data)
        if not self.cycle.more_body:
            self._is_whole = True
            self._allow(None)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a client that has sent all it wanted to; close if that is no whole request."""
        return self._is_whole and self.cycle is not None

    def pause_writing(self) -> None:
        """Start the answer's time: the client does not read it."""
        super().pause_writing()
        self._allow(self._limits.answer_s)

    def resume_writing(self) -> None:
        """Stop it."""
        super().resume_writing()
        self._allow(None)

    def on_response_complete(self) -> None:
        """Close, at the latest when the rest of the answer should have been read."""
        super().on_response_complete()
        self._is_whole = True
        self._allow(self._limits.answer_s)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP in the words of all other answers."""
        del msg
        self._refuse(HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer, then read on until the client has seen it: closed at once, it would be told of a reset only."""
        self._is_whole = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": status.phrase}).encode() + b"\n"
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
            headers += [(name.decode(), value.decode()) for name, value in self.server_state.default_headers]
            response = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
            self.transport.write(
                b"".join(self.conn.send(each) or b"" for each in (response, h11.Data(data=body), h11.EndOfMessage()))
            )
        self.transport.write_eof()
        self._allow(_REFUSED_S)

    def _allow_body(self, seconds: float) -> None:
        """Give the body more time, unless it is here."""
        if not self._is_whole:
            self._allow(seconds)

    def _allow(self, seconds: float | None) -> None:
        """Close the connection after this time, in place of the time before; None: leave it open."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._cut_off)

    def _cut_off(self) -> None:
        self.connections.discard(self)  # at once: others may come before `connection_lost` is called
        self.transport.abort()
