"""Pass 2: render, limit and encode the track, decode the result, and accept it only when it keeps its promise.

The delivered, decoded file is what counts. LAME's presets scale their input and every lossy codec overshoots its
peaks, so the known level change is taken out beforehand and the ceiling leaves the codec room; then the decoded file
is measured while it is being encoded. One that misses is made again with what was learnt, and is never handed on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsp.blocks import Block, amplify, db_to_gain, gain_to_db
from dsp.envelope import Fade
from dsp.limiter import Reduction
from dsp.loudness import LoudnessMeter, Measurement, hop_frames, integrated_lufs, rounded_db
from dsp.plan import RenderPlan, render
from worker.codec.encode import encode
from worker.codec.encoding import Encoding
from worker.codec.tags import Tags
from worker.errors import JobError, QualityError
from worker.ffmpeg.program import Ffmpeg
from worker.render.analysis import DeliveredAnalyzer
from worker.render.master import Master, find_master, programme, too_loud
from worker.render.silence import silent_stretch, sounds_below_treble

MOST_DBTP = -1.0
LOUDNESS_TOLERANCE_LU = 0.1
_AIM_LU = 0.05  # a miss of more is worth another encoding
_MOST_ENCODES = 6
_LOOK_S = 30
PREVIEW_FADE_S = 0.5
_PREVIEW_ENCODING = Encoding("mp3", 128)

# How far a codec lets the peaks of a dense programme rise, in dB: benchmarks/codec.py measures it. A lossless file
# keeps them, but for the last rounding.
_LOSSLESS_HEADROOM_DB = 0.05
_HEADROOM_DB = {("mp3", 320): 0.4, ("mp3", 192): 0.8, ("mp3", 128): 1.5}
_WORST_HEADROOM_DB = 1.6


@dataclass(frozen=True)
class Try:
    """One encoding, the last of which was good.

    Attributes
    ----------
    master_gain_db, ceiling_dbtp : float
        Of the limiter's input and output.
    level_db : float
        Added after the limiter, to make up for what the codec does to the level.
    integrated_lufs, true_peak_dbtp : float
        Of the decoded file.
    """

    master_gain_db: float
    ceiling_dbtp: float
    level_db: float
    integrated_lufs: float
    true_peak_dbtp: float


@dataclass(frozen=True)
class Delivered:
    """A finished file and what was measured on it.

    Attributes
    ----------
    master : Master
    measurement : Measurement
        Of the decoded file.
    reduction : Reduction
        What the limiter did.
    encodes : int
        How often it was encoded until it kept its promise.
    tries : tuple of Try
        All of these.
    listener : Listener or None
        What listened to the decoded file.
    """

    master: Master
    measurement: Measurement
    reduction: Reduction
    encodes: int
    tries: tuple[Try, ...] = ()
    analyzer: DeliveredAnalyzer | None = None

    @property
    def integrated_lufs(self) -> float:
        """Of the decoded file."""
        return integrated_lufs(self.measurement.energies)

    @property
    def true_peak_dbtp(self) -> float:
        """Of the decoded file."""
        return gain_to_db(self.measurement.true_peak)


def deliver(
    plan: RenderPlan,
    mix: Measurement,
    out: Path,
    *,
    encoding: Encoding,
    target_lufs: float | None,
    limiter: bool,
    tags: Tags,
    ffmpeg: Ffmpeg,
    threads: int,
    on_progress: Callable[[float], None] | None = None,
    make_analyzer: Callable[[], DeliveredAnalyzer] | None = None,
) -> Delivered:
    """Make the file, and make it again until its decoded sound is as loud as asked and its peaks are low enough.

    Parameters
    ----------
    plan : RenderPlan
    mix : Measurement
        Of the plan, from `worker.render.master.measure_mix`.
    out : Path
        Appears in one step; on failure it may hold an encoding that was refused, so keep it out of anybody's sight
        until this returns.
    target_lufs : float or None
        None leaves the level alone.
    limiter : bool
    make_listener : callable, optional
        Makes what hears the decoded blocks of one encoding, in order.

    Raises
    ------
    JobError
        If the target cannot be reached: `find_master` says so, or the last encoding of a limited programme misses.
    QualityError
        If the last encoding misses otherwise; says what was measured. Also if the decoded file is silent where the mix
        is not, or has another length: to encode again would not mend that.
    """
    headroom_db = _headroom_db(encoding)
    level_db = -encoding.level_change_db  # what makes up for the codec's own gain
    tries: list[Try] = []
    for number in range(1, _MOST_ENCODES + 1):
        reduction = Reduction()
        try:
            master = find_master(
                plan,
                mix,
                target_lufs=target_lufs,
                ceiling_dbtp=MOST_DBTP - headroom_db,
                limiter=limiter,
                threads=threads,
            )
        except JobError:
            if target_lufs is None or not tries:
                raise
            raise too_loud(target_lufs, MOST_DBTP, _reached(tries)) from None  # not the ceiling it had come to
        meter = LoudnessMeter(plan.sample_rate, true_peak=True)
        analyzer = None if make_analyzer is None else make_analyzer()
        encode(
            _amplified(plan, master, level_db, reduction),
            plan.frames,
            out,
            encoding=encoding,
            sample_rate=plan.sample_rate,
            tags=tags,
            ffmpeg=ffmpeg,
            threads=threads,
            on_progress=None if on_progress is None else lambda done: on_progress(done / plan.frames),
            on_decoded=meter.add if analyzer is None else _both(meter.add, analyzer.add),
        )
        heard = meter.measurement()
        lufs, dbtp = integrated_lufs(heard.energies), gain_to_db(heard.true_peak)
        tries.append(Try(master.gain_db, master.ceiling_dbtp, level_db, lufs, dbtp))
        delivered = Delivered(master, heard, reduction, number, tuple(tries), analyzer)
        _check_sound(delivered, mix, plan)
        # a file is held to the loudness its master has: without a limiter that may be less than the target
        miss_lu = _miss(delivered.integrated_lufs, master, target_lufs)
        over_db = delivered.true_peak_dbtp - MOST_DBTP
        last = number == _MOST_ENCODES
        if over_db <= 0 and abs(miss_lu) <= (LOUDNESS_TOLERANCE_LU if last else _AIM_LU):
            _check_length(delivered, plan, encoding)
            return delivered
        # From try to try the ceiling is set lower by more than what was missed, so that this comes to an end: with
        # other peaks a codec rises by other amounts.
        if over_db > 0:
            headroom_db += rounded_db(over_db) + 0.1 * number
        if abs(miss_lu) > _AIM_LU:
            change_db = rounded_db(-miss_lu)
            level_db += change_db
            headroom_db += max(change_db, 0.0)  # a higher level lifts the peaks, too
        out.unlink(missing_ok=True)  # not kept beside the next
    if target_lufs is not None and master.limiting:  # the codec leaves no room for both the peaks and the loudness
        raise too_loud(target_lufs, MOST_DBTP, _reached(tries))
    raise QualityError(
        f"the decoded file has {delivered.integrated_lufs:.2f} LUFS where {master.integrated_lufs:.2f} are due and "
        f"peaks at {delivered.true_peak_dbtp:.2f} dBTP where {MOST_DBTP:.1f} is allowed, after {number} encodings"
    )


def deliver_preview(
    plan: RenderPlan, delivered: Delivered, out: Path, *, start: int, seconds: float, tags: Tags, ffmpeg: Ffmpeg
) -> int:
    """Encode `seconds` of the track at its own gain, faded in and out over 0.5 s; returns the frames.

    Raises
    ------
    QualityError
        If its decoded peaks stay above the limit.
    """
    length = min(round(seconds * plan.sample_rate), plan.frames)
    start = max(0, min(start, plan.frames - length))
    fade_frames = min(round(PREVIEW_FADE_S * plan.sample_rate), length // 2)
    fade = Fade(length, fade_frames, fade_frames)
    headroom_db = max(_headroom_db(_PREVIEW_ENCODING), MOST_DBTP - delivered.master.ceiling_dbtp)
    for _ in range(_MOST_ENCODES):
        master = Master(
            gain=delivered.master.gain,
            ceiling_dbtp=MOST_DBTP - headroom_db,
            limiting=True,
            integrated_lufs=math.nan,
        )
        pcm = _amplified(plan, master, -_PREVIEW_ENCODING.level_change_db, Reduction())

        def faded(first: int, last: int, pcm: Callable[[int, int], Iterator[Block]] = pcm) -> Iterator[Block]:
            frame = first
            for block in pcm(start + first, start + last):
                yield amplify(block, fade.at(frame, frame + len(block)))
                frame += len(block)

        meter = LoudnessMeter(plan.sample_rate, true_peak=True)
        encode(
            faded,
            length,
            out,
            encoding=_PREVIEW_ENCODING,
            sample_rate=plan.sample_rate,
            tags=tags,
            ffmpeg=ffmpeg,
            on_decoded=meter.add,
        )
        over_db = gain_to_db(meter.measurement().true_peak) - MOST_DBTP
        if over_db <= 0:
            return length
        headroom_db += rounded_db(over_db) + 0.1
    raise QualityError(f"the preview peaks {over_db:.2f} dB above {MOST_DBTP:.1f} dBTP after {_MOST_ENCODES} encodings")


def _amplified(
    plan: RenderPlan, master: Master, level_db: float, reduction: Reduction
) -> Callable[[int, int], Iterator[Block]]:
    """The programme as the encoder gets it."""
    level = db_to_gain(level_db)

    def pcm(start: int, stop: int) -> Iterator[Block]:
        for block in programme(plan, master, start, stop, reduction=reduction):
            yield amplify(block, level)

    return pcm


def _headroom_db(encoding: Encoding) -> float:
    if encoding.bitrate_kbps is None:
        return _LOSSLESS_HEADROOM_DB
    return _HEADROOM_DB.get((encoding.format, encoding.bitrate_kbps), _WORST_HEADROOM_DB)


def _miss(delivered_lufs: float, master: Master, target_lufs: float | None) -> float:
    """How much louder the file is than it should be, in LU; 0 for silence and where no loudness was asked for."""
    if target_lufs is None or math.isinf(master.integrated_lufs):
        return 0.0
    return delivered_lufs - master.integrated_lufs


def _reached(tries: Sequence[Try]) -> float:
    """How loud the last of them would be with its peaks where they must be, in LUFS."""
    return tries[-1].integrated_lufs - max(tries[-1].true_peak_dbtp - MOST_DBTP, 0.0)


def _both(first: Callable[[Block], None], second: Callable[[Block], None]) -> Callable[[Block], None]:
    def hear(block: Block) -> None:
        first(block)
        second(block)

    return hear


def _check_sound(delivered: Delivered, mix: Measurement, plan: RenderPlan) -> None:
    gain = delivered.master.gain
    silent = silent_stretch(mix.energies * gain**2, delivered.measurement.energies)
    if silent is None:
        return
    first, last = (hop * hop_frames(plan.sample_rate) for hop in silent)
    last = min(last, first + _LOOK_S * plan.sample_rate)
    if sounds_below_treble(amplify(render(plan, first, last), gain), plan.sample_rate):
        begin_s, end_s = (hop / 10 for hop in silent)
        raise QualityError(f"the decoded file is silent from {begin_s:.1f} s to {end_s:.1f} s, where the mix sounds")


def _check_length(delivered: Delivered, plan: RenderPlan, encoding: Encoding) -> None:
    # bare ADTS has no place for a length: whole coded frames come back
    if encoding.format != "aac" and delivered.measurement.frames != plan.frames:
        raise QualityError(f"the decoded file has {delivered.measurement.frames} frames where {plan.frames} are due")
