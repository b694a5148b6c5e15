"""Files that a person names: the job, and what lies beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.config import Config
from worker.errors import JobError, WorkerError
from worker.media.reference import What, is_bare_name, unicode_forms
from worker.os_errors import in_words

if TYPE_CHECKING:
    from worker.media.download import Listings
    from worker.render.studio import Fetch

_LONGEST_NAME = 200  # of a file


def read_job(name: str) -> bytes:
    """Read a job file, or standard input for ``-``.

    Raises
    ------
    JobError
        If it cannot be read.
    """
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise JobError(f"{name}: {in_words(error)}") from None


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path]) -> None:
    """Refuse to write where something is read from, or two things to one place.

    Parameters
    ----------
    outputs : mapping of str to Path or None
        Files to write, by the option that names them.
    inputs : iterable of Path
        Files that are read; those that are not there do not matter.

    Raises
    ------
    WorkerError
        Names the option and the file.
    """
    read = {path.resolve() for path in inputs if path.exists()}
    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        if place in read or (path.exists() and any(path.samefile(each) for each in read)):
            raise WorkerError(
                f"{option}: {path} is read here, and would be lost; give another name", code="output.file"
            )
        if place in taken:
            raise WorkerError(f"{option}: {path} is what {taken[place]} names, too", code="output.file")
        taken[place] = option


def named_files(job: Any, folder: Path) -> Iterator[Path]:
    """Files in a folder that any text of a JSON-like job names."""
    if isinstance(job, str):
        if 0 < len(job) <= _LONGEST_NAME and is_bare_name(job):
            yield from (folder / name for name in unicode_forms(job))
    elif isinstance(job, Mapping | list | tuple):
        for each in job.values() if isinstance(job, Mapping) else job:
            yield from named_files(each, folder)


def beside(folder: Path, config: Config) -> Fetch:
    """Find files that a job names: first beside the job file, then as the worker would."""

    listings: Listings = {}

    def fetch(reference: str, *, into: Path, what: What) -> Path:
        for name in unicode_forms(reference) if is_bare_name(reference) else ():
            if (folder / name).is_file():
                return folder / name
        from worker.media.download import fetch_media  # seldom needed here, and long to load

        cache_dir = config.cache_dir / "media"
        return fetch_media(
            reference,
            what=what,
            into=into,
            config=config,
            of_anybody=True,
            cache_dir=cache_dir,
            listings=listings,
        )

    return fetch
