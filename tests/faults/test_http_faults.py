"""The HTTP server of a real worker, attacked: its memory, and how soon it answers everybody else."""

from __future__ import annotations

import socket

import psutil
import pytest
from field import Field, eventually
from figures import tell
from standins.http_clients import ask_with_crowd, attacks, send_all, watched_memory
from standins.worker_process import WorkerProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

TOKEN = "a-long-token-for-tests"
CLIENTS = 32
SIZE_BYTES = 6_500_000
MOST_GROWN_BYTES = 20_000_000


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def worker(field: Field, port: int) -> WorkerProcess:
    worker = field.worker(port=port, worker_token=TOKEN, studio_token="x" * 24)
    eventually(lambda: psutil.Process(worker.pid).is_running() and answers(port))
    ask_with_crowd(port, slow=0, fast=64, rounds=2)  # what it loads with the first requests is no growth
    return worker


def answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_32_requests_of_6_5_mb_in_every_form(worker: WorkerProcess, port: int) -> None:
    grown = {}
    for form, request in attacks(SIZE_BYTES, TOKEN).items():
        with watched_memory(worker.pid) as memory:
            send_all(port, request, CLIENTS, hold_s=0.5)
        grown[form] = memory.grown_bytes
        tell(
            f"{CLIENTS} requests of {SIZE_BYTES / 1e6} MB: {form}",
            must="less than 20 MB more memory",
            mb_more=round(grown[form] / 1e6, 1),
        )
        assert worker.process.poll() is None, f"the worker has died of {form}"
    assert max(grown.values()) < MOST_GROWN_BYTES
    assert worker.stop() == 0


@pytest.mark.parametrize("slow", [0, 64, 400])
def test_health_within_a_second_of_slow_and_200_fast_clients(worker: WorkerProcess, port: int, slow: int) -> None:
    with watched_memory(worker.pid) as memory:
        crowd = ask_with_crowd(port, slow=slow, fast=200, rounds=10)
    tell(
        f"/health with {slow} slow clients and 200 fast ones",
        must="all are answered, within 1 s",
        answered=len(crowd.answered_s),
        others=len(crowd.others),
        slowest_s=round(crowd.slowest_s, 3),
        slow_ones_cut_off=crowd.cut_off,
        mb_more=round(memory.grown_bytes / 1e6, 1),
    )
    assert crowd.others == []
    assert len(crowd.answered_s) == 2000
    assert crowd.slowest_s < 1.0
    assert worker.stop() == 0
