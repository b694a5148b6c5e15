"""Finds the one master gain that brings a mix to its loudness."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import db_to_gain, gain_to_db, runs, spans
from dsp.limiter import MOST_DB, RELEASE_DB_PER_S
from dsp.loudness import Energies, LoudnessMeter, Measurement, hop_frames, integrated_lufs, rounded_db
from dsp.plan import RenderPlan
from dsp.true_peak import NEAR
from worker.errors import JobError
from worker.render.programme import Programme, measure

_CLOSE_LU = 0.02  # so near, the gain and the loudness move alike to a thousandth
_MOST_ROUNDS = 12
_HOPS_PER_S = 10
_NEAR_CEILING_DB = 0.5  # below it: a peak that is higher only between its samples is too short to count as loudness
_PREROLL_HOPS = 1  # the K-filter's past has decayed by 100 dB
_SPAN_HOPS = 20
_FEW_HOPS, _MANY_HOPS = 50, 1200  # measured to learn how much the limiter takes: of little, and of more than
_LITTLE_LU = 0.03


def _limited_energies(programme: Programme, mix: Measurement, *, most_hops: int) -> Energies:
    """Energies of the limited programme, by hop: those of the mix at the gain, but where the limiter works.

    Only hops whose samples come near the ceiling, and those that the limiter's release reaches after them, are made
    and measured again; of very many a part, evenly spread, that represents all. The decoded file is judged in the end;
    this only has to come close enough that it need not be made twice.

    One after another: of spans this short two threads take longer than one, for they wait for Python's lock.
    """
    hop = hop_frames(programme.plan.sample_rate)
    energies = mix.energies * programme.gain**2
    touched = _touched(mix.peaks * (programme.gain / db_to_gain(programme.ceiling_dbtp)))
    every = -(-sum(stop - start for start, stop in touched) // most_hops) or 1
    before = after = 0.0
    for start, stop in touched[::every]:
        preroll_hops = min(_PREROLL_HOPS, start)
        meter = LoudnessMeter(programme.plan.sample_rate, preroll_hops=preroll_hops)
        for block in programme.blocks((start - preroll_hops) * hop, stop * hop):
            meter.add(block)
        before += float(energies[start:stop].sum(dtype=np.float64))
        energies[start:stop] = meter.result().energies
        after += float(energies[start:stop].sum(dtype=np.float64))
    for number, (start, stop) in enumerate(touched):
        if number % every:
            energies[start:stop] *= after / before
    return energies


def _touched(peaks: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Spans of hops where the limiter works, from the sample peak of each hop over the ceiling (linear)."""
    (hot,) = np.nonzero(peaks > db_to_gain(-_NEAR_CEILING_DB))
    over_db = np.minimum(20.0 * np.log10(peaks[hot]) + _NEAR_CEILING_DB, MOST_DB)
    reach = 1 + np.ceil(over_db / (RELEASE_DB_PER_S / _HOPS_PER_S)).astype(int)
    marks = np.zeros(len(peaks) + 1, int)  # a step up where a reach begins, a step down where it ends
    np.add.at(marks, np.maximum(hot - 1, 0), 1)
    np.add.at(marks, np.minimum(hot + reach, len(peaks)), -1)
    return [span for first, last in runs(np.cumsum(marks[:-1]) > 0).tolist() for span in spans(first, last, _SPAN_HOPS)]


def find_master(
    plan: RenderPlan,
    mix: Measurement,
    *,
    target_lufs: float | None,
    ceiling_dbtp: float,
    limiter: bool,
    threads: int,
) -> Programme:
    """Find the gain that brings the programme to its loudness, with the limiter's own effect counted.

    Raises `JobError` if the limiter would have to take more than `MOST_DB` to reach the target.

    Parameters
    ----------
    mix : Measurement
        Of the plan before master gain and limiter.
    target_lufs : float or None
        None leaves the level alone.
    ceiling_dbtp : float
        No peak of the programme goes above it.
    limiter : bool
        Without it the gain itself is kept so low that the peaks stay under the ceiling.
    """
    mix_lufs = integrated_lufs(mix.energies)
    gain_db = 0.0 if target_lufs is None or math.isinf(mix_lufs) else target_lufs - mix_lufs

    def master(at_db: float, limiting: bool, lufs: float) -> Programme:
        return Programme(plan, db_to_gain(rounded_db(at_db)), ceiling_dbtp, limiting, lufs)

    if mix.sample_peak * NEAR * db_to_gain(gain_db) <= db_to_gain(ceiling_dbtp):
        return master(gain_db, False, mix_lufs + gain_db)
    if not limiter:
        true_peak = measure(Programme(plan), threads=threads, true_peak=True).true_peak
        gain_db = min(gain_db, ceiling_dbtp - gain_to_db(true_peak))
        return master(gain_db, False, mix_lufs + gain_db)
    if target_lufs is None:
        return master(gain_db, True, math.nan)
    lowest_db, lowest_lufs = gain_db, math.nan
    most_hops = _FEW_HOPS
    for _ in range(_MOST_ROUNDS):
        trial = master(gain_db, True, math.nan)
        lufs = integrated_lufs(_limited_energies(trial, mix, most_hops=most_hops))
        if abs(lufs - target_lufs) <= _CLOSE_LU:
            return master(gain_db + target_lufs - lufs, True, target_lufs)
        if abs(lufs - target_lufs) > _LITTLE_LU:
            most_hops = _MANY_HOPS
        # the harder the limiter works, the less a decibel of gain brings: follow the last slope, within reason
        slope = (lufs - lowest_lufs) / (gain_db - lowest_db) if gain_db != lowest_db else 1.0
        lowest_db, lowest_lufs = gain_db, lufs
        gain_db += (target_lufs - lufs) / min(max(slope, 0.2), 1.0)
        if gain_to_db(mix.sample_peak) + gain_db - ceiling_dbtp > MOST_DB:
            break
    raise too_loud(target_lufs, ceiling_dbtp, lowest_lufs)


def too_loud(target_lufs: float, peak_dbtp: float, reached_lufs: float) -> JobError:
    """The error of a job that asks for more loudness than its mix can have."""
    return JobError(
        f"safety.targetLufs: {target_lufs:g} LUFS cannot be reached with peaks at or below {peak_dbtp:.1f} dBTP; "
        f"this mix gets to {reached_lufs:.1f}",
        code="job.loudness",
        customer_message="This mix cannot be made that loud without distortion. Please choose a lower loudness.",
    )
