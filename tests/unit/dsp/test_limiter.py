"""The limiter: the ceiling holds between the samples, the length stays, and any cutting gives the same samples."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly
from signals import both, fitted, largest_difference

from dsp.blocks import BLOCK_FRAMES, Block
from dsp.limiter import MARGIN_DB, Reduction, limit
from dsp.noise import Noise
from dsp.true_peak import OVERSAMPLING, taps

RATE = 44_100


def true_peak_db(samples: Block) -> float:
    """By 16 times oversampling, with scipy's filter rather than ours."""
    padded = np.pad(samples.astype(np.float64), ((64, 64), (0, 0)))
    return 20 * math.log10(max(np.abs(resample_poly(padded, 16, 1, axis=0)).max(), 1e-12))


def limited(
    samples: Block,
    cuts: tuple[int, ...] = (),
    *,
    gain: float = 1.0,
    ceiling_dbtp: float = -1.0,
    block_frames: int = BLOCK_FRAMES,
) -> Block:
    edges = [0, *sorted(cuts), len(samples)]
    blocks = [
        block
        for start, stop in pairwise(edges)
        for block in limit(
            lambda first, last: samples[first:last],
            start,
            stop,
            frames=len(samples),
            sample_rate=RATE,
            gain=gain,
            ceiling_dbtp=ceiling_dbtp,
            block_frames=block_frames,
        )
    ]
    return np.concatenate([np.zeros((0, 2), np.float32), *blocks])


def programme(kind: str) -> Block:
    n = np.arange(2 * RATE)
    rng = np.random.default_rng(4)
    match kind:
        case "music":
            chord = sum(np.sin(2 * np.pi * hz * n / RATE) for hz in (110, 220.5, 331.2, 441, 1322))
            return both(0.6 * chord * (1 + 0.5 * np.sin(2 * np.pi * 3 * n / RATE)))
        case "pink noise":
            return 0.8 * Noise("pink", 1, RATE).render(0, len(n))
        case "clicks":
            return (3.0 * (rng.random((len(n), 2)) > 0.9995)).astype(np.float32)
        case "square":
            return both(1.5 * np.sign(np.sin(2 * np.pi * 441 * n / RATE)))
        case "quarter":
            return both(1.3 * np.sin(np.pi / 2 * n + np.pi / 4))
        case _:
            edges = np.zeros((len(n), 2), np.float32)
            edges[[0, -1]] = 2.0
            return edges


@pytest.mark.parametrize("kind", ["music", "pink noise", "clicks", "square", "quarter", "first and last frame"])
def test_the_ceiling_holds_between_the_samples(kind):
    samples = programme(kind)
    assert true_peak_db(samples) > 0  # else there is nothing to show
    out = limited(samples)
    assert len(out) == len(samples)
    assert true_peak_db(out) <= -1.0 + 0.05


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    gain=st.floats(0.0, 30.0),
    ceiling_dbtp=st.floats(-12.0, 0.0),
    frames=st.integers(0, 5000),
    cuts=st.lists(st.integers(0, 5000), max_size=4),
)
def test_any_programme_any_cut(seed, gain, ceiling_dbtp, frames, cuts):
    rng = np.random.default_rng(seed)
    samples = (rng.standard_normal((frames, 2)) * rng.random((frames, 1)) ** 8 * 0.5).astype(np.float32)
    whole = limited(samples, gain=gain, ceiling_dbtp=ceiling_dbtp)
    assert len(whole) == frames
    assert not frames or np.abs(whole).max() <= 10 ** (ceiling_dbtp / 20) * (1 + 1e-5)
    pieces = limited(samples, tuple(min(cut, frames) for cut in cuts), gain=gain, ceiling_dbtp=ceiling_dbtp)
    assert pieces == pytest.approx(whole, abs=1e-7)


def test_stretches_far_apart_are_those_of_the_whole():
    samples = programme("music")
    whole = limited(samples)
    assert largest_difference(limited(samples, (1, 4097, 65_536, 65_537, 80_000)), whole) <= 1e-7


@pytest.mark.parametrize("block_frames", [509, 8192, BLOCK_FRAMES // 2])
def test_the_length_of_the_blocks_changes_no_sample(block_frames):
    samples = programme("pink noise")
    whole = limited(samples, gain=3.0)
    assert np.array_equal(limited(samples, (30_001,), gain=3.0, block_frames=block_frames), whole)


def test_a_peak_between_two_blocks_holds_down_both_its_neighbours():
    # the limiter works block by block from the beginning of a stretch: here the peak lies between two blocks, there not
    samples = both(0.1 * np.sin(2 * np.pi * 100 * np.arange(2 * BLOCK_FRAMES) / RATE))
    samples[BLOCK_FRAMES - 1 : BLOCK_FRAMES + 1] = 0.85
    assert largest_difference(limited(samples, (BLOCK_FRAMES // 2,)), limited(samples)) <= 1e-7


def test_a_peak_that_hardly_shows_in_the_samples_is_held():
    samples = np.zeros((5000, 2), np.float32)
    samples[2000:2032] = 0.43 * np.sign(taps(OVERSAMPLING // 2))[:, None]
    assert true_peak_db(samples) > -0.4
    assert np.abs(samples).max() < 0.5
    assert true_peak_db(limited(samples)) <= -1.0


@pytest.mark.parametrize("gain", [0.0, 1e-300, 1e6, 1e300])
def test_any_gain_gives_finite_samples_under_the_ceiling(gain):
    samples = programme("pink noise")[:5000]
    samples[:1000] = 0.0
    out = limited(samples, gain=gain)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 10 ** (-1 / 20) * (1 + 1e-6)
    assert out.any() == (gain >= 1)


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_blocks_are_the_callers_own_and_the_track_stays_as_it_is(scale):
    track = scale * programme("music")
    before = track.copy()
    whole = limited(track)
    for block in limit(
        lambda first, last: track[first:last],
        0,
        len(track),
        frames=len(track),
        sample_rate=RATE,
        gain=1.0,
        ceiling_dbtp=-1.0,
    ):
        expected, whole = whole[: len(block)], whole[len(block) :]
        assert np.array_equal(block, expected)
        block[:] = 100.0  # does not reach what comes next
    assert np.array_equal(track, before)


def test_what_is_below_the_ceiling_passes_untouched():
    samples = 0.2 * programme("music")
    assert np.array_equal(limited(samples), samples)


def test_the_gain_comes_back_after_a_peak():
    samples = both(0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE))
    samples[RATE // 2 : RATE // 2 + 20] *= 6
    out = limited(samples)
    assert np.array_equal(out[-RATE // 2 :], samples[-RATE // 2 :])


def test_a_steady_tone_over_the_ceiling_stays_a_tone():
    n = np.arange(4 * RATE)
    out = limited(both(1.1 * np.sin(2 * np.pi * 997 * n / RATE)))
    middle = slice(2 * RATE, 3 * RATE)
    _, _, sinad_db = fitted(out[middle, 0], 997.0, middle.start, RATE)
    assert sinad_db > 60


def test_it_says_what_it_did():
    reduction = Reduction()
    samples = both(np.sin(2 * np.pi * 997 * np.arange(RATE) / RATE))
    list(
        limit(
            lambda first, last: samples[first:last],
            0,
            RATE,
            frames=RATE,
            sample_rate=RATE,
            gain=2.0,
            ceiling_dbtp=-1.0,
            reduction=reduction,
        )
    )
    assert reduction.max_db == pytest.approx(7.02 + MARGIN_DB, abs=0.05)
    assert reduction.frames > 0.9 * RATE
    assert [start for start, _ in reduction.history] == [0]
    assert [largest_db for _, largest_db in reduction.history] == [reduction.max_db]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"ceiling_dbtp": 0.1}, "at most 0"),
        ({"gain": -1.0}, "at least 0"),
        ({"gain": math.inf}, "finite"),
        ({"stop": 11}, "track of 10"),
    ],
)
def test_what_is_out_of_range_is_refused(arguments, words):
    given_ = {"start": 0, "stop": 10, "frames": 10, "sample_rate": RATE, "gain": 1.0, "ceiling_dbtp": -1.0, **arguments}
    start, stop = given_.pop("start"), given_.pop("stop")
    with pytest.raises(ValueError, match=words):
        limit(lambda first, last: np.zeros((last - first, 2), np.float32), start, stop, **given_)
