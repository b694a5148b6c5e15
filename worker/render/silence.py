"""Finds silence in the decoded file where the mix sounds, from the energies of both, hop by hop."""

from __future__ import annotations

import numpy as np

from dsp.blocks import Block, runs
from dsp.k_weighting import Energies
from dsp.loudness import hop_frames

SILENT_DBFS = -80.0
SOUNDING_DBFS = -60.0  # well above: a codec may drop what is all but silent
LEAST_HOPS = 10
"""A second."""
_TREBLE_HZ = 15_000.0  # above, a codec may leave out what nobody hears


def silent_span(due: Energies, decoded: Energies) -> tuple[int, int] | None:
    """Find the longest span of at least a second that is silent in the decoded file and sounds in the mix.

    Parameters
    ----------
    due, decoded : float32 array, shape (hops,)
        Energies of the mix at the master gain, as of `dsp.loudness.Measurement`, and of the decoded file. What is
        missing at its end counts as silence.

    Returns
    -------
    span : tuple of int or None
        First hop, and the one after the last.
    """
    energies = np.zeros_like(due)
    energies[: len(decoded)] = decoded[: len(due)]
    missing = (energies < 10.0 ** (SILENT_DBFS / 10.0)) & (due > 10.0 ** (SOUNDING_DBFS / 10.0))
    first, last = max(runs(missing), key=lambda run: run[1] - run[0], default=(0, 0))
    return (int(first), int(last)) if last - first >= LEAST_HOPS else None


def sounds_below_treble(samples: Block, sample_rate: int) -> bool:
    """Whether there is sound for a second or more where no codec may leave anything out.

    `samples` is a float32 array of shape (frames, 2), the sample rate in Hz.
    """
    hop = hop_frames(sample_rate)
    whole = len(samples) // hop * hop
    spectra = np.fft.rfft(samples[:whole].reshape(-1, hop, 2) * np.hanning(hop)[:, None], axis=1)
    below = np.abs(spectra[:, np.fft.rfftfreq(hop, 1.0 / sample_rate) < _TREBLE_HZ]) ** 2
    # mean square by Parseval; the window lets 3/8 of the energy through
    energies = 2.0 * below.sum(axis=(1, 2)) / hop**2 / 0.375
    return int(np.count_nonzero(energies > 10.0 ** (SOUNDING_DBFS / 10.0))) >= LEAST_HOPS
