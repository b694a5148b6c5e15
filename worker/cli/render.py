"""`mindscript-worker render`: job files into tracks, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.cli.error_lines import print_errors
from worker.cli.players import Player, find_player, playing
from worker.cli.render_tasks import RenderOptions, tasks_of
from worker.cli.screen import as_document, closing_table, progress_bars
from worker.config import Config
from worker.errors import JobError, WorkerError
from worker.masks import for_terminal
from worker.tasks.job_checks import raise_all
from worker.tasks.job_files import STANDARD_INPUT, job_files
from worker.tasks.outputs import Overwrite
from worker.tasks.render_task import RenderTask, Row, render_task


def render(
    config: Config,
    *,
    jobs: Sequence[str],
    out: str | None,
    voice: Path | None,
    music: Path | None,
    preview: str | None,
    report: str | None,
    title: str | None = None,
    start: str | None = None,
    seconds: str | None = None,
    new_takes: Sequence[int] = (),
    strict: bool = False,
    force: bool = False,
    watch: bool = False,
    play: bool = False,
    quiet: bool,
    as_json: bool = False,
) -> int:
    """Run the command; for the arguments see `worker.cli.arguments`."""
    options = RenderOptions(
        out=out,
        voice=voice,
        music=music,
        preview=preview,
        report=report,
        title=title,
        start=start,
        seconds=seconds,
        new_takes=new_takes,
        strict=strict,
    )
    overwrite = Overwrite(force=force)
    if as_json and (watch or out == STANDARD_INPUT):
        raise JobError(f"--json: found with {'--watch' if watch else '-o -'}; it needs standard output, at the end")
    if watch:
        from worker.cli.watch import watch_jobs

        return watch_jobs(jobs, options, config, overwrite, play=play, quiet=quiet)
    files = job_files(jobs)
    tasks, errors = tasks_of(files, options, config, overwrite)
    raise_all(errors, several=len(files) > 1)
    return render_tasks(tasks, config, overwrite, play=play, quiet=quiet, as_json=as_json)


def render_tasks(
    tasks: Sequence[RenderTask],
    config: Config,
    overwrite: Overwrite,
    *,
    play: bool = False,
    quiet: bool = False,
    as_json: bool = False,
) -> int:
    """Make the tracks one after another, and tell of them; returns the highest exit status of all."""
    player = player_for(tasks) if play else None
    made = rendered(tasks, config, overwrite, quiet=quiet, with_table=not as_json)
    if as_json:
        from worker.cli.terminal import print_json

        print_json(made.as_document())
    if player is not None:
        for track in made.tracks:
            print(f"playing {for_terminal(str(track))} with {player.program}; Ctrl-C stops it", file=sys.stderr)
            with playing(player, track) as at_work:
                at_work.wait()
    return made.exit_status


def player_for(tasks: Sequence[RenderTask]) -> Player:
    """Find what plays all the tracks, before the first is made."""
    for task in tasks:
        if not task.destination.kept:
            raise JobError("--play: found with a track that is not kept; name a file with -o")
    return find_player({task.destination.encoding.format for task in tasks})


@dataclass(frozen=True)
class Made:
    """What became of several jobs: a row for each track, the tracks that were asked for, and errors by job."""

    rows: tuple[Row, ...]
    tracks: tuple[Path, ...]
    errors: Mapping[str, WorkerError]

    @property
    def exit_status(self) -> int:
        """The highest of all."""
        return max((error.exit_status for error in self.errors.values()), default=0)

    def as_document(self) -> dict[str, Any]:
        """For JSON; the keys are an interface."""
        return {
            "tracks": as_document(self.rows),
            "failed": {label: error.message for label, error in self.errors.items()},
        }


def rendered(
    tasks: Sequence[RenderTask], config: Config, overwrite: Overwrite, *, quiet: bool, with_table: bool = True
) -> Made:
    """Make tracks, whatever becomes of the others, and tell of them on standard error."""
    rows: list[Row] = []
    notes: list[tuple[str, str]] = []
    errors: dict[str, WorkerError] = {}
    finished: list[Path] = []
    with progress_bars(quiet=quiet) as add_bar:
        bars = [add_bar(task.destination.path.name, length_s=task.length_s) for task in tasks]
        for task, on_progress in zip(tasks, bars, strict=True):
            try:
                made = render_task(task, config, overwrite, on_progress)
            except WorkerError as error:
                from worker.cli.bars import FAILED

                errors[task.label] = error
                on_progress(FAILED, 0.0)
            else:
                rows += made.rows
                notes += [(task.label, note) for note in made.notes]
                finished.append(task.destination.path)
    several = len(tasks) > 1
    if not quiet:
        if with_table and (rows or several):
            closing_table(rows, failed=list(errors))
        for label, note in notes:
            print(for_terminal(f"note: {f'{label}: ' if several else ''}{note}"), file=sys.stderr)
    for label, failure in errors.items():
        print_errors(failure.lines, of=label if several else "")
    return Made(tuple(rows), tuple(finished), errors)
