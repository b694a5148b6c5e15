"""The rows about coding: noise against the masking threshold, beside one FFmpeg encode of the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.material import MUSIC, voice
from benchmarks.sound.masking import HIGHEST_HZ, noise_to_mask_db, window_of
from benchmarks.sound.room import RATE, Room
from benchmarks.sound.row import Row
from dsp.blocks import Block, spans
from tests.music_pieces import fade_out, piano
from worker.codec.encode import encode
from worker.codec.encoding import Encoding
from worker.codec.segments import Pcm, Track
from worker.codec.tags import Tags
from worker.formats import FORMATS, FormatName

MOST_DB = 0.2
# The rate control of FFmpeg's AAC is chaotic: one encode of the same samples with noise far below 24 bits has more or
# less coding noise. So that scatter is measured, too: ours may differ from one encode as much as such encodes do from
# each other.
_SCATTERING, _INAUDIBLE_DBFS, _FURTHER_ENCODES = ("m4a",), -150.0, 3
_AAC_TIMES = 2  # one after the other, or the whole were one segment, and nothing were joined
_JOB = {
    "durationMin": 3,
    "startDelaySec": 3,
    "pauseSec": 6,
    "loopMode": True,
    "solfeggio": {"hz": 528},
    "binaural": {"band": "theta"},
}
_FFMPEG_ENCODERS = {"mp3": "libmp3lame", "m4a": "aac"}
_SHARES = (50, 95, 99)

Parts = Mapping[str, Block]
"""What is one programme, one after the other: three minutes of a mix with voice, music and tones; music alone."""


def coding(room: Room, say: Callable[[str], None]) -> tuple[Row, ...]:
    """Encode all as one programme, by this project and by one FFmpeg; one row a format and quality."""
    rows = []
    for format, encoder in _FFMPEG_ENCODERS.items():
        parts = parts_of(room)
        if format in _SCATTERING:
            parts = {f"{name}, {time}": part for time in range(1, 1 + _AAC_TIMES) for name, part in parts.items()}
        sound = np.concatenate(list(parts.values()))
        for kbps in FORMATS[format].kbps.values():
            encoding = Encoding(format, kbps)
            options = ("-c:a", encoder, "-b:a", f"{kbps}k")

            def one_encode(of: Block, options: tuple[str, ...] = options, name: str = f"single.{format}") -> Block:
                return room.decoded(room.encode(of, name, *options))

            ours = room.folder / f"ours.{format}"
            encode(Track(_pcm(sound), len(sound), RATE, Tags(), room.ffmpeg, room.threads), ours, encoding)
            others = [one_encode(other) for other in _further(sound, format)]
            rows.append(_row(encoding, parts, sound, room.decoded(ours), one_encode(sound), others))
            say(f"coding: {format} {kbps}")
    return tuple(rows)


def _further(sound: Block, format: FormatName) -> Iterator[Block]:
    """The same samples with noise that nobody can hear, for a format whose encoder scatters."""
    for seed in range(_FURTHER_ENCODES if format in _SCATTERING else 0):
        noise = np.random.default_rng(seed).standard_normal(sound.shape)
        yield sound + noise.astype(np.float32) * np.float32(10 ** (_INAUDIBLE_DBFS / 20))


def _row(encoding: Encoding, parts: Parts, sound: Block, ours: Block, one: Block, others: Sequence[Block]) -> Row:
    """Compare decoded files with what was encoded, part by part."""
    scaled = sound * 10 ** (encoding.level_change_db / 20)  # what LAME takes away is no noise
    ours_db, one_db, *others_db = (
        noise_to_mask_db(scaled, decoded[: len(sound)], RATE).max(axis=1) for decoded in (ours, one, *others)
    )
    lines, details, missed, first = [], {}, [], 0
    for name, part in parts.items():
        windows = slice(window_of(first), window_of(first + len(part)))
        first += len(part)
        here, there, *further = (figures(noise_db[windows]) for noise_db in (ours_db, one_db, *others_db))
        more, scatter = here - there, np.ptp([there, *further], axis=0)
        details[name] = {"ours": here.tolist(), "one": there.tolist(), "scatter": scatter.tolist()}
        scattered = f"; such encodes differ by {told(scatter)}" if further else ""
        lines.append(f"{name}: {told(here)}; one encode {told(there)}; {told(more, '+')} more{scattered}")
        if np.any(more[:3] > np.maximum(scatter[:3], MOST_DB)):
            missed.append(name)
    allowed = ", or than such encodes differ by" if others_db else ""
    return Row(
        f"coding noise against masking, {encoding.format} {encoding.kbps} kbit/s",
        f"worst Bark band up to {HIGHEST_HZ // 1000} kHz, at 50, 95 and 99 % of the moments: at most "
        f"{MOST_DB} dB more than one FFmpeg encode of the same samples{allowed}",
        "\n".join(lines),
        not missed,
        details,
        tuple(missed),
    )


def figures(noise_db: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise to mask at the shares of the moments, in dB, and per cent of the moments with noise above the mask."""
    return np.array([*np.percentile(noise_db, _SHARES), 100 * np.mean(noise_db > 0)])


def told(figures: NDArray[np.float64], sign: str = "") -> str:
    levels = ", ".join(f"{level + 0.0:{sign}.2f}" for level in figures[:3])
    return f"{levels} dB, {figures[3]:{sign}.1f} % above the mask"


def parts_of(room: Room) -> Parts:
    """Make the programme; the mix comes as 24 bits."""
    spoken = room.folder / "spoken.wav"
    soundfile.write(spoken, voice(), RATE, "FLOAT")
    mix = room.sound_of(_JOB, voice=spoken, music=MUSIC, name="mix")
    return {"mix": mix.astype(np.float32), "band": fade_out(), "piano": piano()}


def _pcm(sound: Block) -> Pcm:
    return lambda start, stop: (sound[first:last] for first, last in spans(start, stop))
