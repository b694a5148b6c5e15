"""The two ways in which the app's databases name the arguments of the contract's functions."""

from __future__ import annotations

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

    def spoken(function: str, options: list[tuple[str, str, str]]) -> int:
        for index, names in enumerate(options):
            if transport.speaks(function, names):
                return index
        raise ConfigurationError(
            f"the database has no function {function} with the arguments {' or '.join(map(str, options))}; "
            "run `mindscript-worker migrate`, or reload PostgREST's schema cache",
            code="configuration.function",
        )

    progress = spoken("update_job_progress", [dialect.progress for dialect in DIALECTS])
    complete = spoken("complete_job", [dialect.complete for dialect in DIALECTS])
    if progress == complete:
        return DIALECTS[progress]
    return Dialect("mixed", DIALECTS[progress].progress, DIALECTS[complete].complete)
