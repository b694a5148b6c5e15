"""`mindscript-worker jobs show ID`: all that is known of one job."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from worker.cli.database import with_database
from worker.cli.jobs_list import as_object
from worker.cli.terminal import at, console, length, print_json, words
from worker.config import Config
from worker.errors import WorkerError
from worker.queue.claims import Attempt, Cause
from worker.queue.listing import ListedJob
from worker.queue.operations import NeedsMigrationError
from worker.queue.service import Queue, open_queue
from worker.storage.base import RENDERS
from worker.storage.choose import open_storage
from worker.untrusted_json import read_json, read_object

_LINK_S = 3600
_DEEPEST = 20  # levels of a payload; ours have four
_NO_ATTEMPTS = "not kept in plain mode: the workers' log is all there is (its lines `job` name this id)"


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
    """Everything about a job; `attempts` is None where the database keeps none."""

    job: ListedJob
    payload: Any
    payload_bytes: int | None
    notes: Sequence[str]
    files: Files
    attempts: Sequence[Attempt] | None
    cause: Cause | None


def show(config: Config, *, job: str, script: bool, as_json: bool = False) -> int:
    """Show a job; `script` shows the customer's words, too."""
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-jobs")) as queue:
        story = read_story(queue, whole_id(queue, job), config)
        if as_json:
            print_json(_document(story, with_script=script))
        else:
            _print(story, with_script=script)
    return 0


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
    said = str(words(beginning, longest=40))
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
    notes = result.get("notes")
    return Story(
        job=job,
        payload=read_json(text),
        payload_bytes=size if text is None else len(text.encode()),
        notes=[str(note) for note in notes] if isinstance(notes, list) else [],
        files=_files(result, job, config),
        attempts=attempts,
        cause=next((cause for cause in causes if cause.name == job.row.parked_cause), None),
    )


def _files(result: Mapping[str, Any], job: ListedJob, config: Config) -> Files:
    """The delivered files by the result; customers can write it, so a link is made for a place of this job's only."""
    beside = {what: paths for key in ("lyrics", "formats") for what, paths in _mapping(result.get(key)).items()}
    stems = {f"stem of the {layer}": path for layer, path in _mapping(result.get("stems")).items()}
    named = {
        "track": result.get("url") or result.get("audioUrl"),
        "preview": result.get("preview_url"),
        "speakers": result.get("speakersUrl"),
        **beside,
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


def _payload(story: Story, *, with_script: bool) -> Any:
    shown = _shown(story.payload, with_script=with_script)
    # text that is no JSON may be a bare script
    return _hidden(shown) if isinstance(shown, str) and not with_script else shown


def _hidden(script: Any) -> str:
    text = script if isinstance(script, str) else json.dumps(script, ensure_ascii=False)
    return f"({len(text)} characters; --script shows them)"


def _document(story: Story, *, with_script: bool) -> dict[str, Any]:
    return {
        **as_object(story.job),
        "payload": _payload(story, with_script=with_script),
        "payload_bytes": story.payload_bytes,
        "notes": list(story.notes),
        "files": dict(story.files.paths),
        "link": story.files.link,
        "attempts": None if story.attempts is None else [_attempt(each) for each in story.attempts],
        "cause": None if story.cause is None else {"message": story.cause.message, "since": story.cause.since},
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {**{key: value for key, value in asdict(attempt).items() if key != "report"}, **asdict(attempt.report)}


def _print(story: Story, *, with_script: bool) -> None:
    screen = console()
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(story):
        if value.plain:
            facts.add_row(name, value)
    screen.print(facts)
    if story.attempts is None:
        screen.print(Text(f"attempts: {_NO_ATTEMPTS}"))
    elif story.attempts:
        screen.print(_attempts(story.attempts))
    for note in story.notes:
        screen.print(Text.assemble("note: ", words(note)), soft_wrap=True)
    screen.print(Text("payload:", "bold"))
    for line in _payload_lines(story, with_script=with_script):
        screen.print(words(line), soft_wrap=True)
    if story.files.link is not None:
        screen.print(Text("link:", "bold"), words(story.files.link), soft_wrap=True)
    elif story.files.why_no_link is not None:
        screen.print(Text("no link:", "bold"), words(story.files.why_no_link), soft_wrap=True)


def _facts(story: Story) -> Iterator[tuple[str, Text]]:
    row, job = story.job.row, story.job
    yield "job", words(row.job_id)
    yield "status", words(f"{job.group}, {row.progress} %" if job.group == "running" else job.group)
    yield "title", words(job.title)
    yield "track", words(row.track_id)
    yield "customer", words(row.user_id)
    yield "length", words(length(job.length_s))
    yield "stage", words(row.stage)
    yield "worker", words(row.claimed_by)
    yield "attempt", words(row.attempt)
    yield "priority", words(row.priority or None)
    yield "ordered", words(at(row.created_at))
    yield "started", words(at(row.started_at))
    yield "ended", words(at(row.completed_at))
    yield "next attempt", words(at(row.run_after) if job.group == "waiting" else None)
    yield "waits for", words(row.parked_cause)
    if story.cause is not None:
        yield "", words(story.cause.message)
        yield "", words(f"since {at(story.cause.since)}; when that is fixed, a probe frees all {story.cause.jobs} jobs")
    yield "code", words(row.error_code)
    yield "error", words(row.error)
    yield "purged", words(at(row.purged_at))
    if job.characters is not None:
        yield "characters", words(job.characters)
    if job.cents is not None:
        yield "cost", words(f"{job.cents:.2f} ¢")
    for what, path in story.files.paths.items():
        yield str(words(what)), words(path)


def _attempts(attempts: Sequence[Attempt]) -> Table:
    table = Table(title=Text("attempts"), title_justify="left", box=None, header_style="bold", pad_edge=False)
    for heading in ("try", "began", "took", "outcome", "code", "worker", "stages", "versions"):
        table.add_column(heading)
    table.add_column("error", overflow="fold")
    for each in attempts:
        took = None if each.started_at is None else (each.ended_at - each.started_at).total_seconds()
        stages = ", ".join(f"{stage} {seconds} s" for stage, seconds in each.report.stages.items())
        versions = ", ".join(f"{name} {version}" for name, version in each.report.versions.items())
        table.add_row(
            words(each.number),
            words(at(each.started_at)),
            "" if took is None else f"{took:.1f} s",
            words(each.outcome),
            words(each.code),
            words(each.worker),
            words(stages),
            words(versions),
            words(each.report.error),
        )
    return table


def _payload_lines(story: Story, *, with_script: bool) -> list[str]:
    if story.payload is None:
        size = "" if story.payload_bytes is None else f", of {story.payload_bytes} bytes or more"
        return [f"  none that can be read{size}"]
    shown = _payload(story, with_script=with_script)
    return [f"  {line}" for line in json.dumps(shown, indent=2, ensure_ascii=False).splitlines()]
