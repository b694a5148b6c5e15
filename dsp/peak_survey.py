"""How much gain a mix takes before a limiter is no longer gentle: found from its highest peaks, without limiting it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block, db_to_gain, gain_to_db
from dsp.limiter import LOOK_AHEAD_S, MARGIN_DB, NOTICED_DB, RELEASE_DB_PER_S
from dsp.true_peak import frame_peaks

_BIN_FRAMES = 30  # 0.7 ms: a peak's reduction lasts at least ten times as long
_KEPT = 4  # times the bins that can matter: then those that cannot are dropped
_BISECTIONS = 14  # to a thousandth of a dB
_THRESHOLD_DB = NOTICED_DB - 0.01  # what rounding may add to a gain must not make a steady tone's reduction noticed


@dataclass(frozen=True)
class LimiterBounds:
    """How far the limiter may go.

    Parameters
    ----------
    most_db : float
        The largest reduction.
    most_share : float
        The largest part of the time, 0 to 1, with a reduction of more than `NOTICED_DB`.
    """

    most_db: float
    most_share: float


class PeakSurvey:
    """Accumulator of the true peaks that decide: those that are noticed at `most_db` of the highest one.

    Of very many only the highest are kept: the others would need a gain at which the share is passed already.

    Parameters
    ----------
    frames : int
        Length of the track.
    floor : float
        Peaks that are not higher do not decide.
    """

    def __init__(self, frames: int, sample_rate: int, bounds: LimiterBounds, *, floor: float = 0.0) -> None:
        self._frames = frames
        self._sample_rate = sample_rate
        self._bounds = bounds
        self._floor = floor
        self._at = np.empty(0, np.int64)
        self._peaks = np.empty(0, np.float32)
        self._true_peak = 0.0

    def add(self, start: int, padded: Block) -> None:
        """Take the peaks of a span from frame `start` on; `padded` as of `frame_peaks`. Spans come in order."""
        peaks = frame_peaks(padded, self._floor)
        if peaks is None:
            return
        peaks = np.pad(peaks, (0, -len(peaks) % _BIN_FRAMES)).reshape(-1, _BIN_FRAMES).max(axis=1)
        self._true_peak = max(self._true_peak, float(peaks.max(initial=0.0)))
        self._floor = max(self._floor, self._true_peak * db_to_gain(min(_THRESHOLD_DB - self._bounds.most_db, 0.0)))
        kept = np.flatnonzero(peaks > self._floor)
        self._at = np.concatenate([self._at, start + kept * _BIN_FRAMES])
        self._peaks = np.concatenate([self._peaks, peaks[kept]])
        most = math.ceil(self._bounds.most_share * self._frames / _BIN_FRAMES) + 1
        if len(self._peaks) > _KEPT * most:
            decides = float(np.partition(self._peaks, -most)[-most])
            self._floor = max(self._floor, decides * db_to_gain(_THRESHOLD_DB - NOTICED_DB))
            high = self._peaks > self._floor
            self._at, self._peaks = self._at[high], self._peaks[high]

    @property
    def true_peak(self) -> float:
        """The highest peak, linear."""
        return self._true_peak

    def reduction_db(self, gain_db: float, ceiling_dbtp: float) -> float:
        """The largest reduction at a gain."""
        return max(0.0, gain_to_db(self._true_peak) + gain_db - (ceiling_dbtp - MARGIN_DB))

    def noticed_share(self, gain_db: float, ceiling_dbtp: float) -> float:
        """The part of the time with a reduction of more than `NOTICED_DB` at a gain.

        A reduction begins by the look-ahead before its peak, and falls along the release line after it. The gain's
        smoothing makes both ends later by about as much.
        """
        aim = db_to_gain(ceiling_dbtp - MARGIN_DB - gain_db)
        high = np.flatnonzero(self._peaks > aim * db_to_gain(_THRESHOLD_DB))
        needed_db: NDArray[np.float64] = 20.0 * np.log10(self._peaks[high].astype(np.float64) / aim)
        starts = self._at[high] - LOOK_AHEAD_S * self._sample_rate
        held = _BIN_FRAMES + (needed_db - _THRESHOLD_DB) * self._sample_rate / RELEASE_DB_PER_S
        stops = np.minimum(np.maximum.accumulate(self._at[high] + held), self._frames)
        before = np.concatenate([[-np.inf], stops[:-1]])
        return float(np.maximum(stops - np.maximum(starts, before), 0.0).sum() / max(self._frames, 1))

    def allows(self, gain_db: float, ceiling_dbtp: float) -> bool:
        """Whether a gain is within the bounds."""
        return (
            self.reduction_db(gain_db, ceiling_dbtp) <= self._bounds.most_db
            and self.noticed_share(gain_db, ceiling_dbtp) <= self._bounds.most_share
        )

    def most_gain_db(self, ceiling_dbtp: float) -> float:
        """The largest gain within the bounds; infinite for silence."""
        if self._true_peak == 0.0:
            return math.inf
        high = ceiling_dbtp - MARGIN_DB - gain_to_db(self._true_peak) + self._bounds.most_db
        if self.noticed_share(high, ceiling_dbtp) <= self._bounds.most_share:
            return high
        low = high - max(self._bounds.most_db - _THRESHOLD_DB, 0.0)  # nothing is noticed there
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            if self.noticed_share(middle, ceiling_dbtp) <= self._bounds.most_share:
                low = middle
            else:
                high = middle
        return low
