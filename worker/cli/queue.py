"""`mindscript-worker queue pause`, `resume` and `status`: the queue as a whole."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

from rich.table import Table
from rich.text import Text

from worker.cli.database import with_database
from worker.cli.jobs_list import count_line, paused_line
from worker.cli.program import program
from worker.cli.terminal import at, console, print_json, since, words
from worker.config import Config
from worker.operate.view import as_document, cause_as_object, paused_as_object, view
from worker.queue.service import Queue, open_queue


def pause(config: Config, *, reason: str | None, as_json: bool = False) -> int:
    """Hand out no job any more; running ones finish."""
    with _opened(config) as queue:
        queue.pause_queue(reason or "no reason given", by=f"{_user()}@{socket.gethostname()}")
        if as_json:
            _print_paused(queue)
            return 0
        print(f"paused: no job is claimed until `{program()} queue resume`; those that run finish")
    return 0


def resume(config: Config, *, as_json: bool = False) -> int:
    """Hand out jobs again."""
    with _opened(config) as queue:
        was_paused = queue.resume_queue()
        if as_json:
            _print_paused(queue)
            return 0
        print("resumed" if was_paused else "the queue was not paused")
    return 0


def _print_paused(queue: Queue) -> None:
    """As in what `queue status` and `jobs` print."""
    print_json({"paused": paused_as_object(queue.queue_state())})


def status(config: Config, *, as_json: bool = False) -> int:
    """Say whether the queue is paused, how many jobs there are, and what they wait for."""
    with _opened(config) as queue:
        seen, causes = view(queue, (), 0), queue.causes()
        if as_json:
            waiting = [cause_as_object(each) for each in causes]
            print_json({**as_document(seen), "causes": waiting, "mode": queue.mode, "transport": queue.transport})
            return 0
        screen = console()
        screen.print(count_line(seen))
        if seen.state.paused_at is not None:
            screen.print(paused_line(seen.state, seen.now))
        if seen.state.oldest_waiting_at is not None:
            screen.print(Text(f"the oldest job that is due waits for {since(seen.state.oldest_waiting_at, seen.now)}"))
        if queue.mode == "plain":
            screen.print(Text("parked jobs are known to their workers alone (plain mode): see /health and the log"))
        if causes:
            table = Table(box=None, header_style="bold", pad_edge=False)
            for heading in ("waits for", "jobs", "since", "message"):
                table.add_column(heading, overflow="fold")
            for cause in causes:
                table.add_row(words(cause.name), words(cause.jobs), words(at(cause.since)), words(cause.message))
            screen.print(table)
    return 0


@contextmanager
def _opened(config: Config) -> Iterator[Queue]:
    with with_database(config) as config, closing(open_queue(config, worker_name="mindscript-queue")) as queue:
        yield queue


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        return "somebody"
