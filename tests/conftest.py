"""Fixtures for every test: a real Postgres, started once (`tests/database.py`); the tiers (`tests/tiers.py`)."""

from __future__ import annotations

import os
from collections.abc import Generator

# As the program does: several processes whose threads wait for each other in busy loops take a quarter more CPU.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from database import EMBEDDED, databases, empty_dsn, laptop_dsn, leased_dsn, server_folder, server_version, servers
from figures import figures
from servers import server_versions, wanted_versions
from tiers import Outside, further, tiers_of

__all__ = ["databases", "empty_dsn", "laptop_dsn", "leased_dsn", "server_folder", "server_version", "servers"]

os.environ["MINDSCRIPT_ENV_FILE"] = ""  # no test may work on what a developer has set in a `.env`
_outside = Outside()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with its tier, before `-m` chooses."""
    for item in items:
        for mark in tiers_of(item.path, {mark.name for mark in item.iter_markers()}):
            item.add_marker(mark)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A unit test that goes outside fails, also where the code under test has swallowed the error."""
    _outside.forbidden = item.get_closest_marker("unit") is not None
    _outside.did.clear()
    try:
        yield
    finally:
        _outside.forbidden = False
    assert not _outside.did, f"a unit test went outside; mark it integration: {_outside.did}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a module with EACH_SERVER on every server: the default run does each on one, in turn."""
    if getattr(metafunc.module, "EACH_SERVER", False) and "server_version" in metafunc.fixturenames:
        versions = wanted_versions() if set(wanted_versions()) & set(server_versions()) else (EMBEDDED,)
        now = versions[sum(map(ord, metafunc.function.__name__)) % len(versions)]
        metafunc.parametrize("server_version", further(versions, but=(now,)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """After the long tests, print every figure once more, together."""
    if figures and not config.option.markexpr.startswith("not "):
        terminalreporter.section("what was counted")
        for line in figures:
            terminalreporter.write_line(line)
