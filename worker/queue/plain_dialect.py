"""The two ways in which the app's databases name the arguments of the contract's functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.errors import ConfigurationError
from worker.queue.transport import Transport


@dataclass(frozen=True)
class Dialect:
    """How a database names the functions' arguments."""

    name: str
    progress: tuple[str, str, str]
    complete: tuple[str, str, str]


DIALECTS = (
    Dialect("guide", ("p_job_id", "p_progress", "p_stage"), ("p_job_id", "p_result", "p_error")),
    Dialect("production", ("job_id", "new_progress", "new_stage"), ("job_id", "job_result", "job_error")),
)


def find_dialect(transport: Transport) -> Dialect:
    """Which argument names the database's functions take; each function is asked for itself.

    Raises
    ------
    ConfigurationError
        When a function is missing in either dialect.
    """

    def spoken(function: str, arguments: Callable[[Dialect], tuple[str, ...]]) -> Dialect:
        for dialect in DIALECTS:
            if transport.speaks(function, arguments(dialect)):
                return dialect
        raise ConfigurationError(
            f"the database has no function {function} with the arguments "
            f"{' or '.join(str(arguments(dialect)) for dialect in DIALECTS)}; "
            "run `mindscript-worker migrate`, or reload PostgREST's schema cache",
            code="configuration.function",
        )

    progress = spoken("update_job_progress", lambda dialect: dialect.progress)
    complete = spoken("complete_job", lambda dialect: dialect.complete)
    return Dialect(progress.name if progress is complete else "mixed", progress.progress, complete.complete)
