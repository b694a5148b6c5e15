"""Pass 2: render, limit and encode the track, decode the result, and accept it only when it keeps its promise.

What counts is the delivered, decoded file. LAME's presets scale their input and every lossy codec overshoots its
peaks, so the known level change is compensated and the ceiling leaves the codec room; then the decoded file is
measured while it is being encoded. A file that misses is made again with what was learnt, and never leaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dsp.blocks import Block, amplify, finite, gain_to_db
from dsp.envelope import Fade
from dsp.limiter import Reduction
from dsp.loudness import LoudnessMeter, Measurement, hop_frames, integrated_lufs, rounded_db
from dsp.plan import RenderPlan, render
from worker.codec.encode import encode
from worker.codec.encoding import Encoding
from worker.codec.segments import Track
from worker.codec.tags import Tags
from worker.errors import JobError, QualityError
from worker.ffmpeg.program import Ffmpeg
from worker.plan.compile import SpokenSpan
from worker.render.analysis import DeliveredAnalysis, DeliveredAnalyzer
from worker.render.master import find_master, too_loud
from worker.render.programme import Programme
from worker.render.silence import silent_span, sounds_below_treble

MOST_DBTP = -1.0
LOUDNESS_TOLERANCE_LU = 0.1
PREVIEW_FADE_S = 0.5
_AIM_LU = 0.05  # a miss of more is worth another encoding
_MOST_ENCODES = 6
_CHECKED_S = 30
_PREVIEW_ENCODING = Encoding("mp3", 128)


@dataclass(frozen=True)
class Delivery:
    """What the file has to be.

    Without a target the level is left alone; the analysis avoids the spans where the voice sounds (`spoken`).
    """

    encoding: Encoding
    tags: Tags
    target_lufs: float | None
    limiter: bool = True
    spoken: tuple[SpokenSpan, ...] = ()


EncodeReport = dict[str, float | None]
"""The gains of one encoding and what they led to; all but the last one missed."""


@dataclass(frozen=True)
class Delivered:
    """A finished file and what was measured on it.

    `programme` was encoded, with the limiter's `reduction`; `measurement` and `analysis` are of the decoded file.
    `encodes` has all encodings until it kept its promise.
    """

    delivery: Delivery
    programme: Programme
    measurement: Measurement
    reduction: Reduction
    analysis: DeliveredAnalysis
    encodes: tuple[EncodeReport, ...]

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

        Without a limiter a programme may be quieter than the target.
        """
        if self.delivery.target_lufs is None or math.isinf(self.programme.integrated_lufs):
            return 0.0
        return self.integrated_lufs - self.programme.integrated_lufs

    @property
    def reached_lufs(self) -> float:
        """How loud the file would be with its peaks where they must be."""
        return self.integrated_lufs - max(self.true_peak_dbtp - MOST_DBTP, 0.0)


def deliver(
    plan: RenderPlan,
    mix: Measurement,
    out: Path,
    delivery: Delivery,
    *,
    ffmpeg: Ffmpeg,
    threads: int,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Delivered:
    """Make the file, and make it again until its decoded sound is as loud as asked and its peaks are low enough.

    Parameters
    ----------
    mix : Measurement
        Of the plan, from `worker.render.programme.measure`.
    out : Path
        Appears in one step; on failure it may hold an encoding that was refused, so keep it out of anybody's sight
        until this returns.

    Raises
    ------
    JobError
        If the target cannot be reached: `find_master` says so, or the last encoding of a limited programme misses.
    QualityError
        If the last encoding misses otherwise; says what was measured. Also if the decoded file is silent where the mix
        is not, or has another length: to encode again would not change that.
    """
    encoding, target_lufs = delivery.encoding, delivery.target_lufs
    headroom_db = encoding.headroom_db
    level_db = -encoding.level_change_db
    delivered: Delivered | None = None
    for number in range(1, _MOST_ENCODES + 1):
        try:
            programme = find_master(
                plan,
                mix,
                target_lufs=target_lufs,
                ceiling_dbtp=MOST_DBTP - headroom_db,
                limiter=delivery.limiter,
                threads=threads,
            )
        except JobError:
            if target_lufs is None or delivered is None:
                raise
            raise too_loud(target_lufs, MOST_DBTP, delivered.reached_lufs) from None  # not the ceiling it had come to
        programme = replace(programme, level_db=level_db)
        before = () if delivered is None else delivered.encodes
        delivered = _encoded(programme, out, delivery, before, ffmpeg=ffmpeg, threads=threads, on_progress=on_progress)
        _check_sound(delivered, mix)
        miss_lu = delivered.miss_lu
        over_db = delivered.true_peak_dbtp - MOST_DBTP
        last = number == _MOST_ENCODES
        if over_db <= 0 and abs(miss_lu) <= (LOUDNESS_TOLERANCE_LU if last else _AIM_LU):
            frames = delivered.measurement.frames
            if encoding.format != "aac" and frames != plan.frames:  # bare ADTS has no place for a length
                raise QualityError(f"the decoded file has {frames} frames where {plan.frames} are due")
            return delivered
        # Each time the ceiling is set lower by more than the miss, so that this comes to an end: with other peaks a
        # codec overshoots by other amounts.
        if over_db > 0:
            headroom_db += rounded_db(over_db) + 0.1 * number
        if abs(miss_lu) > _AIM_LU:
            change_db = rounded_db(-miss_lu)
            level_db += change_db
            headroom_db += max(change_db, 0.0)  # a higher level lifts the peaks, too
        out.unlink(missing_ok=True)  # not kept beside the next
    assert delivered is not None  # noqa: S101 - at least one encoding was made
    if target_lufs is not None and programme.limiting:  # the codec leaves no room for both the peaks and the loudness
        raise too_loud(target_lufs, MOST_DBTP, delivered.reached_lufs)
    raise QualityError(
        f"the decoded file has {delivered.integrated_lufs:.2f} LUFS where {programme.integrated_lufs:.2f} are due and "
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
    meter = LoudnessMeter(plan.sample_rate, true_peak=True)
    analyzer = DeliveredAnalyzer(plan, delivery.spoken)

    def on_decoded(block: Block) -> None:
        meter.add(block)
        analyzer.add(block)

    track = Track(
        partial(programme.blocks, reduction=reduction),
        plan.frames,
        plan.sample_rate,
        delivery.tags,
        ffmpeg,
        threads,
        on_progress=lambda done: on_progress(done / plan.frames),
        on_decoded=on_decoded,
    )
    encode(track, out, delivery.encoding)
    measurement = meter.result()
    report: EncodeReport = {
        "master_gain_db": round(programme.gain_db, 3),
        "ceiling_dbtp": round(programme.ceiling_dbtp, 3),
        "level_compensation_db": round(programme.level_db, 3) + 0.0,  # never -0
        "integrated_lufs": finite(integrated_lufs(measurement.energies), 3),
        "true_peak_dbtp": finite(gain_to_db(measurement.true_peak), 3),
    }
    return Delivered(delivery, programme, measurement, reduction, analyzer.result(), (*before, report))


def deliver_preview(programme: Programme, out: Path, *, start: int, seconds: float, tags: Tags, ffmpeg: Ffmpeg) -> int:
    """Encode `seconds` of the track at its own gain, faded in and out over 0.5 s; returns the frames.

    Raises `QualityError` if its decoded peaks stay above the limit.
    """
    plan = programme.plan
    length = min(round(seconds * plan.sample_rate), plan.frames)
    start = max(0, min(start, plan.frames - length))
    fade_frames = min(round(PREVIEW_FADE_S * plan.sample_rate), length // 2)
    fade = Fade(length, fade_frames, fade_frames)
    headroom_db = max(_PREVIEW_ENCODING.headroom_db, MOST_DBTP - programme.ceiling_dbtp)
    for _ in range(_MOST_ENCODES):
        preview = replace(
            programme,
            ceiling_dbtp=MOST_DBTP - headroom_db,
            limiting=True,
            level_db=-_PREVIEW_ENCODING.level_change_db,
        )

        def faded(first: int, last: int, preview: Programme = preview) -> Iterator[Block]:
            frame = first
            for block in preview.blocks(start + first, start + last):
                yield amplify(block, fade.at(frame, frame + len(block)))
                frame += len(block)

        meter = LoudnessMeter(plan.sample_rate, true_peak=True)
        encode(Track(faded, length, plan.sample_rate, tags, ffmpeg, on_decoded=meter.add), out, _PREVIEW_ENCODING)
        over_db = gain_to_db(meter.result().true_peak) - MOST_DBTP
        if over_db <= 0:
            return length
        headroom_db += rounded_db(over_db) + 0.1
    raise QualityError(f"the preview peaks {over_db:.2f} dB above {MOST_DBTP:.1f} dBTP after {_MOST_ENCODES} encodings")


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
