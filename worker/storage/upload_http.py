"""The HTTP client of uploads: it reads an answer that arrives before the request's body has been sent.

Storage refuses an upload (name taken, type or size not allowed) while the body is still being sent. It keeps the
connection, but reads and answers nothing more on it. A client that sends its whole body first, or that uses the
connection again, waits until its time is up. Here an answer ends the sending (RFC 9112, 9.5), and a connection that
has carried a body is closed after its answer.
"""

from __future__ import annotations

import select
import ssl
import time
from typing import Any

import httpcore
import httpx

from worker.tls_context import TLS_CONTEXT

_SLICE_BYTES = 16 * 1024  # what a socket that can be written to takes without waiting
_PEEK_S = 0.01
_WITH_A_BODY = ("POST", "PUT", "PATCH", "DELETE")


def upload_client(timeout: httpx.Timeout) -> httpx.Client:
    """Make the client.

    No redirects: the key must not follow one. HTTP/1.1: an upload gains nothing from HTTP/2's windows. A proxy that the
    environment names is used; what it is sent is sent whole first.
    """
    return httpx.Client(
        timeout=timeout,
        verify=TLS_CONTEXT,
        follow_redirects=False,
        mounts={"all://": _Transport()},
        event_hooks={"request": [_close_after_a_body]},
    )


def _close_after_a_body(request: httpx.Request) -> None:
    if request.method in _WITH_A_BODY:
        request.headers["Connection"] = "close"


class _Transport(httpx.HTTPTransport):
    """httpx's own one, but for the network beneath its pool, which no parameter of it reaches."""

    def __init__(self) -> None:
        super().__init__(verify=TLS_CONTEXT)
        self._pool = httpcore.ConnectionPool(ssl_context=TLS_CONTEXT, network_backend=_Network(), keepalive_expiry=5.0)


class _Network(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._plain = httpcore.SyncBackend()

    def connect_tcp(self, *where: Any, **how: Any) -> httpcore.NetworkStream:
        return _Stream(self._plain.connect_tcp(*where, **how))


class _Stream(httpcore.NetworkStream):
    """A connection that stops sending when it is answered."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._answered = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._answered:
            begin, self._answered = self._answered[:max_bytes], self._answered[max_bytes:]
            return begin
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; a `WriteError` says that the answer is there, and httpcore goes on to read it."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for first in range(0, len(buffer), _SLICE_BYTES):
            while not self._has_room(deadline):
                if deadline is not None and time.monotonic() >= deadline:
                    raise httpcore.WriteTimeout("nothing more is taken")
            self._stream.write(buffer[first : first + _SLICE_BYTES], timeout)

    def _has_room(self, deadline: float | None) -> bool:
        """Wait until something can be sent, and raise if there is an answer to read."""
        watch = select.poll()
        watch.register(self._stream.get_extra_info("socket"), select.POLLIN | select.POLLOUT)
        left_ms = None if deadline is None else max(0.0, 1000 * (deadline - time.monotonic()))
        events = sum(event for _, event in watch.poll(left_ms))
        if events & ~select.POLLOUT and self._is_answered():
            raise httpcore.WriteError("answered before all was sent")
        return bool(events & select.POLLOUT)

    def _is_answered(self) -> bool:
        """Look for an answer in what has come: over TLS it may be no more than a session ticket."""
        try:
            self._answered += self._stream.read(65536, _PEEK_S)
        except httpcore.ReadTimeout:
            return False
        except httpcore.ReadError:  # the connection is broken; writing and reading say how
            return True
        return True

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
