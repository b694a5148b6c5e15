"""A foreign host and a Supabase project to fetch from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fetching import SONG
from short_limits import QUICK
from standins.foreign_host import PUBLIC, ForeignHost, foreign_host
from standins.http_server import serve
from standins.postgrest import SERVICE_KEY
from standins.storage import Storage, production_buckets

from worker.config import Config


@pytest.fixture(scope="module")
def _host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignHost]:
    folder = tmp_path_factory.mktemp("certificate")
    with foreign_host(folder, "media.example.com", "a.cdn.example.com", "b.cdn.example.com") as running:
        yield running


@pytest.fixture
def host(_host: ForeignHost) -> ForeignHost:
    _host.pages.clear()
    _host.asked.clear()
    _host.reached.clear()
    _host.looked_up.clear()
    _host.names.update({host: [[PUBLIC]] for host in ("media.example.com", "a.cdn.example.com", "b.cdn.example.com")})
    return _host


@pytest.fixture
def storage() -> Storage:
    running = Storage(*production_buckets())
    running.put("background-music", "calm/deep sea.mp3", SONG)
    return running


@pytest.fixture
def project(storage: Storage) -> Iterator[Config]:
    with serve({"/storage/v1": storage}) as url:
        yield Config(supabase_url=url, supabase_service_role_key=SERVICE_KEY, service_limits=QUICK)  # type: ignore[arg-type]
