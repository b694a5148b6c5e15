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

import psycopg
from loguru import logger
from psycopg import sql

from worker.backoff import RetryPolicy
from worker.queue.address import Address, read
from worker.queue.postgres import Connection, answers, connect
from worker.queue.transport import classify

CHANNEL = "mindscript_worker"
_NONCE_LIMIT_S = 5.0
_PING_S = 5.0
_PING_LIMIT_S = 3.0
_RECONNECTS = RetryPolicy(first_wait_s=0.5, longest_wait_s=10.0)
_POOLER_WAIT_S = 300.0

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
    ) -> None:
        self._address = read(dsn)
        self._on_wake = on_wake
        self._on_cancel = on_cancel
        self._application = application
        self._up = False
        self._stopping = threading.Event()
        self._stop_reader, self._stop_writer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    @property
    def up(self) -> bool:
        """Whether notifications are known to arrive."""
        return self._up

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
        failures = 0
        while not self._stopping.is_set():
            try:
                with connect(self._address.conninfo, application=self._application) as connection:
                    self._listen(connection)
                failures, wait_s = 0, _POOLER_WAIT_S
            except (psycopg.Error, OSError) as error:
                failures = 1 if self._up else failures + 1
                wait_s = _RECONNECTS.wait_s(failures)
                logger.warning("listener: {}; polling, next try in {:.1f} s", _first_line(error), wait_s)
            self._up = False
            if self._stopping.wait(wait_s):
                return

    def _listen(self, connection: Connection) -> None:
        """Until `stop`, or at once where no notification arrives."""
        if not _nonce_arrives(connection, self._address, self._application, self._wait_unless_stopping):
            if not self._stopping.is_set():
                logger.warning("listener: {}; next try in {:.0f} s", _NOTHING_CAME, _POOLER_WAIT_S)
            return
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        self._up = True
        kind = self._address.kind
        logger.info("listener: up{}", "" if kind == "other" else f" ({kind})")
        self._on_wake()  # for what was notified before
        while True:
            quiet = not self._wait(connection, _PING_S)
            if self._stopping.is_set():
                return
            if quiet and not answers(connection, within_s=_PING_LIMIT_S):
                raise psycopg.OperationalError("the connection has gone silent")
            for notification in connection.notifies(timeout=0):
                self._dispatch(notification.channel, notification.payload)

    def _wait(self, connection: Connection, timeout_s: float) -> bool:
        """Until the server sends something or `stop` is called; False when neither happens."""
        return _readable(timeout_s, connection, self._stop_reader)

    def _wait_unless_stopping(self, connection: Connection, timeout_s: float) -> bool:
        return self._wait(connection, timeout_s) and not self._stopping.is_set()

    def _dispatch(self, channel: str, payload: str) -> None:
        if channel != CHANNEL:
            return
        word, _, job_id = payload.partition(" ")
        if word == "cancel":
            self._on_cancel(job_id)
        else:
            self._on_wake()


def known_to_poll(address: Address) -> str | None:
    """Why notifications cannot arrive through this address, as far as the address shows; None: they may."""
    if address.kind == "transaction pooler":
        return (
            f"port {address.port} is a transaction pooler, which loses LISTEN; polling only (port 5432, the session "
            "pooler, would wake the worker at once)"
        )
    return None


def why_polling(dsn: str, *, application: str) -> str | None:
    """Try whether a notification arrives through an address, as the listener does.

    Parameters
    ----------
    dsn : str
    application : str
        The name of the two connections.

    Returns
    -------
    reason : str or None
        None: notifications arrive.

    Raises
    ------
    ConfigurationError, TransientError
        It is no address, or no server answers there.
    """
    address = read(dsn)
    if (known := known_to_poll(address)) is not None:
        return known
    try:
        with connect(address.conninfo, application=application) as connection:
            arrives = _nonce_arrives(connection, address, application, lambda *given: _readable(given[1], given[0]))
    except psycopg.Error as error:
        raise classify(str(error), code=error.sqlstate) from error
    return None if arrives else _NOTHING_CAME


def _nonce_arrives(
    connection: Connection, address: Address, application: str, wait: Callable[[Connection, float], bool]
) -> bool:
    """Whether a nonce sent through a second connection arrives here within `_NONCE_LIMIT_S`.

    `wait` returns False when the time is up, or when the caller is to stop.
    """
    channel, nonce = f"{CHANNEL}_{secrets.token_hex(8)}", secrets.token_hex(16)
    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    with connect(address.conninfo, application=application) as other:
        other.execute("SELECT pg_notify(%s, %s)", (channel, nonce))
    deadline = time.monotonic() + _NONCE_LIMIT_S
    while (left_s := deadline - time.monotonic()) > 0 and wait(connection, left_s):
        found = [(notification.channel, notification.payload) for notification in connection.notifies(timeout=0)]
        if (channel, nonce) in found:
            connection.execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(channel)))
            return True
    return False


def _readable(timeout_s: float, *sources: Connection | socket.socket) -> bool:
    poll = select.poll()
    for source in sources:
        poll.register(source.fileno(), select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
