"""Fixtures of the worker's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from standins.queued_jobs import CUSTOMER, Place, sound
from standins.speech import speech_service
from standins.supabase import supabase_standin
from works import fork_server, works

__all__ = ["fork_server", "works"]


@pytest.fixture
def place(leased_dsn: str, tmp_path: Path) -> Iterator[Place]:
    """A database with a customer, its project, its voices, and files that jobs name."""
    with supabase_standin(leased_dsn) as project, speech_service() as speech:
        for name in ("rain.flac", "wind.flac"):
            project.storage.put("background-music", name, sound(6, "FLAC"), "audio/flac")
        project.storage.put("voice-uploads", f"{CUSTOMER}/me.wav", sound(2, "WAV"), "audio/wav")
        yield Place(leased_dsn, tmp_path, project, speech)
