"""The arguments of the operators' commands: `jobs`, `queue`, `psql`, `canary`, `forget`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from worker.cli.parser import add_json
from worker.queue.words import GROUPS, PRIORITIES

LISTING_ALONE = frozenset({"status", "limit", "watch"})  # options of `jobs` that its actions have not

_EXITS = "Exit status: 0 all done; 1 some refused, each printed with its reason; 2 bad arguments."
_JOB_ID = "the job's id, or its beginning if no other one begins so"
_UNITS_S = {"h": 3600, "d": 86_400, "w": 604_800}


def add_operators_commands(commands: Any) -> None:
    """Add them to the tree."""
    _add_jobs(commands)
    _add_queue(commands)
    # no prefix: every argument is psql's own, --help as well
    psql = commands.add_parser(
        "psql",
        add_help=False,
        prefix_chars="\0",
        purpose="look after a worker",
        help="open psql on the queue's database",
        examples=("psql", "psql -c 'SELECT status, count(*) FROM audio_job_queue GROUP BY 1'"),
    )
    psql.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="psql's own, such as -c 'SELECT 1'")
    _add_canary(commands)
    forget = commands.add_parser(
        "forget",
        purpose="look after a worker",
        help="remove what is kept of a customer, but for delivered tracks",
        epilog=_EXITS,
        examples=("forget --user 8d1f0a52-6f0e-4c43-9d8e-0f6c0d5f7a11 --dry-run",),
    )
    forget.add_argument("--user", required=True, metavar="ID", help="the customer's id")
    _add_caution(forget)
    add_json(forget)


def _add_jobs(commands: Any) -> None:
    jobs = commands.add_parser(
        "jobs",
        purpose="work through a queue",
        help="show the queue: running, failed, waiting, parked, done, cancelled",
        examples=("jobs", "jobs --status failed --limit 50", "jobs --watch"),
    )
    # without defaults: an action's own option of the same name must not be overwritten
    jobs.add_argument(
        "--status",
        choices=GROUPS,
        default=argparse.SUPPRESS,
        metavar="STATUS",
        help=f"only these jobs: {', '.join(GROUPS)}",
    )
    jobs.add_argument(
        "--limit",
        type=_between(1, 1000),
        default=argparse.SUPPRESS,
        metavar="N",
        help="of each status at most N, up to 1000; default: 10",
    )
    jobs.add_argument(
        "--watch",
        action="store_true",
        default=argparse.SUPPRESS,
        help="keep it up to date; with --json a line a second",
    )
    add_json(jobs)
    actions = jobs.add_subparsers(title="actions", dest="action", metavar="ACTION")

    show = actions.add_parser(
        "show",
        help="show all of one job: payload, attempts, notes, files, a link to the track",
        examples=("jobs show 1f0c", "jobs show 1f0c --script"),
    )
    show.add_argument("job", metavar="ID", help=_JOB_ID)
    show.add_argument("--script", action="store_true", help="show the customer's words, too")
    add_json(show)

    cancel = actions.add_parser(
        "cancel",
        help="cancel jobs that wait or run; running ones stop in 5 s",
        epilog=_EXITS,
        examples=("jobs cancel 1f0c", "jobs cancel --code voice.model --dry-run"),
    )
    cancel.add_argument("ids", nargs="*", metavar="ID", help=_JOB_ID)
    cancel.add_argument("--code", metavar="CODE", help="those that wait, or are parked, because of this error code")
    _add_caution(cancel)
    add_json(cancel)

    retry = actions.add_parser(
        "retry",
        help="have failed and cancelled jobs done again, in five attempts",
        epilog=_EXITS,
        examples=("jobs retry 1f0c", "jobs retry --failed", "jobs retry --code voice.model"),
    )
    purge = actions.add_parser(
        "purge",
        help="remove payloads and attempts of ended jobs, never a track",
        epilog=_EXITS,
        examples=("jobs purge 1f0c", "jobs purge --older-than 90d --dry-run"),
    )
    for each in (retry, purge):
        each.add_argument("ids", nargs="*", metavar="ID", help=_JOB_ID)
        each.add_argument("--failed", action="store_true", help="all failed jobs, the newest 1000 at once")
        each.add_argument(
            "--code", metavar="CODE", help="those that failed with this error code, such as voice or voice.model"
        )
    purge.add_argument(
        "--older-than", type=_age, metavar="AGE", help="all that ended so long ago, such as 90d, 12h or 8w"
    )
    for each in (retry, purge):
        _add_caution(each)
        add_json(each)

    priority = actions.add_parser(
        "priority",
        help="have a job claimed before the others, or after them",
        epilog=_EXITS,
        examples=("jobs priority 1f0c 10",),
    )
    priority.add_argument("job", metavar="ID", help=_JOB_ID)
    priority.add_argument(
        "priority",
        type=_between(PRIORITIES[0], PRIORITIES[-1]),
        metavar="N",
        help=f"{PRIORITIES[0]} to {PRIORITIES[-1]}; 0 is usual, higher is earlier",
    )
    add_json(priority)


def _add_queue(commands: Any) -> None:
    queue = commands.add_parser(
        "queue",
        purpose="work through a queue",
        help="pause the queue, resume it, say what is in it",
        examples=("queue status",),
    )
    actions = queue.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    pause = actions.add_parser(
        "pause",
        help="hand out no job any more; running ones finish",
        examples=("queue pause --reason 'the voice service is down'",),
    )
    pause.add_argument("--reason", metavar="TEXT", help="for those who look why nothing is done")
    add_json(pause)
    add_json(actions.add_parser("resume", help="hand out jobs again", examples=("queue resume",)))
    status = actions.add_parser(
        "status",
        help="say whether it is paused, how many jobs there are, what they wait for",
        examples=("queue status", "queue status --json"),
    )
    add_json(status)


def _add_canary(commands: Any) -> None:
    canary = commands.add_parser(
        "canary",
        purpose="look after a worker",
        help="have the deployed worker make a ten-second track, check it, and clean up",
        examples=("canary", "canary --voice openai:nova --no-music"),
        epilog="Exit status: 0 all is well; 1 something is amiss, and is named; 2 bad arguments.",
    )
    canary.add_argument(
        "--voice",
        action="append",
        default=[],
        dest="voices",
        metavar="PROVIDER[:VOICE]",
        help="a job for this voice; may be given more than once; default: each provider with a key here, else local",
    )
    music = canary.add_mutually_exclusive_group()
    music.add_argument("--music", metavar="NAME", help="this object or URL; default: the first of the catalogue")
    music.add_argument("--no-music", action="store_true", help="only voice and tones")
    canary.add_argument(
        "--user", metavar="ID", help="an account of yours, which the app then notifies; default: nobody's job"
    )
    canary.add_argument(
        "--timeout",
        type=_between(1, 86_400),
        default=300,
        dest="timeout_s",
        metavar="SECONDS",
        help="for each job; default: 300",
    )
    add_json(canary)


def _add_caution(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask, where there is more than one")


def _between(least: int, most: int) -> Callable[[str], int]:
    """What reads a whole number of a range."""

    def read(text: str) -> int:
        number = int(text) if re.fullmatch(r"-?\d{1,6}", text) else None
        if number is None or not least <= number <= most:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected a number from {least} to {most}")
        return number

    return read


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if found is None or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected hours, days or weeks, such as 12h, 90d or 8w")
    return timedelta(seconds=int(found[1]) * _UNITS_S[found[2]])
