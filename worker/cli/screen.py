"""Output for a terminal, on standard error: a progress bar per track and a closing table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

    from worker.render.produce import OnProgress


@dataclass(frozen=True)
class Row:
    """One finished track of the closing table; loudness and peak as measured on the decoded file."""

    file: Path
    length_s: float
    integrated_lufs: float
    true_peak_dbtp: float
    seconds: float

    @classmethod
    def of(cls, figures: Mapping[str, Any], file: Path, seconds: float) -> Row:
        """Take the figures of a report's JSON; silence has a loudness and a peak of -inf."""
        lufs, dbtp = figures["integrated_lufs"], figures["true_peak_dbtp"]
        return cls(
            file=file,
            length_s=figures["frames"] / figures["sample_rate_hz"],
            integrated_lufs=-math.inf if lufs is None else lufs,
            true_peak_dbtp=-math.inf if dbtp is None else dbtp,
            seconds=seconds,
        )


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[Bars]:
    """Show bars while the block runs; nothing at all when `quiet`."""
    if quiet:
        yield Bars(None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.fields[name]:<28.28}"),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[stage]:<28.28}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        yield Bars(progress)


class Bars:
    """Progress bars by track name, if anybody watches."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def track(self, name: str) -> OnProgress:
        """Add a bar and return what moves it."""
        if self._progress is None:
            return lambda stage, done: None
        progress = self._progress
        bar = progress.add_task("", total=1.0, name=name, stage="waiting")

        def on_progress(stage: str, fraction: float) -> None:
            progress.update(bar, completed=fraction, stage=stage)

        return on_progress


def closing_table(rows: Sequence[Row]) -> None:
    """Print what was made: file, length, loudness, peak, time taken."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("file", overflow="fold")
    for heading in ("length", "LUFS", "dBTP", "seconds", "× real time"):
        table.add_column(heading, justify="right")
    for row in rows:
        minutes, seconds = divmod(row.length_s, 60)
        table.add_row(
            str(row.file),
            f"{minutes:.0f}:{seconds:06.3f}",
            f"{row.integrated_lufs:.2f}",
            f"{row.true_peak_dbtp:.2f}",
            f"{row.seconds:.2f}",
            f"{row.length_s / row.seconds:.0f}",
        )
    Console(stderr=True).print(table)
