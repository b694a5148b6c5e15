"""Clients of the worker's HTTP server, good and bad, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psutil

_LONGEST_S = 60.0
_AGAIN_S = 0.25  # after having been cut off


@dataclass
class Crowd:
    """What clients met: seconds of each good answer, other answers, refused or broken connections."""

    answered_s: list[float] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    cut_off: int = 0

    @property
    def slowest_s(self) -> float:
        return max(self.answered_s, default=0.0)


def ask_with_crowd(port: int, *, slow: int, fast: int, rounds: int, path: str = "/health") -> Crowd:
    """Ask `rounds` times with each of `fast` clients at once, while `slow` ones hold their connections.

    Half of the slow ones send nothing, the others a byte a second; each soon connects again when it is cut off.
    """
    return asyncio.run(_crowd(port, slow, fast, rounds, path))


async def _crowd(port: int, slow: int, fast: int, rounds: int, path: str) -> Crowd:
    crowd = Crowd()
    bad = [asyncio.create_task(_slow(port, crowd, drips=number % 2 == 0)) for number in range(slow)]
    await asyncio.sleep(1.0 if slow else 0.0)  # all of them are connected by then
    await asyncio.gather(*(_fast(port, crowd, rounds, path) for _ in range(fast)))
    for task in bad:
        task.cancel()
    await asyncio.gather(*bad, return_exceptions=True)
    return crowd


async def _slow(port: int, crowd: Crowd, *, drips: bool) -> None:
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /health HTTP/1.1\r\nX-Slow: " if drips else b"")
                ended = asyncio.create_task(reader.read())
                while not ended.done():
                    await asyncio.wait([ended], timeout=1.0)
                    if drips and not ended.done():
                        writer.write(b"x")
                crowd.cut_off += 1
                ended.exception()
            finally:
                writer.close()
        await asyncio.sleep(_AGAIN_S)


async def _fast(port: int, crowd: Crowd, rounds: int, path: str) -> None:
    for _ in range(rounds):
        began = time.monotonic()
        try:
            async with asyncio.timeout(_LONGEST_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                said = await reader.read()
                writer.close()
        except (OSError, TimeoutError) as error:
            crowd.others.append(type(error).__name__)
            continue
        if said.startswith(b"HTTP/1.1 200 "):
            crowd.answered_s.append(time.monotonic() - began)
        else:
            crowd.others.append(said[:40].decode("latin-1"))


def attacks(size_bytes: int, token: str) -> dict[str, bytes]:
    """Requests of about `size_bytes` each, by what is large about them."""
    auth = f"Authorization: Bearer {token}\r\n".encode()
    post = b"POST /process HTTP/1.1\r\nHost: x\r\n"
    login = b"POST /studio/login HTTP/1.1\r\nHost: x\r\n"
    headers = -(-size_bytes // 65_000)
    one_chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    pipelined = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    return {
        "headers": b"GET /health HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 65_000) for n in range(headers)),
        "small headers": b"GET /health HTTP/1.1\r\n" + b"X-Y: z\r\n" * (size_bytes // 8),
        "request line": b"GET /" + b"a" * size_bytes,
        "no line end": b"a" * size_bytes,
        "chunks": post + auth + b"Transfer-Encoding: chunked\r\n\r\n" + one_chunk * (size_bytes // len(one_chunk)),
        "chunk extension": post + auth + b"Transfer-Encoding: chunked\r\n\r\n4;" + b"e" * size_bytes,
        "body too large": post + auth + b"Content-Length: %d\r\n\r\n" % size_bytes + b"x" * size_bytes,
        "body without a token": post + b"Content-Length: 60000\r\n\r\n" + b"x" * size_bytes,
        "login": login + b"Content-Length: 4096\r\n\r\n" + b"x" * size_bytes,
        "login too large": login + b"Content-Length: %d\r\n\r\n" % size_bytes + b"x" * size_bytes,
        "trailing garbage": pipelined + b"\0" * size_bytes,
        "pipelined": pipelined * (size_bytes // len(pipelined)),
    }


def send_all(port: int, sent: bytes, clients: int, *, hold_s: float = 0.0) -> list[bytes]:
    """Send the same with several clients at once, as far as it is taken; the first bytes of each answer.

    Each keeps its connection for `hold_s` after that, without ending its request.
    """
    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(lambda _: _send(port, sent, hold_s), range(clients)))


def _send(port: int, sent: bytes, hold_s: float) -> bytes:
    said = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_S) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(sent)
        time.sleep(hold_s)
        connection.shutdown(socket.SHUT_WR)
        while len(said) < 4096 and (part := connection.recv(4096)):
            said += part
    return said


@dataclass
class Memory:
    """Proportional memory of a process in bytes: before, and the most since."""

    before_bytes: int
    most_bytes: int

    @property
    def grown_bytes(self) -> int:
        return self.most_bytes - self.before_bytes


@contextlib.contextmanager
def watched_memory(pid: int) -> Iterator[Memory]:
    """Look at a process's memory all the time."""
    process = psutil.Process(pid)

    def found_bytes() -> int:
        return int(process.memory_full_info().pss)

    memory = Memory(found_bytes(), 0)
    over = threading.Event()

    def watch() -> None:
        with contextlib.suppress(psutil.Error):
            while not over.wait(0.02):
                memory.most_bytes = max(memory.most_bytes, found_bytes())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        over.set()
        thread.join(_LONGEST_S)
        with contextlib.suppress(psutil.Error):
            memory.most_bytes = max(memory.most_bytes, found_bytes())
