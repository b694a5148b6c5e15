"""The listener on a real Postgres: it receives notifications, knows when it cannot, and reconnects."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from standins.proxy import Proxy

from worker.config import Config
from worker.errors import ShuttingDown, TransientError
from worker.queue import listener as listen
from worker.queue.listener import Listener, ListenerTimings
from worker.queue.service import open_queue
from worker.queue.transport import PostgresLimits

TIMEOUT_S = 60.0  # far beyond what anything here takes


class Received:
    def __init__(self) -> None:
        self.wakes: queue.Queue[str] = queue.Queue()
        self.cancels: queue.Queue[str] = queue.Queue()

    def quiet(self, seconds: float = 0.4) -> bool:
        try:
            self.wakes.get(timeout=seconds)
        except queue.Empty:
            return True
        return False


@contextmanager
def listening(dsn: str, **options: Any) -> Iterator[tuple[Listener, Received]]:
    received = Received()
    listener = Listener(dsn, on_wake=lambda: received.wakes.put("wake"), on_cancel=received.cancels.put, **options)
    listener.start()
    try:
        yield listener, received
    finally:
        listener.stop()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)


def test_an_insert_wakes_and_a_cancel_names_the_job(leased_dsn: str) -> None:
    jobs = open_queue(Config(database_url=leased_dsn), worker_name="w")
    with listening(leased_dsn) as (listener, received):
        assert received.wakes.get(timeout=TIMEOUT_S) == "wake"  # the one after connecting
        assert listener.up
        job_id = jobs.enqueue({"script": "a"})
        assert received.wakes.get(timeout=TIMEOUT_S) == "wake"
        claim = jobs.claim()
        assert claim is not None
        jobs.heartbeat(claim, progress=5, stage="Rendering")
        assert received.quiet(), "claims and heartbeats must not ring"
        execute(leased_dsn, "UPDATE audio_job_queue SET status = 'cancelled'")
        assert received.cancels.get(timeout=TIMEOUT_S) == job_id
    jobs.close()


def test_a_released_job_wakes_but_a_delayed_one_does_not(leased_dsn: str) -> None:
    jobs = open_queue(Config(database_url=leased_dsn), worker_name="w")
    jobs.enqueue({"script": "a"})
    with listening(leased_dsn) as (_, received):
        received.wakes.get(timeout=TIMEOUT_S)
        claim = jobs.claim()
        assert claim is not None
        jobs.resolve_failure(claim, ShuttingDown())
        assert received.wakes.get(timeout=TIMEOUT_S) == "wake"
        claim = jobs.claim()
        assert claim is not None
        jobs.resolve_failure(claim, TransientError("no answer"))
        assert received.quiet()
    jobs.close()


def test_ten_thousand_rows_in_one_insert_ring_once(leased_dsn: str) -> None:
    with listening(leased_dsn) as (_, received):
        received.wakes.get(timeout=TIMEOUT_S)
        execute(leased_dsn, "INSERT INTO audio_job_queue (payload) SELECT '{}' FROM generate_series(1, 10000)")
        assert received.wakes.get(timeout=TIMEOUT_S) == "wake"
        assert received.quiet()


def test_it_comes_back_after_its_connection_is_terminated(leased_dsn: str) -> None:
    with listening(leased_dsn) as (listener, received):
        received.wakes.get(timeout=TIMEOUT_S)
        execute(
            leased_dsn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mindscript-listener'",
        )
        received.wakes.get(timeout=TIMEOUT_S)  # the one after connecting again
        assert listener.up
        execute(leased_dsn, "INSERT INTO audio_job_queue (payload) VALUES ('{}')")
        assert received.wakes.get(timeout=TIMEOUT_S) == "wake"


def test_a_half_open_connection_is_noticed(leased_dsn: str) -> None:
    soon = {"timings": ListenerTimings(ping_s=0.2), "limits": PostgresLimits(call_s=0.5)}
    with Proxy(leased_dsn) as proxy, listening(proxy.dsn, **soon) as (listener, received):
        received.wakes.get(timeout=TIMEOUT_S)
        proxy.stall()
        eventually(lambda: not listener.up)
        proxy.resume()
        received.wakes.get(timeout=TIMEOUT_S)
        assert listener.up


def test_behind_a_pooler_that_drops_notifications_it_is_never_up(
    leased_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    timings = ListenerTimings(nonce_s=0.5)
    waited = threading.Event()
    monkeypatch.setattr(listen.logger, "warning", lambda *_: waited.set())
    with (
        Proxy(leased_dsn, drop_notifications=True) as proxy,
        listening(proxy.dsn, timings=timings) as (listener, received),
    ):
        assert waited.wait(TIMEOUT_S)
        assert not listener.up
        assert received.wakes.empty()


def test_the_transaction_poolers_port_is_not_even_tried() -> None:
    listener = Listener("postgresql://u@127.0.0.1:6543/postgres", on_wake=lambda: None, on_cancel=print)
    listener.start()
    eventually(lambda: not listener._thread.is_alive())
    assert not listener.up
