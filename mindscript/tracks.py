"""Whole tracks: rendered, measured on the delivered file, drawn."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindscript.jobs import Job, read_job, recordings_of, settings
from worker.ffmpeg.program import find_ffmpeg
from worker.formats import FORMATS
from worker.tasks.destination import destination
from worker.tasks.outputs import Overwrite, check_outputs
from worker.tasks.render_task import RenderTask, render_task

if TYPE_CHECKING:
    from worker.render.progress import OnProgress

_MOST_EMBEDDED_BYTES = 20 << 20


@dataclass(frozen=True)
class Track:
    """A finished track.

    Attributes
    ----------
    path : Path
        The file.
    report : mapping
        What was measured on the delivered file, decoded again, and how it came about; of `render --report`.
    """

    path: Path
    report: Mapping[str, Any]

    @property
    def length_s(self) -> float:
        """In seconds, exact to the sample; of bare AAC, which holds no length, to the packet."""
        return float(self.report["duration_s"])

    @property
    def integrated_lufs(self) -> float | None:
        """Integrated loudness (ITU-R BS.1770-5); None for silence."""
        return self.report["integrated_lufs"]  # type: ignore[no-any-return]

    @property
    def true_peak_dbtp(self) -> float | None:
        """True peak (ITU-R BS.1770-5, annex 2); None for silence."""
        return self.report["true_peak_dbtp"]  # type: ignore[no-any-return]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed or left out, in plain sentences."""
        return tuple(self.report["notes"])

    def picture(self) -> bytes:
        """Draw waveform, loudness and spectrum as a PNG; needs Matplotlib (the extra `picture`)."""
        from worker.inspect.measured import measure_file

        measured = measure_file(self.path, ffmpeg=find_ffmpeg(settings().ffmpeg), drawn=True)
        with tempfile.TemporaryDirectory(prefix="mindscript-") as folder:
            drawing = Path(folder) / "picture.png"
            measured.draw(drawing)
            return drawing.read_bytes()

    def _repr_html_(self) -> str:
        """A player for notebooks; of a large file its path alone."""
        name = escape(self.path.name)
        if self.path.stat().st_size > _MOST_EMBEDDED_BYTES:
            return f"<p>{escape(str(self.path))}</p>"
        sound = base64.b64encode(self.path.read_bytes()).decode()
        kind = FORMATS[self.report["format"]].content_type
        return (
            f'<figure><audio controls src="data:{kind};base64,{sound}"></audio><figcaption>{name}</figcaption></figure>'
        )


def render(
    job: Job,
    out: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    voice: str | os.PathLike[str] | None = None,
    music: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> Track:
    """Make a job's track; a voice that costs something is paid for, unless its words were spoken before.

    Parameters
    ----------
    job : path or mapping
    out : path
        Its ending says the format; a folder takes the job's own.
    folder : path, optional
        Where the files that the job names are looked for first; by default beside its file, or here.
    voice, music : path, optional
        Recordings that take the place of the job's own.
    overwrite : bool
        Whether a file that exists may be replaced; what is read never is.
    on_progress : callable, optional
        Gets what is done now, and a fraction from 0 to 1.

    Raises
    ------
    JobError, MediaError
        If the job, or a recording, cannot be used. Nothing is left then, nor half-written.
    WorkerError
        Anything else that keeps the track from being made.
    """
    config = settings()
    read = read_job(job, config, folder=folder, recordings=recordings_of(voice=voice, music=music))
    place = destination(os.fspath(out), "track" if read.path is None else read.path.stem, read.job, many=False)
    task = RenderTask(
        label=place.path.name,
        job=read.job,
        folder=read.folder,
        source=read.path,
        destination=place,
        voice=None if voice is None else Path(voice),
        music=None if music is None else Path(music),
    )
    may_replace = Overwrite(force=overwrite)
    check_outputs(task.outputs(), task.inputs, may_replace)
    made = render_task(task, config, may_replace, on_progress or (lambda stage, fraction: None))
    return Track(place.path, made.rows[0].figures)
