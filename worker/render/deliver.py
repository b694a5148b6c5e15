"""Pass 2: render, limit and encode the track, decode the result, and accept it only when it keeps its promise.

What counts is the delivered, decoded file. LAME's presets scale their input and every lossy codec overshoots its
peaks, so the known level change is compensated and the ceiling leaves the codec room; then the decoded file is
measured while it is being encoded. A file that misses is made again with what was learnt, and never leaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dsp.blocks import Block, amplify, finite, gain_to_db
from dsp.limiter import Reduction
from dsp.loudness import LoudnessMeter, Measurement, hop_frames, integrated_lufs, rounded_db
from dsp.peak_survey import LimiterBounds
from dsp.plan import RenderPlan, render
from dsp.waveform_peaks import WaveformPeaks
from worker.codec.encode import encode
from worker.codec.encoding import Encoding
from worker.codec.segments import Track
from worker.codec.tags import Tags
from worker.errors import JobError, QualityError
from worker.ffmpeg.program import Ffmpeg
from worker.plan.compile import SpokenSpan
from worker.render.analysis import DeliveredAnalysis, DeliveredAnalyzer
from worker.render.expected_time import decoded_share
from worker.render.master import Aim, LoudnessOf, Shortfall, find_master, too_loud
from worker.render.peaks import peaks_of
from worker.render.programme import Programme
from worker.render.silence import silent_span, sounds_below_treble

MOST_DBTP = -1.0
LOUDNESS_TOLERANCE_LU = 0.1
_AIM_LU = 0.05  # a miss of more is worth another encoding
MOST_ENCODES = 6
_SETTLED_ENCODES = 4  # a file that is still too quiet then stays so
_CHECKED_S = 30
_NEARLY_DB = 0.05
_SAFE = 0.97  # of the limiter's time: what a survey of the peaks foretells of it is that exact, for nearly all mixes


@dataclass(frozen=True)
class Delivery:
    """What the file has to be.

    Without a target the level is left alone. With bounds a file that cannot be so loud within them is as loud as it
    can be; without, it is an error. The analysis avoids the spans where the voice sounds (`spoken`). With `peaks` the
    decoded file's waveform is gathered, too.
    """

    encoding: Encoding
    tags: Tags
    target_lufs: float | None
    limiter: bool = True
    spoken: tuple[SpokenSpan, ...] = ()
    bounds: LimiterBounds | None = None
    loudness: LoudnessOf = integrated_lufs
    peaks: bool = False


EncodeReport = dict[str, float | None]
"""The gains of one encoding and what they led to; all but the last one missed."""


@dataclass(frozen=True)
class Delivered:
    """A finished file and what was measured on it.

    `programme` was encoded, with the limiter's `reduction`; `measurement` and `analysis` are of the decoded file.
    `encodes` has all encodings until it kept its promise. With a `shortfall` it is quieter than the target.
    """

    delivery: Delivery
    programme: Programme
    measurement: Measurement
    reduction: Reduction
    analysis: DeliveredAnalysis
    encodes: tuple[EncodeReport, ...]
    peaks: WaveformPeaks | None = None
    shortfall: Shortfall | None = None

    @property
    def integrated_lufs(self) -> float:
        """Of the decoded file."""
        return integrated_lufs(self.measurement.energies)

    @property
    def true_peak_dbtp(self) -> float:
        """Of the decoded file."""
        return gain_to_db(self.measurement.true_peak)

    @property
    def miss_lu(self) -> float:
        """How much louder the file is than its programme should be; 0 for silence and without a target.

        Without a limiter, or within its bounds, a programme may be quieter than the target.
        """
        if self.delivery.target_lufs is None or math.isinf(self.programme.lufs):
            return 0.0
        return self.lufs - self.programme.lufs

    @property
    def lufs(self) -> float:
        """Loudness of the decoded file, measured as the target is."""
        return self.delivery.loudness(self.measurement.energies)

    @property
    def is_beyond_bounds(self) -> bool:
        """Whether the limiter has done more than it may, by a little more than rounding."""
        bounds = self.delivery.bounds
        if bounds is None or self.delivery.target_lufs is None:
            return False
        return self.reduction.max_db > bounds.most_db + _NEARLY_DB or self.noticed_share > bounds.most_share

    @property
    def noticed_share(self) -> float:
        """The part of the time in which the limiter's reduction is noticed."""
        return self.reduction.noticed_frames / max(self.programme.plan.frames, 1)

    @property
    def reached_lufs(self) -> float:
        """How loud the file would be with its peaks where they must be."""
        return self.lufs - max(self.true_peak_dbtp - MOST_DBTP, 0.0)

    @property
    def notes(self) -> tuple[str, ...]:
        """Why it is not as loud as asked, in a sentence."""
        target_lufs, bounds, reached_lufs = self.delivery.target_lufs, self.delivery.bounds, self.lufs
        if target_lufs is None or bounds is None or not LOUDNESS_TOLERANCE_LU < target_lufs - reached_lufs < math.inf:
            return ()
        reached = f"loudness: reached {_signed(reached_lufs, 1)} of {_signed(target_lufs)} LUFS"
        if self.shortfall is None:
            return (f"{reached}: the format leaves no room for more",)
        over_db = f"{self.shortfall.reduction_db:.0f} dB"
        if not self.delivery.limiter:
            return (f"{reached}: the limiter is off, and peaks would have been {over_db} too high",)
        how = f"by {over_db}"
        if self.shortfall.reduction_db <= bounds.most_db:
            how = f"for more than {bounds.most_share * 100:g} % of the time"
        hop = hop_frames(self.programme.plan.sample_rate)
        peak = self.shortfall.peak_hop * hop
        speaks = any(span.start < peak + hop and peak < span.stop for span in self.delivery.spoken)
        return (f"{reached}: the {'voice' if speaks else 'mix'} would have had to be limited {how}",)


def _signed(value: float, digits: int | None = None) -> str:
    """A figure with a minus sign as people write it."""
    return (f"{value:g}" if digits is None else f"{value:.{digits}f}").replace("-", "\N{MINUS SIGN}")


def deliver(
    plan: RenderPlan,
    mix: Measurement,
    out: Path,
    delivery: Delivery,
    *,
    ffmpeg: Ffmpeg,
    threads: int,
    on_progress: Callable[[float], None] = lambda _: None,
    on_programme: Callable[[Programme], None] = lambda _: None,
) -> Delivered:
    """Make the file, and make it again until its decoded sound is as loud as asked and its peaks are low enough.

    Parameters
    ----------
    mix : Measurement
        Of the plan, from `worker.render.programme.measure`.
    out : Path
        Appears in one step; on failure it may hold an encoding that was refused, so keep it out of anybody's sight
        until this returns.
    on_programme : callable
        Called with each programme before it is encoded; the last one is the delivered file's.

    Raises
    ------
    JobError
        Without bounds, if the target cannot be reached: `find_master` says so, or the last encoding misses.
    QualityError
        If the last encoding misses otherwise; says what was measured. Also if the decoded file is silent where the mix
        is not, or has another length: to encode again would not change that.
    """

    def encoded(programme: Programme, before: tuple[EncodeReport, ...]) -> Delivered:
        on_programme(programme)
        out.unlink(missing_ok=True)  # the one before is not kept beside the next
        return _encoded(programme, out, delivery, before, ffmpeg=ffmpeg, threads=threads, on_progress=on_progress)

    return settle(plan, mix, delivery, encoded, threads=threads)


def first_programme(plan: RenderPlan, mix: Measurement, delivery: Delivery, *, threads: int) -> Programme:
    """Find what is encoded first, and mostly last; raises as `find_master` does."""
    encoding = delivery.encoding
    aim = Aim(
        delivery.target_lufs,
        MOST_DBTP - encoding.headroom_db,
        delivery.limiter,
        delivery.bounds and replace(delivery.bounds, most_share=_SAFE * delivery.bounds.most_share),
        loudness=delivery.loudness,
    )
    programme, _ = find_master(plan, mix, aim, threads=threads)
    return replace(programme, level_db=-encoding.level_change_db)


def settle(
    plan: RenderPlan,
    mix: Measurement,
    delivery: Delivery,
    encoded: Callable[[Programme, tuple[EncodeReport, ...]], Delivered],
    *,
    threads: int,
) -> Delivered:
    """Encode a programme, and others, until one keeps its promise; raises as `deliver` does.

    `encoded` encodes and measures one; it is given the reports of those before.
    """
    encoding, target_lufs = delivery.encoding, delivery.target_lufs
    headroom_db = encoding.headroom_db
    level_db = -encoding.level_change_db
    delivered: Delivered | None = None
    surveyed = repeating = False
    bounds = delivery.bounds and replace(delivery.bounds, most_share=_SAFE * delivery.bounds.most_share)
    fair_lu, fair = LOUDNESS_TOLERANCE_LU, (level_db, headroom_db)  # the smallest miss so far, and what led to it
    for number in range(1, MOST_ENCODES + 1):
        ceiling_dbtp = MOST_DBTP - headroom_db
        aim = Aim(target_lufs, ceiling_dbtp, delivery.limiter, bounds, surveyed, delivery.loudness)
        try:
            programme, shortfall = find_master(plan, mix, aim, threads=threads)
        except JobError:
            if target_lufs is None or delivered is None:
                raise
            raise too_loud(target_lufs, MOST_DBTP, delivered.reached_lufs) from None  # not the ceiling it had come to
        programme = replace(programme, level_db=level_db)
        before = () if delivered is None else delivered.encodes
        delivered = replace(encoded(programme, before), shortfall=shortfall)
        _check_sound(delivered, mix)
        miss_lu = delivered.miss_lu
        over_db = delivered.true_peak_dbtp - MOST_DBTP
        last = number == MOST_ENCODES or repeating
        close = abs(miss_lu) <= (LOUDNESS_TOLERANCE_LU if last else _AIM_LU)
        # what a codec takes from the loudness and adds to the peaks is no reason to refuse a file, unless it has to be
        settled = bounds is not None and number >= _SETTLED_ENCODES and miss_lu < 0
        beyond = delivered.is_beyond_bounds and number < _SETTLED_ENCODES
        if beyond and bounds is not None and surveyed:  # of many peaks a survey foretells it less exactly
            bounds = replace(bounds, most_share=_SAFE * bounds.most_share**2 / max(delivered.noticed_share, 1e-9))
        surveyed |= beyond  # peaks far above the samples, which gave no hint of them
        if over_db <= 0 and (close or settled) and not beyond:
            frames = delivered.measurement.frames
            if encoding.format != "aac" and frames != plan.frames:  # bare ADTS has no place for a length
                raise QualityError(f"the decoded file has {frames} frames where {plan.frames} are due")
            return delivered
        if over_db <= 0 and not beyond and abs(miss_lu) <= fair_lu:
            fair_lu, fair = abs(miss_lu), (level_db, headroom_db)
        elif over_db <= 0 and fair_lu < LOUDNESS_TOLERANCE_LU:  # a codec that jumps: it comes no nearer than before
            (level_db, headroom_db), repeating = fair, True
            continue
        # Each time the ceiling is set lower by more than the miss, so that this comes to an end: with other peaks a
        # codec overshoots by other amounts.
        if over_db > 0:
            headroom_db += rounded_db(over_db) + 0.1 * number
        if abs(miss_lu) > _AIM_LU:
            change_db = rounded_db(-miss_lu)
            level_db += change_db
            headroom_db += max(change_db, 0.0)  # a higher level lifts the peaks, too
    assert delivered is not None  # noqa: S101 - at least one encoding was made
    if target_lufs is not None and programme.limiting and delivery.bounds is None:
        # the codec leaves no room for both the peaks and the loudness
        raise too_loud(target_lufs, MOST_DBTP, delivered.reached_lufs)
    raise QualityError(
        f"the decoded file has {delivered.lufs:.2f} LUFS where {programme.lufs:.2f} are due and "
        f"peaks at {delivered.true_peak_dbtp:.2f} dBTP where {MOST_DBTP:.1f} is allowed, after {number} encodings"
    )


def _encoded(
    programme: Programme,
    out: Path,
    delivery: Delivery,
    before: tuple[EncodeReport, ...],
    *,
    ffmpeg: Ffmpeg,
    threads: int,
    on_progress: Callable[[float], None],
) -> Delivered:
    """Encode a programme once, and measure the decoded file."""
    plan = programme.plan
    reduction = Reduction()
    meter = LoudnessMeter(plan.sample_rate, true_peak=True, hop_peaks=False)
    analyzer = DeliveredAnalyzer(plan, delivery.spoken)
    peaks = peaks_of(plan.frames) if delivery.peaks else None
    taken = decoded = 0
    share = decoded_share(delivery.encoding)

    def tell() -> None:
        on_progress(((1.0 - share) * taken + share * decoded) / plan.frames)

    def on_taken(frames: int) -> None:
        nonlocal taken
        taken = frames
        tell()

    def on_decoded(block: Block) -> None:
        nonlocal decoded
        meter.add(block)
        analyzer.add(block)
        if peaks is not None:
            peaks.add(block)
        decoded += len(block)
        tell()

    track = Track(
        partial(programme.blocks, reduction=reduction),
        plan.frames,
        plan.sample_rate,
        delivery.tags,
        ffmpeg,
        threads,
        on_progress=on_taken,
        on_decoded=on_decoded,
    )
    encode(track, out, delivery.encoding)
    measurement = meter.result()
    encodes = (*before, encode_report(programme, measurement))
    return Delivered(delivery, programme, measurement, reduction, analyzer.result(), encodes, peaks)


def encode_report(programme: Programme, measurement: Measurement) -> EncodeReport:
    """The gains of an encoding, and what was measured on its decoded sound."""
    return {
        "master_gain_db": round(programme.gain_db, 3),
        "ceiling_dbtp": round(programme.ceiling_dbtp, 3),
        "level_compensation_db": round(programme.level_db, 3) + 0.0,  # never -0
        "integrated_lufs": finite(integrated_lufs(measurement.energies), 3),
        "true_peak_dbtp": finite(gain_to_db(measurement.true_peak), 3),
    }


def _check_sound(delivered: Delivered, mix: Measurement) -> None:
    """Refuse a decoded file that is silent where the mix sounds."""
    plan, gain = delivered.programme.plan, delivered.programme.gain
    silent = silent_span(mix.energies * gain**2, delivered.measurement.energies)
    if silent is None:
        return
    first, last = (hop * hop_frames(plan.sample_rate) for hop in silent)
    last = min(last, first + _CHECKED_S * plan.sample_rate)
    if sounds_below_treble(amplify(render(plan, first, last), gain), plan.sample_rate):
        begin_s, end_s = (hop / 10 for hop in silent)
        raise QualityError(f"the decoded file is silent from {begin_s:.1f} s to {end_s:.1f} s, where the mix sounds")
