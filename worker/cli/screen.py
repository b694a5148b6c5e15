"""Output for a terminal, on standard error: a progress bar per track and a closing table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.printable import printable

if TYPE_CHECKING:
    from worker.render.produce import OnProgress


@dataclass(frozen=True)
class Row:
    """One finished track of the closing table: its report's JSON, and the seconds that it took to make."""

    file: Path
    figures: Mapping[str, Any]
    seconds: float


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[Callable[[str], OnProgress]]:
    """Show bars while the block runs; yields what adds one by a track's name, and returns what moves it."""
    if quiet:
        yield lambda _name: lambda _stage, _fraction: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.fields[name]:<28.28}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[stage]:<28.28}", markup=False),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:

        def add(name: str) -> OnProgress:
            bar = progress.add_task("", total=1.0, name=printable(name), stage="waiting")
            return lambda stage, fraction: progress.update(bar, completed=fraction, stage=stage)

        yield add


def closing_table(rows: Sequence[Row]) -> None:
    """Print what was made: file, length, loudness, peak, time taken."""
    from rich.console import Console
    from rich.table import Table

    from worker.cli.terminal import words

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("file", overflow="fold")
    for heading in ("length", "LUFS", "dBTP", "seconds", "× real time"):
        table.add_column(heading, justify="right")
    for row in rows:
        length_s = row.figures["frames"] / row.figures["sample_rate_hz"]
        minutes, seconds = divmod(length_s, 60)
        lufs, dbtp = row.figures["integrated_lufs"], row.figures["true_peak_dbtp"]  # None: silence
        table.add_row(
            words(row.file),
            f"{minutes:.0f}:{seconds:06.3f}",
            "-inf" if lufs is None else f"{lufs:.2f}",
            "-inf" if dbtp is None else f"{dbtp:.2f}",
            f"{row.seconds:.2f}",
            f"{length_s / row.seconds:.0f}",
        )
    Console(stderr=True).print(table)
