"""Where a piece of music loops best: from which place near its end to which place near its beginning.

A musician loops where what follows is what would have followed anyway. So a few seconds from every place of the last
quarter of the body are compared with those from every place of the first quarter, by spectrum and onsets; of the best
places the first is taken where the loudness across the seam stays in the piece's own range. The crossfade is then moved
by less than a hop to where the two sounds are most alike, sample by sample.

A piece that is a loop already, whose end leads into its beginning, is repeated as it is.

Levels are rounded to whole dB, so that sums of their differences are exact in any order of summation: every machine
chooses the same. The rest of the piece is not read, so a long one costs no more than one of three minutes.

The comparison is one of self-similarity: J. Foote, "Visualizing music and audio using self-similarity", ACM Multimedia
1999.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block, Clip, spans
from dsp.k_weighting import Energies
from dsp.loudness import hop_frames, loudness_range_lufs, windows_lufs
from dsp.music_body import MusicBody, find_body, window_hops

LONGEST_SEARCH_S: Final = 45.0  # of either end of the body
LONGEST_CROSSFADE_S: Final = 2.5
SHORTEST_CROSSFADE_S: Final = 0.25
LEVEL_MISS_LU: Final = 1.5  # out of the piece's own range, at most, while there is a better place
_RATE_HZ: Final = 11_025  # about: a whole divisor of the sample rate is taken
_SIZE, _HOP = 1024, 512  # of the transform, in decimated frames: 93 ms and 46 ms
_EDGES: Final = np.array(sorted({round(bin_) for bin_ in np.geomspace(5, _SIZE // 2, 50)}))  # 54 Hz, then 1.6 semitones
_RANGE_DB: Final = 50.0  # below the loudest band: what is softer does not count
_MOST_HOPS: Final = 64  # compared: 3 s
_LEAST_HOPS: Final = 8
_ONSET_WEIGHT: Final = 4.0
_ONSET_DB: Final = (2.0, 14.0)  # over the median: no onsets at all; a strong beat
_SHORTER_DB: Final = 4.0  # what leaving out all of the body would cost
_HOPS_AT_ONCE: Final = 128
_CANDIDATES: Final = 32
_APART_HOPS: Final = 20
_ALIGNED_S: Final = 1.4  # compared sample by sample, at most
_JOINT_HOPS: Final = 60  # looked at on either side of where the end of a piece meets its beginning
_BEND_S: Final = 0.01
_FAR_COST: Final = 0.1
_FULL_SCALE: Final = np.float32(8192.0)
_LEFT, _RIGHT = 3.0, 2.0  # of the one channel that is compared: so opposite polarities do not cancel

Levels = NDArray[np.float32]
"""Whole numbers of dB, shape (hops, bands)."""


@dataclass(frozen=True)
class FoundLoop:
    """Where a piece loops, in frames.

    Attributes
    ----------
    start, stop : int
        The part that is repeated, for `dsp.recorded.Looped`.
    crossfade_frames : int
        Its first frames and its last, which sound together at the seam.
    likeness : float
        Their correlation, -0.5 to 1.
    difference_db : float
        Root mean square of how far the spectra around the seam are apart.
    level_miss_lu : float
        How far the loudness of any 3 s at the seam is out of the range of the part (EBU Tech 3342); 0 within it.
    body : MusicBody
    """

    start: int
    stop: int
    crossfade_frames: int
    likeness: float
    difference_db: float
    level_miss_lu: float
    body: MusicBody


def find_loop(clip: Clip, energies: Energies, sample_rate: int) -> FoundLoop | None:
    """Find where a piece loops best.

    Parameters
    ----------
    clip : Clip
        The piece.
    energies : float32 array, shape (hops,)
        Of the whole clip, as of `dsp.loudness.Measurement`.
    sample_rate : int
        In Hz.

    Returns
    -------
    FoundLoop or None
        None for silence, and for a piece too short to compare (its body below 1.3 s).
    """
    body = find_body(energies)
    if body is None:
        return None
    hop = hop_frames(sample_rate)
    first, last = body.start * hop, min(body.stop * hop, clip.frames)
    ends = _Ends(clip, first, last, sample_rate)
    if ends.hops < _LEAST_HOPS:
        return None
    if (body.start, body.stop) == (0, len(energies)) and (joint_db := _joint_db(clip, sample_rate)) is not None:
        miss_lu = _level_miss_lu(energies, 0, body.stop, 0)
        if miss_lu <= LEVEL_MISS_LU:
            return FoundLoop(0, clip.frames, 0, 0.0, joint_db, miss_lu, body)
    difference_db, cost = ends.compared()
    chosen: FoundLoop | None = None
    for _ in range(_CANDIDATES):
        place = int(np.argmin(cost))
        head, behind = divmod(place, cost.shape[1])
        if not math.isfinite(cost[head, behind]):
            break
        tail = cost.shape[1] - 1 - behind
        start, ending, crossfade = ends.crossfade_at(head, tail)
        miss_lu = _level_miss_lu(energies, start / hop, ending / hop, crossfade / hop)
        if chosen is None or miss_lu < chosen.level_miss_lu:
            difference = round(float(difference_db[head, tail]), 1)
            chosen = FoundLoop(start, ending + crossfade, crossfade, 0.0, difference, miss_lu, body)
        if chosen.level_miss_lu <= LEVEL_MISS_LU:
            break
        around = slice(max(0, head - _APART_HOPS), head + _APART_HOPS + 1)
        cost[around, max(0, behind - _APART_HOPS) : behind + _APART_HOPS + 1] = np.inf
    return None if chosen is None else _aligned(clip, chosen, ends.compared_frames, sample_rate, ends.hop // 2)


class _Ends:
    """The first and the last quarter of a body as levels of bands, hop by hop; both of as many hops."""

    def __init__(self, clip: Clip, first: int, last: int, sample_rate: int) -> None:
        self._rate = sample_rate
        self._body = last - first
        factor = max(1, round(sample_rate / _RATE_HZ))
        self.hop, overlap = _HOP * factor, (_SIZE - _HOP) * factor
        searched = min(round(LONGEST_SEARCH_S * sample_rate), self._body // 3)
        self.hops = max(0, (searched - overlap) // self.hop)
        self._firsts = first, last - self.hops * self.hop - overlap
        self._window = 1 << max(1, min(_MOST_HOPS, self.hops // 2)).bit_length() - 1
        self.compared_frames = self._window * self.hop
        if self.hops:
            levels = [_levels(clip.read, at, self.hops, factor) for at in self._firsts]
            floor = max(one.max() for one in levels) - _RANGE_DB
            self._levels = [np.maximum(one - floor, 0.0) for one in levels]
            self._onsets = [_onsets(one) for one in self._levels]

    def compared(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Difference in dB of every place in the head (rows) from every one in the tail; and what each would cost.

        The cost is rounded, and has its columns from the last one to the first: of equal ones the first belongs to the
        longest loop.
        """
        head, tail = (
            np.column_stack([levels, _ONSET_WEIGHT * onsets])
            for levels, onsets in zip(self._levels, self._onsets, strict=True)
        )
        # whole numbers below 2^24 throughout: exact in float32
        squares = np.vecdot(head, head)[:, None] + np.vecdot(tail, tail) - 2.0 * (head @ tail.T)
        length = 1
        while length < self._window:  # sums along the diagonals
            squares = squares[:-length, :-length] + squares[length:, length:]
            length *= 2
        difference_db = np.sqrt(squares / np.float32(self._window * head.shape[1]))
        left_out = np.float32(_SHORTER_DB * self.hop / self._body) * np.arange(len(difference_db), dtype=np.float32)
        return difference_db, np.round(difference_db[:, ::-1] + left_out[:, None] + left_out, 1)

    def crossfade_at(self, head: int, tail: int) -> tuple[int, int, int]:
        """First frames of the beginning and of the ending that sound together, and how many: in the window's middle."""
        length = self.compared_frames
        strongest_db = max(
            float(onsets[at : at + self._window].max() - np.sort(onsets[at : at + self._window])[self._window // 2])
            for onsets, at in zip(self._onsets, (head, tail), strict=True)
        )
        least_db, most_db = _ONSET_DB
        beat = min(max((strongest_db - least_db) / (most_db - least_db), 0.0), 1.0)
        seconds = LONGEST_CROSSFADE_S * (SHORTEST_CROSSFADE_S / LONGEST_CROSSFADE_S) ** beat
        frames = min(round(round(seconds, 2) * self._rate), length)
        at = (length - frames) // 2
        return self._firsts[0] + head * self.hop + at, self._firsts[1] + tail * self.hop + at, frames


def _levels(read: Callable[[int, int], Block], first: int, hops: int, factor: int) -> Levels:
    """Levels of the bands in whole dB, a row per hop; reads from frame `first` on."""
    weights = np.tile(np.array([_LEFT, _RIGHT], np.float32), factor)
    window = np.hanning(_SIZE)
    levels = np.empty((hops, len(_EDGES) - 1), np.float32)
    for begin, end in spans(0, hops, _HOPS_AT_ONCE):
        block = read(first + begin * _HOP * factor, first + ((end - 1) * _HOP + _SIZE) * factor)
        mono = np.rint(block * _FULL_SCALE).reshape(-1, 2 * factor) @ weights  # whole numbers: exact in float32
        frames = np.lib.stride_tricks.sliding_window_view(mono, _SIZE)[::_HOP]
        transform = np.fft.rfft(frames * window, axis=1)
        powers = np.add.reduceat(transform.real**2 + transform.imag**2, _EDGES[:-1], axis=1)
        levels[begin:end] = np.rint(10.0 * np.log10(np.maximum(powers, 1.0)))
    return levels


def _joint_db(clip: Clip, sample_rate: int) -> float | None:
    """How far the spectra before a piece's end and after its beginning are apart; None unless it is a loop already.

    It is one where its end leads into its beginning: the spectrum changes no more there than it does in half of the
    places around, and the waveform bends no more than within 10 ms.
    """
    factor = max(1, round(sample_rate / _RATE_HZ))
    hop, near = _HOP * factor, round(_BEND_S * sample_rate)
    hops = min(_JOINT_HOPS, clip.frames // hop // 2)
    middle = hops * hop
    joined = np.concatenate([clip.read(clip.frames - middle, clip.frames), clip.read(0, middle)])
    around = joined[middle - near : middle + near].astype(np.float64)
    bends = np.abs(np.diff(around, 2, axis=0)).max(axis=1)
    at_joint = slice(near - 2, near)
    if bends[at_joint].max() > max(bends[: near - 2].max(), bends[near:].max()):
        return None
    levels = _levels(lambda first, last: joined[first:last], 0, 2 * hops - _SIZE // _HOP + 1, factor)
    levels = np.maximum(levels - levels.max() + _RANGE_DB, 0.0)
    apart = _SIZE // _HOP
    changes = np.vecdot(levels[apart:] - levels[:-apart], levels[apart:] - levels[:-apart])
    change = changes[hops - apart]
    if change > np.sort(changes)[len(changes) // 2]:
        return None
    return round(math.sqrt(float(change) / levels.shape[1]), 1)


def _onsets(levels: Levels) -> NDArray[np.float32]:
    """By how many dB the bands rise from hop to hop, on average and rounded; 0 at first."""
    rises = np.maximum(np.diff(levels, axis=0), 0.0).sum(axis=1)
    return np.concatenate([np.zeros(1, np.float32), np.rint(rises / np.float32(levels.shape[1]))])


def _level_miss_lu(energies: Energies, start: float, ending: float, crossfade: float) -> float:
    """How far the loudness of any window at a seam is out of the range of the part that is repeated; all in hops."""
    first, last, fade = round(start), round(ending), max(1, round(crossfade))
    part = energies[first : last + fade]
    window = window_hops(len(part))
    low, high = loudness_range_lufs(windows_lufs(part, window))
    angle = (np.pi / 2) * (np.arange(fade) + 0.5) / fade
    falling, rising = part[last - first :], part[:fade]
    length = min(len(falling), fade)
    seam = falling * np.cos(angle[:length]) ** 2 + rising[:length] * np.sin(angle[:length]) ** 2
    before = part[max(0, last - first - window + 1) : last - first]
    after = part[length : length + window - 1]
    levels = windows_lufs(np.concatenate([before, seam, after]).astype(np.float32), window)
    if not len(levels):  # of a piece of a second or two no window is whole
        return 0.0
    return round(max(low - float(levels.min()), float(levels.max()) - high, 0.0), 1)


def _aligned(clip: Clip, loop: FoundLoop, compared_frames: int, sample_rate: int, reach: int) -> FoundLoop:
    """Move the ending by up to `reach` frames to where it and what is around it is most like the beginning."""
    ending = loop.stop - loop.crossfade_frames
    length = min(compared_frames, round(_ALIGNED_S * sample_rate))
    at = (loop.crossfade_frames - length) // 2
    beyond = clip.frames - max(loop.stop, ending + at + length)
    earliest, latest = max(-reach, -ending - at), min(reach, beyond)
    model = _mono(clip.read(loop.start + at, loop.start + at + length))
    around = _mono(clip.read(ending + at + earliest, ending + at + latest + length))
    size = 1 << (len(around) - 1).bit_length()
    products = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(model, size)), size)
    squares = np.concatenate([[0.0], np.cumsum(around**2)])
    moves = np.arange(earliest, latest + 1)
    alike = products[: len(moves)] / np.sqrt(np.maximum((squares[length:] - squares[:-length]) * (model @ model), 1.0))
    scores = np.round(alike - _FAR_COST * (moves / reach) ** 2, 3)
    nearest = np.argsort(np.abs(moves), kind="stable")
    stop = loop.stop + int(moves[nearest[np.argmax(scores[nearest])]])
    return replace(loop, stop=stop, likeness=likeness(clip, loop.start, stop, loop.crossfade_frames))


def _mono(block: Block) -> NDArray[np.float64]:
    mono: NDArray[np.float64] = np.rint(block * _FULL_SCALE) @ np.array([_LEFT, _RIGHT])
    return mono


def likeness(clip: Clip, start: int, stop: int, crossfade_frames: int) -> float:
    """Correlation of the two sounds of a crossfade, for `dsp.recorded.Looped`; two decimals, at least -0.5."""
    one, two = (
        clip.read(at, at + crossfade_frames).astype(np.float64).ravel() for at in (start, stop - crossfade_frames)
    )
    power = math.sqrt(float(one @ one) * float(two @ two))
    return max(round(float(one @ two) / power, 2), -0.5) if power > 0.0 else 0.0
