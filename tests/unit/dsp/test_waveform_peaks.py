"""The peaks of a waveform are those of its stretches, however the track comes in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsp.waveform_peaks import WaveformPeaks


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 40))
def test_each_pixel_has_the_ends_of_its_stretch(lengths, frames_per_pixel):
    track = np.random.default_rng(sum(lengths)).uniform(-1, 1, (sum(lengths), 2)).astype(np.float32)
    peaks, start = WaveformPeaks(frames_per_pixel), 0
    for length in lengths:
        peaks.add(track[start : start + length])
        start += length
    mono = track.mean(axis=1)
    stretches = [mono[first : first + frames_per_pixel] for first in range(0, len(mono), frames_per_pixel)]
    expected = [(int(128 * stretch.min()), int(128 * stretch.max())) for stretch in stretches]
    assert peaks.result().tolist() == [list(pair) for pair in expected]


@pytest.mark.parametrize(("level", "drawn"), [(0.0, 0), (1.0, 127), (-1.0, -128), (3.0, 127), (0.5, 64)])
def test_full_scale_is_that_of_eight_bits(level, drawn):
    peaks = WaveformPeaks(4)
    peaks.add(np.full((4, 2), level, np.float32))
    assert peaks.result().tolist() == [[drawn, drawn]]


def test_nothing_has_no_pixel():
    assert WaveformPeaks(4).result().shape == (0, 2)
