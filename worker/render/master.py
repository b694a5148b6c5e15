"""Pass 1: measure the plan, and find the one master gain that brings it to its loudness.

The plan is a pure function of time, so it is measured in stretches side by side; what they heard is put together hop
by hop and does not depend on how many there were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dsp.blocks import BLOCK_FRAMES, Block, db_to_gain, gain_to_db, spans
from dsp.limiter import MOST_DB, Reduction, limit
from dsp.loudness import RUN_UP_HOPS, Energies, LoudnessMeter, Measurement, hop_frames, integrated_lufs, joined
from dsp.plan import RenderPlan, render
from dsp.true_peak import NEAR
from worker.errors import JobError
from worker.render.stretches import Stretches, in_stretches, side_by_side

_CLOSE_LU = 0.005
_MOST_ROUNDS = 12
_WORKS_FROM_DB = 1.0
_RELEASE_HOPS = 5  # half a second: `MOST_DB` at the limiter's release


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
    plan: RenderPlan, master: Master, start: int, stop: int, *, reduction: Reduction | None = None
) -> Iterator[Block]:
    """Make the finished programme of a stretch, block by block."""
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
        )
        return
    for first, last in spans(start, stop, BLOCK_FRAMES):
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
        meter = LoudnessMeter(plan.sample_rate, run_up_hops=run_up_hops, true_peak=true_peak)
        for block in programme(plan, master, start - run_up_hops * hop, stop):
            meter.add(block)
            stretches.advance(len(block))
        return meter.measurement()

    return joined(in_stretches(measure_stretch, plan.frames, multiple_of=hop, threads=threads, on_progress=on_progress))


def _limited_energies(plan: RenderPlan, mix: Measurement, master: Master, *, threads: int) -> Energies:
    """Energies of the limited programme, by hop: those of the mix at the gain, but where the limiter works.

    Only hops whose samples come within 1 dB of the ceiling, and what the limiter's release reaches after them, are
    made and measured again. What peaks between samples elsewhere is too little to be heard as loudness.
    """
    hop = hop_frames(plan.sample_rate)
    energies = mix.energies * master.gain**2
    (hot,) = np.nonzero(mix.peaks * master.gain > db_to_gain(master.ceiling_dbtp - _WORKS_FROM_DB))
    touched = np.zeros(len(energies), bool)
    for offset in range(-1, _RELEASE_HOPS + 1):
        touched[np.clip(hot + offset, 0, max(len(energies) - 1, 0))] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[0], touched.view(np.int8), [0]])))

    def measure_again(span: tuple[int, int]) -> None:
        first, last = span
        run_up_hops = min(RUN_UP_HOPS, first)
        meter = LoudnessMeter(plan.sample_rate, run_up_hops=run_up_hops)
        for block in programme(plan, master, (first - run_up_hops) * hop, last * hop):
            meter.add(block)
        energies[first:last] = meter.measurement().energies

    side_by_side(measure_again, [(int(first), int(last)) for first, last in edges.reshape(-1, 2)], threads=threads)
    return energies


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
        return Master(gain=db_to_gain(at_db), ceiling_dbtp=ceiling_dbtp, limiting=limiting, integrated_lufs=lufs)

    if mix.sample_peak * NEAR * db_to_gain(gain_db) <= db_to_gain(ceiling_dbtp):
        return master(gain_db, False, mix_lufs + gain_db)
    if not limiter:
        true_peak = measure_programme(plan, _MIX, threads=threads, true_peak=True).true_peak
        gain_db = min(gain_db, ceiling_dbtp - gain_to_db(true_peak))
        return master(gain_db, False, mix_lufs + gain_db)
    if target_lufs is None:
        return master(gain_db, True, math.nan)
    lowest_db, lowest_lufs = gain_db, math.nan
    for _ in range(_MOST_ROUNDS):
        trial = master(gain_db, True, math.nan)
        lufs = integrated_lufs(_limited_energies(plan, mix, trial, threads=threads))
        if abs(lufs - target_lufs) <= _CLOSE_LU:
            return master(gain_db, True, lufs)
        # the harder the limiter works, the less a decibel of gain brings: follow the last slope, within reason
        slope = (lufs - lowest_lufs) / (gain_db - lowest_db) if gain_db != lowest_db else 1.0
        lowest_db, lowest_lufs = gain_db, lufs
        gain_db += (target_lufs - lufs) / min(max(slope, 0.2), 1.0)
        if gain_to_db(mix.sample_peak) + gain_db - ceiling_dbtp > MOST_DB:
            break
    raise JobError(
        f"safety.targetLufs: {target_lufs:g} LUFS cannot be reached with peaks at or below {ceiling_dbtp:.1f} dBTP; "
        f"this mix gets to {lowest_lufs:.1f}",
        code="job.loudness",
        customer_message="This mix cannot be made that loud without distortion. Please choose a lower loudness.",
    )
