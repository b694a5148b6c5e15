"""What `render` is asked for becomes checked tasks, or all mistakes at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worker.cli.clock_times import seconds_of
from worker.cli.new_takes import sentences_of
from worker.config import Config
from worker.errors import JobError, MediaError, WorkerError
from worker.payload.schema import RenderJob
from worker.tasks.destination import destination, make_folder, side_file, stem_of_title
from worker.tasks.job_checks import check_job, check_title, warn
from worker.tasks.job_files import JobFile
from worker.tasks.outputs import Overwrite, output_faults
from worker.tasks.render_task import RenderTask

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
    strict: bool = False

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

    def check(self, files: Sequence[JobFile]) -> None:
        """Refuse what cannot be, whatever the jobs are."""
        for name, path in (("voice", self.voice), ("music", self.music)):
            if path is not None and not path.is_file():
                raise MediaError(f"--{name}: there is no file {path}")
        check_title(self.title, files)
        if len(files) > 1 and self.new_takes:
            raise JobError("--new-take: found with more than one job; a line belongs to one script")
        self.excerpt()


def tasks_of(
    files: Sequence[JobFile], options: RenderOptions, config: Config, overwrite: Overwrite
) -> tuple[list[RenderTask], list[tuple[JobFile, WorkerError]]]:
    """Check every job, and every file that would be written; returns what can be made, and all that is wrong.

    Folders for the tracks are made once nothing is wrong. Keys of a job that mean nothing are warned of.

    Raises
    ------
    WorkerError
        If an option is wrong, whatever the jobs are.
    """
    options.check(files)
    many, jobs = len(files) > 1, []
    errors: list[tuple[JobFile, WorkerError]] = []
    recordings = tuple(name for name in ("voice", "music") if getattr(options, name) is not None)
    for file in files:
        checked = check_job(file, config, strict=options.strict, recordings=recordings)  # type: ignore[arg-type]
        warn(checked, named=many)
        if checked.job is not None:
            jobs.append((file, _titled(checked.job, options.title)))
        if checked.error is not None:
            errors.append((file, checked.error))
    tasks = []
    for (file, job), stem in zip(jobs, _stems(jobs), strict=True):
        try:
            tasks.append((file, task_of(job, file, options, stem=stem, many=many)))
        except JobError as error:
            errors.append((file, error))
    if not errors:
        for folder in (options.out, options.preview, options.report):
            make_folder(folder)
        inputs = [path for _, task in tasks for path in task.inputs]
        outputs = {output: file for file, task in tasks for output in task.outputs()}
        errors += [(outputs[output], fault) for output, fault in output_faults(outputs, inputs, overwrite)]
    return [task for _, task in tasks], errors


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


def _titled(job: RenderJob, title: str | None) -> RenderJob:
    if title is None:
        return job
    return job.model_copy(update={"metadata": job.metadata.model_copy(update={"title": title})})


def _stems(jobs: Sequence[tuple[JobFile, RenderJob]]) -> list[str]:
    """What each track is called: after its file; one of JSON lines after its title, if no other has it, or its line."""
    titles = [stem_of_title(job.metadata.title or "") if file.line is not None else "" for file, job in jobs]
    often = Counter(title.casefold() for title in titles)
    return [
        title if title and often[title.casefold()] == 1 else file.stem
        for title, (file, _) in zip(titles, jobs, strict=True)
    ]
