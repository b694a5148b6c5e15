"""Output for people, on standard error: how far each track is, and a closing table."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from worker.render.stages import PASSING

if TYPE_CHECKING:
    from worker.render.progress import OnProgress
    from worker.tasks.render_task import Row

_NARROW: Final = 64  # columns: below, the table of figures leaves out how long it took


class AddBar(Protocol):
    """Adds a track to the screen, and returns what moves its bar."""

    def __call__(self, name: str, *, length_s: float | None = None) -> OnProgress:
        """`name` is any text; the track's length, where it is known, gives its speed."""


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[AddBar]:
    """Show, on standard error, how far tracks are, while the block runs; yields what adds one.

    On a terminal a bar for each, elsewhere a line for each stage. A track waits until it is reported on;
    `worker.cli.bars.FAILED` as its stage says that it will not be made.
    """
    if quiet:
        yield lambda _name, *, length_s=None: lambda _stage, _fraction: None
        return
    from worker.cli.terminal import console as console_of

    console = console_of(stderr=True)
    if sys.stderr.isatty() and not console.is_dumb_terminal:
        from rich.live import Live

        from worker.cli.bars import FAILED, Bar, BarsView

        bars: list[Bar] = []

        def add_bar(name: str, *, length_s: float | None = None) -> OnProgress:
            bars.append(Bar(name, length_s))
            return bars[-1].update

        with Live(BarsView(bars), console=console, refresh_per_second=8):
            try:
                yield add_bar
            except Exception:
                for bar in bars:
                    if not bar.is_waiting:
                        bar.update(FAILED, bar.fraction)
                raise
    else:
        yield _lines


def _lines(name: str, *, length_s: float | None = None) -> OnProgress:
    """Print a line when a stage begins, and one at the end."""
    from worker.cli.bars import Bar, summary
    from worker.masks import for_terminal

    bar, printed = Bar(name, length_s), ""

    def update(stage: str, fraction: float) -> None:
        nonlocal printed
        if bar.is_over:
            return
        bar.update(stage, fraction)
        if bar.is_over:
            says = summary(bar)
        elif stage and stage != printed and stage not in PASSING:
            says, printed = f"{stage} ({int(100 * fraction)} %)", stage
        else:
            return
        print(f"{for_terminal(name)}: {for_terminal(says)}", file=sys.stderr, flush=True)

    return update


def as_document(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What the closing table says, for JSON; the keys are an interface."""
    return [
        {
            "file": str(row.file),
            "length_s": row.figures["frames"] / row.figures["sample_rate_hz"],
            "integrated_lufs": row.figures["integrated_lufs"],
            "true_peak_dbtp": row.figures["true_peak_dbtp"],
            "seconds": row.seconds,
            "notes": list(row.figures.get("notes", ())),
        }
        for row in rows
    ]


def closing_table(rows: Sequence[Row], *, failed: Sequence[str] = ()) -> None:
    """Print what was made: file, length, loudness, peak, time taken; and which jobs failed."""
    from rich.table import Table

    from worker.cli.terminal import console, words

    screen = console(stderr=True)
    headings = ("length", "LUFS", "dBTP", "seconds", "× real time")
    shown = headings if screen.width >= _NARROW else headings[:2]
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("file", overflow="fold")
    for heading in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        length_s = row.figures["frames"] / row.figures["sample_rate_hz"]
        minutes, seconds = divmod(length_s, 60)
        lufs, dbtp = row.figures["integrated_lufs"], row.figures["true_peak_dbtp"]  # None: silence
        figures = (
            f"{minutes:.0f}:{seconds:06.3f}",
            "-inf" if lufs is None else f"{lufs:.2f}",
            "-inf" if dbtp is None else f"{dbtp:.2f}",
            f"{row.seconds:.2f}",
            f"{length_s / row.seconds:.0f}",
        )
        table.add_row(words(row.file), *figures[: len(shown)])
    for name in failed:
        table.add_row(words(name), words("failed", style="red"))
    screen.print(table)
