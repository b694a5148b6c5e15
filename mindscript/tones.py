"""Single tones, beats and noise as arrays: float32, shape (frames, 2), left and right channel, peak 1 unless said.

They are the very sounds of a track's layers (`dsp.tones`, `dsp.noise`): multiply them by a linear gain.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Source
from dsp.noise import Colour, Noise
from dsp.tones import Binaural, Isochronic, Monaural, Tone
from worker.payload.schema import SAMPLE_RATE_HZ

Sound = NDArray[np.float32]


def tone(
    hz: float,
    *,
    seconds: float,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    wave: Literal["sine", "triangle", "square"] = "sine",
) -> Sound:
    """The same tone in both channels, such as a Solfeggio tone; made of partials that do not alias."""
    _check(hz=hz, sample_rate_hz=sample_rate_hz)
    return _made(Tone(float(hz), sample_rate_hz, wave), seconds, sample_rate_hz)


def binaural(carrier_hz: float, beat_hz: float, *, seconds: float, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Sound:
    """A pure tone in each ear: left ``carrier - beat/2``, right ``carrier + beat/2``."""
    _check(carrier_hz=carrier_hz, beat_hz=beat_hz, sample_rate_hz=sample_rate_hz)
    return _made(Binaural(float(carrier_hz), float(beat_hz), sample_rate_hz), seconds, sample_rate_hz)


def monaural(carrier_hz: float, beat_hz: float, *, seconds: float, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Sound:
    """Both tones of a binaural beat in both channels: for speakers, too."""
    _check(carrier_hz=carrier_hz, beat_hz=beat_hz, sample_rate_hz=sample_rate_hz)
    return _made(Monaural(float(carrier_hz), float(beat_hz), sample_rate_hz), seconds, sample_rate_hz)


def isochronic(carrier_hz: float, beat_hz: float, *, seconds: float, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Sound:
    """A tone in pulses, `beat_hz` of them a second, that rise and fall without a click."""
    _check(carrier_hz=carrier_hz, beat_hz=beat_hz, sample_rate_hz=sample_rate_hz)
    return _made(Isochronic(float(carrier_hz), float(beat_hz), sample_rate_hz), seconds, sample_rate_hz)


def noise(colour: Colour, *, seconds: float, seed: int = 0, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Sound:
    """White, pink or brown noise, independent in each channel, with the RMS of a full-scale sine."""
    if colour not in ("white", "pink", "brown"):
        raise ValueError(f"colour: found {colour!r}, allowed is white, pink or brown")
    _check(sample_rate_hz=sample_rate_hz)
    return _made(Noise(colour, seed, sample_rate_hz), seconds, sample_rate_hz)


def _made(source: Source, seconds: float, sample_rate_hz: int) -> Sound:
    if not 0 < seconds <= 3600:
        raise ValueError(f"seconds: found {seconds!r}, allowed is more than 0, up to 3600")
    return source.render(0, round(seconds * sample_rate_hz))


def _check(**values_hz: float) -> None:
    rate_hz = values_hz["sample_rate_hz"]
    if not 8_000 <= rate_hz <= 192_000:
        raise ValueError(f"sample_rate_hz: found {rate_hz!r}, allowed is 8000 to 192000")
    highest_hz = values_hz.get("hz", values_hz.get("carrier_hz", 0.0) + values_hz.get("beat_hz", 0.0) / 2)
    for name, value in values_hz.items():
        if name != "sample_rate_hz" and not 0 < value < rate_hz / 2:
            raise ValueError(f"{name}: found {value!r}, allowed is more than 0 and less than half the sample rate")
    if highest_hz >= rate_hz / 2:
        raise ValueError(f"the higher tone has {highest_hz:g} Hz, allowed is less than half the sample rate")
