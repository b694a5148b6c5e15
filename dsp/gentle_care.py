"""Gentle care for a recording of speech: noise gate, de-esser, leveller, in one pass over it.

A window's gain is known once the next 80 ms are: the recording is read so far ahead, and comes out undelayed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import BLOCK_FRAMES, Block, Clip, amplify, spans
from dsp.de_esser import DeEsser, Sibilants
from dsp.envelope import Values
from dsp.gain_path import LOOK_AHEAD_WINDOWS, WINDOW_S
from dsp.k_weighting import Energies, KWeighting
from dsp.leveller import levelling_db
from dsp.loudness import loudness_of_energies
from dsp.noise_gate import NoiseGate
from dsp.pauses import find_pauses


@dataclass
class CareFigures:
    """Accumulator of what was done.

    Attributes
    ----------
    softest_db, loudest_db : float
        Least and most gain of the leveller.
    gated_s : float
        Time in which the gate lowered anything.
    softened_s, softened_db : float
        Time in which the de-esser lowered sibilants by 1 dB and more, and by how much at most.
    """

    softest_db: float = 0.0
    loudest_db: float = 0.0
    gated_s: float = 0.0
    softened_s: float = 0.0
    softened_db: float = 0.0


def with_gentle_care(
    clip: Clip,
    energies: Energies,
    sample_rate: int,
    *,
    figures: CareFigures | None = None,
    block_frames: int = BLOCK_FRAMES,
) -> Iterator[Block]:
    """Care for a recording.

    Parameters
    ----------
    energies : Energies
        Of the recording, from a loudness meter.
    sample_rate : int
        In Hz.
    figures : CareFigures, optional
        Accumulator of what is done.
    block_frames : int
        Of most of the blocks, about: they are whole windows. It makes no difference to the samples.

    Yields
    ------
    block : float32 array, shape (frames, 2)
        As many frames in total as the clip has.
    """
    window = round(WINDOW_S * sample_rate)
    count = -(-clip.frames // window)
    pauses = find_pauses(energies)
    levelling = levelling_db(energies, pauses, sample_rate)
    gate, de_esser = NoiseGate(pauses), DeEsser()
    weighting, sibilants_of = KWeighting(sample_rate, window), Sibilants(sample_rate)
    done = figures or CareFigures()
    done.softest_db, done.loudest_db = float(levelling.values.min()), float(levelling.values.max())
    samples = high = np.empty((0, 2), np.float32)
    read = 0  # windows, those after the end included
    for first, last in spans(0, count, max(1, block_frames // window)):
        until = last + LOOK_AHEAD_WINDOWS
        fresh = clip.read(min(clip.frames, read * window), min(clip.frames, until * window))
        fresh_high = sibilants_of.add(fresh)
        at = np.arange(read, until)
        level_db = levelling.at_frames(np.minimum(at, count) * window)
        over_speech_lu = _lufs(fresh_high, until - read, window) + level_db - pauses.speech_lufs
        gate_db = gate.add(weighting.energies(_in_windows(fresh, until - read, window)))
        sibilants_db = de_esser.add(over_speech_lu)
        samples, high, read = np.concatenate([samples, fresh]), np.concatenate([high, fresh_high]), until
        frames = min(last * window, clip.frames) - first * window
        block, sibilants = samples[:frames].copy(), high[:frames]
        samples, high = samples[frames:], high[frames:]
        if (gain_db := de_esser.path.over(sibilants_db, window)) is not None:
            block += amplify(sibilants.copy(), 10.0 ** (gain_db[:frames] / 20.0) - 1.0)
        total_db = levelling.at(first * window, first * window + frames)
        if (gain_db := gate.path.over(gate_db, window)) is not None:
            total_db += gain_db[:frames]
        if total_db.any():
            amplify(block, 10.0 ** (total_db / 20.0))
        done.gated_s += float(np.count_nonzero(gate_db < 0.0)) * WINDOW_S
        done.softened_s += float(np.count_nonzero(sibilants_db <= -1.0)) * WINDOW_S
        done.softened_db = max(done.softened_db, -float(sibilants_db.min(initial=0.0)))
        yield block


def _in_windows(samples: Block, windows: int, window: int) -> NDArray[np.float32]:
    """Shape (2, windows, frames), contiguous; there is silence behind the end."""
    padded = np.zeros((2, windows * window), np.float32)
    padded[:, : len(samples)] = samples.T
    return padded.reshape(2, windows, window)


def _lufs(samples: Block, windows: int, window: int) -> Values:
    """Level of each window, not weighted."""
    channels = _in_windows(samples, windows, window)
    energies = np.vecdot(channels, channels).sum(axis=0, dtype=np.float64) / window
    return loudness_of_energies(np.maximum(energies, 1e-20))
