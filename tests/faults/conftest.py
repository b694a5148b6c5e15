"""A Postgres with its disk writes on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from database import ROLES, Databases, remove
from field import Field

from worker.queue.embedded import embedded_postgres


@pytest.fixture(scope="session")
def durable() -> Iterator[Databases]:
    """As in production: what was committed is still there after a crash."""
    home = Path(tempfile.mkdtemp(prefix="mindscript-faults-"))
    home.chmod(0o755)
    try:
        with embedded_postgres(home / "server", settings={"max_connections": "200"}) as server:
            with psycopg.connect(server.dsn, autocommit=True) as connection:
                connection.execute(ROLES)
            yield Databases(server)
    finally:
        remove(home)


@pytest.fixture
def field(durable: Databases, tmp_path: Path) -> Iterator[Field]:
    """A migrated database, and room for workers."""
    dsn = durable.new("leased")
    field = Field(dsn, tmp_path, durable.server)
    yield field
    field.clear()
    durable.release(dsn)
