"""Real speech for the checks of pieces: 200 clean ones by the local voice, and one spoilt in each of the known ways."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import soundfile
import soxr
from clips import ArrayClip
from numpy.typing import NDArray

from dsp.stretch import stretched

RATE = 44_100
SPEEDS = (0.8, 0.9, 1.0, 1.15, 1.3)
SENTENCES = (
    "I am calm.",
    "I let go of the day.",
    "I am worthy of love and kindness.",
    "Every breath brings me back to myself.",
    "I trust the timing of my life, and I move with ease.",
    "My body knows how to rest; I let it do so now.",
    "What would it feel like to be completely at peace?",
    "I forgive myself for what I did not know.",
    "Slowly, gently, the shoulders drop, the jaw softens, and the hands open.",
    "I release the need to be perfect!",
    "Today I choose patience, and tomorrow I shall choose it again.",
    "There is nothing to fix, nowhere to go, and no one else to be in this quiet moment.",
    "I am strong enough to ask for help.",
    "Peace begins with me.",
    "With each exhale, tension leaves my body like mist in the morning sun.",
    "I speak to myself as I would speak to a dear friend.",
    "My mind is clear, my heart is open, and I am ready for deep, restful sleep.",
    "I welcome abundance into my life.",
    "The past is behind me, and I am free.",
    "Count back from 10 to 1, and with every number sink a little deeper.",
    "I have survived all of my hardest days so far.",
    "I am safe... I am held... I am home.",
    "At 7:30 in the morning I wake refreshed, and I begin the day with gratitude.",
    "Joy is allowed.",
    "I give myself permission to slow down, to breathe, and to begin once more.",
    "Whatever happens, I can meet it with a steady heart.",
    "Imagine a warm, golden light that starts at the crown of your head and travels down through your neck, your "
    "chest, your belly, and all the way to the tips of your toes.",
    "I attract people who respect and support me.",
    "I'm proud of how far I have come.",
    "Happiness flows to me from sources that I know and from sources that I do not know yet.",
    "Water finds its way around every stone, and so do I.",
    "I let the music carry me.",
    "Nothing that is meant for me can pass me by.",
    "It is okay to feel what I feel.",
    "I sleep deeply and wake up full of energy.",
    "My work matters, and so does my rest.",
    "I listen to the wisdom of my body.",
    "Confidence grows in me a little more every single day.",
    "I breathe in courage and breathe out doubt.",
    "All is well in my world.",
)
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class SpokenPiece:
    """A piece of speech.

    Attributes
    ----------
    name : str
        How it was made.
    samples : float32 array, shape (frames,) or (frames, 2)
        At `RATE`.
    text : str
        What should be heard.
    speed : float
        How fast the voice spoke.
    """

    name: str
    samples: Samples
    text: str
    speed: float = 1.0


@lru_cache(maxsize=512)
def said(text: str, speed: float = 1.0, seed: int = 0) -> Samples:
    """Have a text spoken by the local voice, mono at `RATE`."""
    spoken = np.asarray(_voice()(text, speed=speed, seed=seed), np.float32)
    resampled: Samples = soxr.resample(spoken, _voice().sample_rate, RATE).astype(np.float32)
    return resampled


@lru_cache(maxsize=1)
def _voice():  # type: ignore[no-untyped-def]
    from hibari import Hibari

    return Hibari(voice="heart", threads=1)


def clean_pieces(take: int = 0, every: int = 1) -> Iterator[SpokenPiece]:
    """200 pieces, or one in so many: 40 sentences at five speeds, most as a recording or a codec would leave them.

    Another take has other sound, and other sentences as recordings.
    """
    chosen = [(number, turn) for number in range(len(SENTENCES)) for turn in range(len(SPEEDS))][::every]
    for number, turn in chosen:
        text, speed = SENTENCES[number], SPEEDS[turn]
        samples = said(text, speed, take)
        kind = ("as it is", *_RECORDED)[(number + turn + take) % (len(_RECORDED) + 1)]
        if kind != "as it is":
            samples = _RECORDED[kind](samples, np.random.default_rng(1000 * take + number))
        yield SpokenPiece(f"{kind}, speed {speed:g}", samples, text, speed)


def _noisy(samples: Samples, random: np.random.Generator) -> Samples:
    return _f32(samples + 10 ** (-45 / 20) * samples.std() * random.standard_normal(len(samples)))


def _in_a_room(samples: Samples, random: np.random.Generator) -> Samples:
    n = np.arange(round(0.25 * RATE))
    room = 0.02 * random.standard_normal(len(n)) * np.exp(-n / (0.05 * RATE))
    room[0] = 1.0
    size = 1 << (len(samples) + len(room)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(room, size))
    return _f32(wet[: len(samples) + len(room) - 1])


def _short_tail(samples: Samples, random: np.random.Generator) -> Samples:
    del random
    (loud,) = np.nonzero(np.abs(samples) > 10 ** (-45 / 20) * np.abs(samples).max())
    return samples[max(0, loud[0] - round(0.02 * RATE)) : loud[-1] + round(0.036 * RATE)]


def _soft(samples: Samples, random: np.random.Generator) -> Samples:
    del random
    return _f32(samples * 10 ** (-3 / 20))


def _full_scale(samples: Samples, random: np.random.Generator) -> Samples:
    del random
    return _f32(samples * 0.35 / np.abs(samples).max())  # peak-normalised, as recordings often are


def _sixteen_bits(samples: Samples, random: np.random.Generator) -> Samples:
    del random
    return _f32(np.round(samples * 32767) / 32767)


def _telephone(samples: Samples, random: np.random.Generator) -> Samples:
    del random
    size = 1 << len(samples).bit_length()
    hz = np.fft.rfftfreq(size, 1 / RATE)
    gain = 1 / (1 + (hz / 7000) ** 8) / np.sqrt(1 + (90 / np.maximum(hz, 1)) ** 4)
    return _f32(np.fft.irfft(np.fft.rfft(samples, size) * gain)[: len(samples)])


def _stereo(samples: Samples, random: np.random.Generator) -> Samples:
    hiss = 1e-4 * random.standard_normal((len(samples), 2))
    return _f32(samples[:, None] * [1.0, 0.9] + hiss)


_RECORDED = {
    "with noise": _noisy,
    "in a room": _in_a_room,
    "tail of 36 ms": _short_tail,
    "3 dB softer": _soft,
    "peak-normalised": _full_scale,
    "16 bits": _sixteen_bits,
    "band-limited": _telephone,
    "stereo": _stereo,
}


def spoilt_pieces(text: str = SENTENCES[14], other: str = SENTENCES[29]) -> dict[str, SpokenPiece]:
    """One piece for each way of being spoilt; "wrong type by bytes" is `as_flac`, since there the samples are right.

    Parameters
    ----------
    text : str
        What each should say.
    other : str
        What the one with other words says.
    """
    good = said(text)
    random = np.random.default_rng(7)
    middle = _quiet_place(good)
    made: dict[str, Samples] = {
        "half missing": good[:middle],
        "spoken twice": np.concatenate([good, good]),
        "a hole of 10 s": np.concatenate([good[:middle], np.zeros(10 * RATE, np.float32), good[middle:]]),
        "3 s of noise behind": np.concatenate([good, _f32(good.std() * random.standard_normal(3 * RATE))]),
        "noise instead of speech": _f32(0.1 * random.standard_normal(len(good))),
        "12 dB louder": _f32(good * 10 ** (12 / 20)),
        "12 dB softer": _f32(good * 10 ** (-12 / 20)),
        "another pitch": _shifted(good, 4 / 3),
        "clipped": _f32(np.clip(good / np.abs(good).max() * 4, -1, 1) / 4),
        "end cut off": good[: _loud_place(good)],
        "silent": np.zeros(len(good), np.float32),
        "DC": _f32(good + 0.05),
        "opposite polarity": np.stack([good, -good], axis=1),
        "one channel silent": np.stack([good, 0 * good], axis=1),
        "other words": said(other),
    }
    return {name: SpokenPiece(name, samples, text) for name, samples in made.items()}


CORRECTED = ("DC", "opposite polarity", "one channel silent")
"""Spoilt pieces that are put right without another take."""


def as_flac(samples: Samples) -> bytes:
    """A FLAC file, as a gateway may send it where bare samples were asked for."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def clip_of(piece: SpokenPiece) -> ArrayClip:
    """The piece as a clip of two channels."""
    samples = piece.samples
    return ArrayClip(np.ascontiguousarray(samples if samples.ndim == 2 else np.repeat(samples[:, None], 2, axis=1)))


def _shifted(samples: Samples, ratio: float) -> Samples:
    """The same length at another pitch: resampled, and stretched back."""
    higher = soxr.resample(samples, RATE * ratio, RATE).astype(np.float32)
    clip = ArrayClip(np.repeat(higher[:, None], 2, axis=1))
    return np.concatenate(list(stretched(clip, len(samples), RATE)))[:, 0]


def _quiet_place(samples: Samples) -> int:
    """The quietest 10 ms within the middle third of the sound."""
    (loud,) = np.nonzero(np.abs(samples) > 10 ** (-45 / 20) * np.abs(samples).max())
    third = (loud[-1] - loud[0]) // 3
    window = RATE // 100
    starts = range(loud[0] + third, loud[-1] - third, window)
    return min(starts, key=lambda at: float((samples[at : at + window] ** 2).sum())) + window // 2


def _loud_place(samples: Samples) -> int:
    """Within the last word: the loudest 10 ms of the last 0.3 s of sound."""
    (loud,) = np.nonzero(np.abs(samples) > 10 ** (-45 / 20) * np.abs(samples).max())
    window = RATE // 100
    starts = range(loud[-1] - round(0.3 * RATE), loud[-1] - window, window)
    return max(starts, key=lambda at: float((samples[at : at + window] ** 2).sum())) + window


def _f32(samples: NDArray[np.floating]) -> Samples:
    return samples.astype(np.float32)
