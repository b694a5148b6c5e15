"""All that is known of one job: its row, payload, attempts and files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, Final

from worker.config import Config
from worker.errors import JobError, WorkerError
from worker.masks import masked
from worker.operate.view import as_object
from worker.printable import printable
from worker.queue.claims import Attempt, Cause
from worker.queue.listing import ListedJob
from worker.queue.operations import NeedsMigrationError
from worker.queue.service import Queue
from worker.storage.base import RENDERS
from worker.storage.choose import open_storage
from worker.untrusted_json import read_json, read_object

_LINK_S: Final = 3600
_DEEPEST: Final = 20  # levels of a payload; ours have four


class NoSuchJobError(WorkerError):
    """The id, or its beginning, names no job, or several."""

    default_code = "job.unknown"


@dataclass(frozen=True)
class Files:
    """What a job has delivered, by what it is; `link` opens the track for an hour, or is its path on this machine."""

    paths: Mapping[str, str]
    link: str | None
    why_no_link: str | None = None


@dataclass(frozen=True)
class Story:
    """Everything about a job; `attempts` is None where the database keeps none.

    `quality` has the figures that its worker has measured; empty where there are none.
    """

    job: ListedJob
    payload: Any
    payload_bytes: int | None
    notes: Sequence[str]
    quality: Mapping[str, Any]
    files: Files
    attempts: Sequence[Attempt] | None
    cause: Cause | None


def whole_id(queue: Queue, beginning: str) -> str:
    """The id of the one job whose id begins so.

    Raises
    ------
    NoSuchJobError
        If there is none, or more than one.
    """
    found = queue.ids_like(beginning, most=5)
    if len(found) == 1:
        return found[0]
    said = printable(masked(beginning), longest=40)
    if not found:
        raise NoSuchJobError(f"there is no job {said}")
    raise NoSuchJobError(f"{said} may be any of {', '.join(found)}{' and others' if len(found) == 5 else ''}")


def read_story(queue: Queue, job_id: str, config: Config) -> Story:
    """Read all that the database and storage know of a job."""
    job = queue.one_listed(job_id)
    if job is None:
        raise NoSuchJobError(f"there is no job {job_id}")
    text, size = queue.payload_of(job_id)
    result = read_object(queue.result_of(job_id))
    try:
        attempts: list[Attempt] | None = queue.attempts(job_id)
    except NeedsMigrationError:
        attempts = None
    causes = queue.causes() if job.row.parked_cause is not None else []
    notes, quality = result.get("notes"), result.get("quality")
    return Story(
        job=job,
        payload=read_json(text),
        payload_bytes=size if text is None else len(text.encode()),
        notes=[str(note) for note in notes] if isinstance(notes, list) else [],
        quality=quality if isinstance(quality, dict) else {},
        files=_files(result, job, config),
        attempts=attempts,
        cause=next((cause for cause in causes if cause.name == job.row.parked_cause), None),
    )


def job_to_edit(queue: Queue, job_id: str) -> dict[str, Any]:
    """What the editor needs of a job: its payload as text, whose it is, and what its track says of its sound.

    Raises
    ------
    JobError
        If the payload was removed, or is too large.
    """
    job = queue.one_listed(job_id)
    text, size = queue.payload_of(job_id)
    if job is None:
        raise NoSuchJobError(f"there is no job {job_id}")
    row = job.row
    if text is None or row.purged_at is not None:
        why = "was purged, or has never had a payload" if size is None else f"has a payload of {size} bytes"
        raise JobError(f"job {job_id} {why}")
    track = None
    if row.track_id is not None and row.user_id is not None:
        track = queue.saved_track(row.track_id, row.user_id)
    return {"job_id": job_id, "payload_text": text, "user_id": row.user_id, "track": track}


def _files(result: Mapping[str, Any], job: ListedJob, config: Config) -> Files:
    """The delivered files by the result; customers can write it, so a link is made for a place of this job's only."""
    beside = {what: path for key in ("lyrics", "formats") for what, path in _mapping(result.get(key)).items()}
    tracks = result.get("tracks")
    of_album = {
        f"track {number}": _mapping(each).get("url")
        for number, each in enumerate(tracks if isinstance(tracks, list) else (), start=1)
    }
    stems = {f"stem of the {layer}": path for layer, path in _mapping(result.get("stems")).items()}
    named = {
        "track": result.get("url") or result.get("audioUrl"),
        "preview": result.get("preview_url"),
        "speakers": result.get("speakersUrl"),
        **beside,
        **of_album,
        **stems,
        "list of stems": result.get("stemList"),
        "waveform": result.get("peaks"),
    }
    paths = {what: path for what, path in named.items() if isinstance(path, str)}
    bucket, _, key = paths.get("track", "").partition("/")
    if job.group != "done" or not key:
        return Files(paths, None)
    if bucket != RENDERS or job.row.job_id not in key or ".." in key.split("/"):
        return Files(paths, None, "the result names no file of this job's")
    try:
        with closing(open_storage(config)) as storage:
            link = storage.link(bucket, key, valid_s=_LINK_S)
    except WorkerError as error:
        return Files(paths, None, error.message)
    return Files(paths, link, None if link else "there is no such file any more")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _shown(value: Any, *, with_script: bool, depth: int = _DEEPEST) -> Any:
    """The payload as far as it is looked at: without words where they are not asked for, and not endlessly deep."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):  # some rows hold JSON text within JSON text
        inner = read_json(value)
        value = value if inner is None else inner
    if isinstance(value, dict | list) and depth == 0:
        return "(nested too deeply)"
    if isinstance(value, list):
        return [_shown(each, with_script=with_script, depth=depth - 1) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _hidden(each)
        if key.lower() == "script" and each is not None and not with_script
        else _shown(each, with_script=with_script, depth=depth - 1)
        for key, each in value.items()
    }


def shown_payload(story: Story, *, with_script: bool) -> Any:
    """The payload for people; each script in it only by its length, unless it is asked for."""
    shown = _shown(story.payload, with_script=with_script)
    # text that is no JSON may be a bare script
    return _hidden(shown) if isinstance(shown, str) and not with_script else shown


def _hidden(script: Any) -> str:
    text = script if isinstance(script, str) else json.dumps(script, ensure_ascii=False)
    return f"({len(text)} characters; --script shows them)"


def as_document(story: Story, *, with_script: bool) -> dict[str, Any]:
    """The story for JSON; the keys are an interface."""
    return {
        **as_object(story.job),
        "payload": shown_payload(story, with_script=with_script),
        "payload_bytes": story.payload_bytes,
        "notes": list(story.notes),
        "files": dict(story.files.paths),
        "link": story.files.link,
        "attempts": None if story.attempts is None else [_attempt(each) for each in story.attempts],
        "cause": None if story.cause is None else {"message": story.cause.message, "since": story.cause.since},
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {**{key: value for key, value in asdict(attempt).items() if key != "report"}, **asdict(attempt.report)}
