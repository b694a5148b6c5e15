"""A track's waveform for players, in the JSON of the BBC's audiowaveform, version 2, which peaks.js and others read.

The format: https://github.com/bbc/audiowaveform/blob/master/doc/DataFormat.md
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from dsp.waveform_peaks import WaveformPeaks
from worker.payload.schema import SAMPLE_RATE_HZ

_FINEST_FRAMES: Final = 256  # a pixel, as audiowaveform's own default
_MOST_PIXELS: Final = 24_000  # some 150 kB, for a track of any length


def peaks_of(frames: int) -> WaveformPeaks:
    """Make what gathers the peaks of a track of so many frames: as fine as a file of moderate size can be."""
    frames_per_pixel = _FINEST_FRAMES
    while frames > frames_per_pixel * _MOST_PIXELS:
        frames_per_pixel *= 2
    return WaveformPeaks(frames_per_pixel)


def write_peaks(peaks: WaveformPeaks, path: Path) -> Path:
    """Write the file, and return where: pairs of lowest and highest, 8 bits each, one channel."""
    pixels = peaks.result()
    document = {
        "version": 2,
        "channels": 1,
        "sample_rate": SAMPLE_RATE_HZ,
        "samples_per_pixel": peaks.frames_per_pixel,
        "bits": 8,
        "length": len(pixels),
        "data": pixels.ravel().tolist(),
    }
    path.write_text(json.dumps(document, separators=(",", ":")), encoding="ascii")
    return path
