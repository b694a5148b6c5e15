"""`mindscript-worker album`: an album's tracks at one album gain, and the whole with its chapters."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worker.cli.screen import as_document, closing_table, progress_bars
from worker.config import Config
from worker.errors import JobError
from worker.masks import for_terminal
from worker.payload.album import Album, parse_album
from worker.payload.known_keys import unknown_key_line
from worker.tasks.destination import make_folder, stem_of_title
from worker.tasks.files import beside, music_files, named_files
from worker.tasks.job_files import JobFile, job_files
from worker.tasks.outputs import REPORT_ENDINGS, Output, Overwrite, check_outputs, staged
from worker.tasks.render_task import Row

if TYPE_CHECKING:
    from worker.render.album import ProducedAlbum

_WHOLE = "the whole album"


def album(
    config: Config,
    *,
    album: str,
    out: str | None,
    report: Path | None,
    whole: bool,
    strict: bool = False,
    force: bool = False,
    quiet: bool = False,
    as_json: bool = False,
) -> int:
    """Run the command; for the arguments see `worker.cli.arguments`."""
    file = _one(album)
    checked = parse_album(
        file.read(),
        max_script_characters=config.max_script_characters,
        max_duration_min=config.max_duration_min,
        strict=strict,
    )
    for number, job in enumerate(checked.jobs):
        for name in job.unknown_keys:
            print(for_terminal(f"tracks[{number}].{unknown_key_line(name)} (it is ignored)"), file=sys.stderr)
    files = album_files(checked, Path(out or file.stem), stem=file.stem)
    folder = files.folder
    outputs = [Output(f"track {number}", path) for number, path in enumerate(files.tracks, start=1)]
    outputs += [Output(_WHOLE, files.whole)] if whole else []
    outputs += [Output("--report", report, REPORT_ENDINGS)] if report is not None else []
    inputs = [path for job in checked.jobs for path in named_files(job.model_dump(), file.folder)]
    inputs += [path for job in checked.jobs for path in music_files(job, file.folder)]
    overwrite = Overwrite(force=force)
    make_folder(f"{folder}/")
    check_outputs(outputs, [*inputs, *([] if file.path is None else [file.path])], overwrite)
    started = time.perf_counter()
    from worker.codec.encoding import Encoding
    from worker.render.album import produce_album
    from worker.render.materials import Materials

    first = checked.jobs[0].output
    with (
        staged((output.path for output in outputs), overwrite) as place,
        progress_bars(quiet=quiet) as add_bar,
    ):
        made = produce_album(
            checked,
            [place(path) for path in files.tracks],
            place(files.whole) if whole else None,
            materials=Materials(config, beside(file.folder, config)),
            encoding=Encoding.for_quality(first.format, first.quality),
            on_progress=add_bar(folder.name, length_s=_length_s(checked)),
        )
        if report is not None:
            place(report).write_text(json.dumps(made.as_json(), indent=2) + "\n", encoding="utf-8")
    seconds = time.perf_counter() - started
    rows = album_rows(made, folder, seconds)
    if as_json:
        from worker.cli.terminal import print_json

        print_json({"tracks": as_document(rows), "failed": {}})
    elif not quiet:
        closing_table(rows, failed=[])
    for row in () if quiet else rows:
        for note in row.figures["notes"]:
            print(for_terminal(f"note: {row.file.name}: {note}"), file=sys.stderr)
    return 0


@dataclass(frozen=True)
class AlbumFiles:
    """Where an album goes: a file a track, and that of the whole."""

    folder: Path
    tracks: tuple[Path, ...]
    whole: Path


def album_files(album: Album, folder: Path, *, stem: str) -> AlbumFiles:
    """Name the files: tracks by number and title, the whole by the album's title, or by `stem`."""
    titles = (stem_of_title(job.metadata.title or "") for job in album.jobs)
    ending = album.jobs[0].output.format
    names = (f"{number:02d}{f'-{title}' * bool(title)}.{ending}" for number, title in enumerate(titles, start=1))
    whole = f"{stem_of_title(album.title or '') or stem}.{ending}"
    return AlbumFiles(folder, tuple(folder / name for name in names), folder / whole)


def album_rows(made: ProducedAlbum, folder: Path, seconds: float) -> list[Row]:
    """Rows of the closing table: the tracks, and the whole."""
    reports = [*made.tracks, *([] if made.whole is None else [made.whole])]
    return [Row(folder / each.file, each.as_json(), seconds) for each in reports]


def _one(name: str) -> JobFile:
    files = job_files([name])
    if len(files) != 1 or files[0].line is not None:
        raise JobError(f"{name}: found {len(files)} files, allowed is one album", code="job.file")
    return files[0]


def _length_s(album: Album) -> float | None:
    minutes = [job.duration_min for job in album.jobs]
    return None if None in minutes else sum(each * 60 for each in minutes if each is not None)
