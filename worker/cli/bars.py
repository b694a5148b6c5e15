"""Progress bars: what is known of each track that is being made, and how a terminal of any width shows it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from worker.cli.terminal import length, words

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

FAILED: Final = "failed"
"""The stage to report of a track that will not be made."""

_FORETOLD_FROM: Final = 0.05  # of the work: with less done, the time that is left is a guess
_FORETOLD_AFTER_S: Final = 1.5
_STEADY_S: Final = 2.0  # a new estimate of the end replaces the one before in about this time
_LEAST_LEFT_S: Final = 1.0
# From how many columns of the terminal on each part of a line is shown.
_NAME_WIDTHS: Final = ((100, 28), (70, 20), (50, 16), (0, 14))
_BAR_FROM, _STAGE_FROM, _CLOCK_FROM, _SPEED_FROM, _LEFT_FROM = 56, 80, 96, 108, 34


@dataclass
class Bar:
    """One track: how much of its work is done, since when, and when it is expected to end.

    Its clock starts with the first report of its work, and stands once it is done or has failed.

    Parameters
    ----------
    length_s : float or None
        Of the track, where that is known; its speed follows from it.
    """

    name: str
    length_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    stage: str = ""
    fraction: float = 0.0
    _started_at: float | None = field(default=None, init=False)
    _stopped_at: float | None = field(default=None, init=False)
    _ends_at: float | None = field(default=None, init=False)
    _told_at: float = field(default=0.0, init=False)

    def update(self, stage: str, fraction: float) -> None:
        """Take a report: `worker.render.progress.OnProgress`."""
        now = self.clock()
        if self._started_at is None:
            self._started_at = self._told_at = now
        if self._stopped_at is not None:
            return
        self.stage = stage
        if fraction > self.fraction:
            self.fraction = min(fraction, 1.0)
            self._foretell(now)
        if self.fraction >= 1.0 or stage == FAILED:
            self._stopped_at = now

    @property
    def is_waiting(self) -> bool:
        """Whether its work has not begun."""
        return self._started_at is None

    @property
    def is_over(self) -> bool:
        """Whether it is done, or has failed."""
        return self._stopped_at is not None

    @property
    def elapsed_s(self) -> float | None:
        """How long it has been worked on; None while it waits."""
        if self._started_at is None:
            return None
        return (self.clock() if self._stopped_at is None else self._stopped_at) - self._started_at

    @property
    def left_s(self) -> float | None:
        """How long it will still take; None while that is a guess, and when it is over."""
        elapsed_s = self.elapsed_s
        if self.is_over or self._ends_at is None or elapsed_s is None:
            return None
        if self.fraction < _FORETOLD_FROM or elapsed_s < _FORETOLD_AFTER_S:
            return None
        left_s = self._ends_at - self.clock()
        return left_s if left_s >= _LEAST_LEFT_S else None

    @property
    def speed(self) -> float | None:
        """How many seconds of the track are made in one; None while that is a guess."""
        elapsed_s = self.elapsed_s
        if self.length_s is None or not elapsed_s or self.stage == FAILED:
            return None
        if not self.is_over and (self.fraction < _FORETOLD_FROM or elapsed_s < _FORETOLD_AFTER_S):
            return None
        return self.length_s * self.fraction / elapsed_s

    def _foretell(self, now: float) -> None:
        """Bring the expected end nearer to where what is done by now puts it; at once where there was none."""
        assert self._started_at is not None  # noqa: S101 - `update` has set it
        ends_at = self._started_at + (now - self._started_at) / self.fraction
        weight = 1.0 - math.exp(-(now - self._told_at) / _STEADY_S)
        if self._ends_at is None or now - self._started_at < _FORETOLD_AFTER_S:
            weight = 1.0
        self._ends_at = ends_at if self._ends_at is None else self._ends_at + weight * (ends_at - self._ends_at)
        self._told_at = now


class BarsView:
    """All bars, as wide and as high as the terminal is at the moment; what has no room is left out, or counted."""

    def __init__(self, bars: Sequence[Bar]) -> None:
        self._bars = bars

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        most = max(1, options.size.height - 2)
        shown, hidden = list(self._bars), 0
        if len(shown) > most:
            # what runs comes first, then what ended last, then what begins next
            running = [bar for bar in shown if not bar.is_waiting and not bar.is_over]
            ended = [bar for bar in shown if bar.is_over]
            waiting = [bar for bar in shown if bar.is_waiting]
            rest = max(0, most - 1 - len(running))
            chosen = {id(bar) for bar in [*running, *ended[::-1][: rest // 2], *waiting][: most - 1]}
            hidden = len(shown) - len(chosen)
            shown = [bar for bar in shown if id(bar) in chosen]
        if shown:
            yield bars_table(shown, options.max_width)
        if hidden:
            done = sum(bar.is_over for bar in self._bars)
            yield Text(f"{done} of {len(self._bars)} are over, {hidden} not shown"[: options.max_width])


def bars_table(bars: Sequence[Bar], width: int) -> Table:
    """A line for each bar, with the columns for which `width` has room."""
    table = Table.grid(padding=(0, 1, 0, 0), expand=True)
    name_width = next(most for from_, most in _NAME_WIDTHS if width >= from_)
    table.add_column(no_wrap=True, overflow="ellipsis", width=min(name_width, max(map(_name_width, bars))))
    if width >= _BAR_FROM:
        table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right", width=5)
    if width >= _STAGE_FROM:
        table.add_column(no_wrap=True, overflow="ellipsis", width=27)
    if width >= _CLOCK_FROM:
        table.add_column(no_wrap=True, justify="right", width=5)
    if width >= _LEFT_FROM:
        table.add_column(no_wrap=True, overflow="ellipsis", justify="right", width=13)
    if width >= _SPEED_FROM:
        table.add_column(no_wrap=True, justify="right", width=7)
    for bar in bars:
        cells: list[Text | ProgressBar] = [words(bar.name)]
        if width >= _BAR_FROM:
            cells.append(ProgressBar(total=1.0, completed=bar.fraction))
        cells.append(Text("" if bar.is_waiting else f"{math.floor(100 * bar.fraction)} %"))
        if width >= _STAGE_FROM:
            cells.append(words("done" if bar.fraction >= 1.0 else bar.stage))
        if width >= _CLOCK_FROM:
            cells.append(Text(length(bar.elapsed_s)))
        if width >= _LEFT_FROM:
            cells.append(Text(_state(bar)))
        if width >= _SPEED_FROM:
            cells.append(Text("" if bar.speed is None else f"{_figure(bar.speed)} ×"))
        table.add_row(*cells)
    return table


def time_left(seconds: float) -> str:
    """How long something will take, in steps that do not flicker: 7 s, 45 s, 4 min, 1 h 10 min."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return f"{5 * round(seconds / 5)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60 // 10 * 10} min"


def summary(bar: Bar) -> str:
    """What a bar that is over says, such as: done in 3.8 s, 32 × real time."""
    if bar.stage == FAILED or bar.elapsed_s is None:
        return FAILED
    speed = "" if bar.speed is None else f", {_figure(bar.speed)} × real time"
    return f"done in {bar.elapsed_s:.1f} s{speed}"


def _name_width(bar: Bar) -> int:
    return words(bar.name).cell_len


def _state(bar: Bar) -> str:
    """The one thing to know of a bar beside its percent: that it waits, how long it still takes, how long it took."""
    if bar.is_waiting:
        return "waiting"
    if bar.stage == FAILED:
        return FAILED
    if bar.is_over:
        return f"in {length(bar.elapsed_s)}"
    return "" if bar.left_s is None else f"{time_left(bar.left_s)} left"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
