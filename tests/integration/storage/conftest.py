"""A stand-in of Supabase Storage, the worker's own side of it, and files to upload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from short_limits import QUICK
from standins.http_server import serve
from standins.postgrest import SERVICE_KEY
from standins.storage import Storage
from standins.storage_project import production_buckets
from uploads import track

from worker.config import Config
from worker.storage.supabase_storage import SupabaseStorage
from worker.storage.tus import PIECE_BYTES
from worker.supabase_access import supabase_of


@pytest.fixture(scope="module")
def _storage() -> Storage:
    return Storage()


@pytest.fixture
def storage(_storage: Storage) -> Storage:
    _storage.reset(*production_buckets())
    return _storage


@pytest.fixture(scope="module")
def origin(_storage: Storage) -> Iterator[str]:
    with serve({"/storage/v1": _storage}) as url:
        yield url


@pytest.fixture(scope="module")
def _ours(origin: str) -> Iterator[SupabaseStorage]:
    supabase = supabase_of(Config(supabase_url=origin, supabase_service_role_key=SERVICE_KEY))  # type: ignore[arg-type]
    assert supabase is not None
    opened = SupabaseStorage(supabase, limits=QUICK)
    yield opened
    opened.close()


@pytest.fixture
def ours(_ours: SupabaseStorage, storage: Storage) -> SupabaseStorage:
    return _ours


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return track(tmp_path_factory.mktemp("small"), 300_000)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole pieces and a third."""
    return track(tmp_path_factory.mktemp("large"), 2 * PIECE_BYTES + 100_000)
