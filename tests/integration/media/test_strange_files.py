"""Files as people bring them: films, interrupted and damaged recordings, browsers' and phones' own ways to write."""

from __future__ import annotations

import io
import struct
import tarfile

import numpy as np
import pytest
import soundfile
from codec_signals import RATE
from strange_media import FILM, GAP, NOISE, SECONDS, SOUND, silent_seconds
from tiers import further

from worker.errors import MediaError
from worker.media.decode import opened_sound

# ---- what begins as something else ----


@pytest.mark.parametrize(
    ("ending", "options", "what"),
    [
        ("mpg", (*FILM, *SOUND, "-c:v", "mpeg2video", "-c:a", "mp2", "-f", "vob"), "a film (MPEG)"),
        ("ts", (*FILM, *SOUND, "-c:v", "mpeg2video", "-c:a", "mp2", "-f", "mpegts"), "transport stream"),
        ("m2ts", (*SOUND, "-c:a", "mp2", "-f", "mpegts", "-mpegts_m2ts_mode", "1"), "transport stream"),
        ("avi", (*FILM, *SOUND, "-c:v", "mpeg4", "-c:a", "libmp3lame"), "a film (AVI)"),
        ("flv", (*SOUND, "-c:a", "libmp3lame"), "a film (FLV)"),
    ],
    ids=["mpg", "ts", "m2ts", "avi", "flv"],
)
def test_a_film_is_never_searched_for_frames(made, refused, ending, options, what):
    message = refused(made(ending, *options))
    assert "is not an audio file but" in message
    assert what in message


def test_an_archive_with_an_mp3_is_refused_as_an_archive(made, refused):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(made("mp3", *SOUND), "a.mp3")
    assert "is not an audio file but an archive (tar)" in refused(out.getvalue())


def test_a_few_frames_within_unknown_bytes_are_no_sound(made, refused):
    frames = made("mp3", *SOUND).read_bytes()[2000:4500]
    chunks = b"".join(struct.pack("<I", len(frames)) + bytes(range(200)) * 10 + frames for _ in range(20))
    assert "is not an audio file" in refused(b"\x07UNKNOWN" + chunks)


CONTAINERS = [
    ("mp3", ()),
    ("aac", ()),
    ("ac3", ()),
    ("flac", ()),
    ("wav", ()),
    ("w64", ()),
    ("aiff", ()),
    ("au", ()),
    ("caf", ()),
    ("ogg", ("-c:a", "libvorbis")),
    ("opus", ("-c:a", "libopus")),
    ("m4a", ()),
    ("webm", ("-c:a", "libopus")),
    ("mka", ("-c:a", "flac")),
    ("wma", ("-c:a", "wmav2")),
]
CONTAINER_NAMES = [ending for ending, _ in CONTAINERS]


def id3(size: int) -> bytes:
    return b"ID3\x03\x00\x00" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


def ape(size: int) -> bytes:
    head = struct.pack("<III", 2000, size + 32, 1)
    ends = [b"APETAGEX" + head + struct.pack("<I", flags) + bytes(8) for flags in (0xA0000000, 0x80000000)]
    return ends[0] + bytes(size) + ends[1]


@pytest.mark.parametrize("before", further(["tags", "long", "zeros", "few zeros", "ape"], but=["tags", "few zeros"]))
@pytest.mark.parametrize(("ending", "options"), CONTAINERS, ids=CONTAINER_NAMES)
def test_tags_and_zeros_before_the_sound_are_skipped(made, read, before, ending, options):
    prefix = {
        "tags": id3(100) * 5,
        "long": id3(10) + id3(300_000),
        "zeros": bytes(200_000),
        "few zeros": bytes(5),
        "ape": ape(2000) + id3(10),
    }[before]
    plain = made(ending, *SOUND, *options)
    assert np.array_equal(read(prefix + plain.read_bytes()), read(plain))


@pytest.mark.parametrize("behind", further(["id3v1", "ape", "zeros"], but=["zeros"]))
@pytest.mark.parametrize(("ending", "options"), CONTAINERS, ids=CONTAINER_NAMES)
def test_tags_and_a_block_of_zeros_behind_the_sound_are_no_sound(made, read, behind, ending, options):
    suffix = {"id3v1": b"TAG" + bytes(125), "ape": ape(2000), "zeros": bytes(60_000)}[behind]
    plain = made(ending, *SOUND, *options)
    assert np.array_equal(read(plain.read_bytes() + suffix), read(plain))


@pytest.mark.parametrize(("ending", "options"), [("mp3", ()), ("aac", ()), ("ac3", ()), ("ogg", ("-c:a", "libvorbis"))])
def test_more_zeros_than_a_block_are_sound_that_did_not_come(made, refused, ending, options):
    assert "damaged" in refused(made(ending, *SOUND, *options).read_bytes() + bytes(200_000))


# ---- times ----


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("webm", ("-c:a", "libopus")),
        ("mka", ("-c:a", "libvorbis")),
        ("mka", ("-c:a", "pcm_s16le")),
        ("m4a", ("-c:a", "aac")),
        ("mp4", ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov")),
        ("wma", ("-c:a", "wmav2")),
        ("opus", ("-c:a", "libopus")),
    ],
    ids=["webm", "vorbis-mka", "pcm-mka", "m4a", "fragments", "wma", "ogg"],
)
def test_a_gap_in_the_times_is_silence_of_that_length(made, read, ending, options):
    sound = read(made(ending, *NOISE, "-af", GAP, *options))
    assert len(sound) / RATE == pytest.approx(SECONDS, abs=0.15)
    assert silent_seconds(sound) == pytest.approx(1.0, abs=0.15)
    assert silent_seconds(sound[: int(0.9 * RATE)]) < 0.05
    assert silent_seconds(sound[int(2.1 * RATE) :]) < 0.05


@pytest.mark.parametrize("codec", ["libvorbis", "libopus", "flac"])
@pytest.mark.parametrize("page", ["60000", "1000000"])
def test_an_ogg_that_begins_late_as_a_live_one_does_has_no_gap(made, read, codec, page):
    """FFmpeg guesses the times within the first page of FLAC, from zero."""
    late = made("ogg", *NOISE, "-c:a", codec, "-page_duration", page, "-output_ts_offset", "3600")
    assert len(read(late)) / RATE == pytest.approx(SECONDS, abs=0.1)


def test_a_gap_of_hours_is_held_to_the_allowed_length(made, refused):
    late = made("mka", *NOISE, "-af", "asetpts='PTS+gt(T,1)*36000/TB'", "-c:a", "libopus")
    assert "is longer than the 60 s that are allowed" in refused(late)


# ---- layouts ----


def both_layouts(made, ending: str, *options: str) -> bytes:
    mono = made(ending, *SOUND, "-ac", "1", *options).read_bytes()
    return mono + made(ending, *SOUND, "-ac", "2", *options).read_bytes()


@pytest.mark.parametrize(
    ("ending", "options"),
    [("mp3", ()), ("aac", ()), ("ac3", ()), ("opus", ("-c:a", "libopus")), ("ogg", ("-c:a", "libvorbis"))],
)
def test_a_file_that_becomes_stereo_is_stereo(made, read, ffmpeg, tmp_path, ending, options):
    data = both_layouts(made, ending, *options)
    sound = read(data)
    alone = read(made(ending, *SOUND, "-ac", "1", *options))
    assert sound.shape[1] == 2
    first, last = sound[RATE // 2 : 2 * RATE], sound[-2 * RATE : -RATE // 2]
    assert np.allclose(first[:, 0], alone[RATE // 2 : 2 * RATE, 0], atol=1e-6)
    assert np.array_equal(first[:, 0], first[:, 1])
    assert np.abs(np.fft.rfft(last, axis=0)).argmax(axis=0).tolist() == [660, 990]
    (tmp_path / "b").write_bytes(data)
    with opened_sound(ffmpeg, tmp_path / "b") as stream:
        blocks = np.concatenate(list(stream.blocks))
    assert stream.source_channels == 1
    assert blocks.shape[0] == pytest.approx(sound.shape[0] * stream.sample_rate / RATE, abs=2)
    assert not np.allclose(blocks[-RATE:, 0], blocks[-RATE:, 1])


def wave_extensible(samples: np.ndarray, *, valid_bits: int, mask: int, rate: int = RATE) -> bytes:
    """A WAV of 32-bit samples whose header gives their valid bits and the names of the channels."""
    channels = samples.shape[1]
    data = samples.astype("<i4").tobytes()
    guid = b"\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
    form = struct.pack(
        "<HHIIHHHHI", 0xFFFE, channels, rate, rate * 4 * channels, 4 * channels, 32, 22, valid_bits, mask
    )
    body = b"WAVEfmt " + struct.pack("<I", 40) + form + guid + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(("valid_bits", "mask"), [(24, 3), (20, 3), (32, 0x600), (32, 0x30), (24, 0x600), (32, 0)])
def test_24_bits_in_32_and_odd_channel_names_are_read_as_libsndfile_does(read, valid_bits, mask):
    rng = np.random.default_rng(1)
    samples = rng.integers(-(2**30), 2**30, (5000, 2)) & ~0xFFF
    data = wave_extensible(samples, valid_bits=valid_bits, mask=mask)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    assert np.array_equal(read(data), expected)


@pytest.mark.parametrize("mask", [0x1, 0x2, 0x4, 0x200, 0])
def test_one_channel_of_any_name_is_mono_at_its_level(read, mask):
    samples = np.random.default_rng(1).integers(-(2**30), 2**30, (5000, 1)) & ~0xFF
    sound = read(wave_extensible(samples, valid_bits=32, mask=mask))
    assert np.allclose(sound[:, 0], samples[:, 0] / 2**31, atol=1e-7)


@pytest.mark.parametrize("channels", [9, 12, 13, 32])
def test_many_channels_are_read_or_refused_in_plain_words(read, channels):
    data = wave_extensible(np.full((5000, channels), 2**20), valid_bits=32, mask=0)
    try:
        assert len(read(data)) == 5000
    except MediaError as error:
        assert "has channels that are no known arrangement" in error.message  # noqa: PT017 - either way is right


# ---- kinds ----


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("w64", ("-c:a", "pcm_s24le")),
        ("ac3", ()),
        ("eac3", ()),
        ("mp4", ("-c:a", "ac3")),
        ("mp4", ("-c:a", "eac3")),
        ("mkv", ("-c:a", "ac3")),
        ("mkv", ("-c:a", "eac3")),
        ("wma", ("-c:a", "wmav1")),
        ("wma", ("-c:a", "wmav2")),
    ],
    ids=["w64", "ac3", "eac3", "ac3-mp4", "eac3-mp4", "ac3-mkv", "eac3-mkv", "wma1", "wma2"],
)
def test_older_kinds_of_files_are_read(made, read, ending, options):
    sound = read(made(ending, *SOUND, *options))
    assert len(sound) / RATE == pytest.approx(SECONDS, abs=0.15)
    middle = sound[RATE : 2 * RATE]
    assert np.abs(np.fft.rfft(middle, axis=0)).argmax(axis=0).tolist() == [440, 660]


def test_every_bit_rate_of_ac3_at_44_1_khz_is_found_and_read(made, read):
    """Its frames differ by two bytes in turn."""
    for kbps in (32, 96, 192, 320, 448, 640):
        sound = read(made("ac3", *SOUND, "-ac", "1", "-b:a", f"{kbps}k"))
        assert len(sound) / RATE == pytest.approx(SECONDS, abs=0.05)


def amr(seconds: int, *, wide: bool = False, frame: bytes | None = None) -> bytes:
    """AMR (RFC 4867): frames of the lowest mode, 20 ms each."""
    frame = frame or b"\x04" + bytes(range(17 if wide else 12))
    return (b"#!AMR-WB\n" if wide else b"#!AMR\n") + frame * (50 * seconds)


def test_amr_of_old_phones_is_read(made, read, tmp_path):
    assert len(read(amr(2))) == 2 * RATE
    assert len(read(amr(2, wide=True))) == 2 * RATE
    (tmp_path / "a.amr").write_bytes(amr(2))
    assert len(read(made("3gp", "-i", str(tmp_path / "a.amr"), "-c", "copy"))) == 2 * RATE


def test_a_hole_in_an_amr_is_damage(read, refused):
    assert "is damaged" in refused(amr(2) + bytes(13 * 50) + amr(1)[6:])
    assert len(read(amr(2) + bytes(13 * 5) + amr(1)[6:])) == pytest.approx(3.1 * RATE)


@pytest.mark.parametrize("seconds", [4.0, 4.09])
def test_alac_in_caf_is_read_to_its_last_sample(made, read, seconds):
    """FFmpeg 9 takes off what the last packet lacks once more."""
    tone = f"sine=440:r=44100:d={seconds}"
    plain = made("caf", "-f", "lavfi", "-i", tone, "-c:a", "alac")
    expected, _ = soundfile.read(made("wav", "-f", "lavfi", "-i", tone), dtype="float32")
    assert np.array_equal(read(plain)[:, 0], expected)


# ---- words ----


def test_a_protected_m4a_is_called_protected(made, refused):
    data = made("m4a", *SOUND).read_bytes()
    assert refused(data.replace(b"mp4a", b"drms", 1)) == "a is protected against copying (DRM)"


@pytest.mark.parametrize("ending", ["mkv", "webm"])
def test_a_video_without_sound_is_called_so(made, refused, ending):
    assert "is a video without sound" in refused(made(ending, *FILM, "-c:v", "mpeg4", "-f", "matroska"))


@pytest.mark.parametrize("name", ["a\nb.wav", "a\x1b[31mb.wav", "a\u202eb.wav", "a\u2066b.wav", "a\udc80b.wav"])
def test_a_name_in_a_message_is_one_plain_line(read, name):
    with pytest.raises(MediaError) as error:
        read(b"no sound", name)
    assert error.value.message.isprintable()
    assert error.value.message.startswith("a\\")
