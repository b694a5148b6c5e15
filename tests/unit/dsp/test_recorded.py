"""Recordings on the time line: exact places, inaudible seams."""

from __future__ import annotations

import numpy as np
import pytest
from clips import ArrayClip
from signals import SPLITS, both, in_blocks

from dsp.noise import Noise
from dsp.recorded import Looped, Placed

RATE = 44_100


def clip(frames: int, seed: int = 1) -> ArrayClip:
    return ArrayClip(Noise("pink", seed, RATE).render(0, frames))


def test_a_clip_is_heard_where_it_is_placed_and_nowhere_else():
    one, two = clip(1000, 1), clip(333, 2)
    source = Placed((one, two), (10, 1010, 5000), (0, 1, 0))
    track = np.zeros((7000, 2), np.float32)
    track[10:1010], track[1010:1343], track[5000:6000] = one.samples, two.samples, one.samples
    assert np.array_equal(source.render(0, 7000), track)
    for size in SPLITS:
        assert np.array_equal(in_blocks(source, 0, 7000, size), track)
    assert source.silent(1343, 5000)
    assert not source.silent(1342, 5000)
    assert not source.silent(1343, 5001)
    assert source.silent(6000, 9999)


def test_clips_that_overlap_are_refused():
    with pytest.raises(ValueError, match="overlap"):
        Placed((clip(100),), (0, 99), (0, 0))


def test_render_gives_an_array_of_its_own():
    """The mixer works in place: a recording in memory must not be changed by it."""
    recording = clip(100)
    before = recording.samples.copy()
    for source in (Placed((recording,), (0,), (0,)), Looped(recording, 10)):
        block = source.render(0, 50)
        block *= 0
        assert np.array_equal(recording.samples, before)


@pytest.mark.parametrize(("frames", "crossfade"), [(1, 0), (2, 1), (5, 2), (1000, 500), (4410, 441), (70_000, 0)])
def test_a_loop_is_the_same_for_any_cutting(frames, crossfade):
    source = Looped(clip(frames), crossfade)
    for start in (0, 8 * 3600 * RATE):
        whole = source.render(start, start + 20_000)
        for size in SPLITS[1:]:
            assert np.array_equal(in_blocks(source, start, start + 20_000, size), whole)


def test_the_first_pass_of_a_loop_starts_clean_and_the_rest_comes_round():
    recording = clip(10_000)
    source = Looped(recording, 1000)
    track = source.render(0, 40_000)
    assert np.array_equal(track[:9000], recording.samples[:9000])
    assert np.array_equal(track[10_000:18_000], recording.samples[1000:9000])
    assert np.array_equal(track[9000:18_000], track[18_000:27_000])


def test_no_seam_is_larger_than_the_musics_own_steps():
    n = np.arange(30_000)
    music = ArrayClip(both(0.5 * np.sin(2 * np.pi * 220.7 * n / RATE) + 0.2 * np.sin(2 * np.pi * 331.3 * n / RATE)))
    track = Looped(music, 2000).render(0, 200_000)
    assert np.abs(np.diff(track, axis=0)).max() <= 1.5 * np.abs(np.diff(music.samples, axis=0)).max()


def test_the_crossfade_keeps_the_power_of_unlike_material():
    track = Looped(clip(20 * RATE), 5 * RATE).render(0, 60 * RATE).astype(np.float64)
    seam = (track[16 * RATE : 19 * RATE] ** 2).mean()
    assert 10 * np.log10(seam / (track**2).mean()) == pytest.approx(0.0, abs=0.7)


def test_before_a_loop_the_clip_is_heard_once_as_it_is():
    recording = clip(10_000)
    track = Looped(recording, 1000, start=2000, stop=8000).render(0, 30_000)
    assert np.array_equal(track[:7000], recording.samples[:7000])
    assert np.array_equal(track[8000:12_000], recording.samples[3000:7000])
    assert np.array_equal(track[7000:17_000], track[12_000:22_000])


def test_a_loop_of_a_part_is_the_same_for_any_cutting():
    source = Looped(clip(9000), 700, start=1500, stop=6600, likeness=0.3)
    whole = source.render(0, 30_000)
    for size in SPLITS[1:]:
        assert np.array_equal(in_blocks(source, 0, 30_000, size), whole)


@pytest.mark.parametrize("likeness", [0.0, 0.5, 1.0, -0.5])
def test_the_crossfade_keeps_the_power_of_sounds_that_are_alike(likeness):
    """Two sounds of this correlation, one where the loop begins and one where it ends."""
    one, other = (Noise("white", seed, RATE).render(0, RATE).astype(np.float64) for seed in (1, 2))
    mixed = likeness * one + np.sqrt(1 - likeness**2) * other
    recording = ArrayClip(np.concatenate([one, mixed]).astype(np.float32))
    seam = Looped(recording, RATE, likeness=likeness).render(RATE, 2 * RATE).astype(np.float64)
    powers = (seam**2).mean(axis=1).reshape(10, -1).mean(axis=1) / (one**2).mean()
    assert np.abs(10 * np.log10(powers)).max() < 0.3


@pytest.mark.parametrize(
    "part", [{"start": -1}, {"start": 8, "stop": 8}, {"stop": 11}, {"stop": 0}, {"likeness": -1.0}, {"likeness": 1.1}]
)
def test_a_part_that_cannot_loop_is_refused(part):
    with pytest.raises(ValueError, match=r"loop|likeness"):
        Looped(clip(10), 0, **part)


@pytest.mark.parametrize(("frames", "crossfade"), [(0, 0), (10, 6), (10, -1)])
def test_a_loop_that_cannot_be_is_refused(frames, crossfade):
    with pytest.raises(ValueError, match=r"frame|crossfade"):
        Looped(clip(frames), crossfade)
