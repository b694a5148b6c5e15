"""Where the voice is in a track, by its lyrics (WebVTT)."""

from __future__ import annotations

import re
from pathlib import Path

from worker.errors import JobError
from worker.os_errors import in_words

Span = tuple[float, float]
"""Start and stop in seconds."""

_CUE = re.compile(r"(?:(\d+):)?(\d\d):(\d\d\.\d{3}) --> (?:(\d+):)?(\d\d):(\d\d\.\d{3})")


def voice_of(file: Path, lyrics: Path | None) -> tuple[Span, ...]:
    """Where the voice sounds, by the lyrics beside the file or those that were named."""
    if lyrics is None:
        lyrics = file.with_name(f"{file.stem}.vtt") if file.name else file  # a folder such as "." has no name
        if not lyrics.is_file():
            return ()
    try:
        text = lyrics.read_text(encoding="utf-8")
    except OSError as error:
        raise JobError(f"--lyrics: {lyrics}: {in_words(error)}") from None
    except UnicodeDecodeError:
        raise JobError(f"--lyrics: {lyrics} is not UTF-8") from None
    if not text.removeprefix("\ufeff").startswith("WEBVTT"):
        raise JobError(f"--lyrics: {lyrics} is no WebVTT file")
    return tuple((_seconds(*cue[:3]), _seconds(*cue[3:])) for cue in _CUE.findall(text))


def _seconds(hours: str, minutes: str, seconds: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
