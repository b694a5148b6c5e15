"""What an operator must fix at Supabase Storage: buckets, types, sizes and keys, each named in the error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from standins.http_server import serve
from standins.keys import ANON_JWT, OPAQUE_KEY, PUBLISHABLE_KEY, SECRET_KEY, SERVICE_JWT, USER_JWT
from standins.postgrest import SERVICE_KEY
from standins.storage import Storage
from standins.storage_project import MB
from uploads import KEY, posts, put, track

from worker.config import Config
from worker.errors import ConfigurationError, TransientError
from worker.storage.supabase_storage import SupabaseStorage
from worker.supabase_access import Supabase, supabase_of


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_missing_bucket_is_named(
    ours: SupabaseStorage, storage: Storage, size: str, request: pytest.FixtureRequest
) -> None:
    del storage.buckets["audio-renders"]
    with pytest.raises(ConfigurationError, match="no bucket 'audio-renders'") as caught:
        put(ours, request.getfixturevalue(size))
    assert caught.value.code == "storage.bucket"
    assert len(posts(storage)) == 1


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_refused_type_says_where_to_allow_it(
    ours: SupabaseStorage, storage: Storage, size: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(ConfigurationError, match="allowed MIME types") as caught:
        put(ours, request.getfixturevalue(size), content_type="audio/mp4")
    assert "audio/mp4" in caught.value.message
    assert "audio-renders" in caught.value.message
    assert caught.value.code == "storage.mime"


def test_an_older_storage_refuses_a_type_in_its_own_words(ours: SupabaseStorage, storage: Storage, small: Path) -> None:
    body = b'{"statusCode":"422","error":"invalid_mime_type","message":"mime type not supported"}'
    storage.fault("POST", "", "answer", status=400, body=body)
    with pytest.raises(ConfigurationError, match="allowed MIME types"):
        put(ours, small)


def test_too_large_for_the_bucket_names_the_buckets_limit(
    ours: SupabaseStorage, storage: Storage, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"limit of bucket 'track-previews', 5\.2 MB") as caught:
        put(ours, track(tmp_path, 5 * MB + 1), bucket="track-previews")
    assert caught.value.code == "storage.size"


@pytest.mark.parametrize("size", ["small", "large"])
def test_too_large_for_the_project_names_the_projects_limit(
    ours: SupabaseStorage, storage: Storage, size: str, request: pytest.FixtureRequest
) -> None:
    storage.largest = 200_000
    with pytest.raises(ConfigurationError, match="the project's limit"):
        put(ours, request.getfixturevalue(size))


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_refused_key_names_the_variable(
    origin: str, storage: Storage, size: str, request: pytest.FixtureRequest
) -> None:
    supabase = supabase_of(Config(supabase_url=origin, supabase_service_role_key="eyJ.wrong.key"))  # type: ignore[arg-type]
    assert supabase is not None
    with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_ROLE_KEY") as caught:
        put(SupabaseStorage(supabase), request.getfixturevalue(size))
    assert "eyJ.wrong.key" not in caught.value.message
    assert len(storage.asked) == 1


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("key", [SERVICE_JWT, SECRET_KEY, OPAQUE_KEY])
def test_every_kind_of_key_opens_storage(
    origin: str, storage: Storage, size: str, key: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(size)
    supabase = supabase_of(Config(supabase_url=origin, supabase_service_role_key=SecretStr(key)))
    assert supabase is not None
    opened = SupabaseStorage(supabase)
    assert put(opened, path).already_there is False
    assert opened.get_bytes("audio-renders", KEY) == path.read_bytes()
    assert opened.bucket_limits("audio-renders") is not None
    opened.remove("audio-renders", [KEY])
    opened.close()
    assert ("audio-renders", KEY) not in storage.objects
    assert set(storage.keys) == {key}


class Bearer(Supabase):
    """As if every key were a JWT."""

    def headers(self) -> dict[str, str]:
        key = self.key.get_secret_value()
        return {"apikey": key, "Authorization": f"Bearer {key}"}


BOUND = (
    Bearer("", SecretStr(SECRET_KEY)),
    *(Supabase("", SecretStr(key)) for key in (ANON_JWT, PUBLISHABLE_KEY, USER_JWT)),
)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("key", BOUND, ids=["secret as bearer", "anon", "publishable", "authenticated"])
def test_a_key_that_may_not_write_is_the_operators(
    origin: str, storage: Storage, size: str, key: Supabase, request: pytest.FixtureRequest
) -> None:
    """What Storage itself says to a secret key as bearer token, and to roles that row-level security binds."""
    with pytest.raises(ConfigurationError, match="Storage refused us") as caught:
        put(SupabaseStorage(replace(key, origin=origin)), request.getfixturevalue(size))
    assert caught.value.code == "storage.credentials"
    assert storage.objects == {}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b'{"message":"Invalid API key","hint":"Double check your API key."}'),
        (400, b'{"statusCode":"403","error":"Unauthorized","message":"signature verification failed"}'),
        (400, b'{"statusCode":"400","error":"InvalidJWT","message":"jwt malformed"}'),
        (
            400,
            b'{"statusCode":"403","error":"Unauthorized","message":"new row violates row-level security policy"}',
        ),
    ],
)
def test_every_form_of_a_refused_key_is_known(
    ours: SupabaseStorage, storage: Storage, small: Path, status: int, body: bytes
) -> None:
    storage.fault("POST", "", "answer", status=status, body=body)
    with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_ROLE_KEY"):
        put(ours, small)


def test_a_host_that_is_no_supabase_says_so(storage: Storage, small: Path) -> None:
    with serve({"/elsewhere": storage}) as url:
        supabase = supabase_of(Config(supabase_url=url, supabase_service_role_key=SERVICE_KEY))  # type: ignore[arg-type]
        assert supabase is not None
        with pytest.raises(ConfigurationError, match="SUPABASE_URL leads to no Supabase Storage"):
            put(SupabaseStorage(supabase), small)


def test_a_long_retry_after_is_left_to_the_queue(ours: SupabaseStorage, storage: Storage, small: Path) -> None:
    body = b'{"statusCode":"503","error":"SlowDown","message":"slow down"}'
    storage.fault("POST", "", "answer", status=503, body=body, headers={"Retry-After": "900"})
    with pytest.raises(TransientError) as caught:
        put(ours, small)
    assert caught.value.retry_after_s == 900.0
    assert len(posts(storage)) == 1
