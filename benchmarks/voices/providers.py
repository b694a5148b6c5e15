"""Lines, silences, shuffle, lyrics and chapters of one script, by each provider, read from the delivered files."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from mutagen.id3 import ID3
from spoken_pieces import said
from standins.compatible import compatible_service
from standins.realtime import realtime_service
from standins.speech import ELEVENLABS_VOICES, SOUND_RATE, speech_service

from benchmarks.voices.jobs import JobEnd, run_job

_LINES = ("I am calm.", "I am safe.", "I rest now.", "All is well.", "I trust myself.")
_SCRIPT = f"{_LINES[0]}\n{_LINES[1]} {_LINES[2]}\n\n{_LINES[3]} [pause 2s] {_LINES[4]}"
_TIMES = re.compile(r"(\d+):(\d+):([\d.]+) --> (\d+):(\d+):([\d.]+)\n(.+)")
_JOB: Mapping[str, Any] = {"script": _SCRIPT, "lyrics": True, "seed": 7}
_AT_SPEED: Mapping[str, Any] = {"speed": 1}  # silences are longer at a slower one
_SHUFFLED: Mapping[str, Any] = {**_JOB, "loopMode": True, "pauseSec": 3}


def providers(say: Callable[[str], None]) -> None:
    """Print a row for each provider."""
    say(
        "| provider | lines | between lines | between paragraphs | `[pause 2s]` | order when shuffled "
        "| chapters, once | repeated |"
    )
    say("|---|---|---|---|---|---|---|---|")
    with (
        speech_service() as service,
        realtime_service() as realtime,
        compatible_service() as compatible,
        tempfile.TemporaryDirectory() as folder,
    ):
        own = {"openai_base_url": f"{service.url}/v1", "elevenlabs_base_url": service.url}
        asked: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
            "openai": ({"provider": "openai", "model": "tts-1"}, own),
            "openai-realtime": ({"provider": "openai-realtime"}, {"openai_base_url": realtime.url}),
            "openai at another address": (
                {"provider": "openai", "id": "af_heart"},
                {"openai_base_url": compatible.url, "openai_tts_model": "kokoro"},
            ),
            "elevenlabs": ({"provider": "elevenlabs", "id": ELEVENLABS_VOICES[0]}, own),
            "local": ({"provider": "local"}, {}),
        }
        for name, (voice, settings) in asked.items():
            once = run_job({**_JOB, "voice": {**voice, **_AT_SPEED}}, **settings)
            shuffled = run_job({**_SHUFFLED, "voice": {**voice, **_AT_SPEED, "shuffle": True}}, **settings)
            cells = [*_silences(once), *_repetitions(shuffled), _chapters(once), _chapters(shuffled)]
            say(f"| {name} | {' | '.join(cells)} |")
        recording = Path(folder) / "me.wav"
        soundfile.write(recording, np.concatenate([said(line) for line in _LINES]), SOUND_RATE)
        uploaded = run_job({**_SHUFFLED, "voice": {"provider": "uploaded", "shuffle": True}}, recording=recording)
        say(
            f"| uploaded | no words are known | its own | its own | its own | as recorded | – | {_chapters(uploaded)} |"
        )


def _cues(ended: JobEnd) -> list[tuple[float, float, str]]:
    """Beginning and end in seconds, and words, of each line of the lyrics."""
    assert ended.files is not None, ended.how
    text = ended.files[".vtt"].decode()
    return [(_seconds(*found[:3]), _seconds(*found[3:6]), found[6]) for found in _TIMES.findall(text)]


def _seconds(hours: str, minutes: str, seconds: str) -> float:
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def _silences(ended: JobEnd) -> list[str]:
    cues = _cues(ended)
    assert tuple(words for _, _, words in cues) == _LINES, cues
    gaps = [after[0] - before[1] for before, after in pairwise(cues)]
    return [f"{len(cues)}", f"{gaps[0]:.2f}, {gaps[1]:.2f} s", f"{gaps[2]:.2f} s", f"{gaps[3]:.2f} s"]


def _repetitions(ended: JobEnd) -> list[str]:
    """The lines' numbers in the first three repetitions."""
    order_ = [_LINES.index(words) + 1 for _, _, words in _cues(ended)]
    size = len(_LINES)
    firsts = [order_[at : at + size] for at in range(0, 3 * size, size)]
    return [", ".join("".join(map(str, each)) for each in firsts)]


def _chapters(ended: JobEnd) -> str:
    assert ended.files is not None, ended.how
    titles = [str(chapter.sub_frames["TIT2"]) for chapter in ID3(io.BytesIO(ended.files[".mp3"])).getall("CHAP")]
    if titles == list(_LINES):
        return f"{len(titles)} lines"
    assert titles == [f"Repetition {number}" for number in range(1, len(titles) + 1)], titles
    return f"{len(titles)} repetitions"
