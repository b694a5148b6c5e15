"""Which tier a test belongs to: its folder says it. `pytest -m unit` chooses one, and so for the others.

A *unit* test (tests/unit) works on memory and files alone: it starts no process, opens no connection, needs no FFmpeg
and no database. That is held: one that does fails (`conftest.py`). `@pytest.mark.integration` on such a test takes it
out of that tier. *Integration* tests (tests/integration) use all of these. Within both, the folders are those of dsp/
and worker/. The queue's tests and ALSO_DATABASES also run on every supported server (`make test-databases`). What is
marked further, faults, soak or production is in no tier by its folder: it is chosen by that mark.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from paths import TESTS

ALSO_DATABASES = frozenset({"test_servers.py", "test_production_jobs.py"})
OF_THEIR_OWN = frozenset({"faults", "soak", "production"})
_FORBIDDEN = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "socket.connect", "socket.bind"})


def tiers_of(path: Path, marks: set[str]) -> set[str]:
    """The marks that a test gets by its file, beside those it has."""
    if marks & OF_THEIR_OWN:
        return set()
    tier, *folders = path.relative_to(TESTS).parts
    if tier == "unit" and "integration" in marks:
        tier = "integration"
    databases = tier == "integration" and (folders[0] == "queue" or path.name in ALSO_DATABASES)
    tiers = set() if "further" in marks else {tier}
    return {*tiers, "databases"} if databases else tiers


def further(cases: Iterable[Any], *, but: Sequence[Any] = ()) -> list[Any]:
    """The cases of a test, in which all but those of `but` are marked further; tuples are a case's several values."""
    return [
        each
        if each in but
        else pytest.param(*(each if isinstance(each, tuple) else (each,)), marks=pytest.mark.further)
        for each in cases
    ]


class Outside:
    """Notes what a unit test does outside of its own process, and forbids it."""

    def __init__(self) -> None:
        self.forbidden = False
        self.did: list[str] = []
        sys.addaudithook(self._note)  # for good: a hook cannot be taken off

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.forbidden and event in _FORBIDDEN:
            self.did.append(f"{event} {arguments[:2]!r:.200}")
            raise RuntimeError(f"a unit test may not do that: {self.did[-1]}")
