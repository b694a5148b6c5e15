"""`mindscript-worker jobs cancel`, `retry`, `purge` and `priority`: one line for each job, and why one was refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from worker.cli.database import with_database
from worker.cli.jobs_show import NoSuchJobError, whole_id
from worker.cli.terminal import print_json, words
from worker.config import Config
from worker.errors import JobError
from worker.masks import for_terminal
from worker.queue.claims import Handled
from worker.queue.service import Queue, open_queue

_MOST = 1000  # jobs that --failed takes at once

_Act = Callable[[Queue, Sequence[str]], Mapping[str, Handled]]
_DONE = {"cancel": "cancelled", "retry": "waiting again", "purge": "purged", "priority": "given its priority"}


@dataclass(frozen=True)
class _Outcome:
    """What became of one job: `was` is its status before, in the words of `jobs`; `reason` is why it was refused."""

    id: str
    done: bool = False
    was: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class _Choice:
    """Which jobs are meant, and how it is said what becomes of them."""

    ids: Sequence[str] = ()
    failed: bool = False
    code: str | None = None
    dry_run: bool = False
    yes: bool = False
    as_json: bool = False

    def check(self, *others: bool) -> None:
        """Raise unless jobs are named in exactly one way."""
        options = (self.failed or self.code is not None, *others)
        if bool(self.ids) + sum(options) != 1:
            found = "both" if self.ids or any(options) else "neither"
            raise JobError(f"name jobs by their ids, or choose them by an option: found {found}")


def cancel(config: Config, **choice: Any) -> int:
    """Cancel jobs that wait or run."""
    chosen = _Choice(**choice)
    chosen.check()
    return _change(config, "cancel", lambda queue, ids: queue.cancel(ids), chosen)


def retry(config: Config, **choice: Any) -> int:
    """Have failed and cancelled jobs done again."""
    chosen = _Choice(**choice)
    chosen.check()
    return _change(config, "retry", lambda queue, ids: queue.retry(ids), chosen)


def purge(config: Config, *, older_than: timedelta | None, **choice: Any) -> int:
    """Remove payloads and attempts of ended jobs."""
    chosen = _Choice(**choice)
    chosen.check(older_than is not None)
    if older_than is None:
        return _change(config, "purge", lambda queue, ids: queue.purge(ids), chosen)
    return _purge_older(config, older_than, chosen)


def priority(config: Config, *, job: str, priority: int, as_json: bool = False) -> int:
    """Have a job claimed before, or after, the others."""
    chosen = _Choice([job], yes=True, as_json=as_json)
    return _change(config, "priority", lambda queue, ids: queue.set_priority(ids, priority), chosen)


def _purge_older(config: Config, age: timedelta, chosen: _Choice) -> int:
    with _opened(config) as queue:
        count, is_all = queue.count_older(age)
        counted = f"{count} jobs" if is_all else f"{count} jobs or more"
        is_meant = not chosen.dry_run and (count or not is_all) and (chosen.yes or confirmed(f"purge {counted}?"))
        purged = queue.purge_older(age) if is_meant else 0
    if chosen.as_json:
        print_json({"dry_run": chosen.dry_run, "due": count, "is_all": is_all, "purged": purged})
    else:
        print(f"would be purged: {counted}" if chosen.dry_run else f"{purged} jobs purged")
    return 0


def _change(config: Config, verb: str, act: _Act, chosen: _Choice) -> int:
    """Do it, and say for each job what became of it; 1 if one was refused."""
    with _opened(config) as queue:
        found, unknown = _found(queue, verb, chosen)
        is_meant = chosen.yes or len(found) < 2 or chosen.dry_run or confirmed(f"{verb} {len(found)} jobs?")
        if chosen.dry_run or not is_meant:
            tried = [_Outcome(each) for each in found]
        else:
            tried = [_outcome(verb, job_id, handled) for job_id, handled in act(queue, found).items()] if found else []
    if chosen.as_json:
        has_more = len(found) == _MOST
        jobs = [asdict(each) for each in (*unknown, *tried)]
        print_json({"dry_run": chosen.dry_run, "jobs": jobs, "has_more": has_more})
    else:
        _print(verb, unknown, tried, chosen, is_meant=is_meant)
    refused = unknown if chosen.dry_run else [each for each in (*unknown, *tried) if not each.done]
    return int(bool(refused))


def _found(queue: Queue, verb: str, chosen: _Choice) -> tuple[list[str], list[_Outcome]]:
    """The ids of the jobs that are meant, and what is no job."""
    if chosen.code is not None and verb == "cancel":
        return queue.waiting_ids(code=chosen.code, limit=_MOST), []
    if chosen.failed or chosen.code is not None:
        return queue.failed_ids(code=chosen.code, limit=_MOST), []
    found: list[str] = []
    unknown: list[_Outcome] = []
    for each in chosen.ids:
        try:
            found.append(whole_id(queue, each))
        except NoSuchJobError as error:
            unknown.append(_Outcome(each, reason=error.message))
    return list(dict.fromkeys(found)), unknown


def _outcome(verb: str, job_id: str, handled: Handled) -> _Outcome:
    reason = None if handled.done else why_refused(verb, handled)
    return _Outcome(job_id, handled.done, None if handled.status is None else _word(handled.status), reason)


def _print(
    verb: str, unknown: Sequence[_Outcome], tried: Sequence[_Outcome], chosen: _Choice, *, is_meant: bool
) -> None:
    for each in unknown:
        print(for_terminal(each.reason or ""), file=sys.stderr)
    if chosen.dry_run:
        print("\n".join([*(each.id for each in tried), f"{verb} would be tried on {len(tried)} jobs"]))
        return
    if not tried or not is_meant:
        print("nothing was changed" if tried else "no job was found")
        return
    for each in tried:
        if each.done:
            print(f"{each.id} {_DONE[verb]} (was {each.was})")
        else:
            print(f"{each.id} refused: {each.reason}", file=sys.stderr)
    if len(tried) != 1:
        print(f"{sum(each.done for each in tried)} of {len(tried) + len(unknown)} jobs {_DONE[verb]}")
    if len(tried) == _MOST:
        print(f"these were the newest {_MOST}; run it again for the others")


@contextmanager
def _opened(config: Config) -> Iterator[Queue]:
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-jobs")) as queue:
        yield queue


def why_refused(verb: str, handled: Handled) -> str:
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


def _word(status: str | None) -> str:
    """A row's status in the words of `jobs`."""
    return {"pending": "waiting", "processing": "running"}.get(status or "", words(status).plain)


def confirmed(question: str) -> bool:
    """Ask a person; where nobody is at a terminal, the command was meant."""
    if not sys.stdin.isatty():
        return True
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)  # standard output is what was done
    return sys.stdin.readline().strip().lower() in ("y", "yes")
