"""`mindscript-worker enqueue`: puts jobs into the queue, with the files that lie beside them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from worker.cli.database import with_database
from worker.cli.local_media import LocalFile, local_files, take_along
from worker.cli.program import program
from worker.cli.terminal import length, print_json
from worker.config import Config
from worker.errors import MediaError, WorkerError
from worker.masks import for_terminal
from worker.payload.aliases import load_payload
from worker.payload.schema import RenderJob
from worker.queue.service import open_queue
from worker.tasks.job_checks import check_title, checked_jobs, raise_all
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
    checked = checked_jobs(files, config, strict=strict)
    payloads = [
        _with_title(load_payload(file.read()), job.metadata.title, file, title)
        for file, job in zip(files, checked, strict=True)
    ]
    media = _media_of_all(files, payloads, checked, config)
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-enqueue")) as queue:
        queued = []
        for payload, job, files_beside in zip(payloads, checked, media, strict=True):
            along = take_along(payload, files_beside, config)
            queued.append(
                {
                    "id": queue.enqueue(along),
                    "title": (along.get("metadata") or {}).get("title"),
                    "length_s": None if job.duration_min is None else 60 * job.duration_min,
                    "taken_along": [str(each.path) for each in files_beside],
                }
            )
            if not as_json:
                _print_line(queued[-1])
    if as_json:
        print_json(queued)
    elif sys.stdout.isatty():
        print(f"next: {program()} work --drain", file=sys.stderr)
    return 0


def _with_title(payload: Mapping[str, Any], own: str | None, file: JobFile, title: str | None) -> dict[str, Any]:
    """The payload with the title that was asked for; without one, and without its own, with its file's name."""
    if title is None and own is None and file.path is not None:
        title = file.stem.encode(errors="replace").decode()
    if title is None:
        return dict(payload)
    return {**payload, "metadata": {**(payload.get("metadata") or {}), "title": title}}


def _media_of_all(
    files: Sequence[JobFile], payloads: Sequence[Mapping[str, Any]], jobs: Sequence[RenderJob], config: Config
) -> list[list[LocalFile]]:
    """Look for the media of all jobs before any is queued."""
    found: list[list[LocalFile]] = []
    errors: list[tuple[JobFile, WorkerError]] = []
    for file, payload, job in zip(files, payloads, jobs, strict=True):
        try:
            found.append(local_files(payload, job, file.folder, config))
        except MediaError as error:
            errors.append((file, error))
    raise_all(errors, several=len(files) > 1)
    return found


def _print_line(queued: Mapping[str, Any]) -> None:
    """The id first, for programs; then what people know the job by."""
    shown = length(queued["length_s"]) or "as long as its speech"
    print(for_terminal("  ".join(filter(None, (queued["id"], queued["title"], shown)))), flush=True)
    for path in queued["taken_along"]:
        print(f"note: {for_terminal(path)} was copied for it", file=sys.stderr)
