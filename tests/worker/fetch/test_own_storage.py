"""Music of the shop: from its Supabase project, or from a folder where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from fetching import HOSTS, SONG, own
from standins.postgrest import SERVICE_KEY
from standins.storage import Storage
from standins.stranger import Stranger

from worker.config import Config
from worker.errors import ConfigurationError, MediaError, TransientError


@pytest.mark.parametrize(
    "reference",
    [
        "calm/deep sea.mp3",
        "{origin}/storage/v1/object/public/background-music/calm/deep%20sea.mp3",
        "{origin}/storage/v1/object/sign/background-music/calm/deep%20sea.mp3?token=expired",
        "{origin}/storage/v1/object/authenticated/background-music/calm/deep%20sea.mp3",
    ],
)
def test_own_objects_are_fetched_with_the_key(
    project: Config, storage: Storage, tmp_path: Path, reference: str
) -> None:
    storage.buckets["background-music"].public = False
    path = own(project, tmp_path, reference.format(origin=project.supabase_url))
    assert path.read_bytes() == SONG
    assert storage.asked == ["GET /object/authenticated/background-music/calm/deep%20sea.mp3"]
    assert storage.keys == [SERVICE_KEY]


def test_own_objects_are_kept_by_etag(project: Config, storage: Storage, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        assert own(project, tmp_path, "calm/deep sea.mp3", cache_dir=cache).read_bytes() == SONG
    storage.put("background-music", "calm/deep sea.mp3", b"new")
    assert own(project, tmp_path, "calm/deep sea.mp3", cache_dir=cache).read_bytes() == b"new"
    assert storage.statuses == [200, 304, 200]


def test_missing_music_fails_the_job_plainly(project: Config, tmp_path: Path) -> None:
    with pytest.raises(MediaError) as caught:
        own(project, tmp_path, "gone.mp3")
    assert caught.value.code == "media.missing"
    assert "background-music/gone.mp3" in caught.value.message
    assert "could not be found" in caught.value.customer_message
    assert "background-music/" not in caught.value.customer_message


def test_a_missing_bucket_is_the_operators_only_where_the_worker_chose_it(
    project: Config, storage: Storage, tmp_path: Path
) -> None:
    with pytest.raises(MediaError):
        own(project, tmp_path, f"{project.supabase_url}/storage/v1/object/public/background-music/a.mp3")
    del storage.buckets["background-music"]
    with pytest.raises(MediaError):
        own(project, tmp_path, f"{project.supabase_url}/storage/v1/object/public/background-music/a.mp3")
    with pytest.raises(ConfigurationError, match="no bucket 'background-music'"):
        own(project, tmp_path, "a.mp3")


def test_a_refused_key_is_the_operators(project: Config, tmp_path: Path) -> None:
    wrong = Config(supabase_url=project.supabase_url, supabase_service_role_key="wrong")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_ROLE_KEY"):
        own(wrong, tmp_path, "calm/deep sea.mp3")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"statusCode":"500","error":"Internal","message":"Internal Server Error"}'),
        (544, b'{"statusCode":"544","error":"DatabaseTimeout","message":"The connection timed out"}'),
        (400, b'{"statusCode":"503","error":"SlowDown","message":"Please reduce your rate"}'),
        (400, b'{"statusCode":"423","error":"ResourceLocked","message":"The resource is locked"}'),
        (502, b"<html>bad gateway</html>"),
        (429, b'{"message":"API rate limit exceeded"}'),
    ],
)
def test_passing_faults_are_tried_again(
    project: Config, storage: Storage, tmp_path: Path, status: int, body: bytes
) -> None:
    storage.fault("GET", "deep", "answer", times=2, status=status, body=body)
    assert own(project, tmp_path, "calm/deep sea.mp3").read_bytes() == SONG
    storage.fault("GET", "deep", "answer", times=3, status=status, body=body)
    with pytest.raises(TransientError):
        own(project, tmp_path, "calm/deep sea.mp3")


@pytest.mark.parametrize("kind", ["drop", "truncate", "drop after"])
def test_a_dropped_connection_is_made_good(project: Config, storage: Storage, tmp_path: Path, kind: str) -> None:
    storage.fault("GET", "deep", kind, times=2, after_bytes=500)
    assert own(project, tmp_path, "calm/deep sea.mp3").read_bytes() == SONG
    assert len(storage.asked) == 3


def test_the_key_follows_no_redirect(project: Config, storage: Storage, somebody: Stranger, tmp_path: Path) -> None:
    storage.fault("GET", "deep", "answer", status=302, headers={"Location": "https://media.example.com/a.mp3"})
    config = project.model_copy(update={"media_hosts": HOSTS})
    with pytest.raises(ConfigurationError, match="redirect"):
        own(config, tmp_path, "calm/deep sea.mp3")
    assert somebody.asked == []


def test_a_secret_key_is_no_bearer_token(project: Config, storage: Storage, tmp_path: Path) -> None:
    from worker.supabase_access import supabase_of

    new = Config(supabase_url=project.supabase_url, supabase_service_role_key="sb_secret_x")  # type: ignore[arg-type]
    supabase = supabase_of(new)
    assert supabase is not None
    assert supabase.headers() == {"apikey": "sb_secret_x"}


def test_without_supabase_names_are_files(tmp_path: Path) -> None:
    (tmp_path / "out/background-music").mkdir(parents=True)
    (tmp_path / "out/background-music/a.mp3").write_bytes(SONG)
    (tmp_path / "secret.mp3").write_bytes(b"secret")
    (tmp_path / "out/background-music/link.mp3").symlink_to(tmp_path / "secret.mp3")
    config = Config(storage_dir=tmp_path / "out")
    assert own(config, tmp_path, "a.mp3").read_bytes() == SONG
    for reference, code in (
        ("b.mp3", "media.missing"),
        ("k" * 300, "media.missing"),
        ("../../secret.mp3", "media.refused"),
        ("link.mp3", "media.refused"),
        ("https://project.supabase.co/storage/v1/object/public/background-music/a.mp3", "media.refused"),
    ):
        with pytest.raises(MediaError) as caught:
            own(config, tmp_path, reference)
        assert caught.value.code == code
