"""Speech faster or slower at the same pitch: spans of the recording spliced where they are most alike (WSOLA).

After W. Verhelst and M. Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality
time-scale modification of speech", ICASSP 1993. Every decision is made on whole numbers, whose sums are exact in any
order, so the same recording gives the same samples on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import BLOCK_FRAMES, Block, Clip
from dsp.envelope import rise

HOP_S: Final = 0.02  # from one possible splice to the next
CROSSFADE_S: Final = 0.01  # of a splice
REACH_S: Final = 0.008  # to either side of where a splice would keep exact time; together more than a period of 70 Hz
LONGEST_WAIT_S: Final = 0.06  # how far the sound may run ahead or behind while a burst passes
ONSET_STEP_S: Final = 0.002
_ONSET_RATIO: Final = 10.0  # in energy, over the loudest step of what came before
_BEFORE_STEPS: Final = 10  # 20 ms: more than a period of any voice, whose pulses are no onsets
_ONSET_GAIN: Final = 0.01  # what is softer is no burst
_COARSE_FRAMES: Final = 4
_FULL_SCALE: Final = 8192.0
_FAR_COST: Final = 0.15  # how much alikeness a splice at the edge of the reach must have ahead

Whole = NDArray[np.float64]  # whole numbers: their products and sums are exact up to 2**53


def stretched(clip: Clip, frames: int, sample_rate: int) -> Iterator[Block]:
    """Give a clip another length at the same pitch.

    Raises `ValueError` if `frames` is negative, or the clip is empty and `frames` is not 0.

    Parameters
    ----------
    clip : Clip
        Read front to back, a few seconds at a time.
    frames : int
        Length to make, at least 0; as many as the clip has gives the clip itself.
    sample_rate : int
        In Hz.

    Yields
    ------
    block : float32 array, shape (n, 2)
        `frames` in total. Begins with the clip's first frame and ends with its last.
    """
    if frames < 0:
        raise ValueError(f"frames is {frames}; at least 0 is needed")
    if frames and not clip.frames:
        raise ValueError("a clip of 0 frames cannot be stretched")
    waiting: list[Block] = []
    held = 0
    for hop in _hops(clip, frames, sample_rate):
        waiting.append(hop)
        held += len(hop)
        if held >= BLOCK_FRAMES:
            yield np.concatenate(waiting)
            waiting, held = [], 0
    if held:
        yield np.concatenate(waiting)


def _hops(clip: Clip, frames: int, sample_rate: int) -> Iterator[Block]:
    hop, fade, reach = (round(seconds * sample_rate) for seconds in (HOP_S, CROSSFADE_S, REACH_S))
    longest_wait, onset_step = round(LONGEST_WAIT_S * sample_rate), round(ONSET_STEP_S * sample_rate)
    sound = _Padded(clip)
    if clip.frames == frames or frames <= 2 * hop or clip.frames <= 2 * hop:
        # nothing to do, or too short to be spliced: as it is, cut or followed by silence
        for first in range(0, frames, hop):
            yield sound.read(first, min(first + hop, frames))
        return
    risen = rise(fade, 0, fade).astype(np.float32)[:, None]
    rate = (clip.frames - hop) / (frames - hop)  # the last hop is the clip's own, frame by frame
    at = hop  # in the clip: what would come next without a splice
    yield sound.read(0, hop)
    for start in range(hop, frames, hop):
        stop = min(start + hop, frames)
        if frames - stop < hop:  # the last splice: from here on to the end
            stop = frames
            chosen = clip.frames - (stop - start)
        else:
            wanted = round(start * rate)
            chosen = _most_alike(sound, at, wanted, fade, reach)
            passed = min(chosen, at), max(chosen, at) + fade
            if chosen != at and abs(at - wanted) <= longest_wait and sound.has_onset(*passed, onset_step):
                chosen = at  # what comes twice or is left out must not be a consonant's burst: the next splice will do
        block = sound.read(chosen, chosen + stop - start)
        if chosen != at:
            block[:fade] = sound.read(at, at + fade) * (1 - risen) + block[:fade] * risen
        yield block
        at = chosen + stop - start
        if stop == frames:
            return


def _most_alike(sound: _Padded, at: int, wanted: int, length: int, reach: int) -> int:
    """Where to go on near `wanted` so that it sounds as if the clip went on from `at`."""
    model = sound.whole(at, at + length)
    around = sound.whole(wanted - reach, wanted + reach + length)
    coarse = _best(_summed(model), _summed(around)) * _COARSE_FRAMES - reach
    near = _COARSE_FRAMES - 1
    low, high = max(coarse - near, -reach), min(coarse + near, reach)
    fine = _best(model, around[reach + low : reach + high + length])
    return max(0, wanted + low + fine)


def _summed(samples: Whole) -> Whole:
    """Every `_COARSE_FRAMES` samples as their sum."""
    whole = len(samples) // _COARSE_FRAMES * _COARSE_FRAMES
    summed: Whole = samples[:whole].reshape(-1, _COARSE_FRAMES).sum(axis=1)
    return summed


def _best(model: Whole, around: Whole) -> int:
    """Offset at which `around` is most like `model`; the middle one where all is silent."""
    alike = np.correlate(around, model, "valid")
    squares = np.concatenate(([0.0], np.cumsum(around * around)))
    energies = squares[len(model) :] - squares[: -len(model)]
    offsets = np.arange(len(alike)) - (len(alike) - 1) / 2
    scores = alike * np.abs(alike) / np.maximum(energies, 1.0)
    near = 1.0 - _FAR_COST * (offsets / max(len(alike) / 2, 1.0)) ** 2
    scores = np.where(scores > 0, scores * near, scores)
    if not scores.any():
        return len(alike) // 2
    return int(np.argmax(scores))


class _Padded:
    """A clip; beyond its ends there is silence."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip

    def read(self, start: int, stop: int) -> Block:
        """Give frames `[start, stop)`, the caller's own."""
        block = np.zeros((stop - start, 2), np.float32)
        first, last = max(start, 0), min(stop, self._clip.frames)
        if first < last:
            self._clip.read(first, last, block[first - start : last - start])
        return block

    def has_onset(self, start: int, stop: int, step: int) -> bool:
        """Whether a burst begins within `[start, stop)`: far more energy at once than in all that came before."""
        steps = -(-(stop - start) // step)
        samples = self.whole(start - _BEFORE_STEPS * step, start + steps * step)
        energies = (samples * samples).reshape(-1, step).sum(axis=1)
        before = np.lib.stride_tricks.sliding_window_view(energies[:-1], _BEFORE_STEPS).max(axis=1)
        least = step * (2 * _FULL_SCALE * _ONSET_GAIN) ** 2
        here = energies[_BEFORE_STEPS:]
        return bool(((here > _ONSET_RATIO * before) & (here > least)).any())

    def whole(self, start: int, stop: int) -> Whole:
        """Give both channels together as whole numbers."""
        block = self.read(start, stop)
        both = np.rint(block[:, 0] * np.float32(_FULL_SCALE)) + np.rint(block[:, 1] * np.float32(_FULL_SCALE))
        whole: Whole = np.clip(both, -4 * _FULL_SCALE, 4 * _FULL_SCALE).astype(np.float64)
        return whole
