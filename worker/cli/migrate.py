"""`mindscript-worker migrate`."""

from __future__ import annotations

from worker.cli.database import with_database
from worker.cli.doctor_database import exposure_lines
from worker.config import Config
from worker.errors import ConfigurationError


def migrate(config: Config, *, only_print: bool, release: bool) -> int:
    """Bring the database up to date, or print the SQL that would."""
    from worker.queue.migrate import migrate as run_scripts
    from worker.queue.migrate import migration_sql

    if only_print:
        print(migration_sql())
        return 0
    if release and config.database_url is None:
        # A release phase must not fail for a set-up that is meant: plain mode, or a schema pasted by hand.
        print(
            "DATABASE_URL is not set: the database is left as it is (mindscript-worker migrate --print shows the SQL)"
        )
        return 0
    if config.database_url is None and config.supabase_url is not None:
        raise ConfigurationError(
            "DATABASE_URL is not set, and through SUPABASE_URL no schema can be changed: "
            "set it, or paste what `mindscript-worker migrate --print` prints into Supabase's SQL editor",
            code="configuration.variable",
        )
    with with_database(config) as config:
        if config.database_url is not None:
            dsn = config.database_url.get_secret_value()
            for name in run_scripts(dsn):
                print(f"ran {name}")
            exposed = exposure_lines(dsn)
            if exposed:
                print("anybody with the anon key may call these functions of the app's; to end that, run:")
                print("\n".join(exposed))
    return 0
