"""Fixtures for every test: a real Postgres, started once (`tests/database.py`)."""

from __future__ import annotations

import pytest
from database import EMBEDDED, databases, empty_dsn, laptop_dsn, leased_dsn, server_folder, server_version, servers
from figures import figures
from servers import server_versions, wanted_versions

__all__ = ["databases", "empty_dsn", "laptop_dsn", "leased_dsn", "server_folder", "server_version", "servers"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a module with EACH_SERVER on every server."""
    if getattr(metafunc.module, "EACH_SERVER", False) and "server_version" in metafunc.fixturenames:
        versions = wanted_versions() if set(wanted_versions()) & set(server_versions()) else (EMBEDDED,)
        metafunc.parametrize("server_version", versions)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """After the long tests, print every figure once more, together."""
    if figures and not config.option.markexpr.startswith("not "):
        terminalreporter.section("what was counted")
        for line in figures:
            terminalreporter.write_line(line)
