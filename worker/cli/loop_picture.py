"""The picture of `inspect --loop`: the piece with what is repeated of it, and loudness and spectrum across the seam."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from dsp.blocks import spans
from dsp.loudness import measure, momentary_lufs, short_term_lufs
from worker.inspect.picture import (
    DPI,
    GRID,
    INK,
    PAPER,
    SOFT,
    TARGET,
    VOICE,
    WAVE,
    beside,
    heading,
    named_axes,
    save,
    spectrogram,
    style,
    thinned,
    time_axis,
)
from worker.inspect.seam import around_seam
from worker.inspect.waveform import WaveformBuilder
from worker.inspect.words import clock, signed
from worker.payload.schema import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from worker.cli.inspect_loop import InspectedLoop

_SIZE_INCHES = (12.0, 9.0)
_AROUND_S = 8.0
_ALLOWED_LU = 2.0
_DRAWN_LU = 14.0  # below the range


def draw_loop(out: Path, inspected: InspectedLoop, *, title: str) -> None:
    """Draw a piece of music and its seam as a PNG file."""
    from matplotlib.figure import Figure

    loop = inspected.loop
    figures = (
        f"loops from {clock(loop.start / SAMPLE_RATE_HZ, 1)} to {clock(loop.stop / SAMPLE_RATE_HZ, 1)}",
        f"crossfade {loop.crossfade_frames / SAMPLE_RATE_HZ:.2f} s",
        f"spectra {inspected.found.difference_db:.1f} dB apart",
        f"seam {signed(inspected.seam.lowest_lufs, '')}to {signed(inspected.seam.highest_lufs, 'LUFS')}",
    )
    with style(title):
        figure = Figure(figsize=_SIZE_INCHES, dpi=DPI, facecolor=PAPER)
        grid = figure.add_gridspec(
            4, 1, height_ratios=(1.1, 1.0, 1.3, 2.0), left=0.062, right=0.83, top=0.885, bottom=0.045, hspace=0.28
        )
        piece, course, seam, spectrum = (figure.add_subplot(grid[row]) for row in range(4))
        heading(figure, title, "  ·  ".join(figures), tall=_SIZE_INCHES[1])
        _piece(piece, inspected)
        _course(course, inspected)
        for axes in (piece, course):
            time_axis(axes, inspected.clip.frames / SAMPLE_RATE_HZ, labelled=axes is course)
        _seam(seam, spectrum, inspected)
        save(figure, out)


def _piece(axes: Any, inspected: InspectedLoop) -> None:
    builder = WaveformBuilder(SAMPLE_RATE_HZ)
    for first, last in spans(0, inspected.clip.frames):
        builder.add(inspected.clip.read(first, last))
    drawn = builder.result()
    lows, highs = drawn.lows.min(axis=1), drawn.highs.max(axis=1)
    times = (np.arange(len(lows)) + 0.5) * drawn.wave_s
    start, stop = inspected.loop.start / SAMPLE_RATE_HZ, inspected.loop.stop / SAMPLE_RATE_HZ
    for inside, colour in ((times < start, VOICE), ((times >= start) & (times < stop), WAVE), (times >= stop, GRID)):
        axes.fill_between(times, lows, highs, where=inside, color=colour, linewidth=0.3)
    reach = max(0.05, 1.12 * float(max(drawn.highs.max(), -drawn.lows.min())))
    axes.set_ylim(-reach, reach)
    axes.set_yticks([])
    _crossfades(axes, inspected)
    named_axes(axes, "The piece")
    for height, word, colour in ((0.75, "heard once", VOICE), (0.5, "repeated", WAVE), (0.25, "left out", SOFT)):
        beside(axes, height, word, colour)


def _course(axes: Any, inspected: InspectedLoop) -> None:
    values = short_term_lufs(inspected.energies)
    times, values = thinned(np.arange(len(values)) / 10.0 + 1.5, np.maximum(values, -70.0))
    axes.plot(times, values, color=INK, linewidth=1.3, solid_joinstyle="round")
    _crossfades(axes, inspected)
    _levels(axes, inspected)
    named_axes(axes, "Its short-term loudness, LUFS")


def _crossfades(axes: Any, inspected: InspectedLoop) -> None:
    loop = inspected.loop
    for at in (loop.start, loop.stop - loop.crossfade_frames):
        axes.axvspan(
            at / SAMPLE_RATE_HZ, (at + loop.crossfade_frames) / SAMPLE_RATE_HZ, color=TARGET, alpha=0.6, linewidth=0.8
        )


def _levels(axes: Any, inspected: InspectedLoop) -> None:
    """The range of the part that is repeated, and 2 LU around it."""
    low, high = inspected.seam.low_lufs, inspected.seam.high_lufs
    axes.axhspan(low - _ALLOWED_LU, high + _ALLOWED_LU, color=WAVE, alpha=0.07, linewidth=0)
    axes.axhspan(low, high, color=WAVE, alpha=0.10, linewidth=0)
    axes.set_ylim(low - _DRAWN_LU, high + 6.0)
    axes.yaxis.set_major_locator(mpl.ticker.MultipleLocator(6))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0f}".replace("-", "−"))
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    beside(axes, 0.62, "range, ± 2 LU", WAVE)


def _seam(level: Any, spectrum: Any, inspected: InspectedLoop) -> None:
    """What is heard around the seam, which begins at 0."""
    music = inspected.music
    around = min(round(_AROUND_S * SAMPLE_RATE_HZ), music.first_seam + music.period_frames)
    sound = around_seam(music, around)
    begins_s, crossfade_s = -around / SAMPLE_RATE_HZ, music.crossfade_frames / SAMPLE_RATE_HZ
    energies = measure([sound], SAMPLE_RATE_HZ).energies
    for values, length_s, colour, width in (
        (momentary_lufs(energies), 0.4, "#b9cbd6", 0.9),
        (short_term_lufs(energies), 3.0, INK, 1.5),
    ):
        level.plot(begins_s + np.arange(len(values)) / 10.0 + length_s / 2, values, color=colour, linewidth=width)
    _levels(level, inspected)
    named_axes(level, "At the seam (0 s): loudness of 3 s and of 0.4 s, LUFS")
    builder = WaveformBuilder(SAMPLE_RATE_HZ)
    builder.add(sound)
    spectrogram(spectrum, builder.result(), channel=None, from_s=begins_s)
    named_axes(spectrum, "Spectrum, Hz")
    for axes in (level, spectrum):
        axes.axvspan(0.0, crossfade_s, color=TARGET, alpha=0.18, linewidth=0)
        axes.set_xlim(begins_s, begins_s + len(sound) / SAMPLE_RATE_HZ)
        axes.tick_params(colors=SOFT, length=3, width=0.8, labelsize=8.5)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    beside(level, 0.35, "crossfade", TARGET)
