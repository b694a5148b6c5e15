"""What a page can start from: the job at hand, and the named sessions, which keep its words and its music."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    """The job that the page opens with, and how to call it and this program on a command line."""

    job: Mapping[str, Any]
    name: str
    program: str


def start_document(start: Start, folder: StudioFolder, config: Config) -> dict[str, Any]:
    """All that the page needs once."""
    return {
        "job": start.job,
        "name": start.name,
        "program": start.program,
        "folder": str(folder.path.absolute()),
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
