"""Delivery to Supabase Storage, through the real storage3 and httpx; small objects, links, and limits of buckets."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest
from standins.postgrest import SERVICE_KEY
from standins.storage import Storage
from standins.storage_project import MB
from standins.storage_refusals import no_object, rendered
from uploads import KEY, put, track

from worker.config import Config
from worker.errors import ConfigurationError, TransientError
from worker.storage.base import FOREVER_S, Stored
from worker.storage.choose import open_storage
from worker.storage.supabase_storage import BucketLimits, SupabaseStorage
from worker.storage.tus import PIECE_BYTES
from worker.supabase_access import supabase_of


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
