"""What `render` does for one job: its files, and the making of them."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.config import Config
from worker.payload.schema import RenderJob
from worker.render.files_beside import files_beside
from worker.tasks.destination import Destination
from worker.tasks.files import beside, music_files, named_files
from worker.tasks.outputs import REPORT_ENDINGS, Output, Overwrite, staged

if TYPE_CHECKING:
    from worker.render.excerpt import Excerpt
    from worker.render.produce import Produced
    from worker.render.progress import OnProgress

_PREVIEW_ENDINGS = (".mp3",)


@dataclass(frozen=True)
class Row:
    """One finished track of the closing table: its report's JSON, and the seconds that it took to make."""

    file: Path
    figures: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class RenderTask:
    """A checked job with what it reads and what it writes.

    Attributes
    ----------
    label : str
        What messages call it.
    folder : Path
        Where the files that it names are looked for first.
    source : Path or None
        Its job file.
    voice, music : Path or None
        Recordings that take the place of the job's own.
    new_takes : tuple of str
        Sentences to be spoken anew.
    excerpt : Excerpt or None
        What is made of the track, where it is not all of it.
    """

    label: str
    job: RenderJob
    folder: Path
    source: Path | None
    destination: Destination
    voice: Path | None = None
    music: Path | None = None
    preview: Path | None = None
    report: Path | None = None
    new_takes: tuple[str, ...] = ()
    excerpt: Excerpt | None = None

    @property
    def length_s(self) -> float | None:
        """How long the track will be, where the job says so; an excerpt's speed would say nothing."""
        return None if self.job.duration_min is None or self.excerpt is not None else self.job.duration_min * 60

    @property
    def media(self) -> tuple[Path, ...]:
        """Files that the sound is made from, as far as they are on this machine."""
        return (
            *named_files(self.job.model_dump(), self.folder),
            *music_files(self.job, self.folder),
            *(path for path in (self.voice, self.music) if path is not None),
        )

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All files that are read."""
        return self.media if self.source is None else (self.source, *self.media)

    def outputs(self) -> list[Output]:
        """All files that are written."""
        found = []
        track, whole = self.destination.path, self.excerpt is None
        if self.destination.kept:
            found.append(Output("--out", track, job=self.label))
            if whole:
                recordings = [name for name in ("voice", "music") if getattr(self, name) is not None]
                layers = [layer.name for layer in self.job.every_layer(recordings)]
                found += [Output(what, path, job=self.label) for what, path in files_beside(self.job, track, layers)]
        if self.preview is not None:
            found.append(Output("--preview", self.preview, _PREVIEW_ENDINGS, job=self.label))
        if self.report is not None:
            found.append(Output("--report", self.report, REPORT_ENDINGS, job=self.label))
        return found


@dataclass(frozen=True)
class Rendered:
    """What was made: rows of the closing table, and notes."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def render_task(task: RenderTask, config: Config, overwrite: Overwrite, on_progress: OnProgress) -> Rendered:
    """Make one job's files; all of them appear at the end, or none."""
    from worker.render.materials import Materials

    materials = Materials(
        config,
        beside(task.folder, config),
        voice_file=task.voice,
        music_file=task.music,
        new_takes=task.new_takes,
    )
    started = time.perf_counter()
    with staged((output.path for output in task.outputs()), overwrite) as place, _spool(task) as spool:
        name = task.destination.path
        track = spool / name.name if spool is not None else place(name)
        preview = None if task.preview is None else place(task.preview)
        if task.excerpt is not None:
            from worker.render.excerpt import produce_excerpt

            made = produce_excerpt(
                task.job,
                track,
                task.excerpt,
                materials=materials,
                encoding=task.destination.encoding,
                on_progress=on_progress,
            )
            figures, notes = made.as_json(), made.notes
            rows = [Row(name, figures, time.perf_counter() - started)]
        else:
            from worker.render.produce import produce

            produced = produce(
                task.job,
                track,
                materials=materials,
                encoding=task.destination.encoding,
                preview=preview,
                preview_s=config.preview_seconds,
                on_progress=on_progress,
            )
            notes = produced.report.notes
            rows = _rows(name, produced, time.perf_counter() - started)
            figures = produced.as_json()
        if task.report is not None:
            place(task.report).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        if task.destination.to_stdout:
            with track.open("rb") as written:
                shutil.copyfileobj(written, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    return Rendered(tuple(rows), notes)


@contextmanager
def _spool(task: RenderTask) -> Iterator[Path | None]:
    """A temporary folder for a track that is not kept."""
    if task.destination.kept:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="mindscript-out-") as folder:
        yield Path(folder)


def _rows(track: Path, produced: Produced, seconds: float) -> list[Row]:
    rows = [Row(track, produced.report.as_json(), seconds)]
    if produced.twin is not None and produced.twin_report is not None:
        rows.append(Row(track.with_name(produced.twin.name), produced.twin_report.as_json(), seconds))
    rows += [Row(track.with_name(path.name), report.as_json(), seconds) for path, report in produced.further.items()]
    return rows
