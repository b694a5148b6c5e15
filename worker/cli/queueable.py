"""What `enqueue` puts into the queue: jobs and albums, checked, and each as its row holds it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.config import Config
from worker.errors import JobError, WorkerError
from worker.masks import for_terminal
from worker.payload.album import is_album, parse_album, track_payloads
from worker.payload.aliases import load_payload
from worker.payload.known_keys import unknown_key_line
from worker.payload.parse import TRACKS
from worker.payload.schema import RenderJob
from worker.tasks.job_checks import check_job, raise_all, warn
from worker.tasks.job_files import JobFile


@dataclass(frozen=True)
class Queueable:
    """A job, or an album with the payload of each of its tracks, whose defaults are filled in.

    `album` has what the row of an album holds beside its tracks; None for a job.
    """

    file: JobFile
    payloads: tuple[Mapping[str, Any], ...]
    jobs: tuple[RenderJob, ...]
    title: str | None
    length_s: float | None
    album: Mapping[str, Any] | None = None

    def row(self, payloads: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The payload of its row, with these as the payloads of its job or tracks."""
        if self.album is None:
            return dict(payloads[0])
        return {**self.album, TRACKS: list(payloads)}


def queueable_of(files: Sequence[JobFile], config: Config, *, title: str | None, strict: bool) -> list[Queueable]:
    """Check jobs and albums, and warn on standard error of keys that mean nothing.

    Parameters
    ----------
    title : str or None
        In the place of the job's own, or of the album's; without one, and without its own, it is its file's name.

    Raises
    ------
    JobError
        If one is bad: with the mistakes of all.
    """
    found: list[Queueable] = []
    errors: list[tuple[JobFile, WorkerError]] = []
    for file in files:
        checked = check_job(file, config, strict=strict)
        try:
            payload = load_payload(file.read())
            if is_album(payload):
                found.append(_album(file, payload, config, title=title, strict=strict))
                continue
        except JobError as error:
            errors.append((file, error))
            continue
        warn(checked, named=len(files) > 1)
        if checked.error is not None:
            errors.append((file, checked.error))
        elif checked.job is not None:
            found.append(_job(file, payload, checked.job, title))
    raise_all(errors, several=len(files) > 1)
    return found


def _job(file: JobFile, payload: Mapping[str, Any], job: RenderJob, title: str | None) -> Queueable:
    title = title or job.metadata.title or _of_file(file)
    if title is not None:
        payload = {**payload, "metadata": {**(payload.get("metadata") or {}), "title": title}}
    length_s = None if job.duration_min is None else 60 * job.duration_min
    return Queueable(file, (payload,), (job,), title, length_s)


def _album(file: JobFile, payload: Mapping[str, Any], config: Config, *, title: str | None, strict: bool) -> Queueable:
    album = parse_album(
        payload,
        max_script_characters=config.max_script_characters,
        max_duration_min=config.max_duration_min,
        strict=strict,
    )
    for number, job in enumerate(album.jobs):
        for name in job.unknown_keys:
            line = f"{TRACKS}[{number}].{unknown_key_line(name)} (it is ignored)"
            print(f"warning: {for_terminal(line)}", file=sys.stderr)
    title = title or album.title or _of_file(file)
    of_title = {} if title is None else {"album": title}
    tracks = tuple(
        {**track, "metadata": {**(track.get("metadata") or {}), **of_title}}
        for track in track_payloads(payload)
        if track is not None
    )
    shared = {"gapSec": album.gap_s, "metadata": of_title}
    return Queueable(file, tracks, album.jobs, title, album.length_s, shared)


def _of_file(file: JobFile) -> str | None:
    return None if file.path is None else file.stem.encode(errors="replace").decode()
