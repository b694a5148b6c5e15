"""Looks in a file's sound for the tones that its job promised: each at its frequency, along its course if it glides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median
from typing import Literal

import numpy as np

from dsp.blocks import Block
from dsp.courses import hz_at
from dsp.spectrum import HIGHEST_HZ, MAIN_LOBE_BINS, STANDS_OUT_DB, Channel, Spectrum
from worker.plan.promised import Promised, PromisedTone

State = Literal["found", "not found", "masked", "not measured"]

SHORTEST_S = 4.0
_WITHIN_HZ = 0.3
_QUIETER_DB = 6.0  # than promised: what is weaker than that is not the tone
_SHIFT_HZ = 700.0
_UNKNOWN_LEVEL_DBFS = -60.0


@dataclass(frozen=True)
class LookedFor:
    """What became of a promised tone in one channel.

    Attributes
    ----------
    state : str
        ``masked``: music, voice or noise are so loud there that it cannot be told from them. ``not measured``: it
        sounds for less than four seconds, lies above 2 kHz, or another promised tone is too near.
    measured_hz : float or None
        For one that glides, its frequency in the middle of its course.
    deviation_hz : float or None
        From the promised frequency.
    level_dbfs : float or None
    """

    layer: str
    channel: str
    promised: PromisedTone
    state: State
    measured_hz: float | None
    deviation_hz: float | None
    level_dbfs: float | None

    @property
    def promised_hz(self) -> float:
        """Its frequency, or for one that glides, that of the middle of its span."""
        return self.promised.at((self.promised.from_s + self.promised.to_s) / 2)


@dataclass
class _Search:
    """One promised tone in one channel, while the file is read."""

    tone: PromisedTone
    channel: int
    nearest_hz: float
    found: list[tuple[float, float]] = field(default_factory=list)  # deviation in Hz, level
    absent: int = 0
    masked: int = 0

    def result(self) -> LookedFor:
        state: State = "not measured"
        if self.found and len(self.found) >= self.absent:
            state = "found"
        elif self.absent or self.masked:
            state = "not found" if self.absent >= self.masked else "masked"
        hz = deviation_hz = level_dbfs = None
        if state == "found":
            deviation_hz = round(median(deviation for deviation, _ in self.found), 4) + 0.0
            level_dbfs = round(median(level for _, level in self.found), 2)
            hz = round(self.tone.at((self.tone.from_s + self.tone.to_s) / 2) + deviation_hz, 4)
        return LookedFor(
            self.tone.layer, ("left", "right")[self.channel], self.tone, state, hz, deviation_hz, level_dbfs
        )


class Promises:
    """Accumulator: give it section after section of the decimated sound, then take the result."""

    def __init__(self, promised: Promised, sample_rate: float) -> None:
        self._rate = sample_rate
        self._searches = [
            _Search(tone, channel, _nearest_hz(tone, channel, promised.tones))
            for tone in promised.tones
            for channel in _channels(tone)
        ]

    def add(self, samples: Block, spectra: Sequence[Spectrum], *, from_s: float) -> None:
        """Look into a section; `spectra` are those of its two channels."""
        to_s = from_s + len(samples) / self._rate
        for search in self._searches:
            first_s, last_s = max(from_s, search.tone.from_s), min(to_s, search.tone.to_s)
            if last_s - first_s < SHORTEST_S:
                continue
            column, spectrum = samples[:, search.channel], spectra[search.channel]
            whole = first_s == from_s and last_s == to_s
            if not whole or not search.tone.is_steady:
                part: Channel = column[round((first_s - from_s) * self._rate) : round((last_s - from_s) * self._rate)]
                if not search.tone.is_steady:
                    part = _straightened(part, self._rate, search.tone, first_s)
                spectrum = Spectrum(np.ascontiguousarray(part, np.float64), self._rate)
            self._look(search, spectrum, (first_s + last_s) / 2)

    def result(self) -> tuple[LookedFor, ...]:
        """What became of each tone, in each of its channels."""
        return tuple(search.result() for search in self._searches)

    def _look(self, search: _Search, spectrum: Spectrum, at_s: float) -> None:
        if search.nearest_hz < 2 * MAIN_LOBE_BINS * spectrum.resolution_hz:
            return
        tone, straightened_db = search.tone, 0.0
        hz = tone.at(at_s)
        if hz > HIGHEST_HZ:  # what is looked into ends there
            return
        if not tone.is_steady:
            hz, straightened_db = _parked_hz(tone.at(at_s)), -20.0 * np.log10(0.5)
        line = spectrum.line(hz, min(_WITHIN_HZ, 0.4 * search.nearest_hz))
        least_dbfs = _UNKNOWN_LEVEL_DBFS if tone.level_dbfs is None else tone.level_dbfs - _QUIETER_DB
        if line is not None and line.level_dbfs + straightened_db >= least_dbfs:
            search.found.append((line.hz - hz, line.level_dbfs + straightened_db))
        elif spectrum.floor_dbfs(hz) + straightened_db + STANDS_OUT_DB > least_dbfs:
            search.masked += 1
        else:
            search.absent += 1


def _channels(tone: PromisedTone) -> tuple[int, ...]:
    return {"left": (0,), "right": (1,), "both": (0, 1)}[tone.channel]


def _nearest_hz(tone: PromisedTone, channel: int, tones: Sequence[PromisedTone]) -> float:
    """How near another promised tone of the channel comes, while both sound."""
    nearest = 1e9
    for other in tones:
        begin, end = max(tone.from_s, other.from_s), min(tone.to_s, other.to_s)
        if other is not tone and channel in _channels(other) and begin < end:
            nearest = min(nearest, *(abs(tone.at(at) - other.at(at)) for at in np.linspace(begin, end, 9).tolist()))
    return nearest


def _parked_hz(hz: float) -> float:
    """Where a straightened tone lies: far from its own mirror image."""
    return hz + _SHIFT_HZ if hz < 1000.0 else hz - _SHIFT_HZ


def _straightened(samples: Channel, rate: float, tone: PromisedTone, from_s: float) -> Channel:
    """Turn a span back by the promised course: the tone becomes a steady one of half its amplitude."""
    times = from_s + np.arange(len(samples)) / rate
    hz = hz_at(tone.course, times)
    turns = np.concatenate([[0.0], np.cumsum((hz[1:] + hz[:-1]) / 2)]) / rate
    parked = _parked_hz(tone.at(from_s + len(samples) / rate / 2)) * (times - from_s)
    straight: Channel = samples * np.cos(2 * np.pi * (parked - turns))
    return straight


def pairs(looked_for: Sequence[LookedFor], layer: str) -> list[tuple[LookedFor, LookedFor]]:
    """The two tones of a layer's binaural or monaural beat, the lower or left one first."""
    of_beats = [tone for tone in looked_for if tone.layer == layer]
    return [
        (one, other)
        for one, other in combinations(of_beats, 2)
        if {one.channel, other.channel} == {"left", "right"} and one.promised.channel != "both"
    ] or [
        (one, other)
        for one, other in combinations(of_beats, 2)
        if one.channel == other.channel == "left" and one.promised.channel == "both"
    ]
