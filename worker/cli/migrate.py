"""`mindscript-worker migrate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.cli.database import with_database
from worker.cli.doctor_database import exposure_lines
from worker.cli.program import program
from worker.cli.terminal import print_json
from worker.config import Config
from worker.errors import ConfigurationError, JobError


def migrate(config: Config, *, only_print: bool, release: bool, as_json: bool = False) -> int:
    """Bring the database up to date, or print the SQL that would."""
    if only_print and as_json:
        raise JobError("--json: found with --print, which prints SQL")
    from worker.queue.migrate import migrate as run_scripts
    from worker.queue.migrate import migration_sql

    if only_print:
        print(migration_sql())
        return 0
    if release and config.database_url is None:
        # A release phase must not fail for a set-up that is meant: plain mode, or a schema pasted by hand.
        if as_json:
            print_json(_document(None, ()))
        else:
            print(f"DATABASE_URL is not set: the database is left as it is ({program()} migrate --print shows the SQL)")
        return 0
    if config.database_url is None and config.supabase_url is not None:
        raise ConfigurationError(
            "DATABASE_URL is not set, and through SUPABASE_URL no schema can be changed: "
            f"set it, or paste what `{program()} migrate --print` prints into Supabase's SQL editor",
            code="configuration.variable",
        )
    ran: Sequence[str] = ()
    exposed: Sequence[str] = ()
    with with_database(config) as config:  # which migrates an embedded one
        if config.database_url is not None:
            dsn = config.database_url.get_secret_value()
            ran = run_scripts(dsn)
            exposed = exposure_lines(dsn)
    if as_json:
        print_json(_document(ran, exposed))
        return 0
    for name in ran:
        print(f"ran {name}")
    if exposed:
        print("anybody with the anon key may call these functions of the app's; to end that, run:")
        print("\n".join(exposed))
    return 0


def _document(ran: Sequence[str] | None, exposed: Sequence[str]) -> dict[str, Any]:
    """For JSON: the scripts that were run, None where no database is named; SQL that a person may run."""
    return {"ran": ran, "to_run": exposed}
