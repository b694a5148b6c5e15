"""`render --watch`: makes each track again when its job file, or a file that this names, is saved."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from worker.cli.error_lines import print_errors
from worker.cli.players import Playing, find_player, playing
from worker.cli.render import player_for, rendered
from worker.cli.render_tasks import RenderOptions, tasks_of
from worker.config import Config
from worker.errors import JobError, WorkerError
from worker.masks import for_terminal
from worker.tasks.job_checks import raise_all
from worker.tasks.job_files import STANDARD_INPUT, job_files, named_paths
from worker.tasks.outputs import Overwrite
from worker.tasks.render_task import RenderTask

_PAUSE_S = 0.3
_States = dict[Path, tuple[int, ...]]


def watch_jobs(
    names: Sequence[str],
    options: RenderOptions,
    config: Config,
    overwrite: Overwrite,
    *,
    play: bool,
    quiet: bool,
    pause: Callable[[], None] = lambda: time.sleep(_PAUSE_S),
) -> int:
    """Run until Ctrl-C; what this has written it replaces without `--force`, unless somebody has changed it.

    Files are looked at three times a second: that works on every file system, and editors that save by renaming are
    no different from others. `pause` waits between two looks.
    """
    if STANDARD_INPUT in names or options.out == STANDARD_INPUT:
        raise JobError("--watch: found with -, but only a file can be watched, and only a file be made again")
    if play:
        find_player(())  # whatever the format: without any there is no need to begin
    watch = _Watch(names, options, config, overwrite, play=play, quiet=quiet)
    with watch.player:
        while True:
            watch.look()
            watch.tell_of_the_player()
            pause()


class _Watch:
    """What was seen, and what was made of it."""

    def __init__(
        self,
        names: Sequence[str],
        options: RenderOptions,
        config: Config,
        overwrite: Overwrite,
        *,
        play: bool,
        quiet: bool,
    ) -> None:
        self.player = ExitStack()
        self._playing: Playing | None = None
        self._names, self._options, self._config, self._overwrite = names, options, config, overwrite
        self._play, self._quiet = play, quiet
        self._media: set[Path] = set()
        self._seen: _States | None = None
        self._worked_on: _States | None = None
        self._made: dict[str, tuple[RenderTask, _States]] = {}

    def look(self) -> None:
        """Look at the files, and work once they have changed and stay as they are: half a file is no job."""
        files = named_paths(self._names)
        before, self._seen = self._seen, _states(files | self._media)
        first = self._worked_on is None
        if self._seen == self._worked_on or not (first or self._seen == before):
            return
        for path in sorted(path for path, state in self._seen.items() if not first and self._changed(path, state)):
            self._say(f"{path} was saved")
        try:
            jobs = job_files(self._names)
            tasks, errors = tasks_of(jobs, self._options, self._config, self._overwrite)
        except WorkerError as error:  # such as a recording that is being exported anew
            if first:
                raise
            self._worked_on = self._seen
            print_errors(error.lines)
            return
        self._media = {path for task in tasks for path in task.media}
        media = _states(self._media)
        self._seen = self._worked_on = {path: self._seen.get(path, ()) for path in files} | media
        try:
            raise_all(errors, several=len(jobs) > 1)
        except WorkerError as error:
            if first and any(each.code == "output.file" for _, each in errors):
                raise
            print_errors(error.lines)
        else:
            self._make([task for task in tasks if self._made.get(task.label) != (task, _of(task, media))], media)
        there = sorted(str(path) for path, state in self._seen.items() if state)
        self._say(f"watching {', '.join(there)}; Ctrl-C ends this")

    def tell_of_the_player(self) -> None:
        """Say so, once, if the player could not play."""
        if self._playing is not None and self._playing.has_ended:
            ended, self._playing = self._playing, None
            try:
                ended.wait()
            except WorkerError as error:
                print_errors(error.lines)

    def _make(self, tasks: Sequence[RenderTask], media: _States) -> None:
        if not tasks:
            return
        self.player.close()
        self._playing = None
        for task in tasks:
            self._made[task.label] = task, _of(task, media)
        try:
            player = player_for(tasks) if self._play else None
            tracks = rendered(tasks, self._config, self._overwrite, quiet=self._quiet).tracks
            if player is not None and tracks:
                self._say(f"playing {tracks[-1]} with {player.program}")
                self._playing = self.player.enter_context(playing(player, tracks[-1]))
        except WorkerError as error:
            print_errors(error.lines)

    def _changed(self, path: Path, state: tuple[int, ...]) -> bool:
        return self._worked_on is not None and self._worked_on.get(path) != state

    def _say(self, what: str) -> None:
        if not self._quiet:
            print(for_terminal(what), file=sys.stderr)


def _states(paths: Iterable[Path]) -> _States:
    """What tells each file from what it was before, where a link leads; a missing file has the empty state."""
    states: _States = {}
    for path in paths:
        try:
            found = path.stat()
            states[path] = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
        except (OSError, ValueError):
            states[path] = ()
    return states


def _of(task: RenderTask, media: _States) -> _States:
    return {path: media[path] for path in task.media}
