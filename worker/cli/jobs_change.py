"""`mindscript-worker jobs cancel`, `retry`, `purge` and `priority`: one line for each job, and why one was refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from worker.cli.database import with_database
from worker.cli.terminal import print_json
from worker.config import Config
from worker.masks import for_terminal
from worker.operate.changes import MOST, Changed, Choice, Verb, as_object, change, find
from worker.queue.service import Queue, open_queue

_DONE = {"cancel": "cancelled", "retry": "waiting again", "purge": "purged", "priority": "given its priority"}


@dataclass(frozen=True)
class _Choice(Choice):
    """Which jobs are meant, and how it is said what becomes of them."""

    dry_run: bool = False
    yes: bool = False
    as_json: bool = False


def cancel(config: Config, **choice: Any) -> int:
    """Cancel jobs that wait or run."""
    chosen = _Choice(**choice)
    chosen.check()
    return _change(config, "cancel", chosen)


def retry(config: Config, **choice: Any) -> int:
    """Have failed and cancelled jobs done again."""
    chosen = _Choice(**choice)
    chosen.check()
    return _change(config, "retry", chosen)


def purge(config: Config, *, older_than: timedelta | None, **choice: Any) -> int:
    """Remove payloads and attempts of ended jobs."""
    chosen = _Choice(**choice)
    chosen.check(older_than is not None)
    if older_than is None:
        return _change(config, "purge", chosen)
    return _purge_older(config, older_than, chosen)


def priority(config: Config, *, job: str, priority: int, as_json: bool = False) -> int:
    """Have a job claimed before, or after, the others."""
    chosen = _Choice([job], yes=True, as_json=as_json)
    return _change(config, "priority", chosen, priority=priority)


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


def _change(config: Config, verb: Verb, chosen: _Choice, *, priority: int | None = None) -> int:
    """Do it, and say for each job what became of it; 1 if one was refused."""
    with _opened(config) as queue:
        found = find(queue, verb, chosen)
        ids, unknown = found.ids, found.unknown
        is_meant = chosen.yes or len(ids) < 2 or chosen.dry_run or confirmed(f"{verb} {len(ids)} jobs?")
        if chosen.dry_run or not is_meant:
            tried = [Changed(each) for each in ids]
        else:
            tried = change(queue, verb, ids, priority=priority)
    if chosen.as_json:
        has_more = len(ids) == MOST
        jobs = [as_object(each) for each in (*unknown, *tried)]
        print_json({"dry_run": chosen.dry_run, "jobs": jobs, "has_more": has_more})
    else:
        _print(verb, unknown, tried, chosen, is_meant=is_meant)
    refused = unknown if chosen.dry_run else [each for each in (*unknown, *tried) if not each.done]
    return int(bool(refused))


def _print(
    verb: Verb, unknown: Sequence[Changed], tried: Sequence[Changed], chosen: _Choice, *, is_meant: bool
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
    if len(tried) == MOST:
        print(f"these were the newest {MOST}; run it again for the others")


@contextmanager
def _opened(config: Config) -> Iterator[Queue]:
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-jobs")) as queue:
        yield queue


def confirmed(question: str) -> bool:
    """Ask a person; where nobody is at a terminal, the command was meant."""
    if not sys.stdin.isatty():
        return True
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)  # standard output is what was done
    return sys.stdin.readline().strip().lower() in ("y", "yes")
