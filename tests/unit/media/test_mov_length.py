"""The exact length that an MP4's index states: table of times, edit list in any clock, iTunes' comment."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest

from worker.codec.m4a_index import AacStream, file_type, index
from worker.codec.tags import Tags
from worker.media.structure.mov import mov


def box(kind: bytes, *contents: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, contents)), kind) + b"".join(contents)


def full(kind: bytes, *contents: bytes) -> bytes:
    return box(kind, bytes(4), *contents)


def film(*, packets: int, last: int, scale: int = 1000, edits: tuple[tuple[int, int], ...] = (), tail: bytes = b""):
    """An M4A of packets of 1024 at 44100 Hz, whose film's clock ticks so often a second."""
    elst = full(b"elst", struct.pack(">I", len(edits)), *(struct.pack(">IiHH", *edit, 1, 0) for edit in edits))
    stbl = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1), box(b"mp4a", bytes(28))),
        full(b"stts", struct.pack(">5I", 2, packets - 1, 1024, 1, last)),
    )
    media = box(
        b"mdia",
        full(b"mdhd", struct.pack(">4I", 0, 0, 44100, 0)),
        full(b"hdlr", struct.pack(">I4s12x", 0, b"soun")),
        box(b"minf", stbl),
    )
    trak = box(b"trak", *([box(b"edts", elst)] if edits else []), media)
    data = box(b"ftyp", b"M4A ") + box(b"moov", full(b"mvhd", struct.pack(">4I", 0, 0, scale, 0)), trak, tail)
    return data + box(b"mdat", bytes(16))


def exact_frames(data: bytes) -> Fraction:
    found = mov(lambda count, at: data[at : at + count], len(data)).exact_s
    assert found is not None
    return found * 44100


def test_our_own_index_states_the_length_to_the_frame():
    stream = AacStream(44100, 100_001, 1024, bytes(2), [7] * 99)
    start = file_type()
    data = start + index(stream, Tags(), data_at=0) + box(b"mdat", bytes(693))
    assert exact_frames(data) == 100_001


@pytest.mark.parametrize("scale", [1000, 600, 44100, 90_000])
def test_an_edit_list_in_a_coarse_clock_leaves_the_table_exact(scale):
    sound = 99 * 1024 + 77 - 1024
    edit = round(sound * scale / 44100), 1024
    assert exact_frames(film(packets=100, last=77, scale=scale, edits=(edit,))) == sound


def test_an_edit_list_that_ends_earlier_counts():
    assert exact_frames(film(packets=100, last=1024, scale=44100, edits=((50_000, 2112),))) == 50_000


def test_the_priming_of_itunes_is_left_out():
    comment = b"iTunSMPB" + b"    data 00000000 00000840 000001CA 00000000000185F6 " + bytes(40)
    assert exact_frames(film(packets=100, last=1024, tail=box(b"udta", comment))) == 102_400 - 0x840 - 0x1CA


def test_a_last_packet_that_lasts_until_the_film_ends_counts_once():
    assert exact_frames(film(packets=100, last=999_999)) == 100 * 1024
