"""What a page can start from: the job at hand, and the named sessions, which keep its words and its music."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.config import Config
from worker.formats import FORMATS, QUALITIES
from worker.payload.bands import BAND_BEAT_HZ
from worker.payload.schema import SOLFEGGIO_HZ
from worker.payload.sessions import SESSIONS
from worker.studio.folder import StudioFolder
from worker.tts import available_voices


@dataclass(frozen=True)
class Start:
    """What the page opens with.

    Attributes
    ----------
    job : mapping
    name : str
        How to call it.
    program, folder : str, Path, optional
        This program on a command line, and where it finds the page's files; without them the page shows no command.
    queue : str, optional
        Where operators have the queue, whose jobs the page can open.
    """

    job: Mapping[str, Any]
    name: str
    program: str | None = None
    folder: Path | None = None
    queue: str | None = None


def start_document(start: Start, folder: StudioFolder, config: Config) -> dict[str, Any]:
    """All that the page needs once."""
    return {
        "job": start.job,
        "name": start.name,
        "program": start.program,
        "folder": None if start.folder is None else str(start.folder.absolute()),
        "queue": start.queue,
        "sounds": folder.sounds(),
        "sessions": [
            {"name": name, "summary": session.summary, "minutes": session.minutes} for name, session in SESSIONS.items()
        ],
        "voices": [
            {"provider": voice.provider, "usable": voice.usable, "detail": voice.detail}
            for voice in available_voices(config)
        ],
        "solfeggio_hz": list(SOLFEGGIO_HZ),
        "bands_hz": dict(BAND_BEAT_HZ),
        "formats": list(FORMATS),
        "qualities": list(QUALITIES),
        "most_minutes": config.max_duration_min,
    }
