"""The command line: reads the arguments, wires the adapters, turns errors into one line and an exit status."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence

from worker.cli.arguments import build_parser
from worker.cli.operators import LISTING_ALONE
from worker.errors import Interrupted, WorkerError
from worker.os_errors import with_file

# Where each command's function is; it is called with the configuration, and its arguments by name.
FUNCTIONS = {
    "render": "worker.cli.render:render",
    "album": "worker.cli.album:album",
    "validate": "worker.cli.validate:validate",
    "schema": "worker.cli.schema:schema",
    "inspect": "worker.cli.inspect:inspect",
    "say": "worker.cli.say:say",
    "voices": "worker.cli.voices:list_voices",
    "studio": "worker.cli.studio:studio",
    "demo": "worker.cli.demo:demo",
    "init": "worker.cli.init:init",
    "work": "worker.cli.work:work",
    "enqueue": "worker.cli.enqueue:enqueue",
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
    "migrate": "worker.cli.migrate:migrate",
    "doctor": "worker.cli.doctor:doctor",
    "psql": "worker.cli.psql:psql",
}


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status.

    0 done; 1 anything else; 2 bad job or bad arguments; 3 bad media; 130 interrupted.
    """
    _open_closed_streams()
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks how a line may go on
        import argcomplete

        argcomplete.autocomplete(parser)
    options = vars(parser.parse_args(arguments))
    command, debug = options.pop("command"), options.pop("debug", False)
    if command == "help":
        parser.at(options["words"]).print_help()
        return 0
    if command == "completion":
        from worker.cli.completion import completion

        return completion(options["shell"])
    if (action := options.pop("action", None)) is not None:
        if stray := sorted(LISTING_ALONE & options.keys()):
            parser.error(f"--{stray[0]} belongs to `{command}` alone, not to `{command} {action}`")
        command = f"{command} {action}"
    signal.signal(signal.SIGTERM, _interrupt)
    from worker.cli.error_lines import print_errors

    try:
        from worker import masks
        from worker.config import forget_secrets
        from worker.env_file import read_config

        config, problems = read_config()
        if command == "doctor":
            options["problems"] = problems
        elif problems:
            raise problems[0]
        forget_secrets()
        masks.set_up(config)
        if debug or command not in ("work", "render"):  # `work` has its own log, `render` has none
            from worker import logs

            logs.for_a_command(debug=debug)
        # Loaded here: each command loads what it needs and no more.
        module, name = FUNCTIONS[command].split(":")
        status: int = getattr(importlib.import_module(module), name)(config, **options)
        return status
    except WorkerError as error:
        if debug:
            raise
        print_errors(error.lines)
        return error.exit_status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains again at exit
        return 1
    except (KeyboardInterrupt, Interrupted):
        print("interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        if debug:
            raise
        print_errors([f"{with_file(error)} (--debug shows where)"])
        return 1
    except Exception as error:
        if debug:
            raise
        print_errors([f"{type(error).__name__}: {error} (--debug shows where)"])
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
