"""SampledSpans of a track, heard at once as they are in the whole, while its job is being changed."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mindscript.jobs import Job, read_job, recordings_of, settings
from worker.codec.encoding import Encoding
from worker.codec.lossless import wav_bytes
from worker.render.materials import Materials
from worker.render.previewer import Previewer
from worker.tasks.files import beside


@dataclass(frozen=True)
class Preview:
    """A span of a track, before any encoder.

    Attributes
    ----------
    samples : float32 array, shape (frames, 2)
        Those of the finished track at this place, at its master gain, but for what a codec takes from the loudness.
    sample_rate_hz : int
    start_s, track_length_s : float
        Where the span begins, and how long the track is.
    master_gain_db : float
    estimated : bool
        Whether the master gain is an estimate, mostly within half a decibel, since the whole has not been measured.
    notes : tuple of str
        What was changed or left out, in plain sentences.
    """

    samples: NDArray[np.float32]
    sample_rate_hz: int
    start_s: float
    track_length_s: float
    master_gain_db: float
    estimated: bool
    notes: tuple[str, ...]

    def wav(self) -> bytes:
        """Return a WAV file of 16 bits; what is above full scale is clipped."""
        return wav_bytes(self.samples, self.sample_rate_hz)

    def _repr_html_(self) -> str:
        """A player for notebooks."""
        return f'<audio controls src="data:audio/wav;base64,{base64.b64encode(self.wav()).decode()}"></audio>'


class Previews:
    """Previews of jobs that differ little: what was spoken and decoded for one is kept for the next.

    A context manager; `close` removes what was decoded. Safe to use from several threads.

    Parameters
    ----------
    folder, voice, music
        As of `mindscript.render`.
    """

    def __init__(
        self,
        *,
        folder: str | os.PathLike[str] | None = None,
        voice: str | os.PathLike[str] | None = None,
        music: str | os.PathLike[str] | None = None,
    ) -> None:
        self._config = settings()
        self._folder = folder
        self._voice = None if voice is None else Path(voice)
        self._music = None if music is None else Path(music)
        self._previewers: dict[Path, Previewer] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was decoded."""
        while self._previewers:
            self._previewers.popitem()[1].close()

    def preview(
        self, job: Job, at_s: float = 0.0, seconds: float = 15.0, *, measured: bool = False, pay: bool = False
    ) -> Preview:
        """Make a span of a job's track.

        Parameters
        ----------
        at_s, seconds : float
            Where it begins and how long it is; it ends with the track.
        measured : bool
            Whether to measure the whole first; else the master gain of a long track is an estimate.
        pay : bool
            Whether a voice that costs something may be asked for words that were never spoken.

        Raises
        ------
        UnpaidSpeechError
            If words would have to be paid for; says how many characters, and about how much.
        JobError, MediaError
            As of `mindscript.render`.
        """
        read = read_job(
            job, self._config, folder=self._folder, recordings=recordings_of(voice=self._voice, music=self._music)
        )
        previewer = self._previewer(read.folder)
        encoding = Encoding.for_quality(read.job.output.format, read.job.output.quality)
        heard = previewer.hear(previewer.prepare(read.job, encoding, pay=pay), at_s, seconds, measured=measured)
        return Preview(
            samples=heard.samples,
            sample_rate_hz=heard.sample_rate,
            start_s=heard.start / heard.sample_rate,
            track_length_s=heard.track_frames / heard.sample_rate,
            master_gain_db=heard.master_gain_db,
            estimated=heard.estimated,
            notes=heard.notes,
        )

    def _previewer(self, folder: Path) -> Previewer:
        if folder not in self._previewers:
            fetch = beside(folder, self._config)
            materials = Materials(self._config, fetch, voice_file=self._voice, music_file=self._music)
            self._previewers[folder] = Previewer(materials)
        return self._previewers[folder]


def preview(
    job: Job,
    at_s: float = 0.0,
    seconds: float = 15.0,
    *,
    folder: str | os.PathLike[str] | None = None,
    voice: str | os.PathLike[str] | None = None,
    music: str | os.PathLike[str] | None = None,
    measured: bool = True,
    pay: bool = False,
) -> Preview:
    """Make one span of a job's track, by default at exactly the finished track's gain.

    For many of the same job `Previews` is faster: it keeps the recordings. Parameters and errors are those of
    `mindscript.render` and `Previews.preview`.
    """
    with Previews(folder=folder, voice=voice, music=music) as previews:
        return previews.preview(job, at_s, seconds, measured=measured, pay=pay)
