"""Nothing in Supabase Storage is overwritten: a name that is taken, before or meanwhile; a body that is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from standins.storage import Storage
from standins.storage_project import MB, Bucket
from uploads import KEY, open_connections, posts, put, track

from worker.errors import ConfigurationError, TransientError
from worker.storage.supabase_storage import SupabaseStorage
from worker.storage.tus import PIECE_BYTES


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
