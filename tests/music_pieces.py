"""Pieces of music of the shapes that customers upload, made here: for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block
from dsp.noise import Noise

RATE = 44_100
BEAT_S = 0.625
BAR_S = 4 * BEAT_S
TURN_S = 4 * BAR_S  # four chords, then again from the first one
FADE_S = 8.0
SILENCE_S = 6.0
COUNT_IN_S = BAR_S
SLOWS_FROM_S = 40.0
_CHORDS = ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62))  # A minor, F, C, G
Mono = NDArray[np.float64]


def _hz(key: float) -> float:
    return float(440.0 * 2.0 ** ((key - 69) / 12))


@lru_cache(maxsize=256)
def _struck(key: float, seconds: float, *, decay_s: float) -> Mono:
    """A string that is struck: overtones that fade the sooner the higher they are."""
    t = np.arange(round(seconds * RATE)) / RATE
    sound = np.zeros_like(t)
    for number in range(1, 8):
        hz = _hz(key) * number
        sound += np.sin(2 * np.pi * hz * t + number) / number**1.3 * np.exp(-t * number**0.7 / decay_s)
    return sound * np.minimum(t / 0.004, 1.0) * np.minimum((t[-1] - t) / 0.03, 1.0)


def _drum(rng: np.random.Generator) -> Mono:
    t = np.arange(round(0.2 * RATE)) / RATE
    return 0.8 * np.sin(2 * np.pi * (55 * t + 6 * (1 - np.exp(-30 * t)))) * np.exp(
        -18 * t
    ) + 0.15 * rng.standard_normal(len(t)) * np.exp(-60 * t)


def _put(track: Mono, at_s: float, sound: Mono) -> None:
    at = round(at_s * RATE)
    end = min(len(track), at + len(sound))
    track[at:end] += sound[: end - at]


def _stereo(mono: Mono, seed: int) -> Block:
    """With a little of a room's noise in each channel, and at a usual level."""
    room = Noise("pink", seed, RATE).render(0, len(mono)) * np.float32(0.003)
    return np.ascontiguousarray((0.25 * mono[:, None] / np.abs(mono).max()).astype(np.float32) + room)


def _band(seconds: float, seed: int = 1) -> Mono:
    """A band that plays four chords over and over on a beat, never twice exactly alike."""
    rng = np.random.default_rng(seed)
    track = np.zeros(round(seconds * RATE))
    for beat in range(int(seconds / BEAT_S)):
        loud = 1 + 0.1 * rng.standard_normal()
        _put(track, beat * BEAT_S, loud * _drum(rng))
        keys = _CHORDS[beat // 4 % 4]
        for key in (keys[0] - 12, *keys) if beat % 4 == 0 else (keys[beat % 4 - 1],):
            _put(track, beat * BEAT_S, 0.35 * loud * _struck(key, 2 * BEAT_S, decay_s=0.8))
    return track


def fade_out() -> Block:
    """A band that fades out over the last 8 s."""
    sound = _stereo(_band(64 * 0.9375 + FADE_S), 1)
    fade = round(FADE_S * RATE)
    sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)[:, None]
    return sound


def silent_end() -> Block:
    """A band, then 6 s of silence."""
    sound = _stereo(_band(60.0, 2), 2)
    return np.concatenate([sound, np.zeros((round(SILENCE_S * RATE), 2), np.float32)])


def count_in() -> Block:
    """Four strokes of the sticks, then a band."""
    strokes = np.zeros(round(COUNT_IN_S * RATE))
    for beat in range(4):
        _put(strokes, beat * BEAT_S, 0.3 * _struck(96, 0.1, decay_s=0.03))
    return _stereo(np.concatenate([strokes, _band(60.0, 3)]), 3)


def drone() -> Block:
    """A chord that stands still but for slow swells, and fades in and out over 3 s."""
    t = np.arange(60 * RATE) / RATE
    sound = np.zeros_like(t)
    for number, hz in enumerate((55.0, 82.4, 110.2, 164.9, 220.7, 331.1)):
        swell = 1 + 0.3 * np.sin(2 * np.pi * t / (7.3 + number))
        sound += swell * np.sin(2 * np.pi * hz * t + number) / (1 + number)
    fade = np.minimum(np.minimum(t, t[-1] - t) / 3.0, 1.0)
    return _stereo(sound * fade, 4)


def piano() -> Block:
    """A piano alone that slows down towards its last chord, which rings out."""
    rng = np.random.default_rng(5)
    track = np.zeros(62 * RATE)
    at_s, number, step_s = 0.0, 0, 0.42
    while at_s < 54:
        keys = _CHORDS[number // 8 % 4]
        key = keys[(0, 1, 2, 1, 0, 2, 1, 2)[number % 8]] + (12 if number % 8 in (2, 5) else 0)
        _put(track, at_s, (0.6 + 0.15 * rng.standard_normal()) * _struck(key, 3.0, decay_s=1.2))
        if number % 8 == 0:
            _put(track, at_s, 0.7 * _struck(keys[0] - 12, 3.5, decay_s=1.5))
        if at_s > SLOWS_FROM_S:
            step_s *= 1.035
        at_s += step_s * (1 + 0.02 * rng.standard_normal())
        number += 1
    for key in (45, 57, 60, 64):
        _put(track, at_s, 0.6 * _struck(key, 6.0, decay_s=1.6))
    return _stereo(track, 5)


def short() -> Block:
    """A bar and a half, 3.75 s."""
    return _stereo(_band(1.5 * BAR_S, 6), 6)


PIECES: Mapping[str, Callable[[], Block]] = {
    "fade-out": fade_out,
    "silent end": silent_end,
    "count-in": count_in,
    "drone": drone,
    "piano that slows down": piano,
    "shorter than 5 s": short,
}
