"""Queues on migrated databases, and databases of the app's kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from database import Databases, Variant, first_version

from worker.config import Config
from worker.queue.service import Queue, open_queue

LEASED = Variant("completing", "production", "payload", "enum", leased=True)


@pytest.fixture
def jobs(leased_dsn: str) -> Iterator[Queue]:
    queue = open_queue(Config(database_url=leased_dsn), worker_name="first")
    yield queue
    queue.close()


@pytest.fixture
def others(leased_dsn: str) -> Iterator[Queue]:
    queue = open_queue(Config(database_url=leased_dsn), worker_name="second")
    yield queue
    queue.close()


@pytest.fixture
def dsn(databases: Databases) -> Iterator[str]:
    """The app's database after the worker's migration."""
    dsn = databases.new(LEASED)
    yield dsn
    databases.release(dsn)


@pytest.fixture
def server_version(request: pytest.FixtureRequest) -> int:
    """Which server a test runs on: that of its combination (`app_database.COMBINATIONS`), if it has one."""
    chosen = request.node.callspec.params.get("chosen") if hasattr(request.node, "callspec") else None
    return int(chosen["version"]) if chosen else first_version()


@pytest.fixture
def made(databases: Databases) -> Iterator[Any]:
    """Make a database; it is given back afterwards."""
    dsns: list[str] = []

    def make(variant: Variant) -> str:
        dsns.append(databases.new(variant))
        return dsns[-1]

    yield make
    for dsn in dsns:
        databases.release(dsn)
