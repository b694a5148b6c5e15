"""`mindscript-worker jobs cancel`, `retry`, `purge` and `priority`: one line for each job, and why one was refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import timedelta

from worker.cli.database import with_database
from worker.cli.jobs_show import NoSuchJobError, whole_id
from worker.cli.terminal import words
from worker.config import Config
from worker.errors import JobError
from worker.queue.claims import Handled
from worker.queue.service import Queue, open_queue

_MOST = 1000  # jobs that --failed takes at once

_Act = Callable[[Queue, Sequence[str]], Mapping[str, Handled]]
_DONE = {"cancel": "cancelled", "retry": "waiting again", "purge": "purged", "priority": "given its priority"}


def cancel(config: Config, *, ids: Sequence[str], code: str | None, dry_run: bool, yes: bool) -> int:
    """Cancel jobs that wait or run."""
    _one_choice(ids, code is not None)
    return _change(config, "cancel", lambda queue, ids: queue.cancel(ids), ids=ids, code=code, dry_run=dry_run, yes=yes)


def retry(config: Config, *, ids: Sequence[str], failed: bool, code: str | None, dry_run: bool, yes: bool) -> int:
    """Have failed and cancelled jobs done again."""
    _one_choice(ids, failed or code is not None)
    return _change(
        config,
        "retry",
        lambda queue, ids: queue.retry(ids),
        ids=ids,
        failed=failed,
        code=code,
        dry_run=dry_run,
        yes=yes,
    )


def purge(
    config: Config,
    *,
    ids: Sequence[str],
    failed: bool,
    code: str | None,
    older_than: timedelta | None,
    dry_run: bool,
    yes: bool,
) -> int:
    """Remove payloads and attempts of ended jobs."""
    _one_choice(ids, failed or code is not None, older_than is not None)
    if older_than is None:
        return _change(
            config,
            "purge",
            lambda queue, ids: queue.purge(ids),
            ids=ids,
            failed=failed,
            code=code,
            dry_run=dry_run,
            yes=yes,
        )
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-jobs")) as queue:
        count, is_all = queue.count_older(older_than)
        counted = f"{count} jobs" if is_all else f"{count} jobs or more"
        if dry_run:
            print(f"would be purged: {counted}")
        elif (count or not is_all) and (yes or confirmed(f"purge {counted}?")):
            print(f"{queue.purge_older(older_than)} jobs purged")
        else:
            print("0 jobs purged")
    return 0


def priority(config: Config, *, job: str, priority: int) -> int:
    """Have a job claimed before, or after, the others."""
    return _change(config, "priority", lambda queue, ids: queue.set_priority(ids, priority), ids=[job], yes=True)


def _one_choice(ids: Sequence[str], *others: bool) -> None:
    """Raise unless jobs are named in exactly one way."""
    if bool(ids) + sum(others) != 1:
        found = "both" if ids or any(others) else "neither"
        raise JobError(f"name jobs by their ids, or choose them by an option: found {found}")


def _change(
    config: Config,
    verb: str,
    act: _Act,
    *,
    ids: Sequence[str],
    failed: bool = False,
    code: str | None = None,
    dry_run: bool = False,
    yes: bool,
) -> int:
    """Do it, and say for each job what became of it; 1 if one was refused."""
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-jobs")) as queue:
        refused = 0
        if code is not None and verb == "cancel":
            found = queue.waiting_ids(code=code, limit=_MOST)
        elif failed or code is not None:
            found = queue.failed_ids(code=code, limit=_MOST)
        else:
            found = []
            for each in ids:
                try:
                    found.append(whole_id(queue, each))
                except NoSuchJobError as error:
                    refused += 1
                    print(error.message, file=sys.stderr)
        found = list(dict.fromkeys(found))
        if dry_run or not found:
            would = f"{verb} would be tried on {len(found)} jobs" if dry_run else "no job was found"
            print("\n".join([*found, would]))
            return int(refused > 0)
        if len(found) > 1 and not yes and not confirmed(f"{verb} {len(found)} jobs?"):
            print("nothing was changed")
            return 1
        done = 0
        for job_id, handled in act(queue, found).items():
            if handled.done:
                done += 1
                print(f"{job_id} {_DONE[verb]} (was {_word(handled.status)})")
            else:
                refused += 1
                print(f"{job_id} refused: {why_refused(verb, handled)}", file=sys.stderr)
        if len(found) != 1:
            print(f"{done} of {done + refused} jobs {_DONE[verb]}")
        if len(found) == _MOST:
            print(f"these were the newest {_MOST}; run it again for the others")
    return int(refused > 0)


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
    print(f"{question} [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
