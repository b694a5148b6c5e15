"""The sound of a page: the file itself where it is small and browsers play it, else an MP3 of it, as far as it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from worker.codec.encoder_processes import PCM_INPUT, endless_wav
from worker.ffmpeg.pipe import Pipe
from worker.ffmpeg.program import Ffmpeg
from worker.inspect.inspection import Inspection
from worker.inspect.page import Sound
from worker.inspect.words import clock
from worker.media.decode import opened_sound

MOST_BYTES: Final = 20_000_000
"""Of sound in a page: 27 MB of HTML. Firefox takes no more than 32 MB at one address."""

_KBPS = (192, 128)
_MIME = {  # by container and coding: what Chromium, Firefox and Safari all play
    ("mp3", "mp3"): "audio/mpeg",
    ("mov", "aac"): "audio/mp4",
    ("aac", "aac"): "audio/aac",
    ("flac", "flac"): "audio/flac",
    ("wav", "pcm_s16le"): "audio/wav",
    ("wav", "pcm_s24le"): "audio/wav",
}


def sound_of(ffmpeg: Ffmpeg, file: Path, result: Inspection, *, container: str, codec: str) -> Sound:
    """Choose and make what a page plays of a file that was measured."""
    size, mime = file.stat().st_size, _MIME.get((container, codec))
    if mime is not None and size <= MOST_BYTES:
        return Sound(file.read_bytes(), mime, result.duration_s)
    for kbps in _KBPS:
        if result.duration_s * kbps * 125 <= MOST_BYTES:
            why = "is too large for a page" if mime is not None else "is of a kind that not all browsers play"
            words = f"The file {why}: this plays an MP3 of it with {kbps} kbit/s. All figures are of the file itself."
            return Sound(_mp3(ffmpeg, file, kbps, result.frames), "audio/mpeg", result.duration_s, words)
    kbps = _KBPS[-1]
    seconds = float(MOST_BYTES // (kbps * 125))
    words = (
        f"The file is too large for a page: this plays its first {clock(seconds)} as an MP3 with {kbps} kbit/s. "
        "All figures are of the whole file."
    )
    return Sound(_mp3(ffmpeg, file, kbps, round(seconds * result.sample_rate_hz)), "audio/mpeg", seconds, words)


def _mp3(ffmpeg: Ffmpeg, file: Path, kbps: int, frames: int) -> bytes:
    arguments = (*PCM_INPUT, "-c:a", "libmp3lame", "-b:a", f"{kbps}k", "-write_xing", "0", "-f", "mp3", "pipe:1")
    with opened_sound(ffmpeg, file) as sound, Pipe(ffmpeg, arguments, feed=True, collect=True) as pipe:
        pipe.write(endless_wav(sound.sample_rate))
        for block in sound.blocks:
            pipe.write(np.ascontiguousarray(block[:frames], "<f4").data)
            frames -= len(block)
            if frames <= 0:
                break
        return pipe.finish()
