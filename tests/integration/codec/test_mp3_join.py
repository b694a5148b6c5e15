"""Pieces that were encoded side by side make the file that one encoder would have made."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import mutagen.mp3
import numpy as np
import pytest
import soundfile
from codec_signals import RATE, encode_sound, music_like, noise_db, pcm_of, pink, speech_like, tones
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import children
from tiers import further

from dsp.blocks import Block
from worker.codec import mp3
from worker.codec.aac import aac_coder
from worker.codec.encoder_processes import Encoders, encode_segments
from worker.codec.frames import EncodedFrames
from worker.codec.mp3 import StreamFacts, info_frame, mp3_coder, split_frames
from worker.codec.reservoir import main_data_begin, without_stuffing
from worker.codec.segments import SegmentCoder, Track, cut
from worker.codec.tags import Tags
from worker.errors import TransientError
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg

SIGNALS: dict[str, Callable[[int], Block]] = {
    "tones": tones, "noise": pink, "speech": speech_like, "music": music_like
}  # fmt: skip
WINDOW = RATE // 20


@pytest.fixture(scope="module")
def ffmpeg() -> Ffmpeg:
    return find_ffmpeg()


def track_of(sound: Block, ffmpeg: Ffmpeg, **more) -> Track:
    return Track(pcm_of(sound), len(sound), RATE, Tags(), ffmpeg, **more)


def encoded(sound: Block, coder: SegmentCoder, ffmpeg: Ffmpeg, rate: int = RATE) -> tuple[list[bytes], Block]:
    """Encode a sound; returns the encoded frames, and what they decode to."""
    decoded_blocks: list[Block] = []
    track = replace(track_of(sound, ffmpeg, threads=2, on_decoded=decoded_blocks.append), sample_rate=rate)
    frames = [frame for piece in encode_segments(track, coder) for frame in piece]
    return frames, np.concatenate(decoded_blocks)


def in_short_pieces(coder: SegmentCoder) -> SegmentCoder:
    return replace(coder, shortest=40, longest=60)


@pytest.mark.parametrize(("kbps", "rate"), further(product((128, 192, 320), (44_100, 48_000)), but=[(192, 44_100)]))
@pytest.mark.parametrize("signal", SIGNALS)
def test_the_joined_mp3_is_as_good_as_one_encoding_everywhere(ffmpeg, signal, kbps, rate):
    sound = SIGNALS[signal](RATE * 5)
    coder = mp3_coder(rate, kbps, 10**9)
    joins = cut(len(sound), in_short_pieces(coder))[1:]
    joined, joined_sound = encoded(sound, in_short_pieces(coder), ffmpeg, rate)
    single, single_sound = encoded(sound, replace(coder, shortest=10**9), ffmpeg, rate)
    assert len(joins) >= 2
    assert [len(frame) for frame in joined] == [len(frame) for frame in single]
    for piece in joins:
        first = piece.start // coder.frame_samples + piece.drop
        reaching = any(map(main_data_begin, joined[first : first + coder.shared]))
        assert reaching or (signal, kbps) == ("tones", 320), "there is no reservoir to be joined in"
    # LAME 4.1 mostly gives the very same samples; 3.100 at times shares the bits out a little otherwise for a while
    whole_db = noise_db(joined_sound, sound) - noise_db(single_sound, sound)
    assert whole_db == pytest.approx(0, abs=0.05)
    assert worst_rise_db(sound, joined_sound, single_sound, range(0, len(sound) - WINDOW, WINDOW // 2)) < 3


@pytest.mark.parametrize("signal", ["noise", "music"])
def test_a_join_before_the_encodings_are_alike_is_whole(ffmpeg, signal):
    sound = SIGNALS[signal](RATE * 5)
    coder = replace(in_short_pieces(mp3_coder(RATE, 192, 10**9)), preroll=4, shared=8, postroll=11)
    _, joined = encoded(sound, coder, ffmpeg)
    _, single = encoded(sound, replace(coder, shortest=10**9), ffmpeg)
    assert not np.array_equal(joined, single)
    assert worst_rise_db(sound, joined, single, range(0, len(sound) - WINDOW, WINDOW // 2)) < 6


def test_pieces_whose_reservoirs_do_not_meet_are_encoded_once_more(ffmpeg):
    sound = speech_like(RATE * 5)
    coder = in_short_pieces(mp3_coder(RATE, 192, 10**9))
    tries: list[tuple[EncodedFrames, EncodedFrames]] = []

    def joined_at_the_second_try(before: EncodedFrames, after: EncodedFrames) -> EncodedFrames | None:
        tries.append((before, after))
        return None if len(tries) % 2 else coder.join(before, after)

    _, twice = encoded(sound, replace(coder, join=joined_at_the_second_try), ffmpeg)
    _, single = encoded(sound, replace(coder, shortest=10**9), ffmpeg)
    assert len(tries) == 2 * len(cut(len(sound), coder)[1:])
    for before, after in tries[1::2]:  # the second time the encoder is where the one before was
        assert list(map(main_data_begin, before)) == list(map(main_data_begin, after))[: len(before)]
    assert np.array_equal(twice, single)
    with pytest.raises(TransientError, match="once more"):
        encoded(sound, replace(coder, join=lambda *_: None), ffmpeg)
    assert not children()


@pytest.mark.parametrize("kbps", further([128, 192, 320], but=[192]))
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_an_encoder_gives_each_piece_what_a_new_one_would(ffmpeg, rate, kbps):
    noise = pink(rate * 3)
    sound = np.concatenate([noise / np.abs(noise).max(), 0.003 * tones(rate * 2), music_like(rate * 4)])
    coder = replace(mp3_coder(rate, kbps, 10**9), shortest=40, longest=60)
    pieces = cut(len(sound), coder)
    assert len(pieces) >= 4
    track = replace(track_of(sound, ffmpeg), sample_rate=rate)
    with Encoders(track, coder, segments=len(pieces)) as encoder:
        by_one = [bytes(without_stuffing(encoder.encode(piece)).data) for piece in pieces]
    by_many: list[bytes] = []
    for piece in pieces:
        with Encoders(track, coder, segments=1) as encoder:
            by_many.append(bytes(without_stuffing(encoder.encode(piece)).data))
    assert by_one == by_many


@pytest.mark.parametrize("aac", [False, True])
def test_mp3_encoders_take_piece_after_piece_and_those_of_aac_one_each(ffmpeg, aac):
    coder = aac_coder(RATE, 192) if aac else mp3_coder(RATE, 192, 10**9)
    coder = replace(coder, shortest=40, longest=60, preroll=20)
    sound = tones(300 * coder.frame_samples)
    pieces = len(cut(len(sound), coder))
    seen: set[int] = set()

    def pcm(start: int, stop: int) -> Iterator[Block]:
        for block in pcm_of(sound)(start, stop):
            seen.update(child.pid for child in children())
            yield block

    list(encode_segments(replace(track_of(sound, ffmpeg, threads=2), pcm=pcm), coder))
    assert pieces > 3
    assert len(seen) == (pieces if aac else 2)
    assert not children()


def worst_rise_db(sound: Block, joined: Block, single: Block, starts: Iterable[int]) -> float:
    """How much more coding noise there is in the 50 ms from each start than in one encoding at the same place."""
    rises = []
    for start in starts:
        span = slice(start, start + WINDOW)
        # below -110 dB nothing is audible, and there is little to compare
        floor = 10 ** (-110 / 10)
        here, there = (10 ** (noise_db(other[span], sound[span]) / 10) + floor for other in (joined, single))
        rises.append(10 * np.log10(here / there))
    return max(rises)


@pytest.mark.parametrize(
    ("signal", "kbps", "preroll"),
    [
        ("noise", 320, 100),  # at this bit rate the rate control has little to remember
        *(
            pytest.param(signal, kbps, aac_coder(RATE, kbps).preroll, marks=pytest.mark.faults)
            for signal in SIGNALS
            for kbps in (128, 192, 320)
        ),
    ],
)
def test_after_a_join_aac_is_as_good_as_one_encoding(ffmpeg, signal, kbps, preroll):
    coder = replace(aac_coder(RATE, kbps), preroll=preroll, shortest=300, longest=400)
    sound = SIGNALS[signal](coder.frame_samples * (400 + 3 * coder.preroll))
    assert len(cut(len(sound), coder)) > 1
    _, joined = encoded(sound, coder, ffmpeg)
    _, single = encoded(sound, replace(coder, shortest=10**9), ffmpeg)
    joins = [piece.start + piece.drop * coder.frame_samples - coder.delay for piece in cut(len(sound), coder)[1:]]
    starts = [start for at in joins for start in (at - WINDOW, at - WINDOW // 2, at)]
    assert worst_rise_db(sound, joined, single, starts) < 1.0


@settings(max_examples=200, deadline=None)
@given(frames=st.integers(1, 10**9), kbps=st.sampled_from([128, 192, 320]), aac=st.booleans())
def test_pieces_cover_a_track_of_any_length_once(frames, kbps, aac):
    coder = aac_coder(RATE, kbps) if aac else mp3_coder(RATE, kbps, frames)
    kept, pieces = 0, cut(frames, coder)
    for piece in pieces:
        begin = piece.start // coder.frame_samples
        assert piece.start % coder.frame_samples == 0
        assert begin % coder.align == 0
        assert begin + piece.drop == kept
        assert kept == 0 or piece.drop >= coder.preroll
        kept += piece.keep
        assert piece.stop == min(frames, (kept + coder.postroll) * coder.frame_samples)
        assert piece.keep > piece.shared
        assert piece.shared == (0 if piece == pieces[-1] else coder.shared)
        assert piece.stop > piece.start
        assert piece.stop - piece.start <= (coder.longest + 6 * coder.preroll + 100) * coder.frame_samples
    assert kept == coder.encoded_frame_count(frames)


@pytest.mark.parametrize("minutes", [2, 5, 10, 33, 60, 480])
def test_long_tracks_are_shared_out_evenly_over_the_cores(minutes):
    frames = RATE * 60 * minutes
    lengths = [piece.stop - piece.start for piece in cut(frames, mp3_coder(RATE, 192, frames))]
    for cores in (2, 3, 4):
        loads = [0] * cores
        for length in lengths:  # whoever is free first takes the next
            loads[loads.index(min(loads))] += length
        assert max(loads) < 1.1 * frames / cores
    assert len(lengths) <= 6 + frames / RATE / 60
    assert lengths[-1] <= lengths[0]


def test_pieces_start_where_the_pattern_of_frame_lengths_starts_over():
    for kbps in (128, 192, 320):
        assert mp3_coder(RATE, kbps, 1).align == Fraction(144_000 * kbps, RATE).denominator == 49
    assert mp3_coder(48_000, 192, 1).align == 1


SOUND_FRAMES = RATE * 42 + 333  # four pieces


@pytest.fixture(scope="module")
def sound() -> Block:
    return music_like(SOUND_FRAMES)


@pytest.fixture(scope="module")
def file(sound, ffmpeg, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("join") / "a.mp3"
    encode_sound(sound, out, ffmpeg, tags=Tags(title="joined"))
    assert len(cut(len(sound), mp3_coder(RATE, 192, len(sound)))) == 4
    return out


class TestTheFile:
    def test_ffmpeg_has_nothing_to_say_about_it(self, ffmpeg, file):
        arguments = ("-v", "warning", "-xerror", "-err_detect", "explode", "-i", file, "-f", "null", "-")
        done = subprocess.run([ffmpeg.path, *arguments], capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b"")

    def test_every_reader_finds_its_exact_length(self, ffmpeg, file):
        pcm = subprocess.run(
            [ffmpeg.path, "-v", "error", "-i", file, "-f", "s16le", "-"], capture_output=True, timeout=60, check=True
        ).stdout
        assert len(pcm) == 4 * SOUND_FRAMES
        assert soundfile.info(file).frames == SOUND_FRAMES
        assert mutagen.mp3.MP3(file).info.length * RATE == pytest.approx(SOUND_FRAMES, abs=1e-6)

    def test_its_header_tells_the_truth(self, file):
        data = file.read_bytes()
        start = data.index(b"\xff\xfb")
        first, *frames = split_frames(data[start:])
        assert first[36:40] == b"Info"
        flags, count, size = (int.from_bytes(first[at : at + 4], "big") for at in (40, 44, 48))
        assert (flags, count, size) == (15, len(frames), len(data) - start)
        contents = first[52:152]
        assert (contents[0], contents[50], contents[99]) == (0, 128, 253)
        lame = first[156:192]
        assert re.match(rb"LAME\d\.\d+", lame)
        assert lame[9] & 15 == 1  # constant bit rate
        delay, padding = int.from_bytes(lame[21:24], "big") >> 12, int.from_bytes(lame[21:24], "big") & 0xFFF
        assert delay == 576
        assert len(frames) * 1152 - delay - padding == SOUND_FRAMES
        assert padding >= 529
        assert int.from_bytes(lame[28:32], "big") == len(data) - start
        assert int.from_bytes(lame[32:34], "big") == slow_crc16(b"".join(frames))
        assert int.from_bytes(lame[34:36], "big") == slow_crc16(first[:190])
        info = mutagen.mp3.MP3(file).info
        assert (info.bitrate, info.bitrate_mode) == (192_000, mutagen.mp3.BitrateMode.CBR)
        assert info.encoder_info.startswith("LAME")

    def test_seeks_give_the_samples_of_straight_decoding(self, ffmpeg, file):
        joins = [piece.start + piece.drop * 1152 for piece in cut(SOUND_FRAMES, mp3_coder(RATE, 192, SOUND_FRAMES))[1:]]
        places = [*joins, *np.random.default_rng(8).integers(0, SOUND_FRAMES - RATE, 5).tolist()]
        arguments = ("-v", "warning", "-i", file, "-f", "f32le", "-")
        done = subprocess.run([ffmpeg.path, *arguments], capture_output=True, timeout=60, check=True)
        whole = np.frombuffer(done.stdout, "<f4").reshape(-1, 2)
        straight, _ = soundfile.read(file, dtype="float32")
        with soundfile.SoundFile(file) as opened:
            for place in places:
                opened.seek(place)
                assert np.array_equal(opened.read(8000, dtype="float32"), straight[place : place + 8000])
        for place in places:
            done = subprocess.run(
                [ffmpeg.path, "-ss", f"{place / RATE:.6f}", "-t", "0.4", *arguments],
                capture_output=True,
                timeout=60,
                check=True,
            )
            part = np.frombuffer(done.stdout, "<f4").reshape(-1, 2)
            # FFmpeg reads no frame before, so it has no data for the first two: with any file that has a reservoir
            assert len(part) > 16_000
            assert np.array_equal(part[2304:], whole[place + 2304 : place + len(part)])
            assert done.stderr == b""

    def test_the_bytes_between_are_a_whole_stream(self, file):
        data = file.read_bytes()
        frames = split_frames(data[data.index(b"\xff\xfb") :])
        assert {len(frame) for frame in frames} == {626, 627}


def slow_crc16(data: bytes) -> int:
    """CRC-16/ARC bit by bit."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def test_a_header_that_cannot_be_right_is_not_written():
    frame = b"\xff\xfb\xb0\x44"
    with pytest.raises(ValueError, match="0 to 4095"):
        info_frame(frame, StreamFacts(), delay=4096)
    with pytest.raises(ValueError, match="no room"):
        info_frame(b"\xff\xfb\x10\x44", StreamFacts())  # 32 kbit/s
    with pytest.raises(ValueError, match="no room"):
        info_frame(b"RIFF", StreamFacts())


def test_a_stream_that_is_torn_is_found_out():
    frame = info_frame(b"\xff\xfb\xb0\x44", StreamFacts())
    assert list(split_frames(frame * 3)) == [frame] * 3
    for torn in (frame[:-1], frame + b"x", b"x" + frame):
        with pytest.raises(ValueError, match="no whole MPEG frame at byte"):
            split_frames(torn)


def test_decoding_pieces_one_by_one_hears_what_decoding_the_file_does(ffmpeg, tmp_path, monkeypatch):
    sound = pink(RATE * 22)
    decoded_blocks = encode_sound(sound, tmp_path / "a.mp3", ffmpeg)
    whole, _ = soundfile.read(io.BytesIO((tmp_path / "a.mp3").read_bytes()), dtype="float32")
    assert np.array_equal(decoded_blocks, whole)


def test_mp3_takes_the_rates_it_has():
    with pytest.raises(ValueError, match="22050"):
        mp3.write_mp3(
            replace(track_of(tones(10), Ffmpeg(Path("x"), "6.0")), sample_rate=22_050), io.BytesIO(), bitrate_kbps=64
        )
