"""A reading as a person records one: real speech, sentences with pauses between them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from spoken_pieces import SENTENCES, said

RATE = 44_100
SPEECH_DB = -23.0
"""Root mean square of the sentences, in dBFS."""


@lru_cache(maxsize=8)
def reading(sentences: int = 6, *, pause_s: float = 0.8) -> NDArray[np.float64]:
    """Sentences by the local voice, mono at `RATE`, with digital silence between them; not to be changed."""
    parts = []
    for text in SENTENCES[2 : 2 + sentences]:
        parts += [said(text).astype(np.float64), np.zeros(round(pause_s * RATE))]
    sound = np.concatenate(parts[:-1])
    spoken = np.concatenate(parts[::2])
    levelled = sound * 10 ** (SPEECH_DB / 20) / spoken.std()
    levelled.flags.writeable = False
    return levelled
