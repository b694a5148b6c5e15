"""An answer before the request's body has been sent: over TLS, where something to read is not always an answer."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from standins.foreign_host import certificate

from worker.storage.upload_http import upload_client

LARGE = 5_000_000  # more than the buffers of both sockets hold
REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nDuplicate"
DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    file, key = certificate(tmp_path, ["localhost"])
    monkeypatch.setattr("worker.storage.upload_http.TLS_CONTEXT", ssl.create_default_context(cafile=file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    assert context.num_tickets > 0  # sent after the handshake: there is something to read before any answer
    return context


@contextmanager
def server(tls: ssl.SSLContext | None, answers: list[bytes | None]) -> Iterator[tuple[str, list[int]]]:
    """A connection for each of `answers`, kept open: a refusal comes before the body is read, None never.

    Yields the URL, and the bytes of each body that was read whole.
    """
    read: list[int] = []
    lines = []

    def serve(listening: socket.socket) -> None:
        for answer in answers:
            line, _ = listening.accept()
            lines.append(line)
            if tls is not None:
                line = tls.wrap_socket(line, server_side=True)
                lines.append(line)
            reader, length = line.makefile("rb"), 0
            while (header := reader.readline()).strip():
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            if answer == DONE:
                read.append(len(reader.read(length)))
            with contextlib.suppress(OSError):
                line.sendall(answer or b"")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield f"{'http' if tls is None else 'https'}://localhost:{listening.getsockname()[1]}", read
        for line in lines:
            line.close()


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("size", [0, 1, 200_000, LARGE])
def test_an_answer_ends_the_sending_and_the_connection(request: pytest.FixtureRequest, size: int, secure: bool) -> None:
    context = request.getfixturevalue("tls") if secure else None
    with server(context, [REFUSED, DONE, REFUSED]) as (url, read), upload_client(httpx.Timeout(20.0)) as client:
        for status in (400, 200, 400):
            response = client.post(url, content=bytes(size))
            assert response.status_code == status
        assert response.text == "Duplicate"
        assert read == [size]


def test_a_server_that_takes_nothing_and_says_nothing_is_left() -> None:
    with (
        server(None, [None]) as (url, _),
        upload_client(httpx.Timeout(0.5)) as client,
        pytest.raises(httpx.WriteTimeout),
    ):
        client.post(url, content=bytes(4 * LARGE))


def test_a_server_that_takes_all_and_says_nothing_is_left() -> None:
    with (
        server(None, [None]) as (url, _),
        upload_client(httpx.Timeout(0.5)) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.post(url, content=bytes(10))


def test_nobody_there_is_httpx_own_error() -> None:
    with upload_client(httpx.Timeout(5.0)) as client, pytest.raises(httpx.ConnectError):
        client.post("http://127.0.0.1:9/", content=b"x")
