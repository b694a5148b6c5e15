"""Where music loops: pieces of the shapes that customers upload, judged by the level and the beat across the seam."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from clips import ArrayClip
from music_pieces import BAR_S, COUNT_IN_S, FADE_S, PIECES, RATE, SILENCE_S, SLOWS_FROM_S

from dsp.blocks import Block
from dsp.k_weighting import Energies
from dsp.loudness import loudness_range_lufs, measure, short_term_lufs
from dsp.music_body import find_body
from dsp.music_loop import LONGEST_SEARCH_S, FoundLoop, find_loop
from dsp.noise import Noise
from dsp.recorded import Looped


def energies_of(sound: Block) -> Energies:
    return measure([sound], RATE).energies


@cache
def piece(name: str) -> Block:
    return PIECES[name]()


@cache
def found(name: str) -> FoundLoop:
    loop = find_loop(ArrayClip(piece(name)), energies_of(piece(name)), RATE)
    assert loop is not None
    return loop


def looped(sound: Block, loop: FoundLoop) -> Looped:
    return Looped(ArrayClip(sound), loop.crossfade_frames, start=loop.start, stop=loop.stop, likeness=loop.likeness)


def around_the_seam(sound: Block, loop: FoundLoop, seconds: float) -> Block:
    """What is heard from so many seconds before the seam to as many after."""
    source, reach = looped(sound, loop), round(seconds * RATE)
    first = source.first_seam + source.period_frames  # the second one has the loop on either side
    return source.render(max(0, first - reach), first + loop.crossfade_frames + reach)


@pytest.mark.parametrize("name", PIECES)
def test_the_loudness_at_a_seam_stays_within_2_lu_of_the_pieces_range(name):
    loop = found(name)
    heard = short_term_lufs(energies_of(around_the_seam(piece(name), loop, 3.0)))
    low, high = loudness_range_lufs(short_term_lufs(energies_of(piece(name)[: loop.stop])))
    assert low - 2.0 < heard.min()
    assert heard.max() < high + 2.0


@pytest.mark.parametrize("name", ["fade-out", "silent end", "count-in"])
def test_the_beat_goes_on_across_the_seam(name):
    bars = looped(piece(name), found(name)).period_frames / RATE / BAR_S
    assert bars >= 16
    assert abs(bars - round(bars)) * BAR_S < 0.005


def test_a_fade_out_is_left_out():
    length_s = len(piece("fade-out")) / RATE
    assert found("fade-out").stop / RATE < length_s - FADE_S + 0.6
    assert found("fade-out").body.stop / 10 == pytest.approx(length_s - FADE_S, abs=0.6)


def test_silence_at_the_end_is_left_out():
    length_s = len(piece("silent end")) / RATE
    assert found("silent end").stop / RATE <= length_s - SILENCE_S
    assert found("silent end").body.sound_stop / 10 == pytest.approx(length_s - SILENCE_S, abs=0.1)


def test_a_count_in_is_not_repeated():
    assert found("count-in").start / RATE >= COUNT_IN_S


def test_a_fade_in_is_left_out():
    sound = piece("silent end")[: 60 * RATE].copy()
    sound[: 10 * RATE] *= np.linspace(0, 1, 10 * RATE, dtype=np.float32)[:, None]
    body = find_body(energies_of(sound))
    assert body is not None
    assert 7.0 < body.start / 10 < 13.0


def test_a_drone_neither_drops_out_nor_swells_at_the_seam():
    loop = found("drone")
    heard = around_the_seam(piece("drone"), loop, 2.0).astype(np.float64)
    levels_db = 10 * np.log10((heard[: len(heard) // RATE * RATE] ** 2).reshape(-1, RATE // 5, 2).mean(axis=(1, 2)))
    assert np.abs(np.diff(levels_db)).max() < 1.0
    assert loop.crossfade_frames > 2 * RATE


def test_a_drum_beat_has_a_shorter_crossfade_than_a_drone():
    assert found("fade-out").crossfade_frames < 0.5 * RATE < found("drone").crossfade_frames


def test_where_a_piano_slows_down_is_left_out():
    assert found("piano that slows down").stop / RATE < SLOWS_FROM_S + 1.0


@cache
def bars_all_alike() -> Block:
    bar = np.tile(Noise("pink", 3, RATE).render(0, RATE // 2), (4, 1)) * np.repeat([0.2, 0.05], RATE)[:, None]
    return np.ascontiguousarray(np.tile(bar.astype(np.float32), (20, 1)))


def test_of_bars_that_are_all_alike_the_longest_loop_is_taken():
    loop = find_loop(ArrayClip(bars_all_alike()), energies_of(bars_all_alike()), RATE)
    assert loop is not None
    assert loop.start < 5 * RATE
    assert loop.stop > 35 * RATE
    assert loop.likeness > 0.95


@pytest.mark.parametrize("sound", [bars_all_alike, lambda: piece("piano that slows down")])
def test_the_last_bits_of_samples_and_energies_change_nothing(sound):
    """As another decoder or BLAS would; where all places are equally good, nothing else decides."""
    rng = np.random.default_rng(1)
    samples, energies = sound(), energies_of(sound())
    others = samples + (1e-5 * rng.standard_normal(samples.shape)).astype(np.float32)
    other_energies = energies * (1 + 1e-6 * rng.standard_normal(len(energies))).astype(np.float32)
    assert find_loop(ArrayClip(others), other_energies, RATE) == find_loop(ArrayClip(samples), energies, RATE)


def test_opposite_polarity_of_the_channels_does_not_hide_the_music():
    sound = piece("fade-out") * np.array([1, -1], np.float32)
    loop = find_loop(ArrayClip(sound), energies_of(sound), RATE)
    assert loop is not None
    assert abs(looped(sound, loop).period_frames / RATE % BAR_S) < 0.005


class _Long:
    """Forty minutes of a piece over and over, which counts what is read of it."""

    frames = 40 * 60 * RATE

    def __init__(self, sound: Block) -> None:
        self._sound = sound
        self.read_frames = 0
        self.largest = 0

    def read(self, start: int, stop: int, out: Block | None = None) -> Block:
        assert out is None
        self.read_frames += stop - start
        self.largest = max(self.largest, stop - start)
        return self._sound[np.arange(start, stop) % len(self._sound)]


def test_of_a_long_piece_only_the_ends_are_read_and_little_at_once():
    clip = _Long(piece("silent end")[: 50 * RATE])
    energies = np.tile(energies_of(piece("silent end")[: 50 * RATE]), 48)
    loop = find_loop(clip, energies, RATE)
    assert loop is not None
    assert loop.stop - loop.start > 35 * 60 * RATE
    assert clip.read_frames < 3 * LONGEST_SEARCH_S * RATE
    assert clip.largest < 10 * RATE


@pytest.mark.parametrize("seconds", [0.05, 0.5, 1.2])
def test_what_is_too_short_to_compare_has_no_place_of_its_own(seconds):
    sound = Noise("pink", 1, RATE).render(0, round(seconds * RATE))
    assert find_loop(ArrayClip(sound), energies_of(sound), RATE) is None


def test_silence_loops_nowhere():
    sound = np.zeros((30 * RATE, 2), np.float32)
    assert find_loop(ArrayClip(sound), energies_of(sound), RATE) is None


@cache
def made_as_a_loop() -> Block:
    """Chords that swell into each other, the last one into the first: 12 s."""
    turns = np.arange(12 * RATE) / (12 * RATE)
    sound = np.zeros(len(turns))
    for number, hz in enumerate((110, 131, 147, 165, 196, 220)):
        sound += (1 + np.cos(2 * np.pi * (turns - number / 6))) * np.sin(2 * np.pi * 12 * hz * turns)
    return np.ascontiguousarray(np.repeat(0.03 * sound.astype(np.float32)[:, None], 2, axis=1))


def test_a_piece_that_is_a_loop_already_is_repeated_as_it_is():
    loop = find_loop(ArrayClip(made_as_a_loop()), energies_of(made_as_a_loop()), RATE)
    assert loop is not None
    assert (loop.start, loop.stop, loop.crossfade_frames) == (0, 12 * RATE, 0)


@pytest.mark.parametrize("frames", [100, RATE // 3])
def test_a_loop_that_was_cut_short_is_none_any_more(frames):
    sound = np.ascontiguousarray(made_as_a_loop()[:-frames])
    loop = find_loop(ArrayClip(sound), energies_of(sound), RATE)
    assert loop is not None
    assert loop.crossfade_frames > 0


@pytest.mark.parametrize("rate", [22_050, 48_000])
def test_music_of_other_sample_rates_loops_by_whole_turns_too(rate):
    n = np.arange(round(40 * rate))
    turn = 5 * rate
    tone = 0.2 * np.sin(2 * np.pi * (200 + 100 * (n // (turn // 5) % 5)) * n / rate)
    sound = np.repeat(tone.astype(np.float32)[:, None], 2, axis=1)
    loop = find_loop(ArrayClip(sound), measure([sound], rate).energies, rate)
    assert loop is not None
    turns = (loop.stop - loop.crossfade_frames - loop.start) / turn
    assert turns == pytest.approx(round(turns), abs=0.001)
    assert turns > 4


@pytest.mark.parametrize("seconds", [1.3, 1.5, 2.0, 2.9, 3.3])
def test_a_piece_of_a_second_or_two_has_a_loop_or_none(seconds):
    time = np.arange(round(seconds * RATE)) / RATE
    swell = 0.3 * np.sin(2 * np.pi * 1900 * time) * np.sin(np.pi * time / seconds) ** 0.5
    sound = np.stack([swell, swell], axis=1).astype(np.float32)
    loop = find_loop(ArrayClip(sound), energies_of(sound), RATE)
    assert loop is None or looped(sound, loop).period_frames > 0
