"""The command line: reads the arguments, wires the adapters, turns errors into one line and an exit status."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from worker.cli.operators import LISTING_ALONE, add_operators_commands
from worker.errors import Interrupted, WorkerError

# Where each command's function is; it is called with the configuration, and its arguments by name.
_FUNCTIONS = {
    "render": "worker.cli.render:render",
    "inspect": "worker.cli.inspect:inspect",
    "say": "worker.cli.say:say",
    "voices": "worker.cli.voices:list_voices",
    "demo": "worker.cli.demo:demo",
    "work": "worker.cli.work:work",
    "enqueue": "worker.cli.jobs:enqueue",
    "jobs": "worker.cli.jobs_list:jobs",
    "jobs show": "worker.cli.jobs_show:show",
    "jobs cancel": "worker.cli.jobs_change:cancel",
    "jobs retry": "worker.cli.jobs_change:retry",
    "jobs purge": "worker.cli.jobs_change:purge",
    "jobs priority": "worker.cli.jobs_change:priority",
    "queue pause": "worker.cli.queue:pause",
    "queue resume": "worker.cli.queue:resume",
    "queue status": "worker.cli.queue:status",
    "forget": "worker.cli.forget:forget",
    "canary": "worker.cli.canary:canary",
    "migrate": "worker.cli.jobs:migrate",
    "doctor": "worker.cli.doctor:doctor",
    "psql": "worker.cli.psql:psql",
}


class _Version(argparse.Action):
    """Reads the version only when it is asked for: to load `importlib.metadata` takes 4 % of a start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(version("mindscript-audio-worker"))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Describe every command; the functions that run them are imported when they are called."""
    parser = argparse.ArgumentParser(
        prog="mindscript-worker",
        description="Turns jobs for affirmation and meditation tracks into finished, measured files.",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="show the version and exit"
    )
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
        dest="new_takes",
        metavar="LINE",
        help="have this line of the script spoken anew, and keep the new take; may be given more than once",
    )
    render.add_argument("--preview", type=Path, metavar="FILE", help="write the 15 s preview here, too")
    render.add_argument("--report", type=Path, metavar="FILE.json", help="write what was measured on the track")
    render.add_argument("--quiet", action="store_true", help="no progress bar, no table")

    inspect = commands.add_parser("inspect", help="measure a finished file, and draw it")
    inspect.add_argument("file", type=Path, metavar="FILE", help="any audio file")
    inspect.add_argument("--picture", type=Path, metavar="OUT.png", help="draw waveform, loudness and spectrum")
    inspect.add_argument(
        "--loop", action="store_true", help="of music: show and draw where it would loop in a longer track, instead"
    )
    inspect.add_argument("--json", action="store_true", dest="as_json", help="print the figures as JSON")
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
        help="such as local, local:emma, openai:nova, elevenlabs:VOICE_ID; default: local",
    )
    say.add_argument("--model", metavar="NAME", help="the voice's model")
    say.add_argument("--speed", type=float, default=1.0, help="0.25 to 4; default: 1, the voice's own pace")
    say.add_argument("--take", type=int, default=1, help="which recording of the words, 1 to 99; default: 1")
    say.add_argument("-o", "--out", type=Path, help="the file; without it: say.wav, or standard output")
    say.add_argument("--quiet", action="store_true", help="no progress bar, no table")

    commands.add_parser("voices", help="list the voices that can be used now, and what the others need")

    demo = commands.add_parser("demo", help="render the example jobs into out/")
    demo.add_argument("--examples", type=Path, default=Path("examples"), help="folder of job files")
    demo.add_argument("--quiet", action="store_true", help="no progress bars")

    work = commands.add_parser("work", help="take jobs from the queue, for ever")
    work.add_argument("--drain", action="store_true", help="stop when the queue is empty")

    enqueue = commands.add_parser("enqueue", help="put a job file into the queue")
    enqueue.add_argument("job", metavar="JOB.json", help="the job; - reads standard input")

    add_operators_commands(commands)

    migrate = commands.add_parser("migrate", help="bring the database up to leased mode; additive, safe to repeat")
    migrate.add_argument(
        "--print", action="store_true", dest="only_print", help="print the SQL instead, for an SQL editor"
    )
    migrate.add_argument(
        "--release", action="store_true", help="for a release phase: without DATABASE_URL do nothing, and succeed"
    )

    doctor = commands.add_parser("doctor", help="check everything the worker needs; a line each, with what to do")
    doctor.add_argument(
        "--online", action="store_true", help="ask the voice services, too, whether they have each model and voice"
    )

    return parser


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status.

    0 done; 1 anything else; 2 bad job or bad arguments; 3 bad media; 130 interrupted.
    """
    _open_closed_streams()
    parser = build_parser()
    options = vars(parser.parse_args(arguments))
    command, debug = options.pop("command"), options.pop("debug")
    if (action := options.pop("action", None)) is not None:
        if stray := sorted(LISTING_ALONE & options.keys()):
            parser.error(f"--{stray[0]} belongs to `{command}` alone, not to `{command} {action}`")
        command = f"{command} {action}"
    signal.signal(signal.SIGTERM, _interrupt)
    from worker.masks import for_terminal

    try:
        from worker import masks
        from worker.config import Config, forget_secrets

        config = Config.from_environ()
        forget_secrets()
        masks.set_up(config)
        if debug or command not in ("work", "render"):  # `work` has its own log, `render` has none
            from worker import logs

            logs.for_a_command(debug=debug)
        # Loaded here: each command loads what it needs and no more.
        module, name = _FUNCTIONS[command].split(":")
        status: int = getattr(importlib.import_module(module), name)(config, **options)
        return status
    except WorkerError as error:
        if debug:
            raise
        print(f"error: {for_terminal(error.message)}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains again at exit
        return 1
    except (KeyboardInterrupt, Interrupted):
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        print(f"error: {type(error).__name__}: {for_terminal(str(error))} (--debug shows where)", file=sys.stderr)
        return 1


def _open_closed_streams() -> None:
    """Where started with a standard stream closed (`>&-`): else a file or a socket would get its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt
