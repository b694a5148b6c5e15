"""Programme loudness by ITU-R BS.1770-5, loudness range by EBU Tech 3342.

The meter keeps one figure per 100 ms hop: the K-weighted energy of both channels (`dsp.k_weighting`). Everything else
(integrated, momentary, short-term, range) follows from those, also at another gain, without the audio.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block
from dsp.k_weighting import Energies, KWeighting
from dsp.true_peak import TruePeak

ABSOLUTE_GATE_LUFS = -70.0  # BS.1770-5 Annex 1
RELATIVE_GATE_LU = -10.0  # BS.1770-5 Annex 1
RANGE_RELATIVE_GATE_LU = -20.0  # EBU Tech 3342
RANGE_PERCENTILES = (10.0, 95.0)  # EBU Tech 3342
OFFSET_LUFS = -0.691  # BS.1770-5 Annex 1, equation 2
GATING_BLOCK_HOPS = 4  # 400 ms with 75 % overlap
SHORT_TERM_HOPS = 30  # 3 s, EBU Tech 3341
PREROLL_HOPS = 4  # after 0.4 s a K-filter's past has decayed by more than 300 dB


def hop_frames(sample_rate: int) -> int:
    """Frames of a hop: 100 ms, as BS.1770 steps."""
    return round(sample_rate / 10)


@dataclass(frozen=True)
class Measurement:
    """The figures of a loudness meter.

    Attributes
    ----------
    energies : float32 array, shape (hops,)
        K-weighted mean square of each whole hop, both channels summed.
    peaks : float32 array, shape (hops,)
        Sample peak of each whole hop, full scale 1; empty where they were not kept.
    frames : int
        All of them, the unfinished hop included.
    sample_peak : float
        Of all frames.
    true_peak : float
        Linear; the sample peak where no true peak was asked for.
    """

    energies: Energies
    peaks: NDArray[np.float32]
    frames: int
    sample_peak: float
    true_peak: float


class LoudnessMeter:
    """Accumulator of a `Measurement`; how the audio is cut into blocks makes no difference.

    Parameters
    ----------
    preroll_hops : int
        Leading hops that only settle the filter and are not reported: so a span in the middle of a track, begun
        `PREROLL_HOPS` early, measures as it does in the whole.
    true_peak : bool
        Measure the true peak, too.
    hop_peaks : bool
        Keep the sample peak of each hop. Without, where the true peak is measured, the samples are looked at once less.
    """

    def __init__(
        self, sample_rate: int, *, preroll_hops: int = 0, true_peak: bool = False, hop_peaks: bool = True
    ) -> None:
        self._hop = hop_frames(sample_rate)
        self._weighting = KWeighting(sample_rate, self._hop)
        self._rest: Block = np.empty((0, 2), np.float32)
        self._skip = preroll_hops
        self._frames = -preroll_hops * self._hop
        self._energies, self._peaks = array("f"), array("f")  # grow in place, where many small parts would scatter
        self._sample_peak = 0.0
        self._hop_peaks = hop_peaks
        self._true_peak = TruePeak() if true_peak else None

    def add(self, block: Block) -> None:
        """Measure a block, float32 of shape (frames, 2).

        Raises `ValueError` if it has another shape.
        """
        if block.ndim != 2 or block.shape[1] != 2:
            raise ValueError(f"block of shape {block.shape}; (frames, 2) is needed")
        self._frames += len(block)
        if self._true_peak is not None:
            self._true_peak.add(block)
        if len(self._rest):
            missing = min(self._hop - len(self._rest), len(block))
            self._rest = np.concatenate([self._rest, block[:missing]])
            block = block[missing:]
            if len(self._rest) < self._hop:
                return
            self._measure(self._rest)
        whole = len(block) // self._hop * self._hop
        if whole:
            self._measure(block[:whole])
        self._rest = block[whole:].copy()

    def result(self) -> Measurement:
        """Figures of all blocks so far."""
        sample_peak = float(np.abs(self._rest).max(initial=self._sample_peak))
        true_peak = 0.0
        if self._true_peak is not None:
            true_peak = self._true_peak.result()
            sample_peak = max(sample_peak, self._true_peak.sample_peak)
        return Measurement(
            energies=np.array(self._energies, np.float32),
            peaks=np.array(self._peaks, np.float32),
            frames=max(self._frames, 0),
            sample_peak=sample_peak,
            true_peak=max(sample_peak, true_peak),
        )

    def _measure(self, hops: Block) -> None:
        """Measure whole hops."""
        samples = np.ascontiguousarray(hops.T).reshape(2, -1, self._hop)
        energies = self._weighting.energies(samples)
        skipped = min(self._skip, len(energies))
        self._skip -= skipped
        self._energies.frombytes(energies[skipped:].tobytes())
        if not self._hop_peaks and self._true_peak is not None:
            return
        peaks = np.maximum(samples.max(axis=(0, 2)), -samples.min(axis=(0, 2)))[skipped:]
        self._sample_peak = max(self._sample_peak, float(peaks.max(initial=0.0)))
        if self._hop_peaks:
            self._peaks.frombytes(peaks.tobytes())


def joined(parts: Sequence[Measurement]) -> Measurement:
    """Put measurements of consecutive spans together; all but the last must end on a hop."""
    return Measurement(
        energies=np.concatenate([part.energies for part in parts]),
        peaks=np.concatenate([part.peaks for part in parts]),
        frames=sum(part.frames for part in parts),
        sample_peak=max(part.sample_peak for part in parts),
        true_peak=max(part.true_peak for part in parts),
    )


def measure(blocks: Iterable[Block], sample_rate: int, *, true_peak: bool = False) -> Measurement:
    """Measure a programme given block by block."""
    meter = LoudnessMeter(sample_rate, true_peak=true_peak)
    for block in blocks:
        meter.add(block)
    return meter.result()


def integrated_lufs(energies: Energies, *, gain: float = 1.0, span_hops: int | None = None) -> float:
    """Integrated loudness at a linear gain; -inf when everything is below the gate.

    BS.1770-5 Annex 1, equations 3 to 7: 400 ms blocks, gated at -70 LUFS and then 10 LU below their mean. A programme
    shorter than one block counts as one.

    Parameters
    ----------
    span_hops : int, optional
        The energies are of spans of so many hops from different places: a block across two of them does not count.
    """
    blocks = _gating_blocks(energies, span_hops) * gain**2
    loud = blocks[_passes(blocks)]
    return lufs_of_energy(float(loud.mean())) if len(loud) else -math.inf


def _passes(blocks: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which gating blocks pass both gates."""
    loud = blocks[blocks > energy_of_lufs(ABSOLUTE_GATE_LUFS)]
    if not len(loud):
        return np.zeros(len(blocks), bool)
    gate = loud.mean() * 10.0 ** (RELATIVE_GATE_LU / 10.0)
    passes: NDArray[np.bool_] = blocks > max(gate, energy_of_lufs(ABSOLUTE_GATE_LUFS))
    return passes


def _gating_blocks(energies: Energies, span_hops: int | None) -> NDArray[np.float64]:
    blocks = _sliding_mean(energies, GATING_BLOCK_HOPS)
    if span_hops is None:
        return blocks
    return blocks[np.arange(len(blocks)) % span_hops <= span_hops - GATING_BLOCK_HOPS]


def speech_lufs(energies: Energies, voice: Energies, *, span_hops: int | None = None) -> float:
    """Loudness of a programme while its voice sounds; -inf where the voice never does.

    What is loud beside the voice counts, what is heard without it does not: the mean over the 400 ms blocks in which
    the voice alone passes the gates of BS.1770-5. Dialogue is measured so by EBU R 128 s4 and by Netflix, who have to
    find the speech in the mix; here the voice is a layer, and known.

    Parameters
    ----------
    voice : Energies
        Of the voice alone, hop by hop as `energies`; a missing last hop is silent.
    span_hops : int, optional
        As of `integrated_lufs`.
    """
    hops = min(len(energies), len(voice))
    speaks = _passes(_gating_blocks(voice[:hops], span_hops))
    blocks = _gating_blocks(energies[:hops], span_hops)[speaks]
    return lufs_of_energy(float(blocks.mean())) if len(blocks) else -math.inf


def rounded_db(gain_db: float) -> float:
    """Round a gain that follows from a measurement, to thousandths of a dB.

    The last bits of a measurement differ with the processor and with how the audio is cut into blocks; so they do not
    reach the samples.
    """
    return round(gain_db, 3)


def loudness_range_lu(energies: Energies) -> float:
    """Loudness range by EBU Tech 3342: from low to high of `loudness_range_lufs`; 0 for silence."""
    low, high = loudness_range_lufs(windows_lufs(energies, SHORT_TERM_HOPS))
    return high - low if math.isfinite(low) else 0.0


def loudness_range_lufs(levels_lufs: NDArray[np.float64]) -> tuple[float, float]:
    """10th and 95th percentile of gated loudness by EBU Tech 3342; both -inf for silence.

    A percentile is the nearest of the values: NumPy's, between two of them, would load `numpy.ma`.

    Parameters
    ----------
    levels_lufs : float64 array, shape (windows,)
        As of `windows_lufs`; the standard takes windows of 3 s.
    """
    loud = levels_lufs[levels_lufs > ABSOLUTE_GATE_LUFS]
    if not len(loud):
        return -math.inf, -math.inf
    mean = float((10.0 ** (loud / 10.0)).mean())
    loud = np.sort(loud[loud > 10.0 * math.log10(mean) + RANGE_RELATIVE_GATE_LU])
    low, high = (loud[math.floor((len(loud) - 1) * percent / 100.0 + 0.5)] for percent in RANGE_PERCENTILES)
    return float(low), float(high)


def momentary_lufs(energies: Energies) -> NDArray[np.float64]:
    """Loudness of every 400 ms, a value per hop (EBU Tech 3341); -inf where it is silent."""
    return windows_lufs(energies, GATING_BLOCK_HOPS)


def short_term_lufs(energies: Energies) -> NDArray[np.float64]:
    """Loudness of every 3 s, a value per hop (EBU Tech 3341); -inf where it is silent."""
    return windows_lufs(energies, SHORT_TERM_HOPS)


def windows_lufs(energies: Energies, hops: int) -> NDArray[np.float64]:
    """Loudness of every window of so many hops, a value per hop from each on; one of everything where it is shorter."""
    return loudness_of_energies(_sliding_mean(energies, hops))


def _sliding_mean(energies: Energies, hops: int) -> NDArray[np.float64]:
    """Mean over so many hops, from each on; over everything when there is less."""
    if not len(energies):
        return np.empty(0)
    if len(energies) < hops:
        return np.array([energies.mean(dtype=np.float64)])
    means: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(energies, hops).mean(axis=1, dtype=np.float64)
    return means


def energy_of_lufs(lufs: float) -> float:
    """K-weighted mean square, both channels summed, of a loudness."""
    return float(10.0 ** ((lufs - OFFSET_LUFS) / 10.0))


def lufs_of_energy(energy: float) -> float:
    """Loudness of a K-weighted mean square, both channels summed; -inf for silence."""
    return OFFSET_LUFS + 10.0 * math.log10(energy) if energy > 0.0 else -math.inf


def loudness_of_energies(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same of several."""
    with np.errstate(divide="ignore"):
        lufs: NDArray[np.float64] = OFFSET_LUFS + 10.0 * np.log10(energies)
    return lufs
