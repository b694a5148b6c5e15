"""LISTEN on a connection of its own: NOTIFY wakes the worker at once. Polling always stays.

A connection on which no notification arrives looks like a quiet queue, so it is checked end to end. After each connect
the listener sends itself a nonce through a second connection; through the same connection a transaction pooler could
return it by chance. While the connection is quiet, the listener pings the server every five seconds. It listens to the
queue's channel only after the nonce has arrived: behind a transaction pooler the LISTEN would stay with a server
connection that other clients use. `doctor` makes the same check (`why_polling`).
"""

from __future__ import annotations

import secrets
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import psycopg
from loguru import logger
from psycopg import sql

from worker.backoff import RetryPolicy
from worker.queue.address import Address, read
from worker.queue.postgres import Connection, connect
from worker.queue.transport import POSTGRES_LIMITS, PostgresLimits, classify

CHANNEL = "mindscript_worker"


@dataclass(frozen=True)
class ListenerTimings:
    """How long the listener waits."""

    nonce_s: float = 5.0  # for its notification to itself
    ping_s: float = 5.0  # a connection that is quiet for so long is pinged,
    ping_limit_s: float = 3.0  # and must answer within this
    pooler_s: float = 300.0  # before the next try, where notifications do not arrive
    reconnects: RetryPolicy = field(default=RetryPolicy(first_wait_s=0.5, longest_wait_s=10.0))


TIMINGS = ListenerTimings()
_NOTHING_CAME = (
    "a notification to ourselves did not arrive, as behind a transaction pooler; polling only; a direct or "
    "session-mode DATABASE_URL would wake the worker at once"
)


class Listener:
    """Calls back for new and cancelled jobs.

    Parameters
    ----------
    dsn : str
        A direct (or session-pooled) connection; the port of a transaction pooler is not tried.
    on_wake : callable
        Called when there may be a job to claim, and after each connect. It runs in the listener's thread: be quick.
    on_cancel : callable
        Called with the id of a job that was cancelled.

    Attributes
    ----------
    up : bool
        Whether notifications are known to arrive.

    Raises
    ------
    ConfigurationError
        If `dsn` is no address.
    """

    def __init__(
        self,
        dsn: str,
        *,
        on_wake: Callable[[], None],
        on_cancel: Callable[[str], None],
        application: str = "mindscript-listener",
        timings: ListenerTimings = TIMINGS,
        limits: PostgresLimits = POSTGRES_LIMITS,
    ) -> None:
        self._address = read(dsn)
        self._on_wake = on_wake
        self._on_cancel = on_cancel
        self._timings = timings
        self._connect = partial(connect, self._address.conninfo, application=application, limits=limits)
        self.up = False
        self._stopping = threading.Event()
        self._stop_reader, self._stop_writer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop, and wait for the thread. A second call does nothing."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._stop_writer.send(b"x")
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._stop_reader.close()
            self._stop_writer.close()

    def _run(self) -> None:
        if (known := known_to_poll(self._address)) is not None:
            logger.info("listener: {}", known)
            return
        failures, wait_s = 0, 0.0
        while not self._stopping.wait(wait_s):
            try:
                with self._connect() as connection:
                    self._listen(connection)
                failures, wait_s = 0, self._timings.pooler_s
            except (psycopg.Error, OSError) as error:
                failures = 1 if self.up else failures + 1
                wait_s = self._timings.reconnects.wait_s(failures)
                reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
                logger.warning("listener: {}; polling, next try in {:.1f} s", reason, wait_s)
            self.up = False

    def _listen(self, connection: Connection) -> None:
        """Until `stop`, or at once where no notification arrives."""
        if not _nonce_arrives(connection, self._connect, self._timings.nonce_s, self._stop_reader):
            if not self._stopping.is_set():
                logger.warning("listener: {}; next try in {:.0f} s", _NOTHING_CAME, self._timings.pooler_s)
            return
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        self.up = True
        kind = self._address.kind
        logger.info("listener: up{}", "" if kind == "other" else f" ({kind})")
        self._on_wake()  # for what was notified before
        while True:
            ready = _ready(self._timings.ping_s, connection, self._stop_reader)
            if self._stopping.is_set():
                return
            if not ready and not connection.answers(within_s=self._timings.ping_limit_s):
                raise psycopg.OperationalError("the connection has gone silent")
            for notification in connection.notifies(timeout=0):
                word, _, job_id = notification.payload.partition(" ")
                if notification.channel == CHANNEL and word == "cancel":
                    self._on_cancel(job_id)
                elif notification.channel == CHANNEL:
                    self._on_wake()


def known_to_poll(address: Address) -> str | None:
    """Why notifications cannot arrive through this address, as far as the address shows; None: they may."""
    if address.kind == "transaction pooler":
        return (
            f"port {address.port} is a transaction pooler, which loses LISTEN; polling only (port 5432, the session "
            "pooler, would wake the worker at once)"
        )
    return None


def why_polling(dsn: str, *, application: str, timings: ListenerTimings = TIMINGS) -> str | None:
    """Try whether a notification arrives through an address, as the listener does; None: it does.

    Raises
    ------
    ConfigurationError, TransientError
        It is no address, or no server answers there.
    """
    address = read(dsn)
    if (known := known_to_poll(address)) is not None:
        return known
    opened = partial(connect, address.conninfo, application=application)
    try:
        with opened() as connection:
            return None if _nonce_arrives(connection, opened, timings.nonce_s) else _NOTHING_CAME
    except psycopg.Error as error:
        raise classify(str(error), code=error.sqlstate) from error


def _nonce_arrives(
    connection: Connection, connect: Callable[[], Connection], limit_s: float, *stop: socket.socket
) -> bool:
    """Whether a nonce sent through a second connection arrives here in time, and before `stop` is readable."""
    channel, nonce = f"{CHANNEL}_{secrets.token_hex(8)}", secrets.token_hex(16)
    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    with connect() as other:
        other.execute("SELECT pg_notify(%s, %s)", (channel, nonce))
    deadline = time.monotonic() + limit_s
    while (left_s := deadline - time.monotonic()) > 0 and _ready(left_s, connection, *stop) == [connection.fileno()]:
        found = [(notification.channel, notification.payload) for notification in connection.notifies(timeout=0)]
        if (channel, nonce) in found:
            connection.execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(channel)))
            return True
    return False


def _ready(timeout_s: float, *sources: Connection | socket.socket) -> list[int]:
    """Wait until the server, or `stop`, sends something; returns whose descriptors can be read."""
    poll = select.poll()
    for source in sources:
        poll.register(source.fileno(), select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(timeout_s * 1000)]
