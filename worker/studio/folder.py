"""The studio's folder: what a job of the browser may name as music or recording, and where tracks are written.

The browser never gives a path. A name counts if the folder's own listing has it; an upload's name is made of its
content; a track's name is counted up.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dsp.loudness import LoudnessMeter, integrated_lufs
from worker.errors import JobError, MediaError
from worker.ffmpeg.program import Ffmpeg
from worker.formats import INPUT_ENDINGS
from worker.media.decode import opened_sound
from worker.media.reference import MISSING, What, unicode_forms
from worker.render.materials import Fetch

_ENDINGS: Final = {"mov": "m4a", "matroska": "mka", "asf": "wma"}  # where the demuxer's name is not the usual ending
_DIGEST_LETTERS: Final = 24
_MOST_LISTED: Final = 200


@dataclass(frozen=True)
class Upload:
    """A recording that was dropped in: the name by which a job has it, and what it is."""

    name: str
    seconds: float
    lufs: float


class StudioFolder:
    """Files by name.

    Parameters
    ----------
    path : Path
    outside : Fetch
        Gets what the job that the studio was started with names, wherever that is, and what is at a web address.
    stated : container of str
        All texts of that job.
    most_bytes : int, optional
        How much may lie here before nothing more is taken or made.
    """

    def __init__(
        self, path: Path, outside: Fetch, stated: Container[str] = frozenset(), *, most_bytes: int | None = None
    ) -> None:
        self.path = path
        self._outside = outside
        self._stated = stated
        self._most_bytes = most_bytes

    def names(self) -> list[str]:
        """The files that are there, hidden ones left out."""
        with os.scandir(self.path) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())

    def sounds(self) -> list[str]:
        """Those that may be recordings or music, by their ending."""
        return [name for name in self.names() if name.lower().endswith(INPUT_ENDINGS)][:_MOST_LISTED]

    def fetch(self, reference: str, *, into: Path, what: What) -> Path:
        """Find what a job names, as of `worker.render.materials.Fetch`.

        Raises
        ------
        MediaError
            If it is neither here, nor named by the job that the studio was started with, nor a web address.
        """
        here = set(self.names())
        found = next((name for name in unicode_forms(reference) if name in here), None)
        if found is not None:
            return self.path / found
        if reference in self._stated or re.match(r"https?://", reference, re.IGNORECASE):
            return self._outside(reference, into=into, what=what)
        raise MediaError(f"{what}: there is no such file in the studio's folder; drop it into the page", code=MISSING)

    def check_room(self) -> None:
        """Raise `JobError` if what lies here leaves no room for more."""
        if self._most_bytes is None:
            return
        with os.scandir(self.path) as entries:
            taken = sum(entry.stat().st_size for entry in entries)
        if taken >= self._most_bytes:
            raise JobError(
                f"the studio's folder is full: it holds {taken >> 20} MB of recordings and tracks, allowed are "
                f"{self._most_bytes >> 20}",
                code="studio.full",
            )

    def incoming(self) -> Path:
        """A new name for what is being received."""
        return self.path / f".incoming-{secrets.token_hex(8)}"

    def take(self, received: Path, digest: str, ffmpeg: Ffmpeg) -> Upload:
        """Decode a file in FFmpeg's sandbox, and keep it under a name made of its content; else it is removed.

        Raises
        ------
        MediaError
            If it is no sound.
        """
        try:
            with opened_sound(ffmpeg, received) as sound:
                meter = LoudnessMeter(sound.sample_rate)
                for block in sound.blocks:
                    meter.add(block)
            kind = re.sub(r"[^a-z0-9]", "", sound.container)
            name = f"{digest[:_DIGEST_LETTERS]}.{_ENDINGS.get(kind, kind)}"
            received.replace(self.path / name)  # the same content, if it was there
        except MediaError as error:
            raise MediaError(error.message.replace(received.name, "the file"), code=error.code) from None
        finally:
            received.unlink(missing_ok=True)
        return Upload(name, sound.frames / sound.sample_rate, integrated_lufs(meter.result().energies))

    def copy_in(self, source: Path) -> None:
        """Have an example's file here, unless there is one of its name."""
        if not (self.path / source.name).exists():
            shutil.copyfile(source, self.path / source.name)

    def new_track(self, ending: str) -> Path:
        """A name for a track that no file here has yet, whatever its ending."""
        taken = {Path(name).stem for name in self.names()}
        number = next(number for number in range(1, len(taken) + 2) if f"track-{number}" not in taken)
        return self.path / f"track-{number}.{ending}"


def texts_of(job: object) -> Iterator[str]:
    """All texts of a JSON-like job."""
    if isinstance(job, str):
        yield job
    elif isinstance(job, Mapping | list):
        values: Any = job.values() if isinstance(job, Mapping) else job
        for each in values:
            yield from texts_of(each)
