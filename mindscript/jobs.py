"""Jobs as a program has them: the path of a JSON file, or a mapping; checked, with the files that they name."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from worker.config import Config
from worker.env_file import read_config
from worker.errors import JobError
from worker.payload.schema import RenderJob
from worker.tasks.job_checks import check_job
from worker.tasks.job_files import JobFile, job_files

Job = Mapping[str, Any] | str | os.PathLike[str]
"""A job: its payload, or the path of a file that has it as JSON."""


@dataclass(frozen=True)
class Checked:
    """What was found wrong with a job.

    Attributes
    ----------
    errors : tuple of str
        Each names the field, what was found and what is allowed; empty for a job that can be rendered.
    warnings : tuple of str
        Keys that mean nothing, with what was probably meant.
    """

    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the job can be rendered."""
        return not self.errors

    def __bool__(self) -> bool:
        return self.ok


@dataclass(frozen=True)
class ReadJob:
    """A checked job, the folder that its files are looked for in, and its own file."""

    job: RenderJob
    folder: Path
    path: Path | None


def validate(job: Job, *, strict: bool = False) -> Checked:
    """Check a job without rendering it: all that is wrong at once.

    Parameters
    ----------
    strict : bool
        Whether keys that mean nothing are errors.

    Raises
    ------
    WorkerError
        If a setting of the environment is bad.
    """
    checked = check_job(_file_of(job, None), settings(), strict=strict)
    return Checked(() if checked.error is None else tuple(checked.error.lines), checked.warnings)


def read_job(
    job: Job,
    config: Config,
    *,
    folder: str | os.PathLike[str] | None,
    recordings: Collection[Literal["voice", "music"]],
) -> ReadJob:
    """Read and check a job.

    Raises
    ------
    JobError
        With everything that is wrong, a line each in its `lines`.
    """
    file = _file_of(job, folder)
    checked = check_job(file, config, recordings=recordings)
    if checked.job is None:
        assert checked.error is not None  # noqa: S101 - one of the two is there
        raise checked.error
    return ReadJob(checked.job, file.folder, file.path)


def settings() -> Config:
    """The settings of the environment and of `.env`; raises `ConfigurationError` for the first bad one."""
    config, problems = read_config()
    if problems:
        raise problems[0]
    return config


def recordings_of(*, voice: object, music: object) -> tuple[Literal["voice", "music"], ...]:
    """Which recordings take the place of the job's own."""
    return (*(("voice",) if voice is not None else ()), *(("music",) if music is not None else ()))


def _file_of(job: Job, folder: str | os.PathLike[str] | None) -> JobFile:
    if isinstance(job, Mapping):
        try:
            text = json.dumps(job).encode()
        except (TypeError, ValueError) as error:
            raise JobError(f"the job cannot be written as JSON: {error}") from None
        return JobFile("the job", Path(folder or "."), None, text=text)
    files = job_files([os.fspath(job)])
    if len(files) != 1 or files[0].line is not None:
        raise JobError(f"{os.fspath(job)}: found {len(files)} jobs, allowed is one", code="job.file")
    (file,) = files
    if file.unreadable:
        raise JobError(f"{file.label}: {file.unreadable}", code="job.file")
    return file if folder is None else JobFile(file.label, Path(folder), file.path, text=file.text)
