"""Tracks one after another are each as they are alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.envelope import Constant, Fade
from dsp.in_turn import InTurn
from dsp.noise import Noise
from dsp.plan import Layer, RenderPlan, render

RATE = 8_000


def track(seed: int, frames: int) -> RenderPlan:
    fade = Fade(frames, min(50, frames), min(50, frames))
    return RenderPlan(RATE, frames, (Layer("noise", Noise("white", seed, RATE), Constant(0.1)),), fade)


@settings(deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=5), st.integers(0, 90), st.integers(1, 300))
def test_any_cutting_gives_the_tracks_and_the_silence_between(lengths, gap, cut):
    plans = tuple(track(seed, frames) for seed, frames in enumerate(lengths))
    alone = [np.concatenate((render(plan, 0, plan.frames), np.zeros((gap, 2), np.float32))) for plan in plans]
    starts = tuple(np.cumsum([0, *(len(part) for part in alone[:-1])]).tolist())
    whole, source = np.concatenate(alone), InTurn(plans, starts)
    blocks = [source.render(first, min(first + cut, len(whole))) for first in range(0, len(whole), cut)]
    assert np.array_equal(np.concatenate(blocks), whole)
    for first in range(0, len(whole), cut):
        assert source.silent(first, first + cut) <= (not whole[first : first + cut].any())


def test_only_the_gaps_are_silent():
    source = InTurn((track(0, 100), track(1, 100)), (0, 150))
    assert [source.silent(*span) for span in ((100, 150), (99, 150), (100, 151), (250, 300))] == [
        True,
        False,
        False,
        True,
    ]
