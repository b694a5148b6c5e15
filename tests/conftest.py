"""Fixtures for every test: a real Postgres, started once (`tests/database.py`)."""

from __future__ import annotations

from database import databases, empty_dsn, leased_dsn, postgres, server_folder

__all__ = ["databases", "empty_dsn", "leased_dsn", "postgres", "server_folder"]
