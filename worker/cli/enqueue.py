"""`mindscript-worker enqueue`: puts jobs into the queue, with the files that lie beside them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import chain
from typing import Any

from worker.cli.database import with_database
from worker.cli.local_media import LocalFile, local_files, take_along
from worker.cli.program import program
from worker.cli.queueable import Queueable, queueable_of
from worker.cli.terminal import length, print_json
from worker.config import Config
from worker.errors import MediaError, WorkerError
from worker.masks import for_terminal
from worker.queue.service import open_queue
from worker.tasks.job_checks import check_title, raise_all
from worker.tasks.job_files import JobFile, job_files


def enqueue(
    config: Config, *, jobs: Sequence[str], title: str | None = None, strict: bool = False, as_json: bool = False
) -> int:
    """Check all jobs, then put them into the queue; prints each one's id, title and length.

    Raises
    ------
    JobError, MediaError
        If one of them is bad, or names a file that is nowhere: then none is queued.
    """
    files = job_files(jobs)
    check_title(title, files)
    wanted = queueable_of(files, config, title=title, strict=strict)
    media = _media_of_all(wanted, config)
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-enqueue")) as queue:
        queued = []
        for each, of_jobs in zip(wanted, media, strict=True):
            along = [take_along(payload, found, config) for payload, found in zip(each.payloads, of_jobs, strict=True)]
            queued.append(
                {
                    "id": queue.enqueue(each.row(along)),
                    "title": each.title,
                    "length_s": each.length_s,
                    "taken_along": [str(found.path) for found in chain.from_iterable(of_jobs)],
                }
            )
            if not as_json:
                _print_line(queued[-1])
    if as_json:
        print_json(queued)
    elif sys.stdout.isatty():
        print(f"next: {program()} work --drain", file=sys.stderr)
    return 0


def _media_of_all(wanted: Sequence[Queueable], config: Config) -> list[list[list[LocalFile]]]:
    """Look for the media of all jobs before any is queued."""
    found: list[list[list[LocalFile]]] = []
    errors: list[tuple[JobFile, WorkerError]] = []
    for each in wanted:
        found.append([])
        for payload, job in zip(each.payloads, each.jobs, strict=True):
            try:
                found[-1].append(local_files(payload, job, each.file.folder, config))
            except MediaError as error:
                errors.append((each.file, error))
    raise_all(errors, several=len(wanted) > 1)
    return found


def _print_line(queued: Mapping[str, Any]) -> None:
    """The id first, for programs; then what people know the job by."""
    shown = length(queued["length_s"]) or "as long as its speech"
    print(for_terminal("  ".join(filter(None, (queued["id"], queued["title"], shown)))), flush=True)
    for path in queued["taken_along"]:
        print(f"note: {for_terminal(path)} was copied for it", file=sys.stderr)
