"""Tracks out: exact in length, whole or not there, the same file however many pieces are made at once."""

from __future__ import annotations

import hashlib
import resource
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from codec_signals import RATE, decoded, encode_sound, music_like, noise_db, pcm_of, pink, tones
from processes import children
from tiers import further

from dsp.blocks import Block
from worker.codec import lossless
from worker.codec.encode import encode
from worker.codec.encoding import FORMATS, Encoding
from worker.codec.segments import Track
from worker.codec.tags import Tags
from worker.errors import ConfigurationError, ResourceError, TransientError
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg

LOSSLESS_DB = {"wav": -96.0, "flac": -145.0}


@pytest.fixture(scope="module")
def ffmpeg() -> Ffmpeg:
    return find_ffmpeg()


def encode_plainly(pcm, frames: int, out: Path, ffmpeg: Ffmpeg, **more) -> None:
    encode(Track(pcm, frames, RATE, Tags(), ffmpeg, **more), out, Encoding.for_quality(out.suffix[1:], "medium"))


def nothing_left(folder: Path) -> bool:
    return not list(folder.iterdir()) and not children() and threading.active_count() == 1


@pytest.mark.parametrize(
    ("format_", "quality", "kbps"),
    [("mp3", "low", 128), ("mp3", "medium", 192), ("m4a", "high", 320), ("wav", "high", None), ("flac", "low", None)],
)
def test_quality_means_a_bit_rate_where_there_is_one(format_, quality, kbps):
    assert Encoding.for_quality(format_, quality) == Encoding(format_, kbps)


@pytest.mark.parametrize(
    "encoding", [Encoding(*pair) for pair in (("mp3", 128), ("mp3", 192), ("mp3", 320), ("m4a", 192))]
)
def test_the_encoders_own_gain_is_the_one_that_is_named(ffmpeg, tmp_path, encoding):
    sound = tones(RATE * 3)
    checked = encode_sound(sound, tmp_path / f"a.{encoding.format}", ffmpeg, kbps=encoding.bitrate_kbps)
    change_db = 20 * np.log10(np.vdot(checked, sound) / np.vdot(sound, sound))
    within_db = 0.01 if encoding.format == "mp3" else 0.02  # FFmpeg 5.1's AAC takes 0.012 dB away
    assert change_db == pytest.approx(encoding.level_change_db, abs=within_db)


@pytest.mark.parametrize("ending", FORMATS)
def test_the_check_decodes_what_is_in_the_file(ffmpeg, tmp_path, ending):
    sound = music_like(RATE * 3 + 17)
    checked = encode_sound(sound, tmp_path / f"a.{ending}", ffmpeg)
    read = decoded(ffmpeg, tmp_path / f"a.{ending}")
    if ending == "aac":
        read = read[1024:]  # bare frames know neither their delay nor their length
    assert len(checked) == len(sound)
    # the check decodes MP3 with libsndfile, this test with FFmpeg: they differ in the last bit
    assert np.abs(checked - read[: len(sound)]).max() < 1e-5
    assert noise_db(checked, sound) < LOSSLESS_DB.get(ending, -45)


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("frames", [1, 46, 47, 1153, *further([2, 576, 1024, 1152, 2303, 44_100])])
def test_every_length_is_exact_to_the_frame(ffmpeg, tmp_path, ending, frames):
    sound = tones(frames)
    if ending == "flac" and frames < 16:
        with pytest.raises(ValueError, match="at least 16"):
            encode_sound(sound, tmp_path / "a.flac", ffmpeg)
        return
    assert len(encode_sound(sound, tmp_path / f"a.{ending}", ffmpeg)) == frames
    if ending in ("mp3", "wav", "flac"):
        assert len(decoded(ffmpeg, tmp_path / f"a.{ending}")) == frames
        assert soundfile.info(tmp_path / f"a.{ending}").frames == frames


@pytest.mark.parametrize(("ending", "frames"), [("mp3", RATE * 22), ("wav", RATE * 22), *further([("flac", RATE * 5)])])
def test_the_file_is_the_same_however_many_threads_make_it(ffmpeg, tmp_path, ending, frames):
    sound = music_like(frames)
    digests = set()
    for threads in (1, 2, 5):
        encode_sound(sound, tmp_path / f"a.{ending}", ffmpeg, threads=threads)
        digests.add(hashlib.sha256((tmp_path / f"a.{ending}").read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("block", [1, 509, 65_536])
def test_the_file_is_the_same_whatever_the_blocks_are(ffmpeg, tmp_path, block):
    sound = music_like(4000)
    encode_plainly(pcm_of(sound, block=block), 4000, tmp_path / "a.mp3", ffmpeg)
    encode_plainly(pcm_of(sound), 4000, tmp_path / "b.mp3", ffmpeg)
    assert (tmp_path / "a.mp3").read_bytes() == (tmp_path / "b.mp3").read_bytes()


@pytest.mark.parametrize("ending", further(FORMATS, but=["mp3", "wav"]))
def test_progress_rises_to_the_whole(ffmpeg, tmp_path, ending):
    told: list[int] = []
    encode_plainly(
        pcm_of(pink(RATE * 21)), RATE * 21, tmp_path / f"a.{ending}", ffmpeg, on_progress=told.append, threads=2
    )
    assert told == sorted(told)
    assert len(told) > 1
    assert told[-1] == RATE * 21


@pytest.mark.parametrize("ending", FORMATS)
class TestWholeOrNotAtAll:
    def test_what_the_renderer_raises_comes_through(self, ffmpeg, tmp_path, ending):
        def broken(start: int, stop: int) -> Iterator[Block]:
            yield tones(stop - start)[: (stop - start) // 2]
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            encode_plainly(broken, RATE * 5, tmp_path / f"a.{ending}", ffmpeg)
        assert nothing_left(tmp_path)

    def test_what_the_check_raises_ends_the_work(self, ffmpeg, tmp_path, ending):
        def refuse(_: Block) -> None:
            raise OverflowError

        with pytest.raises(OverflowError):
            encode_plainly(pcm_of(tones(RATE * 6)), RATE * 6, tmp_path / f"a.{ending}", ffmpeg, on_decoded=refuse)
        assert nothing_left(tmp_path)

    def test_an_interrupt_while_telling_the_progress_ends_the_work(self, ffmpeg, tmp_path, ending):
        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            encode_plainly(
                pcm_of(tones(RATE * 60)), RATE * 60, tmp_path / f"a.{ending}", ffmpeg, on_progress=interrupt, threads=2
            )
        assert nothing_left(tmp_path)

    def test_a_full_disk_is_told_and_the_old_file_kept(self, ffmpeg, tmp_path, ending):
        out = tmp_path / f"a.{ending}"
        out.write_bytes(b"the old one")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
        try:
            with pytest.raises(ResourceError, match=rf"a\.{ending}: the disk is full"):
                encode_sound(pink(RATE * 10), out, ffmpeg)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert out.read_bytes() == b"the old one"
        out.unlink()
        assert nothing_left(tmp_path)

    def test_a_folder_that_is_not_there_is_an_os_error_not_a_full_disk(self, ffmpeg, tmp_path, ending):
        with pytest.raises(FileNotFoundError):
            encode_plainly(pcm_of(tones(100)), 100, tmp_path / "nowhere" / f"a.{ending}", ffmpeg)


def test_an_ffmpeg_without_the_encoder_is_a_matter_of_configuration(tmp_path):
    poor = tmp_path / "ffmpeg"
    poor.write_text("#!/bin/sh\necho \"[fatal] Unknown encoder 'libmp3lame'\" >&2\nexit 8\n")
    poor.chmod(0o755)
    with pytest.raises(ConfigurationError, match="libmp3lame"):
        encode_plainly(pcm_of(tones(RATE)), RATE, tmp_path / "a.mp3", Ffmpeg(poor, "6.0"))
    assert [file.name for file in tmp_path.iterdir()] == ["ffmpeg"]


def test_an_encoder_that_swallows_sound_is_found_out(tmp_path, ffmpeg):
    lazy = tmp_path / "ffmpeg"
    lazy.write_text(f'#!/bin/sh\nhead -c 40000 | "{ffmpeg.path}" "$@"\ncat > /dev/null\n')
    lazy.chmod(0o755)
    with pytest.raises(TransientError, match="encoded frames"):
        encode_plainly(pcm_of(tones(RATE)), RATE, tmp_path / "a.mp3", Ffmpeg(lazy, "6.0", "none"))


def test_a_track_of_nothing_is_refused(ffmpeg, tmp_path):
    with pytest.raises(ValueError, match="at least 1"):
        encode_plainly(pcm_of(tones(1)), 0, tmp_path / "a.mp3", ffmpeg)


def test_the_old_file_is_replaced_in_one_step(ffmpeg, tmp_path):
    out = tmp_path / "a.mp3"
    out.write_bytes(b"the old one")
    seen: set[bytes] = set()
    encode_plainly(pcm_of(tones(RATE * 25)), RATE * 25, out, ffmpeg, on_decoded=lambda _: seen.add(out.read_bytes()))
    assert seen == {b"the old one"}
    assert len(decoded(ffmpeg, out)) == RATE * 25


@pytest.mark.parametrize("ending", ["mp3", pytest.param("m4a", marks=pytest.mark.further)])  # written in segments
def test_pieces_that_are_still_being_made_are_given_up_at_once(ffmpeg, tmp_path, ending):
    def without_end(start: int, stop: int) -> Iterator[Block]:
        if start == 0:
            yield from pcm_of(tones(stop))(start, stop)
        while start:
            yield tones(1000)

    def refuse(_: Block) -> None:
        raise OverflowError

    frames = RATE * (361 if ending == "m4a" else 21)  # of two segments
    with pytest.raises(OverflowError):
        encode_plainly(without_end, frames, tmp_path / f"a.{ending}", ffmpeg, on_decoded=refuse, threads=2)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("ending", ["mp3", "m4a"])
def test_a_failed_later_segment_is_raised_while_the_first_is_encoded(ffmpeg, tmp_path, ending):
    def without_end(start: int, stop: int) -> Iterator[Block]:
        if start:
            raise OverflowError
        while True:
            yield tones(1000)

    with pytest.raises(OverflowError):
        encode_plainly(without_end, RATE * 361, tmp_path / f"a.{ending}", ffmpeg, threads=2)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("ending", ["mp3", "m4a", "aac"])  # no FFmpeg writes the others
def test_an_ffmpeg_killed_half_way_is_told(ffmpeg, tmp_path, ending):
    def killing(start: int, stop: int) -> Iterator[Block]:
        yield tones(10_000)
        for child in children():
            child.kill()
        yield from pcm_of(tones(RATE * 20))(start + 10_000, stop)

    with pytest.raises(ResourceError, match="killed"):
        encode_plainly(killing, RATE * 15, tmp_path / f"a.{ending}", ffmpeg)
    assert nothing_left(tmp_path)


class TestFlac:
    def test_it_holds_the_pcm_to_24_bits_and_its_checksum(self, ffmpeg, tmp_path):
        sound = pink(30_000)
        sound[:3] = [[1.0, -1.0], [1.5, -1.5], [0.0, 2.0**-24]]
        encode_sound(sound, tmp_path / "a.flac", ffmpeg)
        samples, _ = soundfile.read(tmp_path / "a.flac", dtype="int32")
        expected = np.clip(np.rint(sound.astype(np.float64) * 2**23), -(2**23), 2**23 - 1).astype(np.int32)
        assert np.array_equal(samples >> 8, expected)
        packed = b"".join(int(value).to_bytes(3, "little", signed=True) for value in expected.ravel())
        head = (tmp_path / "a.flac").read_bytes()[:42]
        assert head[26:42] == hashlib.md5(packed, usedforsecurity=False).digest()


class TestWav:
    def test_its_error_is_dither_and_nothing_else(self, ffmpeg, tmp_path):
        sound = tones(RATE * 2, level=0.001)
        read = encode_sound(sound, tmp_path / "a.wav", ffmpeg)
        error = (read - sound)[:, 0] * 2**15
        assert np.var(error) == pytest.approx(0.25, rel=0.05)  # TPDF dither and rounding: 1/6 + 1/12
        assert abs(np.corrcoef(error, sound[:, 0])[0, 1]) < 0.02

    def test_a_small_one_says_so_in_32_bits(self):
        head = lossless.header(1000, RATE, Tags())
        assert head[:4] == b"RIFF"
        assert struct.unpack_from("<I", head, 4)[0] == len(head) - 8 + 4000

    @pytest.mark.parametrize("tags", [Tags(), Tags(title="odd")])
    def test_one_of_more_than_4_gigabytes_is_rf64(self, ffmpeg, tmp_path, tags):
        frames = 8 * 3600 * RATE
        path = tmp_path / "long.wav"
        head = lossless.header(frames, RATE, tags)
        with path.open("wb") as file:  # a hole on disk: eight hours of silence
            file.write(head)
            file.truncate(len(head) + 4 * frames)
        assert head[:4] == b"RF64"
        assert struct.unpack_from("<Q", head, 20)[0] == path.stat().st_size - 8
        assert soundfile.info(path).frames == frames
        path.unlink()


@pytest.mark.parametrize("ending", FORMATS)
def test_blocks_of_no_frames_are_harmless(ffmpeg, tmp_path, ending):
    sound = tones(3000)

    def with_gaps(start: int, stop: int) -> Iterator[Block]:
        yield sound[:0]
        for block in pcm_of(sound, block=700)(start, stop):
            yield block
            yield sound[:0]

    encode_plainly(with_gaps, 3000, tmp_path / f"a.{ending}", ffmpeg)
    assert (tmp_path / f"a.{ending}").stat().st_size > 1000


def test_the_temporary_file_lies_beside_the_finished_one(ffmpeg, tmp_path):
    """So that the last step is a rename within one file system."""
    names: set[str] = set()
    encode_plainly(
        pcm_of(tones(3000)),
        3000,
        tmp_path / "a.wav",
        ffmpeg,
        on_decoded=lambda _: names.update(file.name for file in tmp_path.iterdir()),
    )
    assert len(names) == 1
    assert names != {"a.wav"}
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]
