"""Which database the queue commands use: the configured one, or the embedded one of a laptop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loguru import logger
from pydantic import SecretStr

from worker.config import Config
from worker.errors import ConfigurationError

EMBEDDED_FOLDER = Path(".mindscript")


@contextmanager
def with_database(config: Config, *, embedded_folder: Path = EMBEDDED_FOLDER) -> Iterator[Config]:
    """Give a configuration that names a database.

    Without DATABASE_URL and SUPABASE_URL that is the embedded Postgres in `embedded_folder`, migrated; not on a
    dyno, nor where MINDSCRIPT_EMBEDDED is off (the container's worker image): there a missing setting is a mistake.

    Raises
    ------
    ConfigurationError
        If no database is named and there can be no embedded one.
    """
    if config.database_url is not None or config.supabase_url is not None:
        yield config
        return
    if config.dyno is not None or config.mindscript_embedded == "off":
        raise ConfigurationError(
            "SUPABASE_URL is not set (with SUPABASE_SERVICE_ROLE_KEY), nor is DATABASE_URL: set one of the two",
            code="configuration.variable",
        )
    from worker.embedded.postgres import embedded_postgres
    from worker.queue.migrate import migrate

    with embedded_postgres(embedded_folder) as server:
        logger.bind(event="embedded").debug("embedded Postgres under {}, process {}", server.home, os.getpid())
        migrate(server.dsn)
        yield config.model_copy(update={"database_url": SecretStr(server.dsn)})
