"""What an operator does to jobs: which are meant, what became of each, and the same as a command line."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from worker.errors import JobError
from worker.masks import masked
from worker.operate.story import NoSuchJobError, whole_id
from worker.printable import printable
from worker.queue.claims import Handled
from worker.queue.service import Queue

Verb = Literal["cancel", "retry", "purge", "priority"]
MOST: Final = 1000  # jobs that are chosen at once
_WORDS: Final = {"pending": "waiting", "processing": "running"}
_Act = Callable[[Queue, Sequence[str]], Mapping[str, Handled]]
_ACTS: Final[Mapping[str, _Act]] = {
    "cancel": lambda queue, ids: queue.cancel(ids),
    "retry": lambda queue, ids: queue.retry(ids),
    "purge": lambda queue, ids: queue.purge(ids),
}


@dataclass(frozen=True)
class Choice:
    """Which jobs are meant: by their ids, all failed ones, or those with an error code."""

    ids: Sequence[str] = ()
    failed: bool = False
    code: str | None = None

    def check(self, *others: bool) -> None:
        """Raise unless jobs are named in exactly one way."""
        options = (self.failed or self.code is not None, *others)
        if bool(self.ids) + sum(options) != 1:
            found = "both" if self.ids or any(options) else "neither"
            raise JobError(f"name jobs by their ids, or choose them by an option: found {found}")


@dataclass(frozen=True)
class Changed:
    """What became of one job: `was` is its status before, in the words of `jobs`; `reason` is why it was refused."""

    id: str
    done: bool = False
    was: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Found:
    """The ids of the jobs that are meant, and what is no job."""

    ids: Sequence[str]
    unknown: Sequence[Changed] = field(default=())


def find(queue: Queue, verb: Verb, choice: Choice) -> Found:
    """Look up the jobs that are meant; nothing is changed. Of those chosen by an option `MOST` at once."""
    if choice.code is not None and verb == "cancel":
        return Found(queue.waiting_ids(code=choice.code, limit=MOST))
    if choice.failed or choice.code is not None:
        return Found(queue.failed_ids(code=choice.code, limit=MOST))
    ids: list[str] = []
    unknown: list[Changed] = []
    for each in choice.ids:
        try:
            ids.append(whole_id(queue, each))
        except NoSuchJobError as error:
            unknown.append(Changed(each, reason=error.message))
    return Found(list(dict.fromkeys(ids)), unknown)


def change(queue: Queue, verb: Verb, ids: Sequence[str], *, priority: int | None = None) -> list[Changed]:
    """Do one thing to each of these jobs; `priority` is for the verb of that name."""
    if not ids:
        return []
    handled = _ACTS[verb](queue, ids) if priority is None else queue.set_priority(ids, priority)
    return [_changed(verb, job_id, each) for job_id, each in handled.items()]


def command(verb: Verb, choice: Choice) -> str:
    """The same as arguments of this program's command line."""
    options = ["--failed"] if choice.failed else []
    options += [] if choice.code is None else ["--code", choice.code]
    return shlex.join(["jobs", verb, *choice.ids, *options])


def why_refused(verb: Verb, handled: Handled) -> str:
    """Why an operator's wish was not done to one job."""
    status = _word(handled.status)
    if handled.refused is not None:
        return f"the database refuses it ({handled.refused}); look at the app's triggers on audio_job_queue"
    if handled.status is None:
        return "there is no such job any more"
    if verb == "purge":
        return f"it is {status}; only ended jobs are purged, so cancel it first"
    if verb != "retry":
        return f"it is {status} already"
    if handled.status == "purged":
        return "its payload was purged"
    if handled.status == "completed":
        return "it is completed; for another render the app sends a new job"
    return f"it is {status}; only failed and cancelled jobs are done again"


def as_object(changed: Changed) -> dict[str, Any]:
    """For JSON; the keys are an interface."""
    return {"id": changed.id, "done": changed.done, "was": changed.was, "reason": changed.reason}


def _changed(verb: Verb, job_id: str, handled: Handled) -> Changed:
    reason = None if handled.done else why_refused(verb, handled)
    return Changed(job_id, handled.done, None if handled.status is None else _word(handled.status), reason)


def _word(status: str | None) -> str:
    """A row's status in the words of `jobs`."""
    return _WORDS.get(status or "", printable(masked(status or ""), longest=None))
