"""What `mindscript-worker work --drain` tells at its end: what became of each job, and what to do next."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

from worker.cli.program import program
from worker.errors import WorkerError
from worker.service.observers import JobObserver

if TYPE_CHECKING:
    from rich.table import Table

    from worker.config import Config
    from worker.queue.claims import QueueState
    from worker.queue.listing import ListedJob
    from worker.queue.service import Cause, Queue
    from worker.service.runner import JobResult

_FAILED: Final = frozenset({"failed", "poison"})
_MOST_PARKED = 100  # jobs of before that are listed; the causes count all of them
_SHORT_ID = 8
_COLOURS: Final = {"completed": "green", "failed": "red", "poison": "red", "parked": "magenta"}


@dataclass(frozen=True)
class _Ended:
    """How the last attempt of a job ended; `seconds` is None where this worker made none."""

    outcome: str
    errors: Sequence[str] = ()  # for operators
    code: str | None = None
    seconds: float | None = None


class DrainSummary(JobObserver):
    """Keeps how each job has ended. An observer's calls come from several threads; each sets one entry."""

    def __init__(self) -> None:
        self._ended: dict[str, _Ended] = {}

    def ended(self, result: JobResult) -> None:
        """Keep it, in place of an attempt before."""
        error = result.error if isinstance(result.error, WorkerError) else None  # else it was stopped
        self._ended[result.claim.job_id] = _Ended(
            result.outcome,
            () if error is None else error.lines,
            None if error is None else error.code,
            result.seconds,
        )

    def given_up(self, job_id: str, outcome: str, why: str) -> None:
        """Keep it."""
        self._ended[job_id] = _Ended(outcome, (why,), outcome)

    @property
    def exit_status(self) -> int:
        """1 if a job has failed."""
        return int(any(each.outcome in _FAILED for each in self._ended.values()))

    def tell(self, queue: Queue, config: Config, *, document: TextIO | None) -> None:
        """Print it: as JSON into `document`, or as a table where the log does not go."""
        from worker.cli.terminal import console, print_json

        ended = dict(self._ended)
        causes: Sequence[Cause] = ()
        listed: dict[str, ListedJob] = {}
        state: QueueState | None = None
        with suppress(WorkerError):  # a database that is gone meanwhile: what is known is told without it
            state, causes = queue.queue_state(), queue.causes()
            messages = {cause.name: cause.message for cause in causes}
            for job in queue.listed("parked", limit=_MOST_PARKED):  # of before: not tried in this run
                message = messages.get(job.row.parked_cause or "")
                ended.setdefault(job.row.job_id, _Ended("parked", (message,) if message else (), job.row.error_code))
            listed = queue.listed_by_id(list(ended))
        if document is not None:
            jobs = [_as_object(job_id, each, listed.get(job_id), config) for job_id, each in ended.items()]
            print_json({"jobs": jobs, **_queue_as_object(state, causes)}, file=document)
            return
        screen = console(stderr=not sys.stderr.isatty())
        if ended:
            screen.print(_table(ended, listed, config))
            counts = Counter(each.outcome for each in ended.values())
            said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
            screen.print(f"{len(ended)} {'job' if len(ended) == 1 else 'jobs'}: {said}", style="bold")
        elif state is not None and state.paused_at is None:
            screen.print(f"the queue is empty: there was no job to do; `{program()} enqueue JOB` puts one there")
        for line in _next_steps(ended, state):
            screen.print(line, soft_wrap=True, markup=False)


@contextmanager
def kept_for_document() -> Iterator[TextIO]:
    """Give standard output for a document alone.

    Meanwhile descriptor 1 is standard error, for this process and for all that it starts: job processes write the log,
    too.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(kept, "w", closefd=False) as document:
            yield document
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _as_object(job_id: str, ended: _Ended, job: ListedJob | None, config: Config) -> dict[str, Any]:
    """A job for JSON; the keys are an interface."""
    from worker.cli.jobs_list import file_of
    from worker.operate.view import bounded

    return {
        "id": job_id,
        "outcome": ended.outcome,
        "title": None if job is None else bounded(job.title),
        "length_s": None if job is None else job.length_s,
        "seconds": None if ended.seconds is None else round(ended.seconds, 3),
        "file": None if job is None else bounded(file_of(job, config)),
        "code": ended.code,
        "errors": list(ended.errors),
    }


def _queue_as_object(state: QueueState | None, causes: Sequence[Cause]) -> dict[str, Any]:
    from worker.operate.view import cause_as_object, paused_as_object

    return {
        "causes": [cause_as_object(each) for each in causes],
        "paused": None if state is None else paused_as_object(state),
    }


def _table(ended: dict[str, _Ended], listed: dict[str, ListedJob], config: Config) -> Table:
    from rich.table import Table
    from rich.text import Text

    from worker.cli.jobs_list import LONGEST_TITLE, file_of
    from worker.cli.terminal import length, words

    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("job", no_wrap=True)
    table.add_column("title", overflow="fold")
    table.add_column("outcome", no_wrap=True)
    table.add_column("length", justify="right", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("file, or what went wrong", overflow="fold")
    for job_id, each in ended.items():
        job = listed.get(job_id)
        file = None if job is None or each.outcome != "completed" else file_of(job, config)
        table.add_row(
            words(job_id[:_SHORT_ID]),
            words(None if job is None else job.title, longest=LONGEST_TITLE),
            Text(each.outcome, _COLOURS.get(each.outcome, "yellow")),
            length(None if job is None else job.length_s),
            "" if each.seconds is None else f"{each.seconds:.1f} s",
            Text("\n").join(map(words, each.errors)) if file is None else words(file),
        )
    return table


def _next_steps(ended: dict[str, _Ended], state: QueueState | None) -> Iterator[str]:
    """What an operator does next, as commands to paste."""
    if state is not None and state.paused_at is not None:
        yield (
            f"the queue is paused, {state.counts['pending']} jobs wait: `{program()} queue status` says why, "
            f"`{program()} queue resume` ends it"
        )
    failed = [job_id[:_SHORT_ID] for job_id, each in ended.items() if each.outcome in _FAILED]
    if len(failed) == 1:
        yield f"next: `{program()} jobs show {failed[0]}` tells all of it; once it is put right,"
        yield f"`{program()} jobs retry {failed[0]}`, then `{program()} work --drain`"
    elif failed:
        yield f"next: `{program()} jobs show ID` tells all of one; once it is put right,"
        yield f"`{program()} jobs retry --failed`, then `{program()} work --drain`"
    if any(each.outcome == "parked" for each in ended.values()):
        yield f"parked jobs wait for you: put it right, then `{program()} work --drain` once more. The next probe,"
        yield f"at most ten minutes after the last, tries one and frees the others; `{program()} jobs` shows them"
