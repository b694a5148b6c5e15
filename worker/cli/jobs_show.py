"""`mindscript-worker jobs show ID`: all that is known of one job."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing

from rich.table import Table
from rich.text import Text

from worker.cli.database import with_database
from worker.cli.terminal import at, console, length, print_json, words
from worker.config import Config
from worker.operate.story import Story, as_document, read_story, shown_payload, whole_id
from worker.queue.claims import Attempt
from worker.queue.service import open_queue

_NO_ATTEMPTS = "not kept in plain mode: the workers' log is all there is (its lines `job` name this id)"


def show(config: Config, *, job: str, script: bool, as_json: bool = False) -> int:
    """Show a job; `script` shows the customer's words, too."""
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-jobs")) as queue:
        story = read_story(queue, whole_id(queue, job), config)
        if as_json:
            print_json(as_document(story, with_script=script))
        else:
            _print(story, with_script=script)
    return 0


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
    shown = shown_payload(story, with_script=with_script)
    return [f"  {line}" for line in json.dumps(shown, indent=2, ensure_ascii=False).splitlines()]
