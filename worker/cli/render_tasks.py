"""What `render` is asked for becomes checked tasks, or all mistakes at once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from worker.cli.clock_times import seconds_of
from worker.cli.destination import destination, make_folder, side_file, stem_of_title
from worker.cli.job_files import JobFile
from worker.cli.new_takes import sentences_of
from worker.cli.outputs import Overwrite, output_faults
from worker.cli.render_task import RenderTask
from worker.config import Config
from worker.errors import JobError, MediaError
from worker.masks import for_terminal
from worker.payload.parse import parse_job
from worker.payload.schema import Metadata, RenderJob

if TYPE_CHECKING:
    from worker.render.excerpt import Excerpt

_SHORTEST_EXCERPT_S = 0.1


@dataclass(frozen=True)
class RenderOptions:
    """The options of `render` that say what is made; as they were given."""

    out: str | None = None
    voice: Path | None = None
    music: Path | None = None
    preview: str | None = None
    report: str | None = None
    title: str | None = None
    start: str | None = None
    seconds: str | None = None
    new_takes: Sequence[int] = ()

    def excerpt(self) -> Excerpt | None:
        """The part of the track that is wanted, if not all of it."""
        if self.start is None and self.seconds is None:
            return None
        if self.preview is not None:
            raise JobError("--preview: found with --from or --seconds; only a whole track has a preview")
        from worker.render.excerpt import Excerpt  # with it the whole renderer, which takes a while

        return Excerpt(
            0.0 if self.start is None else seconds_of("--from", self.start),
            None if self.seconds is None else seconds_of("--seconds", self.seconds, least_s=_SHORTEST_EXCERPT_S),
        )

    def check(self, jobs: int) -> None:
        """Refuse what cannot be, whatever the jobs are."""
        for name, path in (("voice", self.voice), ("music", self.music)):
            if path is not None and not path.is_file():
                raise MediaError(f"--{name}: there is no file {path}")
        if jobs > 1 and self.title is not None:
            raise JobError("--title: found with more than one job; one title names one track")
        if jobs > 1 and self.new_takes:
            raise JobError("--new-take: found with more than one job; a line belongs to one script")
        self.excerpt()


@dataclass
class Mistakes:
    """All that is wrong, in the order in which it was found: the job's label, and the error."""

    found: list[tuple[str, JobError]] = field(default_factory=list)

    def tell(self) -> int:
        """Print them, a line each; returns the exit status."""
        for label, error in self.found:
            print(f"error: {for_terminal(f'{label}: {error.message}')}", file=sys.stderr)
        return JobError.exit_status


def tasks_of(
    files: Sequence[JobFile], options: RenderOptions, config: Config, overwrite: Overwrite, mistakes: Mistakes
) -> list[RenderTask]:
    """Read and check every job, and every file that would be written; `mistakes` takes what is wrong.

    Raises
    ------
    WorkerError
        If an option is wrong by itself.
    """
    options.check(len(files))
    many, jobs = len(files) > 1, []
    for file in files:
        try:
            jobs.append((file, _parsed(file, options, config)))
        except JobError as error:
            mistakes.found.append((file.label, error))
    tasks = []
    for (file, job), stem in zip(jobs, _stems(jobs), strict=True):
        try:
            tasks.append(task_of(job, file, options, stem=stem, many=many))
        except JobError as error:
            mistakes.found.append((file.label, error))
    if not mistakes.found:
        for folder in (options.out, options.preview, options.report):
            make_folder(folder)
        check_files(tasks, overwrite, mistakes)
    return tasks


def task_of(job: RenderJob, file: JobFile, options: RenderOptions, *, stem: str, many: bool = False) -> RenderTask:
    """Say what is made of a checked job, and where."""
    excerpt = options.excerpt()
    place = destination(options.out, stem if excerpt is None else f"{stem}-excerpt", job, many=many)
    name = place.path.stem
    return RenderTask(
        file.label,
        job,
        file.folder,
        file.path,
        place,
        voice=options.voice,
        music=options.music,
        preview=side_file(options.preview, "--preview", f"{name}-preview.mp3", many=many),
        report=side_file(options.report, "--report", f"{name}.json", many=many),
        new_takes=tuple(sentences_of(options.new_takes, job.script)),
        excerpt=excerpt,
    )


def check_files(tasks: Sequence[RenderTask], overwrite: Overwrite, mistakes: Mistakes) -> None:
    """Check all files that would be written against all that are read."""
    inputs = [path for task in tasks for path in task.inputs]
    outputs = [output for task in tasks for output in task.outputs()]
    mistakes.found += [(output.job, fault) for output, fault in output_faults(outputs, inputs, overwrite)]


def _parsed(file: JobFile, options: RenderOptions, config: Config) -> RenderJob:
    recordings = tuple(name for name in ("voice", "music") if getattr(options, name) is not None)
    job = parse_job(
        file.read(),
        max_script_characters=config.max_script_characters,
        max_duration_min=config.max_duration_min,
        recordings=recordings,  # type: ignore[arg-type]
    )
    if options.title is None:
        return job
    try:
        metadata = Metadata.model_validate(job.metadata.model_dump(by_alias=True) | {"title": options.title})
    except ValidationError as error:
        raise JobError(f"--title: found {len(options.title)} characters: {error.errors()[0]['msg']}") from None
    return job.model_copy(update={"metadata": metadata})


def _stems(jobs: Sequence[tuple[JobFile, RenderJob]]) -> list[str]:
    """What each track is called: after its file; one of JSON lines after its title, if no other has it, or its line."""
    titles = [stem_of_title(job.metadata.title or "") if file.line is not None else "" for file, job in jobs]
    often = Counter(title.casefold() for title in titles)
    return [
        title if title and often[title.casefold()] == 1 else file.stem
        for title, (file, _) in zip(titles, jobs, strict=True)
    ]
