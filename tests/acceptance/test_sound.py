"""The promises about sound, measured on delivered files by `benchmarks.sound`: each row of its table is kept."""

from __future__ import annotations

import pytest
from loguru import logger

from benchmarks.sound.__main__ import measured
from benchmarks.sound.room import Room

KEYS = (
    "frequency",
    "purity",
    "loudness",
    "meter",
    "length",
    "balance",
    "bounds",
    "repetitions",
    "loop",
    "separation",
    "repeatability",
    "generations",
    "coding",
)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    logger.remove()
    return Room.at(tmp_path_factory.mktemp("sound"), None)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("key", KEYS)
def test_a_promise_about_sound_is_kept(room: Room, key: str) -> None:
    rows = measured(room, [key], print)
    assert rows
    for row in rows:
        assert row.kept, f"{row.what}: {row.measured}; missed by {', '.join(row.missed)}"
