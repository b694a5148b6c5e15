"""The command line: reads the arguments, wires the adapters, turns errors into one line and an exit status."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import Interrupted, WorkerError

if TYPE_CHECKING:
    from worker.config import Config


class _Version(argparse.Action):
    """Looked up when asked for: to look takes a tenth of the start of every command."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(version("mindscript-audio-worker"))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Describe every command; the functions that run them are imported when they are called."""
    parser = argparse.ArgumentParser(
        prog="mindscript-worker",
        description="Turns orders for affirmation and meditation tracks into finished, measured files.",
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and debug logs")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    render = commands.add_parser("render", help="render one job file into a track")
    render.add_argument("job", metavar="JOB.json", help="the job; - reads standard input")
    render.add_argument(
        "-o",
        "--out",
        type=Path,
        help="the track; its ending (mp3 m4a aac wav flac) wins over the job's outputFormat. "
        "Without it: JOB's name in this folder, or standard output where that is a pipe or a file",
    )
    render.add_argument("--voice", type=Path, metavar="FILE", help="a recording in place of speech synthesis")
    render.add_argument("--music", type=Path, metavar="FILE", help="a file in place of the job's backgroundMusic.url")
    render.add_argument(
        "--new-take",
        type=int,
        action="append",
        default=[],
        metavar="LINE",
        help="have this line of the script spoken anew, and keep the new take; may be given more than once",
    )
    render.add_argument("--preview", type=Path, metavar="FILE", help="write the 15 s preview here, too")
    render.add_argument("--report", type=Path, metavar="FILE.json", help="write what was measured on the track")
    render.add_argument("--quiet", action="store_true", help="no progress bar, no table")

    inspect = commands.add_parser("inspect", help="measure a finished file, and draw it")
    inspect.add_argument("file", type=Path, metavar="FILE", help="any audio file")
    inspect.add_argument("--picture", type=Path, metavar="OUT.png", help="draw waveform, loudness and spectrum")
    inspect.add_argument("--json", action="store_true", help="print the figures as JSON")
    inspect.add_argument(
        "--lyrics",
        type=Path,
        metavar="FILE.vtt",
        help="where the voice is; FILE's own name with .vtt is found by itself",
    )
    inspect.add_argument(
        "--report", type=Path, metavar="REPORT.json", help="of `render --report`: what loudness was due"
    )

    say = commands.add_parser("say", help="speak a few words, to try a voice")
    say.add_argument("text", metavar="TEXT", help="the words; a script's pauses work here, too")
    say.add_argument(
        "--voice",
        default="local",
        metavar="PROVIDER[:VOICE]",
        help="such as local, local:emma, openai:nova, elevenlabs:21m00Tcm4TlvDq8ikWAM; default: local",
    )
    say.add_argument("--model", metavar="NAME", help="the voice's model")
    say.add_argument("--speed", type=float, default=1.0, help="0.25 to 4; default: 1, the voice's own pace")
    say.add_argument("--take", type=int, default=1, help="which recording of the words, 1 to 99; default: 1")
    say.add_argument(
        "-o", "--out", type=Path, help="the file; without it: say.wav, or standard output where that is a pipe"
    )
    say.add_argument("--quiet", action="store_true", help="no progress bar, no table")

    commands.add_parser("voices", help="list the voices that can be used now, and what the others need")

    demo = commands.add_parser("demo", help="render the example jobs into out/")
    demo.add_argument("--examples", type=Path, default=Path("examples"), help="folder of job files")
    demo.add_argument("--quiet", action="store_true", help="no progress bars")

    work = commands.add_parser("work", help="take jobs from the queue, for ever")
    work.add_argument("--drain", action="store_true", help="stop when the queue is empty")

    enqueue = commands.add_parser("enqueue", help="put a job file into the queue")
    enqueue.add_argument("job", metavar="JOB.json", help="the job; - reads standard input")

    jobs = commands.add_parser("jobs", help="show the queue")
    jobs.add_argument("--watch", action="store_true", help="keep the table up to date")

    migrate = commands.add_parser("migrate", help="bring the database up to leased mode; additive, safe to repeat")
    migrate.add_argument("--print", action="store_true", help="print the SQL instead, for an SQL editor")

    migrate.add_argument(
        "--release", action="store_true", help="for a release phase: without DATABASE_URL do nothing, and succeed"
    )

    commands.add_parser("doctor", help="check everything the worker needs; a line each, with the mend")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status.

    0 done; 1 anything else; 2 bad job or bad arguments; 3 bad media; 130 interrupted.
    """
    options = build_parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        from worker.config import Config

        config = Config.from_environ()
        if options.debug or options.command not in ("work", "render"):  # `work` has its own log, `render` has none
            from worker import logs

            logs.for_a_command(debug=options.debug)
        return _dispatch(options, config)
    except WorkerError as error:
        if options.debug:
            raise
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains again at exit
        return 1
    except (KeyboardInterrupt, Interrupted):
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            raise
        print(f"error: {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)
        return 1


def _interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _dispatch(options: argparse.Namespace, config: Config) -> int:
    """Call the command; each loads what it needs and no more."""
    match options.command:
        case "render":
            from worker.cli.render import render

            return render(options, config)
        case "inspect":
            from worker.cli.inspect import inspect

            return inspect(options, config)
        case "say":
            from worker.cli.say import say

            return say(options, config)
        case "voices":
            from worker.cli.voices import list_voices

            return list_voices(config)
        case "demo":
            from worker.cli.demo import demo

            return demo(options, config)
        case "work":
            from worker.cli.work import work

            return work(config, drain=options.drain)
        case "enqueue":
            from worker.cli.jobs import enqueue

            return enqueue(config, options.job)
        case "jobs":
            from worker.cli.jobs import jobs

            return jobs(config, watch=options.watch)
        case "migrate":
            from worker.cli.jobs import migrate

            return migrate(config, only_print=options.print, release=options.release)
        case _:
            from worker.cli.doctor import doctor

            return doctor(config)
