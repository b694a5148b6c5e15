"""Faults of Supabase Storage that pass: waited out, or the upload goes on from where it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from standins.postgrest import SERVICE_KEY
from standins.storage import Storage
from standins.storage_refusals import locked_body
from uploads import KEY, posts, put

from worker.errors import ConfigurationError, TransientError
from worker.storage.supabase_storage import SupabaseStorage
from worker.storage.tus import PIECE_BYTES

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
