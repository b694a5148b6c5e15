"""The K-weighting filter of ITU-R BS.1770-5, and the energies it leaves of each hop.

It runs as matrix products over blocks (`dsp.block_filter`); the states of blocks, groups and hops follow from each
other by further products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsp.block_filter import block_matrices
from dsp.blocks import spans

_LARGEST_BLOCK_FRAMES = 42
# The matrices over a hop grow with the square of its groups: 1.6 GB for a hop of 3547 frames, a prime, in one part.
_SMALLEST_BLOCK_FRAMES, _MOST_GROUPS = 16, 64
_HOPS_AT_ONCE = 32  # a block of 3 s has 30

Energies = NDArray[np.float32]
"""K-weighted mean square per hop, both channels summed, shape (hops,).

Kept for a whole track, and so as float32: 0.0000003 dB. Sums of them are float64.
"""


class KWeighting:
    """Energies of whole hops in order; its memory goes from one call to the next.

    Parameters
    ----------
    hop_frames : int
        Of each hop; a number with a divisor of about 20 to 40 is fast.
    """

    def __init__(self, sample_rate: int, hop_frames: int) -> None:
        self._hop = hop_frames
        self._filter = _k_weighting(sample_rate, hop_frames)
        self._state = np.zeros((2, 4))

    def energies(self, channels: NDArray[np.float32]) -> Energies:
        """K-weighted mean square of each hop, both channels summed.

        Parameters
        ----------
        channels : float32 array, shape (2, hops, frames), contiguous
            A whole number of hops.
        """
        squares, self._state = self._filter.mean_squares(channels, self._state)
        summed: Energies = squares.sum(axis=0).astype(np.float32)
        return summed


def k_weighting_coefficients(sample_rate: int) -> NDArray[np.float64]:
    """Second-order sections ``b0 b1 b2 a0 a1 a2`` of the K-weighting at any sample rate, shape (2, 6).

    The analogue prototypes behind BS.1770-5 Annex 1, tables 1 and 2, through the bilinear transform: a high shelf
    (+4 dB above 1.68 kHz) and a high-pass at 38 Hz. At 48 kHz they give the tables' figures.
    """
    shelf_hz, shelf_db, shelf_q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    k = math.tan(math.pi * shelf_hz / sample_rate)
    high = 10.0 ** (shelf_db / 20.0)
    band = high**0.4996667741545416
    a0 = 1.0 + k / shelf_q + k * k
    shelf = [
        (high + band * k / shelf_q + k * k) / a0,
        2.0 * (k * k - high) / a0,
        (high - band * k / shelf_q + k * k) / a0,
        1.0,
        2.0 * (k * k - 1.0) / a0,
        (1.0 - k / shelf_q + k * k) / a0,
    ]
    pass_hz, pass_q = 38.13547087602444, 0.5003270373238773
    k = math.tan(math.pi * pass_hz / sample_rate)
    a0 = 1.0 + k / pass_q + k * k
    high_pass = [1.0, -2.0, 1.0, 1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / pass_q + k * k) / a0]
    return np.array([shelf, high_pass])


class _Chain(NamedTuple):
    """State transitions over `steps` equal spans, each filtered from silence.

    Attributes
    ----------
    left : float64 array, shape (steps * 4, (steps + 1) * 4)
        States that the spans leave behind to the states at their starts and (last) at the end of all.
    transition : float64 array, shape (4, (steps + 1) * 4)
        State at the start of all to the states at the spans' starts and at the end.
    """

    left: NDArray[np.float64]
    transition: NDArray[np.float64]


def _chain(step: NDArray[np.float64], steps: int) -> _Chain:
    """Chain spans of state transition `step` each."""
    powers = [np.linalg.matrix_power(step, n).T for n in range(steps + 1)]
    nothing = np.zeros((4, 4))
    rows = [[nothing] * (source + 1) + powers[: steps - source] for source in range(steps)]
    return _Chain(np.block(rows), np.concatenate(powers, axis=1))


@dataclass(frozen=True)
class _BlockFilter:
    """A cascade as matrix products over hops, which are made of groups of blocks.

    Attributes
    ----------
    zero_state : float32 array, shape (block, block)
        Input block to its zero-state response ``y``.
    left : float32 array, shape (block, 8)
        Input block to the state it leaves behind, and to ``2 zero_input @ y``.
    zero_input_energy : float64 array, shape (4, 4)
        ``zero_input @ zero_input.T``, of the matrix from the state at a block's start to its zero-input response.
    blocks, groups : _Chain
        Over the blocks of a group, and over the groups of a hop.
    hop_transition : float64 array, shape (4, 4)
        State at a hop's start to its part of the state at the end: a column vector's.
    """

    zero_state: NDArray[np.float32]
    left: NDArray[np.float32]
    zero_input_energy: NDArray[np.float64]
    blocks: _Chain
    groups: _Chain
    hop_transition: NDArray[np.float64]
    _chains: dict[int, _Chain] = field(default_factory=dict)

    def mean_squares(
        self, samples: NDArray[np.float32], state: NDArray[np.float64]
    ) -> tuple[Energies, NDArray[np.float64]]:
        """Mean squares of the filtered hops, shape (channels, hops), and the states after them.

        `samples` has shape (channels, hops, frames), `state` (channels, 4).
        """
        channels, hops, frames = samples.shape
        blocks = samples.reshape(-1, len(self.zero_state))
        # taken apart as items of 16 bytes: NumPy takes many times longer over rows of four
        left, cross = np.ascontiguousarray((blocks @ self.left).view(np.complex128).T).view(np.float32)
        in_group = left.astype(np.float64).reshape(-1, len(self.blocks.left)) @ self.blocks.left
        in_hop = (in_group[:, -4:].reshape(channels * hops, -1) @ self.groups.left).reshape(channels, hops, -1)
        before = np.empty((channels, hops, 4))
        for first, last in spans(0, hops, _HOPS_AT_ONCE):
            chain = self._chain_of_hops(last - first)
            states = in_hop[:, first:last, -4:].reshape(channels, -1) @ chain.left + state @ chain.transition
            before[:, first:last] = states[:, :-4].reshape(channels, -1, 4)
            state = states[:, -4:]
        in_hop += before @ self.groups.transition
        in_group += in_hop[:, :, :-4].reshape(-1, 4) @ self.blocks.transition
        starts = in_group[:, :-4].reshape(-1, 4)
        # |y + s Z|^2 = |y|^2 + s . (2 Z y + Z Z^T s) with Z = zero_input: the output itself is never needed.
        # Its square is summed in float32, by BLAS in many runs: within 0.000001 dB of a sum in float64.
        outputs = (blocks @ self.zero_state).reshape(channels, hops, frames)
        zero_input = starts @ self.zero_input_energy
        zero_input += cross.reshape(-1, 4)
        zero_input *= starts
        squares = np.vecdot(outputs, outputs) + zero_input.reshape(channels, hops, -1).sum(axis=2)
        return np.maximum(squares, 0.0) / frames, state

    def _chain_of_hops(self, hops: int) -> _Chain:
        """Over so many hops. Blocks have few different numbers of them, so each chain is made once."""
        if hops not in self._chains:
            self._chains[hops] = _chain(self.hop_transition, hops)
        return self._chains[hops]


@dataclass(frozen=True)
class _PartsFilter:
    """The same for hops whose number of frames has no good divisors: of several parts, one after the other."""

    parts: tuple[tuple[int, _BlockFilter], ...]

    def mean_squares(
        self, samples: NDArray[np.float32], state: NDArray[np.float64]
    ) -> tuple[Energies, NDArray[np.float64]]:
        """See `_BlockFilter.mean_squares`."""
        channels, hops, frames = samples.shape
        sums = np.zeros((channels, hops))
        for hop in range(hops):
            begin = 0
            for part, of_part in self.parts:
                piece = np.ascontiguousarray(samples[:, hop : hop + 1, begin : begin + part])
                squares, state = of_part.mean_squares(piece, state)
                sums[:, hop] += squares[:, 0] * part
                begin += part
        return sums / frames, state


@lru_cache(maxsize=8)
def _k_weighting(sample_rate: int, frames: int) -> _BlockFilter | _PartsFilter:
    """K-weighting for hops of so many frames."""
    block, per_group = _divided(frames)
    if block >= _SMALLEST_BLOCK_FRAMES and frames // block // per_group <= _MOST_GROUPS:
        return _block_filter(sample_rate, frames)
    group = _LARGEST_BLOCK_FRAMES * max(1, math.isqrt(frames // _LARGEST_BLOCK_FRAMES))
    parts = (
        frames // group * group,
        frames % group // _LARGEST_BLOCK_FRAMES * _LARGEST_BLOCK_FRAMES,
        frames % group % _LARGEST_BLOCK_FRAMES,
    )
    return _PartsFilter(tuple((part, _block_filter(sample_rate, part)) for part in parts if part))


def _block_filter(sample_rate: int, frames: int) -> _BlockFilter:
    block, per_group = _divided(frames)
    blocks = frames // block
    matrices = block_matrices(k_weighting_coefficients(sample_rate), block)
    cross = 2.0 * matrices.zero_state @ matrices.zero_input.T
    return _BlockFilter(
        matrices.zero_state.astype(np.float32),
        np.concatenate([matrices.left, cross], axis=1).astype(np.float32),
        matrices.zero_input @ matrices.zero_input.T,
        _chain(matrices.transition, per_group),
        _chain(np.linalg.matrix_power(matrices.transition, per_group), blocks // per_group),
        np.linalg.matrix_power(matrices.transition, blocks),
    )


def _divided(frames: int) -> tuple[int, int]:
    """Frames of a block, and blocks of a group, for hops of so many frames."""
    block = _largest_divisor(frames, _LARGEST_BLOCK_FRAMES)
    return block, _largest_divisor(frames // block, math.isqrt(frames // block))


def _largest_divisor(number: int, most: int) -> int:
    return max(divisor for divisor in range(1, most + 1) if number % divisor == 0)
