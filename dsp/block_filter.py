"""A recursive filter block by block, as matrix products instead of a recursion per sample.

A block's output is its zero-state response, a fixed triangular matrix times the input, plus the zero-input response to
the state at the block's start. SciPy's `sosfilt` would do, but importing it costs 0.6 to 1 s of CPU, 6 to 10 % of a
ten-minute job, and in the loudness meter it is slower besides (`python -m benchmarks.scipy_filters`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class BlockMatrices:
    """The matrices of a filter over blocks of one length.

    Attributes
    ----------
    zero_state : float64 array, shape (block, block)
        Input of a block to its output from silence.
    zero_input : float64 array, shape (states, block)
        State at a block's start to its part of the output.
    left : float64 array, shape (block, states)
        Input of a block to the state it leaves behind.
    transition : float64 array, shape (states, states)
        State at a block's start to its part of the state at the end: a column vector's, over a block of silence.
    """

    zero_state: Matrix
    zero_input: Matrix
    left: Matrix
    transition: Matrix


def block_matrices(sections: Matrix, block_frames: int) -> BlockMatrices:
    """Matrices of second-order sections in series, ``b0 b1 b2 a0 a1 a2`` each with a0 = 1, shape (sections, 6)."""
    a, b, c, d = _state_space(sections)
    powers = [np.linalg.matrix_power(a, n) for n in range(block_frames + 1)]
    impulse = np.array([d, *(c @ powers[n] @ b for n in range(block_frames - 1))])
    zero_state = np.zeros((block_frames, block_frames))
    for n in range(block_frames):
        zero_state[n, n:] = impulse[: block_frames - n]
    zero_input = np.array([c @ powers[n] for n in range(block_frames)]).T
    left = np.array([powers[block_frames - 1 - n] @ b for n in range(block_frames)])
    return BlockMatrices(zero_state, zero_input, left, powers[block_frames])


def _state_space(sections: Matrix) -> tuple[Matrix, Matrix, Matrix, float]:
    """``x' = A x + B u, y = C x + D u`` of sections in series (transposed direct form II)."""
    a, b, c, d = np.zeros((0, 0)), np.zeros(0), np.zeros(0), 1.0
    for b0, b1, b2, _, a1, a2 in sections:
        own_a = np.array([[-a1, 1.0], [-a2, 0.0]])
        own_b = np.array([b1 - a1 * b0, b2 - a2 * b0])
        own_c = np.array([1.0, 0.0])
        size = len(b)
        joint = np.zeros((size + 2, size + 2))
        joint[:size, :size] = a
        joint[size:, :size] = np.outer(own_b, c)
        joint[size:, size:] = own_a
        a, b, c, d = joint, np.concatenate([b, own_b * d]), np.concatenate([b0 * c, own_c]), d * float(b0)
    return a, b, c, d
