"""One ruler for whole files: what is cut short, what is damaged, and what is neither, in every container."""

from __future__ import annotations

import struct

import pytest
from codec_signals import RATE
from strange_media import FILM, NOISE, SECONDS, SOUND, zeroed

# ---- one ruler: cut short ----

CUT = [
    ("film.mp4", (*FILM, *SOUND, "-c:v", "mpeg4", "-c:a", "aac", "-movflags", "faststart")),
    ("film.mov", (*FILM, *SOUND, "-c:v", "mpeg4", "-c:a", "aac", "-movflags", "faststart")),
    ("fragments.mp4", (*NOISE, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "1500000")),
    ("film.mkv", (*FILM, *SOUND, "-c:v", "mpeg4", "-c:a", "aac")),
    ("film.webm", (*FILM, *NOISE, "-c:v", "mpeg4", "-c:a", "libopus", "-f", "matroska")),
    ("a.caf", (*SOUND, "-c:a", "pcm_s16le")),
    ("alac.caf", (*SOUND, "-c:a", "alac")),
    ("a.w64", SOUND),
    ("a.rf64.wav", (*SOUND, "-rf64", "always")),
    ("a.aiff", SOUND),
    ("a.au", SOUND),
    ("a.wma", (*NOISE, "-c:a", "wmav2")),
    ("a.flac", NOISE),
    ("a.mp3", NOISE),
    ("a.m4a", (*NOISE, "-movflags", "faststart")),
]


@pytest.mark.parametrize(("name", "options"), CUT, ids=[name for name, _ in CUT])
def test_the_first_two_thirds_of_a_file_are_cut_short(made, read, refused, name, options):
    whole = made(name.partition(".")[2], *options)
    assert len(read(whole)) / RATE == pytest.approx(SECONDS, abs=0.15)
    data = whole.read_bytes()
    assert "is cut short" in refused(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("codec", ["libvorbis", "libopus", "flac"])
def test_an_ogg_that_ends_within_a_page_but_its_last_is_cut_short(made, refused, codec):
    data = made("ogg", *NOISE, "-c:a", codec, "-page_duration", "60000").read_bytes()
    assert "is cut short" in refused(data[: data.rindex(b"OggS", 0, data.rindex(b"OggS")) + 100])


def test_an_rf64_without_a_number_of_samples_is_measured_by_its_bytes(made, read, refused):
    data = bytearray(made("wav", *SOUND, "-rf64", "always").read_bytes())
    at = data.index(b"ds64") + 8 + 16
    data[at : at + 8] = bytes(8)
    assert len(read(bytes(data))) == SECONDS * RATE
    assert "is cut short" in refused(bytes(data[: len(data) // 2]))


@pytest.mark.parametrize(
    ("ending", "options"), [("wav", ()), ("w64", ()), ("aiff", ()), ("au", ()), ("caf", ("-c:a", "pcm_s16le"))]
)
def test_a_quarter_of_a_second_may_be_missing_in_any_container(made, read, refused, ending, options):
    data = made(ending, *SOUND, *options).read_bytes()
    assert len(read(data[:-1])) == SECONDS * RATE - 1
    assert len(read(data[: -RATE // 5 * 4])) / RATE == pytest.approx(SECONDS - 0.2, abs=0.01)
    assert "is cut short" in refused(data[: -RATE // 3 * 4])


def test_a_wav_whose_size_is_given_as_too_large_is_whole(made, read):
    data = made("wav", *SOUND).read_bytes()
    at = data.index(b"data") + 4
    size = int.from_bytes(data[at : at + 4], "little") + 44
    assert len(read(data[:at] + struct.pack("<I", size) + data[at + 4 :])) == SECONDS * RATE


def test_a_page_of_ogg_that_lacks_a_byte_counts_as_what_is_lost_with_it(made, read, refused):
    """FFmpeg decodes nothing of it: a tenth of a second is forgiven, most of one is not."""
    short = made("ogg", *NOISE, "-c:a", "libvorbis", "-page_duration", "60000").read_bytes()
    assert len(read(short[:-1])) / RATE == pytest.approx(SECONDS, abs=0.15)
    long = made("ogg", *NOISE, "-c:a", "libvorbis", "-page_duration", "1000000").read_bytes()
    assert "is cut short" in refused(long[:-1])


# ---- one ruler: good files ----


def test_a_browsers_recording_with_a_wall_clock_duration_is_whole(made, read):
    """Browsers write the time that passed, pauses included, in place of the sound's length."""
    data = bytearray(made("webm", *NOISE, "-c:a", "libopus").read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = struct.pack(">d", 9000.0)
    assert len(read(bytes(data))) / RATE == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("mp4", (*FILM, "-itsoffset", "1", *NOISE, "-c:v", "mpeg4", "-c:a", "aac")),
        ("mkv", (*FILM, "-itsoffset", "1", *NOISE, "-c:v", "mpeg4", "-c:a", "libopus")),
        ("mkv", ("-f", "lavfi", "-i", "testsrc=s=64x64:r=25:d=6", *NOISE, "-c:v", "mpeg4", "-c:a", "flac")),
        ("mp4", ("-f", "lavfi", "-i", "testsrc=s=64x64:r=25:d=6", *NOISE, "-c:v", "mpeg4", "-c:a", "aac")),
    ],
    ids=["late-mp4", "late-mkv", "long-picture-mkv", "long-picture-mp4"],
)
def test_sound_that_begins_later_or_ends_sooner_than_the_picture_is_whole(made, read, ending, options):
    assert len(read(made(ending, *options))) / RATE == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("ending", ["m4a", "mov"])
def test_an_edit_list_that_plays_a_part_makes_no_file_short(made, read, ending):
    source = made("m4a", *NOISE)
    part = made(ending, "-ss", "1.3", "-i", str(source), "-c", "copy")
    assert len(read(part)) / RATE == pytest.approx(SECONDS - 1.3, abs=0.1)


def test_subtitles_longer_than_the_sound_do_not_count(made, read, tmp_path):
    (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:20,000\nhello\n")
    both = made("mkv", *NOISE, "-i", str(tmp_path / "a.srt"), "-c:a", "libopus", "-c:s", "srt")
    assert len(read(both)) / RATE == pytest.approx(SECONDS, abs=0.1)


def test_chapters_longer_than_the_sound_do_not_count(made, read, tmp_path):
    chapter = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=30\ntitle=one\n"
    (tmp_path / "chapters").write_text(chapter)
    both = made("m4a", *NOISE, "-i", str(tmp_path / "chapters"), "-map", "0:a", "-map_chapters", "1")
    assert len(read(both)) / RATE == pytest.approx(SECONDS, abs=0.1)


def test_opus_with_a_long_pre_skip_is_whole(made, read):
    data = bytearray(made("opus", *NOISE, "-c:a", "libopus").read_bytes())
    head = data.index(b"OpusHead")
    data[head + 10 : head + 12] = struct.pack("<H", 48_000)
    page = bytearray(data[: data.index(b"OggS", 4)])
    page[22:26] = bytes(4)
    value = 0
    for byte in page:  # RFC 3533: polynomial 0x04c11db7, nothing reflected
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    page[22:26] = struct.pack("<I", value)
    data[: len(page)] = page
    assert len(read(bytes(data))) / RATE == pytest.approx(SECONDS - 1, abs=0.1)


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


@pytest.mark.parametrize(("priming", "padding"), [(2112, 500), (14_000, 500), (14_000, 14_000), (40_000, 0)])
def test_an_m4a_with_itunes_padding_in_place_of_an_edit_list_is_whole(made, read, priming, padding):
    """Not every FFmpeg takes all of it off."""
    data = made("m4a", *NOISE).read_bytes()
    at = data.rindex(b"moov") - 4
    moov = data[at + 8 :].replace(b"edts", b"free").replace(b"udta", b"free")
    text = f" 00000000 {priming:08X} {padding:08X} {48_000 * SECONDS:016X} 00000000 00000000".encode()
    mean, name = box(b"mean", bytes(4), b"com.apple.iTunes"), box(b"name", bytes(4), b"iTunSMPB")
    comment = box(b"----", mean, name, box(b"data", struct.pack(">II", 1, 0), text))
    meta = box(b"meta", bytes(4), box(b"hdlr", bytes(8), b"mdirappl", bytes(9)), box(b"ilst", comment))
    sound = read(data[:at] + box(b"moov", moov, box(b"udta", meta)))
    least = SECONDS - (priming + padding) / 48_000
    assert least - 0.05 <= len(sound) / RATE <= SECONDS + 0.1


@pytest.mark.parametrize(("delay", "padding"), [(576, 0), (4095, 0), (0, 4095), (4095, 4095)])
@pytest.mark.parametrize("rate", [8000, 44_100])
def test_an_mp3_with_lames_padding_is_whole_however_long_that_is(made, read, rate, delay, padding):
    data = bytearray(made("mp3", *NOISE, "-ar", str(rate)).read_bytes())
    at = data.index(b"Info") + 120 + 21  # after the frames, bytes, table, quality and the encoder's name
    data[at : at + 3] = (delay << 12 | padding).to_bytes(3, "big")
    full = len(read(made("mp3", *NOISE, "-ar", str(rate), "-write_xing", "0"))) / RATE
    assert len(read(bytes(data))) / RATE == pytest.approx(full - (delay + padding) / rate, abs=0.16)


@pytest.mark.parametrize("behind", [b"TAG" + bytes(125), b"\x55\xaa" * 500], ids=["tag", "bytes"])
@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("mp4", ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "700000")),
        ("webm", ("-c:a", "libopus", "-live", "1")),
        ("wma", ("-c:a", "wmav2")),
    ],
    ids=["fragments", "live", "wma"],
)
def test_bytes_behind_a_live_recording_are_not_missing_from_it(made, read, ending, options, behind):
    plain = made(ending, *NOISE, *options)
    assert len(read(plain.read_bytes() + behind)) == len(read(plain))


# ---- damage ----

DAMAGED = [
    ("mp3", (*NOISE, "-b:a", "128k", "-write_xing", "0")),
    ("mp3", (*NOISE, "-b:a", "128k")),
    ("aac", (*NOISE,)),
    ("ac3", (*NOISE,)),
    ("eac3", (*NOISE,)),
    ("mp2", (*NOISE, "-f", "mp2")),
    ("mov", (*NOISE, "-c:a", "aac", "-movflags", "faststart")),
    ("m4a", (*NOISE, "-movflags", "faststart")),
    ("ogg", (*NOISE, "-c:a", "libvorbis", "-page_duration", "60000")),
    ("opus", (*NOISE, "-c:a", "libopus", "-page_duration", "60000")),
    ("webm", (*NOISE, "-c:a", "libopus", "-cluster_time_limit", "100")),
    ("mka", (*NOISE, "-c:a", "libvorbis", "-cluster_time_limit", "100")),
    ("flac", (*NOISE,)),
]
LARGE_PARTS = [  # one cluster, or fragment, holds much of it
    ("webm", (*NOISE, "-c:a", "libopus")),
    ("mka", (*NOISE, "-c:a", "flac")),
    ("mp4", (*NOISE, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "300000")),
]


@pytest.mark.parametrize(
    ("ending", "options"), DAMAGED + LARGE_PARTS, ids=[f"{e}{n}" for n, (e, _) in enumerate(DAMAGED + LARGE_PARTS)]
)
def test_a_hole_in_the_middle_is_damage_in_every_container(made, refused, ending, options):
    for first, last in ((0.4, 0.8), (0.5, 0.95)):
        message = refused(zeroed(made(ending, *options), first, last))
        assert "is damaged" in message or "is cut short" in message


@pytest.mark.parametrize(("ending", "options"), DAMAGED, ids=[f"{e}{n}" for n, (e, _) in enumerate(DAMAGED)])
def test_a_hole_of_a_few_packets_is_forgiven_in_every_container(made, read, ending, options):
    data = zeroed(made(ending, *options), 0.6, 0.605)
    assert len(read(data)) / RATE == pytest.approx(SECONDS, abs=0.5)
