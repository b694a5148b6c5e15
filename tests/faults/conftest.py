"""A Postgres with its disk writes on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from database import Databases, Variant, remove
from field import Field

from worker.embedded.postgres import embedded_postgres


@pytest.fixture(scope="session")
def durable() -> Iterator[Databases]:
    """As in production: what was committed is still there after a crash."""
    home = Path(tempfile.mkdtemp(prefix="mindscript-faults-"))
    home.chmod(0o755)
    try:
        with embedded_postgres(home / "server", settings={"max_connections": "200"}) as server:
            yield Databases(server)
    finally:
        remove(home)


@pytest.fixture
def field(durable: Databases, tmp_path: Path) -> Iterator[Field]:
    """A migrated database, and room for workers."""
    yield from _field(durable, tmp_path, Variant("completing", "production", "payload", "enum", leased=True))


@pytest.fixture
def plain_field(durable: Databases, tmp_path: Path) -> Iterator[Field]:
    """The same with production's database as it is, in its own dialect."""
    yield from _field(durable, tmp_path, Variant("completing", "production", "payload", "enum"))


@pytest.fixture(params=["field", "plain_field"], ids=["leased", "plain"])
def either_field(request: pytest.FixtureRequest) -> Field:
    """Each mode in turn."""
    field: Field = request.getfixturevalue(request.param)
    return field


def _field(durable: Databases, folder: Path, kind: Variant) -> Iterator[Field]:
    dsn = durable.new(kind)
    field = Field(dsn, folder, durable.server, mode="leased" if kind.leased else "plain")
    yield field
    field.clear()
    durable.release(dsn)
