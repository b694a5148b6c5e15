"""Pass 1: measure the plan, and find the one master gain that brings it to its loudness.

The plan is a pure function of time, so it is measured in stretches side by side; what they heard is put together hop
by hop and does not depend on how many there were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import BLOCK_FRAMES, Block, db_to_gain, gain_to_db, spans
from dsp.limiter import MOST_DB, RELEASE_DB_PER_S, Reduction, limit
from dsp.loudness import (
    RUN_UP_HOPS,
    Energies,
    LoudnessMeter,
    Measurement,
    hop_frames,
    integrated_lufs,
    joined,
    rounded_db,
)
from dsp.plan import RenderPlan, render
from dsp.true_peak import NEAR
from worker.errors import JobError
from worker.render.stretches import Stretches, in_stretches

_CLOSE_LU = 0.02  # so near, the gain and the loudness move alike to a thousandth
_MOST_ROUNDS = 12
_HOPS_PER_S = 10
_WORKS_FROM_DB = (
    0.5  # below the ceiling: what peaks higher only between its samples is too short to be heard as loudness
)
_LONG_TRACK_S = 3600  # beyond, blocks are shorter: the gaps that they leave in the heap grow with time, and with them
_RUN_UP_HOPS = 1  # the K-filter's past has decayed by 100 dB
_STRETCH_HOPS = 20
_FEW_HOPS, _MANY_HOPS = 50, 1200  # heard to learn how much the limiter takes: of little, and of more than
_LITTLE_LU = 0.03


@dataclass(frozen=True)
class Master:
    """What turns the mix into the programme.

    Attributes
    ----------
    gain : float
        Linear, before the limiter.
    ceiling_dbtp : float
        Of the limiter.
    limiting : bool
        Whether any frame comes near the ceiling; without it the programme is the mix times the gain.
    integrated_lufs : float
        Of the programme, before it is encoded.
    """

    gain: float
    ceiling_dbtp: float
    limiting: bool
    integrated_lufs: float

    @property
    def gain_db(self) -> float:
        """The gain in dB."""
        return gain_to_db(self.gain)


_MIX = Master(gain=1.0, ceiling_dbtp=0.0, limiting=False, integrated_lufs=math.nan)


def programme(
    plan: RenderPlan,
    master: Master,
    start: int,
    stop: int,
    *,
    reduction: Reduction | None = None,
    release_db: float = MOST_DB,
) -> Iterator[Block]:
    """Make the finished programme of a stretch, block by block; `release_db` as of `dsp.limiter.limit`."""
    block_frames = BLOCK_FRAMES if plan.frames <= _LONG_TRACK_S * plan.sample_rate else BLOCK_FRAMES // 2
    if master.limiting:
        yield from limit(
            lambda first, last: render(plan, first, last),
            start,
            stop,
            frames=plan.frames,
            sample_rate=plan.sample_rate,
            gain=master.gain,
            ceiling_dbtp=master.ceiling_dbtp,
            reduction=reduction,
            release_db=release_db,
            block_frames=block_frames,
        )
        return
    for first, last in spans(start, stop, block_frames):
        block = render(plan, first, last)
        block *= block.dtype.type(master.gain)
        yield block


def measure_mix(plan: RenderPlan, *, threads: int, on_progress: Callable[[float], None] | None = None) -> Measurement:
    """Measure the mix before master gain and limiter."""
    return measure_programme(plan, _MIX, threads=threads, on_progress=on_progress)


def measure_programme(
    plan: RenderPlan,
    master: Master,
    *,
    threads: int,
    true_peak: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> Measurement:
    """Measure the programme in `threads` stretches at once, each warmed up by what lies before it."""
    hop = hop_frames(plan.sample_rate)

    def measure_stretch(start: int, stop: int, stretches: Stretches) -> Measurement:
        run_up_hops = min(RUN_UP_HOPS, start // hop)
        meter = LoudnessMeter(plan.sample_rate, run_up_hops=run_up_hops, true_peak=true_peak, hop_peaks=True)
        for block in programme(plan, master, start - run_up_hops * hop, stop):
            meter.add(block)
            stretches.advance(len(block))
        return meter.measurement()

    return joined(in_stretches(measure_stretch, plan.frames, multiple_of=hop, threads=threads, on_progress=on_progress))


def _limited_energies(plan: RenderPlan, mix: Measurement, master: Master, *, most_hops: int) -> Energies:
    """Energies of the limited programme, by hop: those of the mix at the gain, but where the limiter works.

    Only hops whose samples come near the ceiling, and what the limiter's release reaches after them, are made and
    measured again; of very many a part, evenly spread, that stands for all. It is the decoded file that is judged in
    the end; this only has to come close enough that it need not be made twice.

    One after another: of stretches this short two threads take longer than one, for they wait for Python's lock.
    """
    hop = hop_frames(plan.sample_rate)
    energies = mix.energies * master.gain**2
    stretches = _touched(mix.peaks * (master.gain / db_to_gain(master.ceiling_dbtp)))
    every = -(-sum(stretch.stop - stretch.start for stretch in stretches) // most_hops) or 1
    some = stretches[::every]
    before = sum(float(energies[stretch.start : stretch.stop].sum(dtype=np.float64)) for stretch in some)

    for stretch in some:
        run_up_hops = min(_RUN_UP_HOPS, stretch.start)
        meter = LoudnessMeter(plan.sample_rate, run_up_hops=run_up_hops)
        start, stop = (stretch.start - run_up_hops) * hop, stretch.stop * hop
        for block in programme(plan, master, start, stop, release_db=MOST_DB if stretch.inside else 0.0):
            meter.add(block)
        energies[stretch.start : stretch.stop] = meter.measurement().energies
    if every > 1:
        after = sum(float(energies[stretch.start : stretch.stop].sum(dtype=np.float64)) for stretch in some)
        for number, stretch in enumerate(stretches):
            if number % every:
                energies[stretch.start : stretch.stop] *= after / before
    return energies


@dataclass(frozen=True)
class _Stretch:
    """Hops [start, stop) that the limiter touches; `inside` a longer row of such hops, or the first of it."""

    start: int
    stop: int
    inside: bool


def _touched(peaks: NDArray[np.float32]) -> list[_Stretch]:
    """Where the limiter works, from the sample peak of each hop over the ceiling (linear)."""
    (hot,) = np.nonzero(peaks > db_to_gain(-_WORKS_FROM_DB))
    over_db = np.minimum(20.0 * np.log10(peaks[hot]) + _WORKS_FROM_DB, MOST_DB)
    reach = 1 + np.ceil(over_db / (RELEASE_DB_PER_S / _HOPS_PER_S)).astype(int)
    marks = np.zeros(len(peaks) + 1, int)  # a step up where a reach begins, a step down where it ends
    np.add.at(marks, np.maximum(hot - 1, 0), 1)
    np.add.at(marks, np.minimum(hot + reach, len(peaks)), -1)
    touched = np.concatenate([[0], (np.cumsum(marks[:-1]) > 0).astype(np.int8), [0]])
    return [
        _Stretch(int(begin), min(int(begin) + _STRETCH_HOPS, int(last)), bool(begin > first))
        for first, last in np.flatnonzero(np.diff(touched)).reshape(-1, 2)
        for begin in range(first, last, _STRETCH_HOPS)
    ]


def find_master(
    plan: RenderPlan,
    mix: Measurement,
    *,
    target_lufs: float | None,
    ceiling_dbtp: float,
    limiter: bool,
    threads: int,
) -> Master:
    """Find the gain that brings the programme to its loudness, with the limiter's own effect counted.

    Parameters
    ----------
    plan : RenderPlan
    mix : Measurement
        Of the mix, from `measure_mix`.
    target_lufs : float or None
        None leaves the level alone.
    ceiling_dbtp : float
        No peak of the programme goes above it.
    limiter : bool
        Without it the gain itself is kept so low that the peaks stay under the ceiling.
    threads : int

    Raises
    ------
    JobError
        If the limiter would have to take more than `MOST_DB` to reach the target.
    """
    mix_lufs = integrated_lufs(mix.energies)
    gain_db = 0.0 if target_lufs is None or math.isinf(mix_lufs) else target_lufs - mix_lufs

    def master(at_db: float, limiting: bool, lufs: float) -> Master:
        gain = db_to_gain(rounded_db(at_db))
        return Master(gain=gain, ceiling_dbtp=ceiling_dbtp, limiting=limiting, integrated_lufs=lufs)

    if mix.sample_peak * NEAR * db_to_gain(gain_db) <= db_to_gain(ceiling_dbtp):
        return master(gain_db, False, mix_lufs + gain_db)
    if not limiter:
        true_peak = measure_programme(plan, _MIX, threads=threads, true_peak=True).true_peak
        gain_db = min(gain_db, ceiling_dbtp - gain_to_db(true_peak))
        return master(gain_db, False, mix_lufs + gain_db)
    if target_lufs is None:
        return master(gain_db, True, math.nan)
    lowest_db, lowest_lufs = gain_db, math.nan
    most_hops = _FEW_HOPS
    for _ in range(_MOST_ROUNDS):
        trial = master(gain_db, True, math.nan)
        lufs = integrated_lufs(_limited_energies(plan, mix, trial, most_hops=most_hops))
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
