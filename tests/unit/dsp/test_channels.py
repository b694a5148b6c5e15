"""Two channels: DC, polarity, balance."""

from __future__ import annotations

import numpy as np
import pytest
from signals import SPLITS, both

from dsp.channels import ChannelMeter
from dsp.noise import Noise

RATE = 44_100
SOUND = Noise("pink", 1, RATE).render(0, RATE)


def figures(block: np.ndarray, *, size: int = 44_100, silent: int = 0):
    meter = ChannelMeter()
    for first in range(0, len(block), size):
        meter.add(block[first : first + size])
    return meter.result(len(block) - silent)


def test_dc_of_each_channel():
    assert figures(SOUND + np.float32([0.2, -0.05])).dc == pytest.approx((0.2, -0.05), abs=2e-3)


def test_digital_silence_does_not_thin_out_the_dc():
    padded = np.concatenate([np.zeros_like(SOUND), both(SOUND[:, 0]) + np.float32(0.2)])
    assert figures(padded, silent=len(SOUND)).dc[0] == pytest.approx(0.2, abs=2e-3)


@pytest.mark.parametrize("gain", [1.0, 0.1])
def test_opposite_polarity_is_a_correlation_of_minus_one(gain):
    sound = both(SOUND[:, 0]) + np.float32(0.1)
    assert figures(sound).correlation == pytest.approx(1.0)
    assert figures(sound * np.float32([1.0, -gain])).correlation == pytest.approx(-1.0)


def test_balance_is_the_level_of_left_over_right():
    assert figures(both(SOUND[:, 0]) * np.float32([1.0, 0.01])).balance_db == pytest.approx(40.0, abs=0.01)
    assert figures(both(SOUND[:, 0]) * np.float32([0.0, 1.0])).balance_db < -100


@pytest.mark.parametrize("size", SPLITS)
def test_any_cutting_gives_the_same_figures(size):
    whole, cut = figures(SOUND), figures(SOUND, size=size)
    assert cut.dc == pytest.approx(whole.dc, abs=1e-7)
    assert (cut.correlation, cut.balance_db) == pytest.approx((whole.correlation, whole.balance_db), abs=1e-5)
