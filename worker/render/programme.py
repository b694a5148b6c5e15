"""The programme: a plan at its master gain, limited. Any span of it can be made on its own, on any thread."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from threading import Event, Lock

from dsp.blocks import BLOCK_FRAMES, Block, amplify, db_to_gain, gain_to_db, spans
from dsp.limiter import Reduction, limit
from dsp.loudness import PREROLL_HOPS, LoudnessMeter, Measurement, hop_frames, joined
from dsp.plan import RenderPlan, render
from worker.codec.parallel import Stopped, parallel_map

_LONG_TRACK_S = 3600  # beyond, blocks are shorter: the gaps that they leave in the heap grow with time, and with them
_SHORTEST_SPAN_FRAMES = 441_000  # 10 s: below, the preroll costs more than another core brings


@dataclass(frozen=True)
class Programme:
    """What is encoded, as a function of the absolute frame.

    Parameters
    ----------
    gain : float
        The master gain: linear, before the limiter.
    ceiling_dbtp : float
        Of the limiter.
    limiting : bool
        Whether any frame comes near the ceiling; without it the programme is the mix times the gain.
    lufs : float
        Loudness before the level change and the codec, measured as the target is; NaN where it is not known.
    level_db : float
        Level change after the limiter, which makes up for the codec's own.
    """

    plan: RenderPlan
    gain: float = 1.0
    ceiling_dbtp: float = 0.0
    limiting: bool = False
    lufs: float = math.nan
    level_db: float = 0.0

    @property
    def gain_db(self) -> float:
        """The master gain in dB."""
        return gain_to_db(self.gain)

    def blocks(self, start: int, stop: int, *, reduction: Reduction | None = None) -> Iterator[Block]:
        """Make frames `[start, stop)` block by block; `reduction` as of `dsp.limiter.limit`."""
        plan, level = self.plan, db_to_gain(self.level_db)
        block_frames = BLOCK_FRAMES if plan.frames <= _LONG_TRACK_S * plan.sample_rate else BLOCK_FRAMES // 2
        blocks: Iterator[Block] = (
            amplify(render(plan, first, last), self.gain) for first, last in spans(start, stop, block_frames)
        )
        if self.limiting:
            blocks = limit(
                partial(render, plan),
                start,
                stop,
                frames=plan.frames,
                sample_rate=plan.sample_rate,
                gain=self.gain,
                ceiling_dbtp=self.ceiling_dbtp,
                reduction=reduction,
                block_frames=block_frames,
            )
        for block in blocks:
            yield amplify(block, level)


def measure(
    programme: Programme,
    *,
    threads: int,
    true_peak: bool = False,
    reduction: Reduction | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Measurement:
    """Measure a programme in as many spans at once as there are threads, each after a preroll.

    The result does not depend on how many there are. `reduction` as of `Programme.blocks`.
    """
    plan = programme.plan
    hop = hop_frames(plan.sample_rate)
    count = max(1, min(threads, plan.frames // _SHORTEST_SPAN_FRAMES))
    stop, lock, done = Event(), Lock(), 0

    def measure_span(span: tuple[int, int]) -> Measurement:
        nonlocal done
        start, end = span
        preroll_hops = min(PREROLL_HOPS, start // hop)
        meter = LoudnessMeter(plan.sample_rate, preroll_hops=preroll_hops, true_peak=true_peak)
        preroll = programme.blocks(start - preroll_hops * hop, start)
        for block in chain(preroll, programme.blocks(start, end, reduction=reduction)):
            if stop.is_set():
                raise Stopped
            meter.add(block)
            with lock:
                done += len(block)
        return meter.result()

    def report_progress() -> None:
        on_progress(min(1.0, done / max(plan.frames, 1)))

    parts = list(
        parallel_map(
            list(spans(0, plan.frames, -(-plan.frames // (count * hop)) * hop)),
            measure_span,
            threads=threads,
            while_waiting=report_progress,
            at_the_end=stop.set,
        )
    )
    report_progress()
    return joined(parts)
