"""Finds beats among steady tones: between the two ears, in both channels, or in pulses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from dsp.spectrum import Line

Mode = Literal["binaural", "monaural", "isochronic"]

_FASTEST_HZ = 101.0
_SAME_HZ = 0.05
_APART_DB = 20.0  # so much weaker than in the other channel, a line is leakage
_ALIKE_DB = 1.0


@dataclass(frozen=True)
class Beat:
    """A beat: ``binaural``, a tone for each ear; ``monaural``, two tones in both; ``isochronic``, one tone in pulses.

    `low_hz` and `high_hz` are left and right channel; the two tones; carrier and its first upper side tone.
    """

    mode: Mode
    low_hz: float
    high_hz: float

    @property
    def hz(self) -> float:
        """Beats a second; for a binaural beat right less left."""
        return self.high_hz - self.low_hz


def own_lines(lines: Sequence[Line], other_channel: Sequence[Line]) -> list[Line]:
    """Leave out leakage: lines that are far stronger in the other channel."""
    return [
        line
        for line in lines
        if not any(
            abs(line.hz - other.hz) < _SAME_HZ and other.level_dbfs > line.level_dbfs + _APART_DB
            for other in other_channel
        )
    ]


def find_beat(left: Sequence[Line], right: Sequence[Line]) -> Beat | None:
    """Find the strongest beat among the steady lines of both channels; None if there is none."""
    left, right = own_lines(left, right), own_lines(right, left)
    only_left = [line for line in left if not _in(line.hz, right)]
    only_right = [line for line in right if not _in(line.hz, left)]
    pairs = [
        (one, other)
        for one in only_left
        for other in only_right
        if abs(one.hz - other.hz) < _FASTEST_HZ and abs(one.level_dbfs - other.level_dbfs) < _APART_DB
    ]
    if pairs:
        one, other = max(pairs, key=lambda pair: pair[0].level_dbfs + pair[1].level_dbfs)
        return Beat("binaural", one.hz, other.hz)
    common = sorted((line for line in left if _in(line.hz, right)), key=lambda line: -line.level_dbfs)
    for carrier in common:
        for side in common:
            beat_hz = side.hz - carrier.hz
            if not 0 < beat_hz < _FASTEST_HZ or side.level_dbfs > carrier.level_dbfs:
                continue
            mirrored = [line for line in common if abs(carrier.hz - beat_hz - line.hz) < _SAME_HZ]
            if mirrored and abs(mirrored[0].level_dbfs - side.level_dbfs) < _ALIKE_DB:
                return Beat("isochronic", carrier.hz, side.hz)
    for one, other in combinations(common, 2):
        low, high = sorted((one, other), key=lambda line: line.hz)
        if high.hz - low.hz < _FASTEST_HZ and abs(high.level_dbfs - low.level_dbfs) < _ALIKE_DB:
            return Beat("monaural", low.hz, high.hz)
    return None


def without_side_tones(lines: Sequence[Line], beat: Beat | None) -> list[Line]:
    """Leave out the side tones that pulses make of their carrier."""
    if beat is None or beat.mode != "isochronic":
        return list(lines)
    kept = []
    for line in lines:
        steps = (line.hz - beat.low_hz) / beat.hz
        if round(steps) == 0 or abs(steps - round(steps)) * beat.hz > _SAME_HZ:
            kept.append(line)
    return kept


def _in(hz: float, lines: Sequence[Line]) -> bool:
    return any(abs(hz - line.hz) < _SAME_HZ for line in lines)
