"""The check of the jobs that a command names: all mistakes of all of them at once."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from worker.config import Config
from worker.errors import JobError, MediaError, WorkerError
from worker.tasks.job_files import JobFile

if TYPE_CHECKING:
    from worker.payload.schema import RenderJob


@dataclass(frozen=True)
class CheckedJob:
    """A job file and what became of its check: `job` is None where there is an `error`."""

    file: JobFile
    job: RenderJob | None
    error: WorkerError | None
    warnings: tuple[str, ...]


def check_job(
    file: JobFile, config: Config, *, strict: bool = False, recordings: Collection[Literal["voice", "music"]] = ()
) -> CheckedJob:
    """Check one job; with `strict`, keys that mean nothing are errors, else warnings."""
    from worker.payload.aliases import load_payload
    from worker.payload.known_keys import unknown_key_line, unknown_keys
    from worker.payload.parse import parse_job

    warnings: tuple[str, ...] = ()
    try:
        payload = load_payload(file.read())
        if not strict:
            warnings = tuple(f"{unknown_key_line(name)} (it is ignored)" for name in unknown_keys(payload))
        job = parse_job(
            payload,
            max_script_characters=config.max_script_characters,
            max_duration_min=config.max_duration_min,
            recordings=recordings,
            strict=strict,
        )
    except JobError as error:
        return CheckedJob(file, None, error, warnings)
    return CheckedJob(file, job, None, warnings)


def checked_jobs(
    files: Sequence[JobFile],
    config: Config,
    *,
    strict: bool = False,
    recordings: Collection[Literal["voice", "music"]] = (),
) -> list[RenderJob]:
    """Check jobs, and warn on standard error of keys that mean nothing.

    Raises
    ------
    JobError
        If one is bad: with the mistakes of all.
    """
    found = [check_job(file, config, strict=strict, recordings=recordings) for file in files]
    for each in found:
        warn(each, named=len(files) > 1)
    raise_all([(each.file, each.error) for each in found if each.error is not None], several=len(files) > 1)
    return [each.job for each in found if each.job is not None]


def check_title(title: str | None, files: Sequence[JobFile]) -> None:
    """Check a title that takes the place of a job's own.

    Raises
    ------
    JobError
        If it cannot be one, or if there are several jobs, which would all have it.
    """
    if title is None:
        return
    if len(files) != 1:
        raise JobError(f"--title: found {len(files)} jobs, allowed is one: the others would have the same title")
    from pydantic import ValidationError

    from worker.payload.messages import format_value
    from worker.payload.schema import Metadata

    try:
        Metadata(title=title)
    except ValidationError:
        raise JobError(f"--title: found {format_value(title)}, allowed is a text of at most 500 characters") from None


def warn(checked: CheckedJob, *, named: bool) -> None:
    """Print a job's warnings, behind its name where there are others."""
    from worker.masks import for_terminal

    for line in checked.warnings:
        print(f"warning: {for_terminal(f'{checked.file.label}: {line}' if named else line)}", file=sys.stderr)


def raise_all(errors: Sequence[tuple[JobFile, WorkerError]], *, several: bool) -> None:
    """Raise the errors of some jobs, of one perhaps several, as one error, which has the lines of all.

    Each is behind its job's name where there are several jobs, or where the file itself is what is wrong.
    """
    if not errors:
        return
    lines = [
        f"{file.label}: {line}" if several or file.unreadable else line
        for file, error in errors
        for line in error.lines
    ]
    first = errors[0][1]
    kind = MediaError if all(isinstance(error, MediaError) for _, error in errors) else JobError
    message = lines[0] if len(errors) > 1 or several or lines[0] != first.lines[0] else first.message
    raise kind(message, code=first.code, mistakes=lines)
