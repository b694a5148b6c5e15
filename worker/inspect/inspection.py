"""Measures a finished file of any origin, in one pass; beside a few blocks only figures are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block, db_to_gain, finite, gain_to_db, runs
from dsp.glides import GlidingBeat
from dsp.k_weighting import Energies
from dsp.loudness import LoudnessMeter, integrated_lufs, loudness_range_lu, momentary_lufs, short_term_lufs
from worker.inspect.promises import LookedFor
from worker.inspect.steps import CLICK_DB, Step, Steps
from worker.inspect.tones import FoundBeat, FoundTone, Tones
from worker.plan.promised import Promised

SILENT_DBFS = -80.0


@dataclass(frozen=True)
class Silence:
    """A span whose samples all stay below -80 dBFS, to a tenth of a second."""

    from_s: float
    seconds: float


@dataclass(frozen=True)
class Inspection:
    """The figures of a file; None where there is nothing to measure, and where nobody says what is `promised`."""

    sample_rate_hz: int
    frames: int
    duration_s: float
    integrated_lufs: float | None
    loudness_range_lu: float
    max_momentary_lufs: float | None
    max_short_term_lufs: float | None
    true_peak_dbtp: float | None
    sample_peak_dbfs: float | None
    dc_offset: dict[str, float]
    tones: dict[str, tuple[FoundTone, ...]]
    beats: tuple[FoundBeat, ...]
    gliding: tuple[GlidingBeat, ...]
    promised: tuple[LookedFor, ...] | None
    longest_silence: Silence | None
    largest_step: Step | None
    clicks: tuple[Step, ...]


class Inspector:
    """Accumulator: add a file block by block, then take the result; sample rate in Hz.

    `promised` are the tones that the file's job says are in it.
    """

    def __init__(self, sample_rate: int, promised: Promised | None = None) -> None:
        self._rate = sample_rate
        self._meter = LoudnessMeter(sample_rate, true_peak=True)
        self._sums = np.zeros(2)
        self._steps = Steps(sample_rate)
        self._tones = Tones(sample_rate, promised or Promised())
        self._told = promised is not None

    def add(self, block: Block) -> None:
        """Measure the next block."""
        self._meter.add(block)
        self._sums += block.sum(axis=0, dtype=np.float64)
        self._steps.add(block)
        self._tones.add(block)

    @property
    def energies(self) -> Energies:
        """K-weighted energies of the hops so far, as of `dsp.loudness.Measurement`."""
        return self._meter.result().energies

    def result(self) -> Inspection:
        """Work out all figures."""
        measured = self._meter.result()
        found = self._tones.result()
        clicks = self._steps.result()
        return Inspection(
            sample_rate_hz=self._rate,
            frames=measured.frames,
            duration_s=round(measured.frames / self._rate, 6),
            integrated_lufs=finite(integrated_lufs(measured.energies), 3),  # as in a report, which is held against it
            loudness_range_lu=round(loudness_range_lu(measured.energies), 2),
            max_momentary_lufs=finite(max(momentary_lufs(measured.energies), default=-math.inf)),
            max_short_term_lufs=finite(max(short_term_lufs(measured.energies), default=-math.inf)),
            true_peak_dbtp=finite(gain_to_db(measured.true_peak), 3),
            sample_peak_dbfs=finite(gain_to_db(measured.sample_peak)),
            dc_offset={
                channel: round(float(total) / max(measured.frames, 1), 7) + 0.0
                for channel, total in zip(("left", "right"), self._sums, strict=True)
            },
            tones=found.tones,
            beats=found.beats,
            gliding=found.gliding,
            promised=found.promised if self._told else None,
            longest_silence=_longest_silence(measured.peaks),
            largest_step=clicks[0] if clicks else None,
            clicks=tuple(step for step in clicks if step.above_surroundings_db >= CLICK_DB),
        )


def _longest_silence(peaks: NDArray[np.float32]) -> Silence | None:
    """Find the longest run of 100 ms hops without a sample above -80 dBFS."""
    silent = runs(peaks < db_to_gain(SILENT_DBFS))
    if not len(silent):
        return None
    first, last = max(silent.tolist(), key=lambda run: run[1] - run[0])
    return Silence(round(first / 10, 1), round((last - first) / 10, 1))
