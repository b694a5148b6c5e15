"""The loudness across the seam of looped music, measured on what is heard there."""

from __future__ import annotations

from dataclasses import dataclass

from dsp.blocks import Block, spans
from dsp.k_weighting import Energies
from dsp.loudness import loudness_range_lufs, measure, short_term_lufs
from dsp.recorded import Looped

_AROUND_S = 3.0


@dataclass(frozen=True)
class SeamLoudness:
    """Short-term loudness (3 s) at a seam, beside that of the music.

    Attributes
    ----------
    lowest_lufs, highest_lufs : float
        Of any 3 s that touch the crossfade.
    low_lufs, high_lufs : float
        The range of the part that is repeated: 10th and 95th percentile, by EBU Tech 3342.
    """

    lowest_lufs: float
    highest_lufs: float
    low_lufs: float
    high_lufs: float

    @property
    def miss_lu(self) -> float:
        """How far the seam is out of the range; 0 within it."""
        return max(self.low_lufs - self.lowest_lufs, self.highest_lufs - self.high_lufs, 0.0)


def seam_loudness(music: Looped, sample_rate: int) -> SeamLoudness:
    """Measure a seam: the second one, which has the repeated part on either side."""
    sound = around_seam(music, round(_AROUND_S * sample_rate))
    heard = short_term_lufs(measure([sound], sample_rate).energies)
    low, high = loudness_range_lufs(short_term_lufs(_part_energies(music, sample_rate)))
    return SeamLoudness(float(heard.min()), float(heard.max()), low, high)


def around_seam(music: Looped, frames: int) -> Block:
    """What is heard at the second seam, and for so many frames before and after it."""
    seam = music.first_seam + music.period_frames
    return music.render(max(0, seam - frames), seam + music.crossfade_frames + frames)


def _part_energies(music: Looped, sample_rate: int) -> Energies:
    blocks = (music.clip.read(first, last) for first, last in spans(music.start, music.stop))
    return measure(blocks, sample_rate).energies
