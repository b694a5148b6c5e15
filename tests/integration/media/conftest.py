"""A stranger's server and a Supabase project to fetch from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fetching import SONG
from standins.foreign_host import PUBLIC, Stranger, stranger
from standins.postgrest import SERVICE_KEY
from standins.project import serve_project
from standins.storage import Storage, production_buckets

from worker.backoff import RetryPolicy
from worker.config import Config
from worker.media import download as fetch_module


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "_RETRIES", RetryPolicy(failures=3, first_wait_s=0.01, longest_wait_s=0.02))


@pytest.fixture(scope="module")
def _somebody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    folder = tmp_path_factory.mktemp("certificate")
    with stranger(folder, "media.example.com", "a.cdn.example.com", "b.cdn.example.com") as running:
        yield running


@pytest.fixture
def somebody(_somebody: Stranger) -> Stranger:
    _somebody.pages.clear()
    _somebody.asked.clear()
    _somebody.reached.clear()
    _somebody.looked_up.clear()
    _somebody.names.update(
        {host: [[PUBLIC]] for host in ("media.example.com", "a.cdn.example.com", "b.cdn.example.com")}
    )
    return _somebody


@pytest.fixture
def storage() -> Storage:
    running = Storage(*production_buckets())
    running.put("background-music", "calm/deep sea.mp3", SONG)
    return running


@pytest.fixture
def project(storage: Storage) -> Iterator[Config]:
    with serve_project({"/storage/v1": storage}) as url:
        yield Config(supabase_url=url, supabase_service_role_key=SERVICE_KEY)  # type: ignore[arg-type]
