"""A studio for each test that wants one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from studio_server import OpenStudio, open_studio

from worker.config import Config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Settings without keys, and a cache of the test's own."""
    return Config(cache_dir=tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The studio's folder."""
    made = tmp_path / "studio"
    made.mkdir()
    return made


@pytest.fixture
def studio(folder: Path, config: Config) -> Iterator[OpenStudio]:
    """A running studio."""
    with open_studio(folder, config) as opened:
        yield opened
