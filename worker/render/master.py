"""Finds the one master gain that brings a mix to its loudness, as far as the limiter may go for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import db_to_gain, gain_to_db, runs, spans
from dsp.k_weighting import Energies
from dsp.limiter import MARGIN_DB, MOST_DB, NOTICED_DB, RELEASE_DB_PER_S
from dsp.loudness import LoudnessMeter, Measurement, hop_frames, integrated_lufs, rounded_db
from dsp.peak_survey import LimiterBounds, PeakSurvey
from dsp.plan import RenderPlan, render
from dsp.true_peak import NEAR, REACH_FRAMES
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
_CLOSE_DB = 0.05
_FAR, _BETWEEN_DB = 10.0, 1.0  # times the share, and how far above the samples: what peaks between them may add
_BOUNDED_HOPS = 200  # within the bounds the limiter's effect on the loudness is small


class LoudnessOf(Protocol):
    """What the target is measured by, in LUFS; `span_hops` as of `dsp.loudness.integrated_lufs`."""

    def __call__(self, energies: Energies, *, span_hops: int | None = None) -> float:
        """Measure the energies of a programme's hops."""


@dataclass(frozen=True)
class Aim:
    """How loud a track is to be.

    Parameters
    ----------
    target_lufs : float or None
        None leaves the level alone.
    ceiling_dbtp : float
        No peak of the programme goes above it.
    limiter : bool
        Without it the gain itself is kept so low that the peaks stay under the ceiling.
    bounds : LimiterBounds or None
        How far the limiter may go for the target; None for as far as it can.
    surveyed : bool
        Look at all peaks, whatever the samples say of them.
    loudness : callable
        Measures what the target is of.
    """

    target_lufs: float | None
    ceiling_dbtp: float
    limiter: bool = True
    bounds: LimiterBounds | None = None
    surveyed: bool = False
    loudness: LoudnessOf = integrated_lufs


@dataclass(frozen=True)
class Shortfall:
    """What kept a programme below its target: the reduction of its highest peak that the target would have taken.

    Where that is within the bounds, the limiter would have worked for too long.
    """

    reduction_db: float
    peak_hop: int


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


def _least_share(mix: Measurement, over_db: float) -> float:
    """The least share of the time in which a reduction is noticed, by the sample peaks of the hops.

    `over_db` is the gain over the ceiling.
    """
    with np.errstate(divide="ignore"):
        needed_db = 20.0 * np.log10(mix.peaks.astype(np.float64)) + over_db
    held_s = (needed_db[needed_db > NOTICED_DB] - NOTICED_DB) / RELEASE_DB_PER_S
    return float(np.minimum(held_s * _HOPS_PER_S, 1.0).sum() / max(len(mix.peaks), 1))


def _is_far_within(mix: Measurement, bounds: LimiterBounds, over_db: float) -> bool:
    """Whether the samples alone show that the bounds are far, so that the peaks need no survey.

    Where the peaks between the samples are much higher than those, the limiter shows it: then the track is made again,
    after a survey.
    """
    reduction_db = gain_to_db(mix.sample_peak) + over_db
    return reduction_db + _BETWEEN_DB <= bounds.most_db and _FAR * _least_share(mix, over_db) <= bounds.most_share


def _floor(mix: Measurement, bounds: LimiterBounds) -> float:
    """The lowest ceiling over the mix that can be within the bounds, linear, by the sample peaks of the hops."""
    low_db = gain_to_db(mix.sample_peak) - bounds.most_db
    high_db = low_db + bounds.most_db
    while high_db - low_db > _CLOSE_DB:
        middle_db = (low_db + high_db) / 2
        if _least_share(mix, -middle_db) > bounds.most_share:
            low_db = middle_db
        else:
            high_db = middle_db
    return db_to_gain(low_db)


def _survey(plan: RenderPlan, mix: Measurement, bounds: LimiterBounds, floor: float) -> PeakSurvey:
    """Survey the peaks of the mix that a ceiling of `floor` or higher limits noticeably.

    Only the hops are made whose samples come near such a peak.
    """
    hop = hop_frames(plan.sample_rate)
    survey = PeakSurvey(plan.frames, plan.sample_rate, bounds, floor=floor)
    near = mix.peaks > floor * db_to_gain(NOTICED_DB - _NEAR_CEILING_DB)
    whole = len(mix.peaks) * hop
    parts = [(first * hop, last * hop) for first, last in runs(near).tolist()]
    if whole < plan.frames:
        parts.append((whole, plan.frames))  # the unfinished hop, of which nothing is known by itself
    for first, last in parts:
        for start, stop in spans(first, last, _SPAN_HOPS * hop):
            survey.add(start, render(plan, start - REACH_FRAMES, stop + REACH_FRAMES))
    return survey


def find_master(plan: RenderPlan, mix: Measurement, aim: Aim, *, threads: int) -> tuple[Programme, Shortfall | None]:
    """Find the gain that brings the programme to its loudness, with the limiter's own effect counted.

    Where the limiter's bounds do not allow it, the programme is as loud as they do, and the shortfall says what the
    target would have taken. The balance of the layers is worth more than the level of the whole: what a limiter takes
    from the voice it takes from nothing else.

    Raises `JobError` if there are no bounds and the limiter would have to take more than `MOST_DB` for the target.

    Parameters
    ----------
    mix : Measurement
        Of the plan before master gain and limiter.
    """
    target_lufs, ceiling_dbtp, bounds = aim.target_lufs, aim.ceiling_dbtp, aim.bounds
    mix_lufs = aim.loudness(mix.energies)
    gain_db = 0.0 if target_lufs is None or math.isinf(mix_lufs) else target_lufs - mix_lufs
    if mix.sample_peak * NEAR * db_to_gain(gain_db) <= db_to_gain(ceiling_dbtp):
        return _programme(plan, aim, gain_db, lufs=mix_lufs + gain_db, limiting=False), None
    if not aim.limiter:
        true_peak = measure(Programme(plan), threads=threads, true_peak=True).true_peak
        most_db = ceiling_dbtp - gain_to_db(true_peak)
        shortfall = Shortfall(gain_db - most_db, _peak_hop(mix)) if bounds is not None and gain_db > most_db else None
        gain_db = min(gain_db, most_db)
        return _programme(plan, aim, gain_db, lufs=mix_lufs + gain_db, limiting=False), shortfall
    if target_lufs is None:
        return _programme(plan, aim, gain_db, lufs=math.nan), None
    reached = _at_loudness(plan, mix, aim, target_lufs, gain_db)
    if bounds is None:
        if reached.reaches:
            return reached.programme, None
        raise too_loud(target_lufs, ceiling_dbtp, reached.programme.lufs)
    return _within_bounds(mix, aim, reached, bounds)


def _peak_hop(mix: Measurement) -> int:
    return int(mix.peaks.argmax()) if len(mix.peaks) else 0


def _programme(plan: RenderPlan, aim: Aim, gain_db: float, *, lufs: float, limiting: bool = True) -> Programme:
    return Programme(plan, db_to_gain(rounded_db(gain_db)), aim.ceiling_dbtp, limiting, lufs)


@dataclass(frozen=True)
class _Trial:
    """A programme at a gain.

    `reaches` is False where the target would take a higher gain than this, and the limiter must not do more.
    """

    programme: Programme
    reaches: bool


def _at_loudness(plan: RenderPlan, mix: Measurement, aim: Aim, target_lufs: float, gain_db: float) -> _Trial:
    """Raise the gain from what would do without a limiter, until the target is reached or the limiter does too much."""
    bounds = aim.bounds
    lowest_db, lowest_lufs = gain_db, math.nan
    most_hops = _FEW_HOPS
    for _ in range(_MOST_ROUNDS):
        trial = _programme(plan, aim, gain_db, lufs=math.nan)
        over_db = gain_db - aim.ceiling_dbtp
        if bounds is not None and (
            gain_to_db(mix.sample_peak) + over_db > bounds.most_db or _least_share(mix, over_db) > bounds.most_share
        ):
            return _Trial(trial, False)
        lufs = aim.loudness(_limited_energies(trial, mix, most_hops=most_hops))
        if abs(lufs - target_lufs) <= _CLOSE_LU:
            return _Trial(_programme(plan, aim, gain_db + target_lufs - lufs, lufs=target_lufs), True)
        if abs(lufs - target_lufs) > _LITTLE_LU:
            most_hops = _MANY_HOPS
        # the harder the limiter works, the less a decibel of gain brings: follow the last slope, within reason
        slope = (lufs - lowest_lufs) / (gain_db - lowest_db) if gain_db != lowest_db else 1.0
        lowest_db, lowest_lufs = gain_db, lufs
        gain_db += (target_lufs - lufs) / min(max(slope, 0.2), 1.0)
        if bounds is None and gain_to_db(mix.sample_peak) + gain_db - aim.ceiling_dbtp > MOST_DB:
            break
    return _Trial(_programme(plan, aim, lowest_db, lufs=lowest_lufs), False)


def _within_bounds(
    mix: Measurement, aim: Aim, wanted: _Trial, bounds: LimiterBounds
) -> tuple[Programme, Shortfall | None]:
    """The wanted programme where its limiter stays within the bounds, else the loudest one that does."""
    programme, plan = wanted.programme, wanted.programme.plan
    if wanted.reaches and not aim.surveyed:  # most programmes stay within them, and few of their hops are that high
        if _is_far_within(mix, bounds, programme.gain_db - aim.ceiling_dbtp):
            return programme, None
        ceiling = db_to_gain(aim.ceiling_dbtp - MARGIN_DB - programme.gain_db)
        if _survey(plan, mix, bounds, ceiling).allows(programme.gain_db, aim.ceiling_dbtp):
            return programme, None
    survey = _survey(plan, mix, bounds, _floor(mix, bounds))
    most_db = survey.most_gain_db(aim.ceiling_dbtp)
    if wanted.reaches and programme.gain_db <= most_db:
        return programme, None
    gain_db = min(programme.gain_db, most_db)
    trial = _programme(plan, aim, gain_db, lufs=math.nan)
    energies = _limited_energies(trial, mix, most_hops=_BOUNDED_HOPS)
    shortfall = Shortfall(survey.reduction_db(programme.gain_db, aim.ceiling_dbtp), _peak_hop(mix))
    return replace(trial, lufs=aim.loudness(energies)), shortfall


def too_loud(target_lufs: float, peak_dbtp: float, reached_lufs: float) -> JobError:
    """The error of a job that asks for more loudness than its mix can have."""
    return JobError(
        f"safety.targetLufs: {target_lufs:g} LUFS cannot be reached with peaks at or below {peak_dbtp:.1f} dBTP; "
        f"this mix gets to {reached_lufs:.1f}",
        code="job.loudness",
        customer_message="This mix cannot be made that loud without distortion. Please choose a lower loudness.",
    )
