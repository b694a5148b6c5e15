"""`make sound`: every promise about sound, measured on delivered files.

    python -m benchmarks.sound [--only WORD ...] [--ffmpeg PROGRAM] [--json FILE]

Exit status 1 if one is not kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from loguru import logger
from rich.console import Console
from rich.table import Table

from benchmarks.environment import environment
from benchmarks.sound import again, bounded, coding, levels, loops, meters, places, tones
from benchmarks.sound.programmes import record
from benchmarks.sound.room import Room
from benchmarks.sound.row import Row


def measured(room: Room, only: list[str], say: Callable[[str], None]) -> list[Row]:
    """All rows whose key is asked for, in the table's order."""
    made = record(room.folder)
    steps: dict[str, Callable[[], Row | tuple[Row, ...]]] = {
        "frequency": tones.frequency,
        "purity": tones.purity,
        "loudness": lambda: levels.loudness_and_peak(room, made, say),
        "meter": lambda: meters.meter(made),
        "length": lambda: places.length(room),
        "balance": lambda: levels.balance(room, made),
        "bounds": lambda: bounded.bounded(room, made, say),
        "repetitions": lambda: places.repetitions(room, made),
        "loop": lambda: (places.loop(room, made), loops.loop_levels(room)),
        "separation": lambda: tones.separation(room),
        "repeatability": lambda: again.repeatability(room, made),
        "generations": lambda: again.generations(room, made),
        "coding": lambda: coding.coding(room, say),
    }
    rows: list[Row] = []
    for key, step in steps.items():
        if only and key not in only:
            continue
        started = time.perf_counter()
        found = step()
        rows += found if isinstance(found, tuple) else (found,)
        say(f"{key}: {time.perf_counter() - started:.0f} s")
    return rows


def table(rows: list[Row]) -> Table:
    """Draw the rows."""
    drawn = Table(title="Sound", show_lines=True)
    for heading in ("what", "figure", "measured", "kept"):
        drawn.add_column(heading)
    for row in rows:
        drawn.add_row(
            row.what, row.figure, row.measured, "yes" if row.kept else "NO", style=None if row.kept else "bold red"
        )
    return drawn


def main() -> int:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sound", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="frequency, purity, loudness, meter, …")
    parser.add_argument("--ffmpeg", metavar="PROGRAM", help="default: the one the worker would take")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement here")
    options = parser.parse_args()
    logger.remove()
    log = Console(stderr=True, style="dim", highlight=False)
    console = Console(width=None if sys.stdout.isatty() else 150)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="sound-") as folder:
        room = Room.at(Path(folder), options.ffmpeg)
        facts = environment(room.ffmpeg)
        rows = measured(room, options.only, log.print)
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), style="dim", highlight=False)
    console.print(table(rows), highlight=False)
    for row in rows:
        for name in row.missed:
            console.print(f"missed: {row.what}: {name}", highlight=False)
    log.print(f"{time.perf_counter() - started:.0f} s")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"environment": facts, "rows": [asdict(row) for row in rows]}, indent=2))
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
