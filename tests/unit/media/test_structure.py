"""What a file says of its own sound, and files that lie about their sizes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from worker.errors import MediaError
from worker.media.decoder import opened_source
from worker.media.sniff import ASF_HEADER, W64_RIFF
from worker.media.structure import structure_of
from worker.media.structure.base import Structure

LAYER_3 = b"\xff\xfb\x90\x64" + bytes(413)  # 44.1 kHz
HUGE = (1 << 63) + 5, (1 << 64) - 1, (1 << 63) - 1, 1 << 62


def structure(folder: Path, data: bytes) -> Structure:
    (folder / "a").write_bytes(data)
    with opened_source(folder / "a") as source:
        return source.structure


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


@pytest.mark.parametrize("huge", HUGE)
@pytest.mark.parametrize("kind", ["asf", "w64", "caf", "mov", "mdat", "rf64", "matroska"])
def test_a_size_beyond_every_file_is_no_crash(tmp_path: Path, kind: str, huge: int) -> None:
    little, big = struct.pack("<Q", huge), struct.pack(">Q", huge)
    data = {
        "asf": ASF_HEADER + little + bytes(100),
        "w64": W64_RIFF + bytes(24) + b"junk" + bytes(12) + little + bytes(100),
        "caf": b"caff\0\1\0\0" + b"free" + big + b"data" + big + bytes(100),
        "mov": box(b"ftyp", b"M4A ") + b"\0\0\0\1free" + big + bytes(100),
        "mdat": box(b"ftyp", b"M4A ") + b"\0\0\0\1mdat" + big + bytes(100),
        "rf64": b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + little * 3 + bytes(4) + b"data\xff\xff\xff\xff" + bytes(9),
        "matroska": b"\x1aE\xdf\xa3\x80\x18\x53\x80\x67\x01" + big[1:] + b"\x1f\x43\xb6\x75\x01" + big[1:] + bytes(9),
    }[kind]
    try:
        assert structure(tmp_path, data).stray_bytes >= 0
    except MediaError as error:
        assert error.message.startswith("a is ")  # noqa: PT017 - either way is right


@pytest.mark.parametrize("tag", [b"Xing", b"Info", b"VBRI"])
@pytest.mark.parametrize("length", range(36, 56))
def test_an_mp3_that_ends_within_its_index_has_none(tmp_path: Path, tag: bytes, length: int) -> None:
    data = (LAYER_3[:36] + tag + b"\0\0\0\x0f" + bytes(20))[:length]
    assert structure(tmp_path, data).seconds is None


def test_the_length_of_an_mp3_is_that_of_its_xing_header_less_its_padding(tmp_path: Path) -> None:
    lame = b"LAME3.100" + bytes(12) + (576 << 12 | 1000).to_bytes(3, "big")
    index = b"Xing\0\0\0\x0f" + struct.pack(">II", 100, 41_700) + bytes(104) + lame
    first = (LAYER_3[:36] + index).ljust(len(LAYER_3), b"\0")
    assert structure(tmp_path, first + LAYER_3 * 100).seconds == (100 * 1152 - 1576) / 44_100


def test_the_length_of_an_mp3_is_that_of_its_vbri_header(tmp_path: Path) -> None:
    index = b"VBRI\0\1" + bytes(4) + struct.pack(">II", 41_700, 100)
    first = (LAYER_3[:36] + index).ljust(len(LAYER_3), b"\0")
    assert structure(tmp_path, first + LAYER_3 * 100).seconds == 100 * 1152 / 44_100


def test_of_garbage_between_frames_no_more_than_a_megabyte_is_searched() -> None:
    """Each header of such bytes leads to no second one."""
    data, last = LAYER_3 * 5 + b"\xff\xfb\x90\x64" * (1 << 20) + LAYER_3 * 5, 0

    def read(count: int, at: int) -> bytes:
        nonlocal last
        last = max(last, at + count)
        return data[at : at + count]

    assert structure_of(read, "mp3", len(data)).stray_bytes > 4_000_000
    assert last < 2_500_000


def test_the_end_of_a_file_that_is_not_looked_through_is_its_own(tmp_path: Path) -> None:
    hole = b"\x55" * 600_000
    found = structure(tmp_path, (LAYER_3 * 5 + hole) * 5 + LAYER_3 * 5)
    assert (found.stray_bytes, found.end) == (1_200_000, None)


def ogg_page(content: bytes, *, flags: int = 0, stamp: int = 0, serial: bytes = b"abcd") -> bytes:
    lacing = bytes([255] * (len(content) // 255) + [len(content) % 255])
    head = b"OggS\0" + bytes([flags]) + struct.pack("<q", stamp) + serial + bytes(8)
    return head + bytes([len(lacing)]) + lacing + content


@pytest.mark.parametrize(
    ("head", "rate_hz"),
    [
        (b"OpusHead\1\2" + bytes(9), 48_000),
        (b"\x01vorbis" + bytes(4) + b"\2" + struct.pack("<I", 32_000) + bytes(14), 32_000),
        (b"Speex   " + bytes(28) + struct.pack("<I", 16_000) + bytes(40), 16_000),
        (b"\x7fFLAC\1\0\0\1fLaC\x80\0\0\x22" + bytes(10) + (44_100 << 4).to_bytes(3, "big") + bytes(21), 44_100),
    ],
    ids=["opus", "vorbis", "speex", "flac"],
)
def test_the_last_page_of_an_ogg_is_lost_whole(tmp_path: Path, head: bytes, rate_hz: int) -> None:
    pages = (
        ogg_page(head, flags=2) + ogg_page(bytes(500), stamp=rate_hz) + ogg_page(bytes(500), flags=4, stamp=2 * rate_hz)
    )
    assert structure(tmp_path, pages).missing_seconds == 0
    assert structure(tmp_path, pages[:-1]).missing_seconds == 1
    with pytest.raises(MediaError, match="is cut short"):
        structure(tmp_path, pages[:-600])  # within a page that is not the last


def test_bytes_behind_the_end_of_the_sound_are_told_from_it(tmp_path: Path) -> None:
    au = b".snd" + struct.pack(">IIIII", 24, 100, 3, 8000, 1) + bytes(100)
    w64 = W64_RIFF + bytes(24) + b"data" + bytes(12) + struct.pack("<Q", 124) + bytes(100)
    ogg = ogg_page(b"OpusHead\1\2" + bytes(9), flags=2) + ogg_page(bytes(500), flags=4, stamp=1)
    for data in (au, w64, ogg, LAYER_3 * 5):
        for behind in (b"TAG" + bytes(125), bytes(60_000)):
            found = structure(tmp_path, data + behind)
            assert (found.end, found.missing_bytes, found.stray_bytes) == (len(data), 0, 0)


@pytest.mark.parametrize("behind", [b"TAG" + bytes(125), b"APETAGEX" + b"\xd0\x07\0\0" * 6, b"\x55\xaa" * 500])
@pytest.mark.parametrize("kind", ["asf", "matroska", "fragments"])
def test_what_is_no_part_of_a_container_has_no_missing_bytes(tmp_path: Path, kind: str, behind: bytes) -> None:
    sound = box(b"trak", box(b"mdia", box(b"hdlr", bytes(8) + b"soun" + bytes(13))))
    data = {
        "asf": ASF_HEADER + struct.pack("<Q", 124) + bytes(100),
        "matroska": b"\x1aE\xdf\xa3\x80\x18\x53\x80\x67\xff\x1f\x43\xb6\x75\xff\xe7\x81\0\xa3\x84\x81\0\0\0",
        "fragments": box(b"ftyp", b"iso5")
        + box(b"moov", sound)
        + (box(b"moof", bytes(30)) + box(b"mdat", bytes(90))) * 3,
    }[kind]
    assert structure(tmp_path, data + behind).missing_bytes == 0
    assert structure(tmp_path, data[:-1]).missing_bytes == 1


def test_amr_frames_that_call_themselves_damaged_are_stray(tmp_path: Path) -> None:
    frame, damaged, pause = b"\x04" + bytes(12), bytes(13), b"\x7c"
    assert structure(tmp_path, b"#!AMR\n" + frame * 10 + pause * 20 + frame * 10).stray_bytes == 0
    assert structure(tmp_path, b"#!AMR\n" + frame * 10 + damaged * 20 + frame * 10).stray_bytes == 260
    wide = b"\x0c" + bytes(23)
    assert structure(tmp_path, b"#!AMR-WB\n" + wide * 10 + b"\xff" * 7 + wide).stray_bytes == 7


@pytest.mark.parametrize("beginning", [b"\x80\x80\x80", b""], ids=["long", "short"])
def test_xhe_aac_is_refused_before_any_decoder_reads_it(tmp_path: Path, beginning: bytes) -> None:
    """Some FFmpegs decode a part of it, others none."""

    def described(config: bytes) -> bytes:
        decoder = b"\x05" + beginning + bytes([len(config)]) + config
        stream = b"\x04" + beginning + bytes([13 + len(decoder)]) + b"\x40\x15" + bytes(11) + decoder
        elementary = b"\x03" + beginning + bytes([3 + len(stream)]) + b"\0\1\0" + stream
        entry = box(b"mp4a", bytes(28), box(b"esds", bytes(4), elementary))
        table = box(b"stbl", box(b"stsd", bytes(4), b"\0\0\0\1", entry))
        media = box(b"mdia", box(b"hdlr", bytes(8) + b"soun" + bytes(13)), box(b"minf", table))
        return box(b"ftyp", b"M4A ") + box(b"moov", box(b"trak", media)) + box(b"mdat", bytes(10))

    with pytest.raises(MediaError, match="is coded as xHE-AAC, which is not read"):
        structure(tmp_path, described(b"\xf9\x48\x40\0"))
    for usual in (b"\x12\x10", b"\x2b\x92\x08\0", b"\xf9\x88\0\0"):  # AAC-LC, HE-AAC, another of the large types
        assert structure(tmp_path, described(usual)).refusal is None
