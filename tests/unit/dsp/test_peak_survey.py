"""The survey of peaks: what it foretells of the limiter is what the limiter does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from signals import both
from tiers import further

from dsp.blocks import Block, db_to_gain
from dsp.limiter import NOTICED_DB, Reduction, limit
from dsp.peak_survey import LimiterBounds, PeakSurvey
from dsp.true_peak import REACH_FRAMES

RATE = 44_100
CEILING_DBTP = -1.6
BOUNDS = LimiterBounds(4.0, 0.01)


def words(seconds: int = 30, seed: int = 1) -> Block:
    """Bursts of noise of many levels, as syllables are."""
    rng = np.random.default_rng(seed)
    frames = np.arange(seconds * RATE)
    syllables = frames[::4000]
    level = np.interp(frames, syllables, rng.gamma(0.4, 0.2, len(syllables)))
    return both(level * rng.standard_normal(len(frames)) * 0.2)


def surveyed(samples: Block, bounds: LimiterBounds = BOUNDS) -> PeakSurvey:
    survey = PeakSurvey(len(samples), RATE, bounds)
    padded = np.pad(samples, ((REACH_FRAMES, REACH_FRAMES), (0, 0)))
    for start in range(0, len(samples), RATE):
        survey.add(start, padded[start : start + RATE + 2 * REACH_FRAMES])
    return survey


def reduced(samples: Block, gain_db: float) -> Reduction:
    reduction = Reduction()
    blocks = limit(
        lambda first, last: samples[first:last],
        0,
        len(samples),
        frames=len(samples),
        sample_rate=RATE,
        gain=db_to_gain(gain_db),
        ceiling_dbtp=CEILING_DBTP,
        reduction=reduction,
    )
    for _ in blocks:
        pass
    return reduction


@pytest.mark.parametrize("seed", further(range(4), but=[0]))
@pytest.mark.parametrize("below_db", [0.0, 1.0, 2.5])
def test_it_foretells_what_the_limiter_does(seed, below_db):
    samples = words(seed=seed)
    survey = surveyed(samples, LimiterBounds(4.0, 1.0))
    gain_db = survey.most_gain_db(CEILING_DBTP) - below_db
    reduction = reduced(samples, gain_db)
    assert survey.reduction_db(gain_db, CEILING_DBTP) == pytest.approx(reduction.max_db, abs=0.001)
    share = reduction.noticed_frames / len(samples)
    assert survey.noticed_share(gain_db, CEILING_DBTP) == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize("seed", further(range(4), but=[1]))
@pytest.mark.parametrize(
    "bounds", [BOUNDS, LimiterBounds(4.0, 0.2), LimiterBounds(0.3, 0.01), LimiterBounds(12.0, 0.05)]
)
def test_the_most_gain_is_within_the_bounds_and_more_is_not(seed, bounds):
    samples = words(seed=seed)
    most_db = surveyed(samples, bounds).most_gain_db(CEILING_DBTP)
    reduction, more = reduced(samples, most_db), reduced(samples, most_db + 0.3)
    assert reduction.max_db <= bounds.most_db + 0.001
    assert reduction.noticed_frames <= 1.03 * bounds.most_share * len(samples)
    assert more.max_db > bounds.most_db or more.noticed_frames > bounds.most_share * len(samples)


def test_of_sound_that_is_all_peaks_it_keeps_few_and_comes_to_the_same():
    """Noise that was clipped: half a million peaks of one height."""
    samples = np.sign(np.random.default_rng(5).standard_normal((12 * RATE, 2))).astype(np.float32)
    survey = surveyed(samples)
    assert len(survey._peaks) < 0.1 * len(samples) / 30
    most_db = survey.most_gain_db(CEILING_DBTP)
    assert reduced(samples, most_db).noticed_frames <= 1.03 * 0.01 * len(samples)
    assert reduced(samples, most_db + 0.3).noticed_frames > 0.01 * len(samples)


def test_silence_takes_any_gain():
    assert surveyed(np.zeros((RATE, 2), np.float32)).most_gain_db(CEILING_DBTP) == math.inf


def test_half_a_decibel_is_not_noticed():
    samples = both(0.5 * np.sin(2 * np.pi * 997 * np.arange(RATE) / RATE))
    at_ceiling_db = CEILING_DBTP - 0.1 + 20 * math.log10(2)
    assert reduced(samples, at_ceiling_db + NOTICED_DB - 0.05).noticed_frames == 0
    assert reduced(samples, at_ceiling_db + NOTICED_DB + 0.05).noticed_frames > 0.9 * RATE
