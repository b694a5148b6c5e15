"""A studio of its own for a test: a folder, a job, and a browser that has been let in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from worker.config import Config
from worker.studio.folder import StudioFolder, texts_of
from worker.studio.server import StudioServer
from worker.studio.starts import Start
from worker.tasks.files import beside

TONES: Mapping[str, Any] = {"durationMin": 0.2, "solfeggio": {"hz": 528}, "binaural": {"band": "theta"}}
"""A job of twelve seconds without any recording."""


@dataclass
class OpenStudio:
    """A running studio, and a client that has its cookie."""

    server: StudioServer
    client: httpx.Client
    folder: Path
    number: int = 0

    def ask(self, path: str, job: Mapping[str, Any], **more: Any) -> httpx.Response:
        """Post a job, as the newest of its deck."""
        self.number += 1
        body = {"deck": "A", "number": self.number, "version": self.number, "job": job}
        return self.client.post(path, json=body | more)

    def hear(self, job: Mapping[str, Any], at_s: float = 0.0, seconds: float = 1.0, **more: Any) -> httpx.Response:
        """Ask for a span."""
        return self.ask("/api/hear", job, at_s=at_s, seconds=seconds, **more)


@contextmanager
def served_studio(folder: Path, config: Config, job: Mapping[str, Any] = TONES) -> Iterator[StudioServer]:
    """Serve a studio whose folder is there."""
    files = StudioFolder(folder, beside(folder, config), frozenset(texts_of(job)))
    with StudioServer(config, files, Start(job, "first-track", "mindscript-worker", folder)) as server:
        yield server


@contextmanager
def open_studio(folder: Path, config: Config, job: Mapping[str, Any] = TONES) -> Iterator[OpenStudio]:
    """Serve a studio, and let a client in."""
    with served_studio(folder, config, job) as server:
        address = f"http://127.0.0.1:{server.port}"
        with httpx.Client(base_url=address, headers={"Origin": address}, timeout=60) as client:
            client.get(server.address).raise_for_status()
            yield OpenStudio(server, client, folder)
