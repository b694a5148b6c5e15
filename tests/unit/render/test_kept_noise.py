"""Noise that is kept while a job is being changed: the same samples, made once."""

from __future__ import annotations

import numpy as np

from dsp import noise as noise_module
from dsp.noise import Noise
from worker.render.kept_noise import KeptNoise

RATE = 44_100


def test_kept_noise_has_the_samples_of_the_noise_it_stands_for() -> None:
    kept = KeptNoise()
    for colour in ("white", "pink", "brown"):
        for start, stop in ((0, 1000), (65_000, 200_000), (500, 70_000)):
            found = kept.of(Noise(colour, 7, RATE)).render(start, stop)
            assert np.array_equal(found, Noise(colour, 7, RATE).render(start, stop))


def test_the_same_noise_is_made_once_and_another_seed_s_anew(monkeypatch) -> None:
    made = []
    chunk = noise_module._chunk
    monkeypatch.setattr(noise_module, "_chunk", lambda *of: made.append(of[-1]) or chunk(*of))
    kept = KeptNoise()
    far = 150 * 65_536  # further than any other user of noise goes back
    for _ in range(2):
        for start in range(0, far, 65_536):
            kept.of(Noise("pink", 7, RATE)).render(start, start + 10)
    assert made == list(range(150))
    kept.of(Noise("pink", 8, RATE)).render(0, 10)
    assert len(made) == 151


def test_few_noises_are_kept() -> None:
    kept = KeptNoise()
    first = kept.of(Noise("pink", 1, RATE))
    assert kept.of(Noise("pink", 1, RATE)) is first
    for seed in (2, 3):
        kept.of(Noise("pink", seed, RATE))
    assert kept.of(Noise("pink", 1, RATE)) is not first
