"""Silence where there should be sound: the decoded file's energies beside the mix's, hop by hop."""

from __future__ import annotations

import numpy as np

from dsp.loudness import Energies

SILENT_DBFS = -80.0
SOUNDING_DBFS = -60.0  # well above: a codec may drop what is all but silent
LEAST_HOPS = 10
"""A second."""


def silent_stretch(due: Energies, decoded: Energies) -> tuple[int, int] | None:
    """Find the longest stretch of at least a second that is silent in the decoded file and sounds in the mix.

    Parameters
    ----------
    due : float64 array, shape (hops,)
        Energies of the mix at the master gain, as of `dsp.loudness.Measurement`.
    decoded : float64 array, shape (hops,)
        Those of the decoded file. What is missing at its end counts as silence.

    Returns
    -------
    stretch : tuple of int or None
        First hop, and the one after the last.
    """
    heard = np.zeros_like(due)
    heard[: len(decoded)] = decoded[: len(due)]
    missing = (heard < 10.0 ** (SILENT_DBFS / 10.0)) & (due > 10.0 ** (SOUNDING_DBFS / 10.0))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(np.int8), [0]]))).reshape(-1, 2)
    if not len(edges):
        return None
    first, last = edges[np.argmax(edges[:, 1] - edges[:, 0])]
    return (int(first), int(last)) if last - first >= LEAST_HOPS else None
