"""Recordings in: any rate and layout, exact in length, read from disk block by block."""

from __future__ import annotations

import resource
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import PNG
from codec_signals import RATE, decoded, encode_sound, music_like, tones
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import children

from worker.errors import MediaError, ResourceError, TransientError
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.media.clip import FileClip
from worker.media.decode import decode, opened_sound


def wav(path: Path, sound, rate: int = RATE, subtype: str = "FLOAT") -> Path:
    soundfile.write(path, sound, rate, subtype=subtype, format="WAV")
    return path


def clip_of(ffmpeg: Ffmpeg, source: Path, *, sample_rate: int = RATE, max_seconds: float = 60, timeout_s: float = 30):
    into = source.with_suffix(".raw")
    return decode(ffmpeg, source, into, sample_rate=sample_rate, max_seconds=max_seconds, timeout_s=timeout_s)


def made_by_ffmpeg(source: Path, out: Path, *options: str) -> Path:
    """Recordings from elsewhere were not made by this project."""
    command = [find_ffmpeg().path, "-nostdin", "-v", "error", "-i", f"file:{source}", *options, f"file:{out}"]
    subprocess.run(command, check=True, timeout=60)
    return out


def test_a_file_at_the_plans_rate_comes_through_bit_for_bit(ffmpeg, tmp_path):
    sound = music_like(70_001)
    clip = clip_of(ffmpeg, wav(tmp_path / "a.wav", sound))
    assert clip.frames == len(sound)
    assert np.array_equal(clip.read(0, clip.frames), sound)
    with opened_sound(ffmpeg, tmp_path / "a.wav") as stream:
        assert sum(len(block) for block in stream.blocks) == len(sound)
        assert (stream.codec, stream.sample_rate, stream.channels) == ("pcm_f32le", RATE, 2)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "DOUBLE", "ULAW"])
def test_every_usual_sample_format_is_read(ffmpeg, tmp_path, subtype):
    sound = tones(5000)
    clip = clip_of(ffmpeg, wav(tmp_path / "a.wav", sound, subtype=subtype))
    tolerance = {"PCM_U8": 2**-7, "ULAW": 0.02}.get(subtype, 2**-15)
    assert np.abs(clip.read(0, 5000) - sound).max() <= tolerance


def test_one_channel_stays_one_on_disk_and_is_heard_in_both_ears(ffmpeg, tmp_path):
    sound = tones(10_000)[:, :1]
    clip = clip_of(ffmpeg, wav(tmp_path / "a.wav", sound))
    assert clip.channels == 1
    assert clip.path.stat().st_size == 4 * 10_000
    block = clip.read(100, 5000)
    assert block.shape == (4900, 2)
    assert np.array_equal(block, np.repeat(sound[100:5000], 2, axis=1))


def test_six_channels_become_two_with_the_centre_in_both(ffmpeg, tmp_path):
    sound = np.zeros((8000, 6), np.float32)
    sound[:, 2] = tones(8000)[:, 0]  # front centre
    clip = clip_of(ffmpeg, wav(tmp_path / "a.wav", sound))
    left, right = clip.read(0, 8000).T
    assert clip.channels == 2
    assert np.array_equal(left, right)
    assert np.corrcoef(left, sound[:, 2])[0, 1] > 0.9999


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000])
def test_any_rate_becomes_the_plans_at_its_exact_length(ffmpeg, tmp_path, rate):
    for frames in (1, 2, 100, 31_999):
        clip = clip_of(ffmpeg, wav(tmp_path / "a.wav", 0.1 * np.ones((frames, 1)), rate))
        assert clip.frames == max(1, round(frames * RATE / rate))


@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_a_resampled_tone_is_pure_and_in_time(ffmpeg, tmp_path, rate):
    time_in, hz = np.arange(rate * 2) / rate, 1000.0
    source = wav(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * hz * time_in), rate)
    out = clip_of(ffmpeg, source).read(0, RATE * 2)[RATE // 2 : RATE * 3 // 2, 0]
    time_out = np.arange(RATE // 2, RATE * 3 // 2) / RATE
    error = out - 0.5 * np.sin(2 * np.pi * hz * time_out)  # neither late nor early, nor louder
    assert 20 * np.log10(error.std() / out.std()) < -130


def test_what_lies_above_the_plans_band_does_not_fold_into_it(ffmpeg, tmp_path):
    time = np.arange(96_000) / 96_000
    source = wav(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 30_000 * time), 96_000)
    out = clip_of(ffmpeg, source).read(4410, 39_690)[:, 0]
    assert 20 * np.log10(out.std() / 0.35) < -120


@pytest.mark.parametrize("ending", ["mp3", "m4a", "flac", "wav"])
def test_a_delivered_file_comes_back_at_its_exact_length_and_in_time(ffmpeg, tmp_path, ending):
    sound = music_like(60_000)
    out = tmp_path / f"a.{ending}"
    encode_sound(sound, out, ffmpeg)
    decoded_blocks = decoded(ffmpeg, out)
    # FFmpeg 5 and 6 do not read how far the last frame of an M4A counts
    assert 0 <= len(decoded_blocks) - 60_000 < (1024 if ending == "m4a" else 1)
    assert [np.dot(decoded_blocks[1000:50_000, 0], sound[1000 + d : 50_000 + d, 0]) for d in (-1, 0, 1)].index(
        max(np.dot(decoded_blocks[1000:50_000, 0], sound[1000 + d : 50_000 + d, 0]) for d in (-1, 0, 1))
    ) == 1


@pytest.mark.parametrize("ending", ["mp3", "flac", "ogg", "m4a", "aac", "aiff", "au", "caf", "webm"])
def test_every_kind_of_file_that_people_have_is_read(ffmpeg, tmp_path, ending):
    source = wav(tmp_path / "source.wav", tones(RATE))
    made = made_by_ffmpeg(source, tmp_path / f"a.{ending}", *(["-c:a", "libopus"] if ending == "webm" else []))
    clip = clip_of(ffmpeg, made)
    sound = clip.read(0, clip.frames)
    assert -128 <= clip.frames - RATE <= 2300  # what some of them pad, and Vorbis loses
    assert np.abs(np.fft.rfft(sound[10_000:40_000, 0])).argmax() == round(197 * 30_000 / RATE)


def test_a_cover_picture_is_passed_over(ffmpeg, tmp_path):
    from worker.codec.tags import Tags

    out = tmp_path / "a.mp3"
    encode_sound(tones(30_000), out, ffmpeg, tags=Tags(title="covered", cover=PNG))
    assert clip_of(ffmpeg, out).frames == 30_000


def test_one_frame_is_a_recording(ffmpeg, tmp_path):
    clip = clip_of(ffmpeg, wav(tmp_path / "a.wav", np.full((1, 2), 0.25)))
    assert np.array_equal(clip.read(0, 1), [[0.25, 0.25]])


def test_a_few_samples_that_are_not_numbers_become_silence(ffmpeg, tmp_path):
    sound = tones(10_000)
    sound[[5, 777], 0] = np.nan, np.inf
    sound[9999, 1] = 1e30
    read = clip_of(ffmpeg, wav(tmp_path / "a.wav", sound)).read(0, 10_000)
    assert np.isfinite(read).all()
    assert (read[5, 0], read[777, 0], read[9999, 1]) == (0, 0, 0)
    assert read[6, 0] == sound[6, 0]


def test_a_file_full_of_them_is_refused(ffmpeg, tmp_path):
    with pytest.raises(MediaError, match=r"a\.wav is damaged: .* are not numbers"):
        clip_of(ffmpeg, wav(tmp_path / "a.wav", np.full((1000, 2), np.nan)))


def test_levels_above_full_scale_are_kept(ffmpeg, tmp_path):
    sound = 40 * tones(1000)
    assert np.array_equal(clip_of(ffmpeg, wav(tmp_path / "a.wav", sound)).read(0, 1000), sound)


def test_a_longer_recording_than_allowed_is_refused_and_leaves_nothing(ffmpeg, tmp_path):
    source = wav(tmp_path / "a.wav", tones(RATE * 3))
    with pytest.raises(MediaError, match=r"a\.wav is longer than the 2 s that are allowed"):
        clip_of(ffmpeg, source, max_seconds=2)
    assert not source.with_suffix(".raw").exists()


def test_decoding_that_takes_too_long_is_given_up(ffmpeg, tmp_path):
    source = wav(tmp_path / "a.wav", tones(RATE * 60), subtype="PCM_16")
    with pytest.raises(TransientError, match="too long"):
        clip_of(ffmpeg, source, max_seconds=1000, timeout_s=0.0)
    assert not source.with_suffix(".raw").exists()


def test_a_full_disk_is_told_and_leaves_nothing(ffmpeg, tmp_path):
    source = wav(tmp_path / "a.wav", tones(RATE * 5))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(ResourceError, match=r"the disk is full: a\.wav"):
            clip_of(ffmpeg, source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not source.with_suffix(".raw").exists()


def test_a_reader_that_leaves_early_leaves_no_process(ffmpeg, tmp_path):
    with opened_sound(ffmpeg, wav(tmp_path / "a.wav", tones(RATE * 20))) as sound:
        next(sound.blocks)
        assert children()
    assert not children()


def test_a_file_name_is_never_an_option_or_an_address(ffmpeg, tmp_path):
    for name in ("-y.wav", "http:a.wav", "a b'\"%d.wav", "concat:a.wav"):
        assert clip_of(ffmpeg, wav(tmp_path / name, tones(100))).frames == 100


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "raw"
    np.arange(2000, dtype="<f4").tofile(path)
    with FileClip(path, channels=2) as clip:
        yield clip


class TestClip:
    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 1000), st.integers(0, 1000))
    def test_any_stretch_is_the_same_as_a_part_of_the_whole(self, clip, first, second):
        start, stop = sorted((first, second))
        block = clip.read(start, stop)
        assert block.dtype == np.float32
        assert np.array_equal(block, clip.read(0, 1000)[start:stop])

    def test_threads_do_not_disturb_one_another(self, clip):
        whole = clip.read(0, 1000)
        with ThreadPoolExecutor(8) as pool:
            stretches = [(n % 900, n % 900 + 100) for n in range(0, 9000, 7)]
            blocks = pool.map(lambda stretch: clip.read(*stretch), stretches)
            for (start, stop), block in zip(stretches, blocks, strict=True):
                assert np.array_equal(block, whole[start:stop])

    @pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, 1001), (1001, 1001)])
    def test_what_is_not_in_it_cannot_be_read(self, clip, start, stop):
        with pytest.raises(ValueError, match="of a clip of 1000"):
            clip.read(start, stop)

    def test_a_closed_clip_says_so(self, tmp_path):
        (tmp_path / "raw").write_bytes(struct.pack("<4f", 1, 2, 3, 4))
        clip = FileClip(tmp_path / "raw", channels=1)
        clip.close()
        clip.close()
        with pytest.raises(ValueError, match="closed"):
            clip.read(0, 1)
