"""Waking by LISTEN/NOTIFY, on a connection of its own. A hint and no more: polling always stays.

A listener that hears nothing looks like one that has nothing to hear, so it is checked end to end: after each
connect it sends itself a nonce through a second connection (through the same one a transaction pooler could
hand it back by luck), and while it is quiet it asks the server something every five seconds.
"""

from __future__ import annotations

import secrets
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Literal

import psycopg
from loguru import logger
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from worker.queue.postgres import Connection, answers, connect

CHANNEL = "mindscript_worker"
_POOLER_PORT = "6543"  # Supavisor's transaction mode
_NONCE_LIMIT_S = 5.0
_PING_S = 5.0
_PING_LIMIT_S = 3.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
_POOLER_PAUSE_S = 300.0

Verdict = Literal["stopped", "deaf"]


class Listener:
    """Tells of new and cancelled orders.

    Parameters
    ----------
    dsn : str
        A direct (or session-pooled) connection; with the port of a transaction pooler it is not even tried.
    on_wake : callable
        Called when there may be an order to take, and after each connect. From the listener's thread: be
        quick.
    on_cancel : callable
        Called with the id of an order that was cancelled.
    """

    def __init__(
        self,
        dsn: str,
        *,
        on_wake: Callable[[], None],
        on_cancel: Callable[[str], None],
        application: str = "mindscript-listener",
    ) -> None:
        self._dsn = dsn
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
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End, and wait for the thread. Again is harmless."""
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
        if _is_transaction_pooler(self._dsn):
            logger.info("listener: port {} is a transaction pooler, which loses LISTEN; polling only", _POOLER_PORT)
            return
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                with connect(self._dsn, application=self._application) as connection:
                    verdict = self._listen(connection)
                pause_s = _POOLER_PAUSE_S if verdict == "deaf" else _FIRST_PAUSE_S
            except (psycopg.Error, OSError) as error:
                if self._up:
                    pause_s = _FIRST_PAUSE_S
                logger.warning("listener: {}; polling, next try in {:.1f} s", _first_line(error), pause_s)
            self._up = False
            if self._stopping.wait(pause_s):
                return
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _listen(self, connection: Connection) -> Verdict:
        nonce_channel = f"{CHANNEL}_{secrets.token_hex(8)}"
        for channel in (CHANNEL, nonce_channel):
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        if not self._hears_itself(connection, nonce_channel):
            if self._stopping.is_set():
                return "stopped"
            logger.warning(
                "listener: a notification to ourselves did not arrive, as behind a transaction pooler; "
                "polling only, next try in {:.0f} s; a direct or session-mode DATABASE_URL would hear",
                _POOLER_PAUSE_S,
            )
            return "deaf"
        self._up = True
        logger.info("listener: up")
        self._on_wake()  # whatever came while nobody listened
        while True:
            quiet = not self._wait(connection, _PING_S)
            if self._stopping.is_set():
                return "stopped"
            if quiet and not answers(connection, within_s=_PING_LIMIT_S):
                raise psycopg.OperationalError("the connection has gone silent")
            for notification in connection.notifies(timeout=0):
                self._tell(notification.channel, notification.payload)

    def _hears_itself(self, connection: Connection, channel: str) -> bool:
        nonce = secrets.token_hex(16)
        with connect(self._dsn, application=self._application) as other:
            other.execute("SELECT pg_notify(%s, %s)", (channel, nonce))
        deadline = time.monotonic() + _NONCE_LIMIT_S
        while (left_s := deadline - time.monotonic()) > 0 and not self._stopping.is_set():
            if self._wait(connection, left_s):
                for notification in connection.notifies(timeout=0):
                    if (notification.channel, notification.payload) == (channel, nonce):
                        return True
                    self._tell(notification.channel, notification.payload)
        return False

    def _wait(self, connection: Connection, timeout_s: float) -> bool:
        """Until the server says something or `stop` is called; False when neither happened."""
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        poll.register(self._stop_reader, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def _tell(self, channel: str, payload: str) -> None:
        if channel != CHANNEL:
            return
        word, _, job_id = payload.partition(" ")
        if word == "cancel":
            self._on_cancel(job_id)
        else:
            self._on_wake()


def _is_transaction_pooler(dsn: str) -> bool:
    try:
        port = conninfo_to_dict(dsn).get("port")
    except psycopg.Error:
        return False  # the connect says what is wrong with it
    return str(port) == _POOLER_PORT


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
