"""Fixtures for every test: a real Postgres, started once (`tests/database.py`)."""

from __future__ import annotations

import pytest
from database import databases, empty_dsn, leased_dsn, postgres, server_folder
from figures import figures

__all__ = ["databases", "empty_dsn", "leased_dsn", "postgres", "server_folder"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """After the long tests, print every figure once more, together."""
    if figures and not config.option.markexpr.startswith("not "):
        terminalreporter.section("what was counted")
        for line in figures:
            terminalreporter.write_line(line)
