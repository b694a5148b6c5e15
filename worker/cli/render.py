"""`mindscript-worker render`: job files into tracks, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from worker.cli.error_lines import print_errors
from worker.cli.job_checks import raise_all
from worker.cli.job_files import job_files
from worker.cli.outputs import Overwrite
from worker.cli.players import Player, find_player, playing
from worker.cli.render_task import RenderTask, render_task
from worker.cli.render_tasks import RenderOptions, tasks_of
from worker.cli.screen import Row, closing_table, progress_bars
from worker.config import Config
from worker.errors import JobError, WorkerError
from worker.masks import for_terminal


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
    if watch:
        from worker.cli.watch import watch_jobs

        return watch_jobs(jobs, options, config, overwrite, play=play, quiet=quiet)
    files = job_files(jobs)
    tasks, errors = tasks_of(files, options, config, overwrite)
    raise_all(errors, several=len(files) > 1)
    return render_tasks(tasks, config, overwrite, play=play, quiet=quiet)


def render_tasks(
    tasks: Sequence[RenderTask], config: Config, overwrite: Overwrite, *, play: bool = False, quiet: bool = False
) -> int:
    """Make the tracks one after another, and tell of them; returns the highest exit status of all."""
    player = player_for(tasks) if play else None
    finished, failed = rendered(tasks, config, overwrite, quiet=quiet)
    if player is not None:
        for track in finished:
            print(f"playing {for_terminal(str(track))} with {player.program}; Ctrl-C stops it", file=sys.stderr)
            with playing(player, track) as at_work:
                at_work.wait()
    return failed


def player_for(tasks: Sequence[RenderTask]) -> Player:
    """Find what plays all the tracks, before the first is made."""
    for task in tasks:
        if not task.destination.kept:
            raise JobError("--play: found with a track that is not kept; name a file with -o")
    return find_player({task.destination.encoding.format for task in tasks})


def rendered(
    tasks: Sequence[RenderTask], config: Config, overwrite: Overwrite, *, quiet: bool
) -> tuple[list[Path], int]:
    """Make tracks, whatever becomes of the others; returns those that are there now, and the highest exit status."""
    rows: list[Row] = []
    notes: list[tuple[str, str]] = []
    errors: list[tuple[str, WorkerError]] = []
    finished: list[Path] = []
    with progress_bars(quiet=quiet) as add_bar:
        bars = [add_bar(task.destination.path.name, length_s=task.length_s) for task in tasks]
        for task, on_progress in zip(tasks, bars, strict=True):
            try:
                made = render_task(task, config, overwrite, on_progress)
            except WorkerError as error:
                from worker.cli.bars import FAILED

                errors.append((task.label, error))
                on_progress(FAILED, 0.0)
            else:
                rows += made.rows
                notes += [(task.label, note) for note in made.notes]
                finished.append(task.destination.path)
    if len(tasks) == 1 and errors:
        raise errors[0][1]
    if not quiet:
        closing_table(rows)
        for label, note in notes:
            print(for_terminal(f"note: {f'{label}: ' if len(tasks) > 1 else ''}{note}"), file=sys.stderr)
    for label, failure in errors:
        print_errors([failure.message], of=label)
    return finished, max((failure.exit_status for _, failure in errors), default=0)
