"""The kind of a file by its bytes: signatures before sync words, and what comes before the sound."""

from __future__ import annotations

import struct

import pytest

from worker.media.sniff import demuxer_of, foreign_kind, sound_start

MP3 = (b"\xff\xfb\x90\x64" + bytes(413)) * 40
ADTS = (b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)) * 40
AC3 = (b"\x0b\x77\x00\x00\x14\x40" + bytes(762)) * 4
SIGNATURES = {
    "RIFF\x10\0\0\0AVI ": "a film (AVI)",
    "RIFF\x10\0\0\0WEBP": "another kind of RIFF",
    "FORM\0\0\0\x108SVX": "another kind of IFF",
    "\0\0\x01\xba": "a film (MPEG)",
    "\0\0\x01\xb3": "a film (MPEG)",
    ("\x47" + "\0" * 187) * 3: "transport stream",
    "\0\0\0\0" + ("\x47" + "\0" * 191) * 3: "transport stream",
    "FLV\x01": "a film (FLV)",
    ".RMF": "RealMedia",
    "\x06\x0e\x2b\x34\x02\x05\x01\x01": "a film (MXF)",
    "\x01" * 257 + "ustar": "tar",
    "PK\x03\x04": "ZIP",
    "\x1f\x8b\x08": "gzip",
    "BZh91AY": "bzip2",
    "\xfd7zXZ\0": "xz",
    "\x28\xb5\x2f\xfd": "zstd",
    "7z\xbc\xaf\x27\x1c": "7-Zip",
    "Rar!\x1a\x07": "RAR",
    "%PDF-1.7": "PDF",
    "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "Office",
    "\x89PNG\r\n": "PNG",
    "\xff\xd8\xff": "JPEG",
    "GIF89a": "GIF",
    "II*\0": "TIFF",
    "BM\x01\x01\x01\x01\0\0\0\0": "BMP",
    "\x7fELF": "a program",
    "SQLite format 3\0": "SQLite",
    "MThd": "MIDI",
    "MAC ": "Monkey",
    "MPCK": "Musepack",
    "wvpk": "WavPack",
    "TTA1": "True Audio",
    "DSD ": "DSD",
}


def start_in(data: bytes) -> int:
    return sound_start(lambda count, at: data[at : at + count], len(data))


def id3(size: int) -> bytes:
    return b"ID3\x03\x00\x00" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


@pytest.mark.parametrize("frames", [MP3, ADTS, AC3], ids=["mp3", "aac", "ac3"])
@pytest.mark.parametrize("signature", SIGNATURES, ids=SIGNATURES.values())
def test_what_begins_as_something_else_is_never_searched_for_frames(signature: str, frames: bytes) -> None:
    head = signature.encode("latin-1") + frames
    assert SIGNATURES[signature] in (foreign_kind(head) or "")
    assert demuxer_of(head, whole=True) is None


@pytest.mark.parametrize(
    ("data", "start"),
    [
        (id3(10) + id3(300_000) + MP3, 10 + 10 + 10 + 300_000),
        (bytes(200_000) + MP3, 200_000),
        (bytes(5) + MP3, 5),
        (id3(10) + bytes(70_000) + id3(5) + MP3, 20 + 70_000 + 15),
        (b"\0\0\0\x1cftypM4A ", 0),
        (b"\0\0\x01\x1cftypM4A ", 0),
        (bytes(5000) + b"\0\0\0\x1cftypM4A ", 5000),
        (id3(10) + b"\0\0\0\x08wide", 20),
        (bytes(5000) + b"\0\0\x01\xba" + MP3, 5000),
        (bytes(5000), 0),
    ],
    ids=["long", "zeros", "few", "mixed", "box", "wide-box", "zeros-box", "tag-box", "zeros-film", "nothing"],
)
def test_tags_and_zeros_before_the_sound_are_passed_but_no_part_of_it(data: bytes, start: int) -> None:
    assert start_in(data) == start


def test_a_film_after_zeros_is_a_film_all_the_same() -> None:
    data = bytes(5000) + b"\0\0\x01\xba" + MP3
    assert demuxer_of(data[start_in(data) :], whole=True) is None


@pytest.mark.parametrize(
    ("header", "length", "demuxer"),
    [
        (b"\x0b\x77\x12\x34\x14\x40", 768, "ac3"),  # 48 kHz, 192 kbit/s
        (b"\x0b\x77\x12\x34\x54\x40", 834, "ac3"),  # 44.1 kHz
        (b"\x0b\x77\x12\x34\x55\x40", 836, "ac3"),
        (b"\x0b\x77\x01\x7f\x34\x86", 768, "eac3"),
    ],
)
def test_ac3_is_known_by_three_frames_in_a_row_from_the_first_byte(header: bytes, length: int, demuxer: str) -> None:
    frame = header.ljust(length, b"\x55")
    assert demuxer_of(frame * 3, whole=False) == demuxer
    assert demuxer_of(frame, whole=True) == demuxer  # a file of one
    assert demuxer_of(frame * 2 + b"no frame", whole=True) is None
    assert demuxer_of(b"a" + frame * 9, whole=True) is None
    assert demuxer_of((header.ljust(length + 2, b"\x55")) * 9, whole=True) is None


def test_a_core_of_ac3_with_more_channels_beside_it_is_eac3() -> None:
    core, more = b"\x0b\x77\x12\x34\x14\x40".ljust(768, b"\x55"), b"\x0b\x77\x41\x7f\x34\x86".ljust(768, b"\x55")
    assert demuxer_of((core + more) * 2, whole=False) == "eac3"


def test_every_signature_of_sound_names_its_demuxer() -> None:
    heads = {b"RIFF....WAVE": "wav", b"RF64....WAVE": "wav", b"FORM....AIFC": "aiff", b"fLaC": "flac", b"OggS": "ogg"}
    heads |= {b"\x1aE\xdf\xa3": "matroska", b"caff": "caf", b".snd": "au", b"#!AMR\n": "amr", b"#!AMR-WB\n": "amr"}
    heads |= {struct.pack(">I", 24) + b"ftyp3gp4": "mov"}
    assert {head: demuxer_of(head.ljust(100, b"\x01"), whole=True) for head in heads} == heads
