"""Signals that the codec tests feed: deterministic, and each hard on a codec in its own way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dsp.blocks import Block
from worker.codec.encode import encode
from worker.codec.encoding import Encoding
from worker.codec.segments import Pcm, Track
from worker.codec.tags import Tags
from worker.ffmpeg.program import Ffmpeg
from worker.media.decode import opened_sound

RATE = 44100


def tones(frames: int, *, level: float = 0.3) -> Block:
    """A binaural pair of steady tones, 197 and 203 Hz."""
    time = np.arange(frames) / RATE
    return np.stack([level * np.sin(2 * np.pi * hz * time) for hz in (197, 203)], axis=1).astype(np.float32)


def pink(frames: int, *, seed: int = 1) -> Block:
    """Pink noise, ears independent."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((frames, 2)), axis=0)
    hz = np.maximum(np.fft.rfftfreq(frames, 1 / RATE), 20)[:, None]
    noise = np.fft.irfft(spectrum / np.sqrt(hz), frames, axis=0)
    return (0.1 * noise / noise.std()).astype(np.float32)


def speech_like(frames: int) -> Block:
    """Syllables of a buzzing voice with pauses, over a whisper of noise."""
    time = np.arange(frames) / RATE
    syllables = np.abs(np.sin(2 * np.pi * 1.7 * time)) ** 4 * (np.sin(2 * np.pi * 0.11 * time) > -0.5)
    buzz = sum(np.sin(2 * np.pi * 150 * n * time + n * np.sin(2 * np.pi * 3 * time)) / n for n in range(1, 20))
    noise = 1e-4 * np.random.default_rng(2).standard_normal((frames, 2))
    return (0.2 * (syllables * buzz)[:, None] + noise).astype(np.float32)


def music_like(frames: int) -> Block:
    """Plucked notes twice a second, the ears a little apart."""
    time = np.arange(frames) / RATE
    notes = ((220, 0.0), (330, 0.3), (440, 0.6), (1760, 0.1))
    plucked = sum(np.sin(2 * np.pi * hz * time) * np.exp(-4 * ((2 * time + phase) % 1)) for hz, phase in notes)
    stereo = 0.1 * np.stack([plucked, np.roll(plucked, 300)], axis=1)
    return (stereo + 0.002 * np.random.default_rng(3).standard_normal((frames, 2))).astype(np.float32)


def pcm_of(sound: Block, *, block: int = 4096) -> Pcm:
    """Serve any stretch of a sound, as a renderer does."""

    def pcm(start: int, stop: int) -> Iterator[Block]:
        for first in range(start, stop, block):
            yield sound[first : min(first + block, stop)]

    return pcm


def encode_sound(
    sound: Block, out: Path, ffmpeg: Ffmpeg, *, kbps: int | None = 192, tags: Tags | None = None, threads: int = 2
) -> Block:
    """Encode a sound by its file's ending; returns the sound that the check of the written file decoded."""
    decoded_blocks: list[Block] = []
    track = Track(pcm_of(sound), len(sound), RATE, tags or Tags(), ffmpeg, threads, on_decoded=decoded_blocks.append)
    encode(track, out, Encoding(out.suffix[1:], kbps))
    return np.concatenate(decoded_blocks)


def noise_db(decoded: Block, original: Block) -> float:
    """Level of the difference in dB relative to full scale."""
    error = np.sum((decoded.astype(np.float64) - original) ** 2) / original.size
    return 10 * np.log10(error + 1e-20)


def decoded(ffmpeg: Ffmpeg, file: Path) -> Block:
    """The whole sound of a file at `RATE`, gaplessly."""
    with opened_sound(ffmpeg, file) as sound:
        assert sound.sample_rate == RATE
        return np.concatenate(list(sound.blocks))
