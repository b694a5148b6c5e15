"""Decoded speech and music that are kept while a job is being changed, as long as what they follow from stays."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from worker.media.reference import What
from worker.payload.schema import RenderJob
from worker.plan.recordings import Music, Speech
from worker.tts.speech import SpeechStats

_MOST_JOBS = 4  # two versions that are compared, and what was tried just before

# What speech and music follow from: the length of the track and what lies around the voice decide how much is spoken.
_OF_SPEECH = ("script", "voice", "pronounce", "duration_min", "start_delay_s", "fade")
_OF_MUSIC = ("background_music", "duration_min")


class KeptMedia:
    """The last few recordings, each in a folder of its own. Safe to use from several threads, one job at a time each.

    Parameters
    ----------
    folder : Path
        The folders of the recordings are made in it; whoever made it removes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._speech: OrderedDict[str, tuple[Path, Speech, SpeechStats]] = OrderedDict()
        self._music: OrderedDict[str, tuple[Path, Music]] = OrderedDict()
        self._most = _MOST_JOBS  # of each

    def make_room(self, layers: int) -> None:
        """Keep the recordings of a few jobs of so many layers."""
        with self._lock:
            self._most = max(self._most, _MOST_JOBS * layers)

    def has_speech(self, job: RenderJob) -> bool:
        """Whether the speech of a job is kept."""
        return _key(job, _OF_SPEECH) in self._speech

    def speech(self, job: RenderJob, speak: Callable[[Path, SpeechStats], Speech]) -> tuple[Speech, SpeechStats]:
        """Return a job's speech, and what was noted when it was spoken; `speak` has it spoken into a folder."""
        with self._lock:
            key = _key(job, _OF_SPEECH)
            if key not in self._speech:
                folder, said = Path(tempfile.mkdtemp(dir=self._folder)), SpeechStats()
                self._speech[key] = folder, speak(folder, said), said
            self._speech.move_to_end(key)
            while len(self._speech) > self._most:
                shutil.rmtree(self._speech.popitem(last=False)[1][0], ignore_errors=True)
            _, speech, said = self._speech[key]
            return speech, replace(said, notes=[*said.notes])

    def music(self, job: RenderJob, fetch: Callable[[Path], Music], what: What) -> Music:
        """Return a job's music, or recording; `fetch` decodes it into a folder."""
        with self._lock:
            key = f"{what} {_key(job, _OF_MUSIC)}"
            if key not in self._music:
                folder = Path(tempfile.mkdtemp(dir=self._folder))
                self._music[key] = folder, fetch(folder)
            self._music.move_to_end(key)
            while len(self._music) > self._most:
                shutil.rmtree(self._music.popitem(last=False)[1][0], ignore_errors=True)
            return self._music[key][1]


def _key(job: RenderJob, fields: tuple[str, ...]) -> str:
    return json.dumps(job.model_dump(mode="json", include=set(fields)), sort_keys=True)
