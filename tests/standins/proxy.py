"""A proxy between a client and a Postgres, that fails on command the way networks and poolers do.

Usage: ``with Proxy(dsn) as proxy: … proxy.dsn … proxy.stall()``.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict

_PIECE = 65536


class Proxy:
    """Forwards bytes both ways.

    Parameters
    ----------
    dsn : str
        The server, by unix socket folder or by host and port.
    drop_notifications : bool
        Take the server's NotificationResponse messages out, as a transaction pooler does for an idle client.
    """

    def __init__(self, dsn: str, *, drop_notifications: bool = False) -> None:
        self._target = conninfo_to_dict(dsn)
        self._drop_notifications = drop_notifications
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._connections: list[tuple[socket.socket, socket.socket]] = []
        self._moving = threading.Event()
        self._moving.set()
        self._deaf = threading.Event()
        self._closed = False
        port = self._listening.getsockname()[1]
        self.dsn = (
            f"host=127.0.0.1 port={port} user={self._target['user']} dbname={self._target['dbname']} "
            "sslmode=disable gssencmode=disable"
        )
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._moving.set()
        self._listening.close()
        self.cut()

    def stall(self) -> None:
        """Half-open: bytes are taken (and acknowledged by the kernel) but go no further; nobody is told."""
        self._moving.clear()

    def resume(self) -> None:
        """Forward again, on new connections and on old ones."""
        self._moving.set()

    def cut(self) -> None:
        """Close every connection."""
        connections, self._connections = self._connections, []
        for pair in connections:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """Close every connection, and take no more."""
        self._closed = True
        with contextlib.suppress(OSError):
            socket.create_connection(self._listening.getsockname()).close()  # else `accept` would take one more
        self._listening.close()
        self.cut()

    def swallow_next_answer(self) -> None:
        """Let the next question through, and cut the connection where its answer would come back."""
        self._deaf.set()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = self._dial()
            self._connections.append((client, server))
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _dial(self) -> socket.socket:
        host, port = str(self._target["host"]), int(self._target.get("port") or 5432)
        if host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{host}/.s.PGSQL.{port}")
            return server
        return socket.create_connection((host, port))

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        kept = b""
        asked_while_deaf = False
        with client, server:
            while True:
                try:
                    readable, _, _ = select.select([client, server], [], [])
                    self._moving.wait()
                    if client in readable:
                        data = client.recv(_PIECE)
                        if not data:
                            return
                        asked_while_deaf = asked_while_deaf or self._deaf.is_set()
                        server.sendall(data)
                    if server in readable:
                        data = server.recv(_PIECE)
                        if not data:
                            return
                        if asked_while_deaf:
                            self._deaf.clear()
                            return
                        if self._drop_notifications:
                            data, kept = _without_notifications(kept + data)
                        client.sendall(data)
                except OSError:
                    return


class HalfOpen(Proxy):
    """`freeze` leaves the connections there are open and dead; new ones work. As after a NAT's or a failover's loss."""

    def __init__(self, dsn: str) -> None:
        self._alive = threading.Event()
        self._alive.set()
        super().__init__(dsn)

    def freeze(self) -> None:
        frozen, self._alive = self._alive, threading.Event()
        self._alive.set()
        frozen.clear()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        alive = self._alive
        with client, server:
            while True:
                try:
                    readable, _, _ = select.select([client, server], [], [], 1.0)
                    for source, sink in ((client, server), (server, client)):
                        if source in readable:
                            data = source.recv(_PIECE)  # taken, so that the kernel acknowledges it
                            if not data:
                                return
                            if alive.is_set():
                                sink.sendall(data)
                except OSError:
                    return


def _without_notifications(data: bytes) -> tuple[bytes, bytes]:
    """Whole backend messages (PostgreSQL manual, 54.7) less those of type 'A', and the unfinished rest."""
    out = b""
    while len(data) >= 5:
        length = 1 + struct.unpack("!I", data[1:5])[0]
        if len(data) < length:
            break
        if data[:1] != b"A":
            out += data[:length]
        data = data[length:]
    return out, data
