"""Files as people bring them: films, interrupted and damaged recordings, browsers' and phones' own ways to write."""

from __future__ import annotations

import io
import struct
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from codec_signals import RATE

from worker.errors import MediaError
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.media.decode import decode, opened_sound

SECONDS = 3
SOUND = ("-f", "lavfi", "-i", f"aevalsrc=0.25*sin(2*PI*440*t)|0.25*sin(2*PI*660*t):s=44100:d={SECONDS}")
NOISE = ("-f", "lavfi", "-i", f"anoisesrc=a=0.2:r=48000:d={SECONDS}:seed=1")
FILM = ("-f", "lavfi", "-i", f"testsrc=s=64x64:r=25:d={SECONDS}")
GAP = "aselect='not(between(t,1,2))'"  # a second of three is not there, and the times say so


@pytest.fixture(scope="module")
def ffmpeg() -> Ffmpeg:
    return find_ffmpeg()


@pytest.fixture(scope="module")
def made(ffmpeg, tmp_path_factory) -> Callable[..., Path]:
    """A file by FFmpeg's options, made once."""
    folder = tmp_path_factory.mktemp("made")

    def made(ending: str, *options: str) -> Path:
        path = folder / f"{abs(hash(options)):x}.{ending}"
        if not path.exists():
            command = (ffmpeg.path, "-v", "error", "-nostdin", *options, f"file:{path}")
            subprocess.run(command, check=True, timeout=60)
        return path

    return made


@pytest.fixture
def read(ffmpeg, tmp_path):
    """Decode a file of these bytes: the samples, in as many channels as the clip has."""

    def read(source: Path | bytes, name: str = "a") -> np.ndarray:
        path = source if isinstance(source, Path) else tmp_path / name
        if isinstance(source, bytes):
            path.write_bytes(source)
        raw = tmp_path / "raw"
        with decode(ffmpeg, path, raw, sample_rate=RATE, max_seconds=60, timeout_s=60) as clip:
            return np.fromfile(raw, "<f4").reshape(-1, clip.channels)

    return read


@pytest.fixture
def refused(read):
    def refused(source: Path | bytes) -> str:
        with pytest.raises(MediaError) as error:
            read(source)
        return error.value.message

    return refused


def silent_seconds(sound: np.ndarray) -> float:
    return float(np.count_nonzero(np.abs(sound).max(axis=1) < 1e-4)) / RATE


def zeroed(path: Path, first: float, last: float) -> bytes:
    """A file with a share of its bytes overwritten by zeros."""
    data = bytearray(path.read_bytes())
    begin, end = int(len(data) * first), int(len(data) * last)
    data[begin:end] = bytes(end - begin)
    return bytes(data)


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


@pytest.mark.parametrize("before", ["tags", "long", "zeros", "ape"])
@pytest.mark.parametrize("ending", ["mp3", "aac", "flac"])
def test_tags_and_zeros_before_the_sound_are_skipped(made, read, before, ending):
    def id3(size: int) -> bytes:
        length = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
        return b"ID3\x03\x00\x00" + length + bytes(size)

    ape = b"APETAGEX" + struct.pack("<III", 2000, 32, 0) + struct.pack("<I", 0xA0000000)[::1] + bytes(8)
    prefix = {
        "tags": id3(100) * 5,
        "long": id3(10) + id3(300_000),
        "zeros": bytes(200_000),
        "ape": ape + bytes(1968 + 32),
    }[before]
    plain = made(ending, *SOUND)
    assert np.array_equal(read(prefix + plain.read_bytes()), read(plain))


@pytest.mark.parametrize(("ending", "options"), [("mp3", ()), ("aac", ()), ("ogg", ("-c:a", "libvorbis"))])
def test_zeros_of_a_block_after_the_sound_are_no_damage(made, read, refused, ending, options):
    data = made(ending, *SOUND, *options).read_bytes()
    whole = read(data)
    padded = read(data + bytes(60_000))
    assert abs(len(padded) - len(whole)) <= 1152  # FFmpeg takes the zeros behind an MP3 for a frame
    shorter = min(len(padded), len(whole)) - 1152
    assert np.array_equal(padded[:shorter], whole[:shorter])
    assert "damaged" in refused(data + bytes(200_000))


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


def test_a_wav_may_lack_a_quarter_of_a_second_as_any_file_may(made, read, refused):
    data = made("wav", *SOUND).read_bytes()
    assert len(read(data[:-1])) == SECONDS * RATE - 1
    assert len(read(data[: -RATE // 5 * 4])) / RATE == pytest.approx(SECONDS - 0.2, abs=0.01)
    size_at = data.index(b"data") + 4
    size = int.from_bytes(data[size_at : size_at + 4], "little")
    assert len(read(data[:size_at] + struct.pack("<I", size + 44) + data[size_at + 4 :])) == SECONDS * RATE
    assert "is cut short" in refused(data[: -RATE // 3 * 4])


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


# ---- damage ----

DAMAGED = [
    ("mp3", (*NOISE, "-b:a", "128k", "-write_xing", "0")),
    ("mp3", (*NOISE, "-b:a", "128k")),
    ("aac", (*NOISE,)),
    ("mov", (*NOISE, "-c:a", "aac", "-movflags", "faststart")),
    ("m4a", (*NOISE, "-movflags", "faststart")),
    ("ogg", (*NOISE, "-c:a", "libvorbis", "-page_duration", "60000")),
    ("opus", (*NOISE, "-c:a", "libopus", "-page_duration", "60000")),
    ("webm", (*NOISE, "-c:a", "libopus", "-cluster_time_limit", "100")),
    ("mka", (*NOISE, "-c:a", "libvorbis", "-cluster_time_limit", "100")),
    ("flac", (*NOISE,)),
]
LARGE_PARTS = [("webm", (*NOISE, "-c:a", "libopus")), ("mka", (*NOISE, "-c:a", "flac"))]  # one cluster holds it all


@pytest.mark.parametrize(
    ("ending", "options"), DAMAGED + LARGE_PARTS, ids=[f"{e}{n}" for n, (e, _) in enumerate(DAMAGED + LARGE_PARTS)]
)
def test_a_hole_in_the_middle_is_damage_in_every_container(made, refused, ending, options):
    message = refused(zeroed(made(ending, *options), 0.4, 0.8))
    assert "is damaged" in message or "is cut short" in message


@pytest.mark.parametrize(("ending", "options"), DAMAGED, ids=[f"{e}{n}" for n, (e, _) in enumerate(DAMAGED)])
def test_a_hole_of_a_few_packets_is_forgiven_in_every_container(made, read, ending, options):
    data = zeroed(made(ending, *options), 0.6, 0.605)
    assert len(read(data)) / RATE == pytest.approx(SECONDS, abs=0.5)


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


def test_a_gap_of_hours_is_held_to_the_allowed_length(made, refused):
    late = made("mka", *NOISE, "-af", "asetpts='PTS+gt(T,1)*36000/TB'", "-c:a", "libopus")
    assert "is longer than the 60 s that are allowed" in refused(late)


# ---- layouts ----


def both_layouts(made, ending: str, *options: str) -> bytes:
    mono = made(ending, *SOUND, "-ac", "1", *options).read_bytes()
    return mono + made(ending, *SOUND, "-ac", "2", *options).read_bytes()


@pytest.mark.parametrize(
    ("ending", "options"), [("mp3", ()), ("aac", ()), ("opus", ("-c:a", "libopus")), ("ogg", ("-c:a", "libvorbis"))]
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
        ("mp4", ("-c:a", "ac3")),
        ("mp4", ("-c:a", "eac3")),
        ("mkv", ("-c:a", "ac3")),
        ("mkv", ("-c:a", "eac3")),
        ("wma", ("-c:a", "wmav1")),
        ("wma", ("-c:a", "wmav2")),
    ],
    ids=["w64", "ac3-mp4", "eac3-mp4", "ac3-mkv", "eac3-mkv", "wma1", "wma2"],
)
def test_older_kinds_of_files_are_read(made, read, ending, options):
    sound = read(made(ending, *SOUND, *options))
    assert len(sound) / RATE == pytest.approx(SECONDS, abs=0.15)
    middle = sound[RATE : 2 * RATE]
    assert np.abs(np.fft.rfft(middle, axis=0)).argmax(axis=0).tolist() == [440, 660]


def amr_of_no_data(seconds: int) -> bytes:
    """AMR-NB (RFC 4867): frames of mode 0, 95 bits each."""
    return b"#!AMR\n" + (b"\x04" + bytes(range(12))) * (50 * seconds)


def test_amr_of_old_phones_is_read(made, read, tmp_path):
    assert len(read(amr_of_no_data(2))) == 2 * RATE
    (tmp_path / "a.amr").write_bytes(amr_of_no_data(2))
    assert len(read(made("3gp", "-i", str(tmp_path / "a.amr"), "-c", "copy"))) == 2 * RATE


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
