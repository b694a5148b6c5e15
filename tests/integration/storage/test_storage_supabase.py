"""Delivery to Supabase Storage, through the real storage3 and httpx, with each fault Storage has."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from pydantic import SecretStr
from short_limits import QUICK
from standins.http_server import serve
from standins.keys import ANON_JWT, OPAQUE_KEY, PUBLISHABLE_KEY, SECRET_KEY, SERVICE_JWT, USER_JWT
from standins.postgrest import SERVICE_KEY
from standins.storage import Storage
from standins.storage_project import MB, Bucket, production_buckets
from standins.storage_refusals import locked_body, no_object, rendered

from worker.config import Config
from worker.errors import ConfigurationError, TransientError
from worker.storage.base import FOREVER_S, Stored
from worker.storage.choose import open_storage
from worker.storage.supabase_storage import BucketLimits, SupabaseStorage
from worker.storage.tus import PIECE_BYTES
from worker.supabase_access import Supabase, supabase_of

KEY = "tracks/t1/j1-0123.mp3"


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


def track(folder: Path, size: int, name: str = "track.mp3") -> Path:
    """Bytes that differ from piece to piece, so that a piece in the wrong place is noticed."""
    path = folder / name
    with path.open("wb") as file:
        for block in range(-(-size // 32)):
            file.write(hashlib.sha256(str(block).encode()).digest())
        file.truncate(size)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return track(tmp_path_factory.mktemp("small"), 300_000)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole pieces and a third."""
    return track(tmp_path_factory.mktemp("large"), 2 * PIECE_BYTES + 100_000)


def put(ours: SupabaseStorage, path: Path, key: str = KEY, bucket: str = "audio-renders", **how: object) -> Stored:
    return ours.put(path, key, bucket=bucket, content_type=str(how.pop("content_type", "audio/mpeg")), **how)  # type: ignore[arg-type]


def posts(storage: Storage) -> list[str]:
    return [asked for asked in storage.asked if asked.startswith("POST")]


def open_connections(origin: str) -> int:
    """How many connections this process has to a server in it."""
    port = urlsplit(origin).port
    lines = psutil.Process().net_connections("tcp")
    return sum(bool(line.raddr) and line.raddr.port == port and line.status == "ESTABLISHED" for line in lines)


# -- as it should be


@pytest.mark.parametrize("size", [0, 1, 300_000, PIECE_BYTES, PIECE_BYTES + 1])
def test_a_file_arrives_as_it_is(ours: SupabaseStorage, storage: Storage, tmp_path: Path, size: int) -> None:
    path = track(tmp_path, size)
    stored = put(ours, path)
    assert stored == Stored(f"audio-renders/{KEY}", ours.public_url("audio-renders", KEY), size, already_there=False)
    there = storage.objects["audio-renders", KEY]
    assert there.data == path.read_bytes()
    assert there.content_type == "audio/mpeg"
    assert there.cache_control == f"max-age={FOREVER_S}"
    assert set(storage.upserts) == {"false"}
    resumable = [asked for asked in storage.asked if "/upload/resumable" in asked]
    assert bool(resumable) == (size > PIECE_BYTES)


def test_pieces_are_of_exactly_6_mb(ours: SupabaseStorage, storage: Storage, large: Path) -> None:
    told: list[int] = []
    put(ours, large, on_progress=told.append)
    assert storage.pieces == [PIECE_BYTES, PIECE_BYTES, 100_000]
    assert PIECE_BYTES == 6 * 1024 * 1024
    assert storage.objects["audio-renders", KEY].data == large.read_bytes()
    assert storage.objects["audio-renders", KEY].cache_control == f"max-age={FOREVER_S}"
    assert told[-1] == large.stat().st_size
    assert told == sorted(told)


def test_the_url_of_a_key_opens(ours: SupabaseStorage, storage: Storage, small: Path) -> None:
    stored = put(ours, small, "t1/a b+c.mp3", "track-previews")
    assert httpx.get(stored.url).content == small.read_bytes()


def test_open_storage_chooses_supabase(origin: str, storage: Storage, small: Path) -> None:
    opened = open_storage(Config(supabase_url=f"{origin}/", supabase_service_role_key=SERVICE_KEY))  # type: ignore[arg-type]
    opened.put(small, KEY, bucket="audio-renders", content_type="audio/mpeg")
    opened.close()
    assert storage.objects["audio-renders", KEY].data == small.read_bytes()


def test_half_a_configuration_names_the_missing_half() -> None:
    with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_ROLE_KEY is not set"):
        open_storage(Config(supabase_url="https://ref.supabase.co"))
    with pytest.raises(ConfigurationError, match="SUPABASE_URL is not set"):
        open_storage(Config(supabase_service_role_key="key"))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="expected an address"):
        open_storage(Config(supabase_url="ref.supabase.co", supabase_service_role_key="key"))  # type: ignore[arg-type]


# -- never overwriting


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_same_file_again_is_success(
    ours: SupabaseStorage, storage: Storage, size: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(size)
    assert put(ours, path).already_there is False
    before = storage.objects["audio-renders", KEY]
    assert put(ours, path).already_there is True
    assert storage.objects["audio-renders", KEY] is before


@pytest.mark.parametrize("size", [300_000, 1_000_000, 6_000_000, PIECE_BYTES + 1, 63_000_000])
def test_a_repeated_upload_sends_no_body(ours: SupabaseStorage, storage: Storage, tmp_path: Path, size: int) -> None:
    storage.largest = 100 * MB
    path = track(tmp_path, size)
    put(ours, path)
    storage.asked.clear()
    assert put(ours, path).already_there is True
    assert storage.asked == [f"GET /object/info/audio-renders/{KEY}"]


TAKEN_SIZES = [300_000, 1_000_000, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES + 100_000]


@pytest.mark.parametrize("size", TAKEN_SIZES)
def test_a_name_taken_meanwhile_is_found_out(
    ours: SupabaseStorage, origin: str, storage: Storage, tmp_path: Path, size: int
) -> None:
    """Another worker is first by a moment: Storage answers before it has read the body, and then says no more."""
    path = track(tmp_path, size)
    storage.fault("POST", "", "meanwhile", event=lambda: storage.put("audio-renders", KEY, path.read_bytes()))
    assert put(ours, path).already_there is True
    assert put(ours, path, "another.mp3").already_there is False
    assert storage.objects["audio-renders", "another.mp3"].data == path.read_bytes()
    assert storage.silent == (size <= PIECE_BYTES)  # a resumable upload is refused before it has a body
    assert open_connections(origin) <= 1


@pytest.mark.parametrize("status", [409, 423, 500])
def test_a_piece_that_is_refused_unread_is_sent_again(
    ours: SupabaseStorage, origin: str, storage: Storage, large: Path, status: int
) -> None:
    storage.fault("PATCH", "", "answer", times=3, status=status, body=b"not now\n")
    put(ours, large)
    assert storage.objects["audio-renders", KEY].data == large.read_bytes()
    assert storage.silent == 3
    assert open_connections(origin) <= 1


@pytest.mark.parametrize(
    ("bucket", "size", "code"), [("mime", 5_900_000, "storage.mime"), ("limit", 5_900_000, "storage.size")]
)
def test_a_refusal_of_a_large_body_is_read_and_the_next_goes_on(
    ours: SupabaseStorage, origin: str, storage: Storage, tmp_path: Path, bucket: str, size: int, code: str
) -> None:
    storage.buckets["mime"] = Bucket("mime", allowed_mime_types=["audio/wav"])
    storage.buckets["limit"] = Bucket("limit", file_size_limit=100_000)
    path = track(tmp_path, size)
    with pytest.raises(ConfigurationError) as caught:
        put(ours, path, bucket=bucket)
    assert caught.value.code == code
    assert len(posts(storage)) == 1
    assert storage.silent == 1
    put(ours, path)
    assert storage.objects["audio-renders", KEY].data == path.read_bytes()
    assert open_connections(origin) <= 1


@pytest.mark.parametrize("size", ["small", "large"])
def test_another_file_in_the_place_stays(
    ours: SupabaseStorage, storage: Storage, size: str, request: pytest.FixtureRequest
) -> None:
    storage.put("audio-renders", KEY, b"somebody else's")
    with pytest.raises(TransientError, match="nothing is overwritten") as caught:
        put(ours, request.getfixturevalue(size))
    assert caught.value.code == "storage.taken"
    assert storage.objects["audio-renders", KEY].data == b"somebody else's"


# -- passing faults

PASSING = [
    (400, locked_body()),
    (544, b'{"statusCode":"544","code":"DatabaseTimeout","error":"DatabaseTimeout","message":"timed out"}'),
    (400, b'{"statusCode":"544","code":"DatabaseTimeout","error":"DatabaseTimeout","message":"timed out"}'),
    (500, b'{"statusCode":"500","error":"Internal","message":"Internal Server Error"}'),
    (400, b'{"statusCode":"503","code":"SlowDown","error":"SlowDown","message":"slow down"}'),
    (429, b'{"statusCode":"429","error":"too_many_connections","code":"SlowDown","message":"Too many connections"}'),
    (502, b"<html><h1>502 Bad Gateway</h1></html>"),
    (521, b""),
]


@pytest.mark.parametrize(
    ("status", "body", "size"),
    [*((*answer, "small") for answer in PASSING), *((*answer, "large") for answer in PASSING[:2])],
)
def test_passing_faults_are_waited_out(
    ours: SupabaseStorage, storage: Storage, status: int, body: bytes, size: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(size)
    storage.fault("POST", "", "answer", times=3, status=status, body=body)
    assert put(ours, path).already_there is False
    assert storage.objects["audio-renders", KEY].data == path.read_bytes()


def test_a_service_that_stays_down_is_given_up(ours: SupabaseStorage, storage: Storage, small: Path) -> None:
    storage.fault("POST", "", "answer", times=99, status=544, body=b"{}")
    with pytest.raises(TransientError, match="544"):
        put(ours, small)
    assert len(posts(storage)) == 4
    storage.faults.clear()
    storage.fault("POST", "", "answer", times=99, status=400, body=locked_body())
    with pytest.raises(TransientError, match="locked") as caught:
        put(ours, small)
    assert caught.value.code == "storage.unavailable"


def test_a_locked_piece_is_waited_out(ours: SupabaseStorage, storage: Storage, large: Path) -> None:
    storage.fault("PATCH", "", "answer", times=2, status=423, body=b"The resource is locked")
    put(ours, large)
    assert storage.objects["audio-renders", KEY].data == large.read_bytes()


@pytest.mark.parametrize("kind", ["drop", "drop within"])
def test_a_dropped_connection_is_made_good(ours: SupabaseStorage, storage: Storage, small: Path, kind: str) -> None:
    storage.fault("POST", "", kind, times=2, after_bytes=70_000)
    assert put(ours, small).already_there is False
    assert storage.objects["audio-renders", KEY].data == small.read_bytes()


@pytest.mark.parametrize("size", ["small", "large"])
def test_an_answer_lost_after_the_deed_is_found_out(
    ours: SupabaseStorage, storage: Storage, size: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(size)
    last = {"small": ("POST", 0), "large": ("PATCH", 2)}[size]
    storage.fault(last[0], "", "never", times=last[1])  # let the pieces before the last one through
    storage.fault(last[0], "", "drop after")
    stored = put(ours, path)
    assert stored.size == path.stat().st_size
    assert storage.objects["audio-renders", KEY].data == path.read_bytes()
    if size == "large":
        assert len(storage.pieces) == 3  # nothing was sent twice


# -- resumed


def test_a_break_within_a_piece_goes_on_at_the_byte(ours: SupabaseStorage, storage: Storage, large: Path) -> None:
    storage.fault("PATCH", "", "never")
    storage.fault("PATCH", "", "drop within", after_bytes=1_000_000)
    put(ours, large)
    assert storage.objects["audio-renders", KEY].data == large.read_bytes()
    heads = [asked for asked in storage.asked if asked.startswith("HEAD")]
    assert len(heads) == 1
    # After the break a whole piece from where the server stands, then the rest.
    rest = large.stat().st_size - PIECE_BYTES - 1_000_000
    assert storage.pieces == [PIECE_BYTES, PIECE_BYTES, rest]
    assert len([asked for asked in storage.asked if asked.startswith("POST")]) == 1


def test_a_lost_answer_to_a_piece_sends_nothing_twice(ours: SupabaseStorage, storage: Storage, large: Path) -> None:
    storage.fault("PATCH", "", "drop after")
    put(ours, large)
    assert storage.pieces == [PIECE_BYTES, PIECE_BYTES, 100_000]


def test_a_poor_line_is_not_given_up_while_it_moves(ours: SupabaseStorage, storage: Storage, large: Path) -> None:
    storage.fault("PATCH", "", "drop within", times=12, after_bytes=900_000)  # it gives up after 4 failures
    put(ours, large)
    assert storage.objects["audio-renders", KEY].data == large.read_bytes()


def test_a_line_that_does_not_move_is_given_up(ours: SupabaseStorage, storage: Storage, large: Path) -> None:
    storage.fault("PATCH", "", "drop", times=99)
    with pytest.raises(TransientError):
        put(ours, large)
    assert len([asked for asked in storage.asked if asked.startswith("PATCH")]) == 4
    assert ("audio-renders", KEY) not in storage.objects


@pytest.mark.parametrize("status", [404, 410, 400, 403])
def test_an_upload_that_expired_begins_anew(ours: SupabaseStorage, storage: Storage, large: Path, status: int) -> None:
    storage.fault("PATCH", "", "never")
    storage.fault("PATCH", "", "drop within", after_bytes=1000)
    storage.fault("HEAD", "/upload/resumable", "answer", status=status)
    put(ours, large)
    assert storage.objects["audio-renders", KEY].data == large.read_bytes()
    assert len([asked for asked in storage.asked if asked.startswith("POST")]) == 2


def test_an_upload_that_expires_between_pieces_begins_anew(
    ours: SupabaseStorage, storage: Storage, large: Path
) -> None:
    storage.fault("PATCH", "", "never")
    storage.fault("PATCH", "", "answer", status=410, body=b"The file for this url no longer exists\n")
    storage.fault("HEAD", "/upload/resumable", "answer", status=410)
    put(ours, large)
    assert storage.objects["audio-renders", KEY].data == large.read_bytes()


def test_an_offset_that_moved_on_is_asked_for(ours: SupabaseStorage, storage: Storage, large: Path) -> None:
    storage.fault("PATCH", "", "never")
    storage.fault("PATCH", "", "answer", status=409, body=b"Upload-Offset conflict\n")
    put(ours, large)
    assert storage.objects["audio-renders", KEY].data == large.read_bytes()


def test_a_wrong_location_does_not_lead_the_key_away(ours: SupabaseStorage, storage: Storage, large: Path) -> None:
    storage.location_prefix = "http://evil.example.org/upload/resumable"
    put(ours, large)
    assert storage.objects["audio-renders", KEY].data == large.read_bytes()
    assert set(storage.keys) == {SERVICE_KEY}


def test_a_redirect_is_not_followed_with_the_key(ours: SupabaseStorage, storage: Storage, small: Path) -> None:
    headers = {"Location": "http://evil.example.org/"}
    storage.fault("POST", "", "answer", status=307, headers=headers)
    with pytest.raises(ConfigurationError, match="redirect"):
        put(ours, small)


def test_what_progress_raises_ends_the_upload(ours: SupabaseStorage, storage: Storage, large: Path) -> None:
    def cancelled(_sent: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put(ours, large, on_progress=cancelled)
    assert storage.pieces == [PIECE_BYTES]
    assert ("audio-renders", KEY) not in storage.objects


# -- configuration errors


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


# -- the rest


def test_remove(ours: SupabaseStorage, storage: Storage, small: Path) -> None:
    put(ours, small)
    assert ours.get_bytes("audio-renders", KEY) is not None
    storage.fault("DELETE", "", "drop")
    ours.remove("audio-renders", [KEY, "tracks/not/there.mp3"])
    assert ours.get_bytes("audio-renders", KEY) is None
    before = len(storage.asked)
    ours.remove("audio-renders", [])
    assert len(storage.asked) == before


def test_small_objects_for_caches(ours: SupabaseStorage, storage: Storage) -> None:
    assert ours.get_bytes("track-previews", "piece.flac") is None
    assert ours.put_bytes(b"speech", "piece.flac", bucket="track-previews", content_type="audio/mpeg") is True
    storage.fault("GET", "piece", "drop")
    assert ours.get_bytes("track-previews", "piece.flac") == b"speech"
    assert ours.put_bytes(b"speech", "piece.flac", bucket="track-previews", content_type="audio/mpeg") is False


def test_limits_of_a_bucket(ours: SupabaseStorage) -> None:
    limits = ours.bucket_limits("track-previews")
    assert limits == BucketLimits("track-previews", True, 5 * MB, ("audio/mpeg", "audio/mp3", "audio/wav"))
    assert limits.takes("audio/mpeg")
    assert not limits.takes("audio/mp4")
    assert BucketLimits("b", False, None, ("audio/*",)).takes("audio/mp4")
    assert not BucketLimits("b", False, None, ("audio/*",)).takes("text/vtt")
    assert ours.bucket_limits("nonsense") is None


def test_a_page_instead_of_json_is_not_taken_for_success(ours: SupabaseStorage, storage: Storage, small: Path) -> None:
    storage.fault("POST", "", "answer", status=200, body=b"<html>hello</html>", times=9)
    with pytest.raises(TransientError, match="not understood"):
        put(ours, small)


def test_uploading_takes_no_memory(ours: SupabaseStorage, tmp_path: Path) -> None:
    """The child's own: measured where it is sent from, against a server that throws the bytes away."""
    import socket
    import tracemalloc

    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(40 * MB)
    taken = 0

    def swallow(server: socket.socket) -> None:
        """A server of fewest words: knows no object, begins an upload, then takes pieces, a connection for each."""
        nonlocal taken
        while True:
            line, _ = server.accept()
            with line:
                reader = line.makefile("rb")
                first, headers = reader.readline(), {}
                while (header := reader.readline()) not in (b"\r\n", b""):
                    name, _, value = header.partition(b":")
                    headers[name.lower()] = value.strip()
                if first.startswith(b"GET"):
                    body = rendered(no_object())
                    head = f"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
                    line.sendall(head.encode() + body)
                    continue
                if first.startswith(b"POST"):
                    line.sendall(b"HTTP/1.1 201 Created\r\nLocation: /x/1\r\nContent-Length: 0\r\n\r\n")
                    continue
                left = int(headers[b"content-length"])
                taken += left
                while left:
                    left -= len(reader.read(min(left, 65536)))
                line.sendall(f"HTTP/1.1 204 No Content\r\nUpload-Offset: {taken}\r\n\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=swallow, args=(server,), daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        supabase = supabase_of(Config(supabase_url=address, supabase_service_role_key=SERVICE_KEY))  # type: ignore[arg-type]
        assert supabase is not None
        uploader = SupabaseStorage(supabase)
        tracemalloc.start()
        uploader.put(path, KEY, bucket="audio-renders", content_type="audio/wav")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        uploader.close()
    assert taken == 40 * MB
    assert peak < 2 * MB


def test_a_link_opens_the_file_without_a_key(storage: Storage, ours: SupabaseStorage) -> None:
    storage.put("audio-renders", "tracks/t 1/j#1.mp3", b"music")
    link = ours.link("audio-renders", "tracks/t 1/j#1.mp3", valid_s=60)
    assert link is not None
    assert httpx.get(link).content == b"music"
    assert ours.link("audio-renders", "tracks/t 1/other.mp3", valid_s=60) is None
