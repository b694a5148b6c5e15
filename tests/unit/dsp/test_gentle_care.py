"""Gentle care as a whole, on real speech: any block size, what it leaves alone, what becomes of noise and sibilants."""

from __future__ import annotations

import numpy as np
import pytest
from clips import ArrayClip
from recorded import RATE, reading
from signals import both, largest_difference
from spoken_pieces import said

from dsp.blocks import Block
from dsp.gentle_care import CareFigures, with_gentle_care
from dsp.high_pass import HighPass
from dsp.loudness import measure


def cared(samples: Block, *, block_frames: int = 132_300, figures: CareFigures | None = None) -> Block:
    energies = measure([samples], RATE).energies
    blocks = with_gentle_care(ArrayClip(samples), energies, RATE, figures=figures, block_frames=block_frames)
    return np.concatenate([np.empty((0, 2), np.float32), *blocks])


def noisy(below_full_scale_db: float = -62.0) -> Block:
    noise = np.random.default_rng(1).standard_normal(len(reading()))
    return both(reading() + 10 ** (below_full_scale_db / 20) * noise)


@pytest.mark.parametrize("block_frames", [1, 509, 5000, 44_100])
def test_any_block_size_gives_the_same_samples(block_frames):
    rising = noisy() * np.linspace(0.3, 2.0, len(noisy()), dtype=np.float32)[:, None]
    rising = rising[: 5 * RATE + 123]
    assert largest_difference(cared(rising, block_frames=block_frames), cared(rising)) <= 2**-23


@pytest.mark.parametrize("frames", [0, 1, 440, 441, 442, 31_999])
def test_as_many_frames_come_out_as_went_in(frames):
    assert len(cared(noisy()[:frames])) == frames


def test_speech_without_faults_stays_bit_for_bit():
    sentence = np.concatenate([said("I am calm, and I am warm."), np.zeros(RATE // 2, np.float32)])
    even = both(np.tile(sentence, 5) * np.float32(0.5))
    dull = even - HighPass(4000.0, RATE).add(even)  # no sibilant is sharp
    assert (cared(dull) == dull).all()


def test_the_noise_of_pauses_is_12_db_softer_and_the_speech_as_it_was():
    sound = noisy()
    done = cared(sound)
    hops = len(sound) // 4410
    change_db = 10 * np.log10(
        (done[: hops * 4410, 0].reshape(hops, -1) ** 2).mean(axis=1)
        / (sound[: hops * 4410, 0].reshape(hops, -1) ** 2).mean(axis=1)
    )
    speaks = (both(reading())[: hops * 4410, 0].reshape(hops, -1) ** 2).mean(axis=1) > 10 ** (-45 / 10)
    assert np.median(np.sort(change_db)[: hops // 8]) == pytest.approx(-12.0, abs=0.2)
    assert np.abs(change_db[speaks]).max() < 3.0


def test_both_channels_get_the_same_gain():
    sound = noisy() * np.float32([1.0, 0.25])
    done = cared(sound)
    assert largest_difference(done[:, 1], done[:, 0] * np.float32(0.25)) < 1e-6


def test_sharp_sibilants_are_softened_and_counted():
    plain = both(reading())
    sharp = plain + np.float32(3.0) * HighPass(5500.0, RATE).add(plain)
    figures = CareFigures()
    done = cared(sharp, figures=figures)
    assert 2.0 < figures.softened_db <= 6.0
    assert 0.1 < figures.softened_s < 5.0
    high = [HighPass(5500.0, RATE).add(each) for each in (sharp, done)]
    assert np.abs(high[1]).max() < 0.75 * np.abs(high[0]).max()
