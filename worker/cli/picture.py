"""The picture of a track: waveform with the voice marked, loudness against the target, spectrogram with tones named."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from dsp.loudness import Energies, momentary_lufs, short_term_lufs
from worker.cli.inspect import Span, beat_in_words, clock, hertz
from worker.inspect.inspection import Inspection
from worker.inspect.waveform import HIGHEST_HZ, LOWEST_HZ, Waveform

PAPER, INK, SOFT, GRID = "#fbfaf7", "#24303d", "#7d8793", "#e4e2dc"
WAVE, VOICE, TARGET = "#3f6c8f", "#d98032", "#b23a48"
SKY = ("#fbfaf7", "#dce6ea", "#a9c4d0", "#6a98b3", "#3f6c8f", "#274a6b", "#152a43")
_SIZE_INCHES, DPI = (12.0, 7.4), 110
_LOUDEST_DB, _RANGE_DB = -20.0, 75.0
_MOST_TONES = 8
_COLOURS = 128
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)

mpl.use("agg")


def draw(
    out: Path,
    *,
    title: str,
    subtitle: str,
    drawn: Waveform,
    energies: Energies,
    result: Inspection,
    voice: Sequence[Span],
    target_lufs: float | None,
) -> None:
    """Draw a picture of a track as a PNG file.

    Parameters
    ----------
    out : Path
    title, subtitle : str
    drawn : Waveform
        Waveform and spectrogram.
    energies : float32 array
        Of the loudness meter, a value every 100 ms.
    result : Inspection
        Tones and beats to name.
    voice : sequence of (start, stop)
        In seconds.
    target_lufs : float or None
        None draws the track's own integrated loudness instead.
    """
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9, "axes.edgecolor": GRID, "axes.linewidth": 0.8}):
        figure = Figure(figsize=_SIZE_INCHES, dpi=DPI, facecolor=PAPER)
        grid = figure.add_gridspec(
            3, 1, height_ratios=(1.15, 1.0, 2.6), left=0.062, right=0.83, top=0.862, bottom=0.06, hspace=0.16
        )
        wave, loudness, spectrum = (figure.add_subplot(grid[row]) for row in range(3))
        figure.text(0.062, 0.957, title, fontsize=15, fontweight="bold", color=INK, va="center")
        figure.text(0.062, 0.92, subtitle, fontsize=9.5, color=SOFT, va="center")
        _wave(wave, drawn, voice)
        _loudness(loudness, energies, result, target_lufs)
        _spectrum(spectrum, drawn, result)
        for axes in (wave, loudness, spectrum):
            time_axis(axes, result.duration_s, labelled=axes is spectrum)
        save(figure, out)


def save(figure: Any, out: Path) -> None:
    """Write a PNG; a palette holds all of the few colours, in a third of the size."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=PAPER)
    with Image.open(buffer) as image:
        few = image.convert("RGB").quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(out, format="PNG", optimize=True)


def _wave(axes: Any, drawn: Waveform, voice: Sequence[Span]) -> None:
    times = (np.arange(len(drawn.lows)) + 0.5) * drawn.wave_s
    spoken = np.zeros(len(times), bool)
    for start, stop in voice:
        spoken |= (times >= start - drawn.wave_s / 2) & (times <= stop + drawn.wave_s / 2)
    axes.fill_between(times, drawn.lows, drawn.highs, color=WAVE, linewidth=0.3)
    if spoken.any():
        axes.fill_between(times, drawn.lows, drawn.highs, where=spoken, color=VOICE, linewidth=0.3)
    reach = max(0.05, 1.12 * float(max(drawn.highs.max(), -drawn.lows.min())))
    for start, stop in voice:
        axes.axvspan(start, stop, color=VOICE, alpha=0.10, linewidth=0)
    axes.set_ylim(-reach, reach)
    axes.set_yticks([])
    named(axes, "Waveform")
    if voice:
        beside(axes, 0.62, "voice", VOICE)
        beside(axes, 0.38, "music and tones", WAVE)


def _loudness(axes: Any, energies: Energies, result: Inspection, target_lufs: float | None) -> None:
    floor = -60.0
    for values, length_s, colour, width in (
        (momentary_lufs(energies), 0.4, "#b9cbd6", 0.7),
        (short_term_lufs(energies), 3.0, INK, 1.5),
    ):
        times = np.arange(len(values)) / 10.0 + length_s / 2
        times, values = thinned(times, np.maximum(values, floor))
        axes.plot(times, values, color=colour, linewidth=width, solid_joinstyle="round")
    line = target_lufs if target_lufs is not None else result.integrated_lufs
    beside(axes, 0.0, "momentary", "#8fabbb", offset=8)
    if line is not None:
        axes.axhline(line, color=TARGET, linewidth=1.1, dashes=(5, 3))
        words = f"{'target' if target_lufs is not None else 'integrated'} {line:.0f} LUFS".replace("-", "−")
        if target_lufs is None:
            words = f"integrated {line:.1f} LUFS".replace("-", "−")
        axes.annotate(
            words, (1, line), xycoords=("axes fraction", "data"), xytext=(10, 0), textcoords="offset points",
            va="center", color=TARGET, fontsize=9, annotation_clip=False,
        )  # fmt: skip
        axes.set_ylim(line - 16.0, max(line + 7.0, (result.max_momentary_lufs or line) + 1.0))
    axes.yaxis.set_major_locator(mpl.ticker.MultipleLocator(6))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0f}".replace("-", "−"))
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    named(axes, "Short-term loudness, LUFS")


def thinned(times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """No more points than can be seen: the mean of a few."""
    step = max(1, len(values) // 1500)
    count = len(values) // step * step
    return times[:count].reshape(-1, step).mean(axis=1), values[:count].reshape(-1, step).mean(axis=1)


def _spectrum(axes: Any, drawn: Waveform, result: Inspection) -> None:
    spectrogram(axes, drawn)
    _name_tones(axes, result)


def spectrogram(axes: Any, drawn: Waveform, *, from_s: float = 0.0) -> None:
    """Draw levels by time and frequency."""
    from matplotlib.colors import LinearSegmentedColormap

    sky = LinearSegmentedColormap.from_list("sky", SKY)
    top = max(_LOUDEST_DB - 20.0, float(np.percentile(drawn.levels_db, 99.7)))
    columns, rows = drawn.levels_db.shape
    axes.pcolorfast(
        from_s + np.arange(columns + 1) * drawn.spectrum_s,
        np.linspace(np.log2(LOWEST_HZ), np.log2(HIGHEST_HZ), rows + 1),
        drawn.levels_db.T,
        cmap=sky,
        vmin=top - _RANGE_DB,
        vmax=top,
    )
    axes.set_ylim(np.log2(LOWEST_HZ), np.log2(HIGHEST_HZ))
    ticks = (50, 100, 200, 500, 1000, 2000, 5000, 10_000)
    axes.set_yticks(np.log2(ticks), ["50", "100", "200", "500", "1k", "2k", "5k", "10k"])
    named(axes, "Spectrum, Hz")


def _name_tones(axes: Any, result: Inspection) -> None:
    """Labels beside the spectrogram, each joined to its tone by a thin line, and far enough from each other."""
    labels = _labels(result)
    if not labels:
        return
    low, high = axes.get_ylim()
    line = 0.06 * (high - low)
    starts = [float(np.log2(hz)) for hz, _ in labels]
    tall = [line * (1 + text.count("\n")) for _, text in labels]
    for _ in range(100):  # neighbours push each other apart until all have room
        for one in range(len(starts) - 1):
            missing = (tall[one] + tall[one + 1]) / 2 - (starts[one + 1] - starts[one])
            if missing > 0:
                starts[one] -= missing / 2
                starts[one + 1] += missing / 2
    for start, (hz, text) in zip(starts, labels, strict=True):
        axes.annotate(
            text, (1, np.log2(hz)), xycoords=("axes fraction", "data"), xytext=(1.025, start),
            textcoords=("axes fraction", "data"), va="center", color=INK, fontsize=9, linespacing=1.35,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": TARGET, "linewidth": 0.9, "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 0
            },
        )  # fmt: skip


def _labels(result: Inspection) -> list[tuple[float, str]]:
    """What to name, from low to high: beats first, then the tones that are not part of one."""
    labels = [((beat.low_hz + beat.high_hz) / 2, beat_in_words(beat).replace(": ", "\n")) for beat in result.beats[:2]]
    in_beats = {round(hz, 1) for beat in result.beats for hz in (beat.low_hz, beat.high_hz)}
    seen: set[float] = set()
    for ear, tones in result.tones.items():
        for tone in tones:
            key = round(tone.hz, 1)
            if key in in_beats or key in seen:
                continue
            seen.add(key)
            other = result.tones["right" if ear == "left" else "left"]
            sides = "" if any(round(twin.hz, 1) == key for twin in other) else f"{ear[0].upper()} "
            whole = tone.from_s < 1.0 and tone.to_s > result.duration_s - 25.0
            when = "" if whole else f"  {clock(tone.from_s)}–{clock(tone.to_s)}"
            labels.append((tone.hz, f"{sides}{hertz(tone.hz)} Hz{when}"))
    return sorted(labels[:_MOST_TONES])


def time_axis(axes: Any, seconds: float, *, labelled: bool) -> None:
    """From 0 on, in minutes and seconds; labelled below the lowest of several axes."""
    step = next((step for step in _STEPS_S if seconds / step <= 10), 7200)
    ticks = np.arange(0, seconds + step * 0.01, step)
    axes.set_xlim(0, seconds)
    axes.set_xticks(ticks, [clock(tick) for tick in ticks] if labelled else [""] * len(ticks))
    axes.tick_params(colors=SOFT, length=3 if labelled else 0, width=0.8, labelsize=8.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def named(axes: Any, name: str) -> None:
    """A name above the axes."""
    axes.set_title(name, loc="left", fontsize=9.5, color=INK, pad=4)
    axes.set_facecolor(PAPER)


def beside(axes: Any, height: float, text: str, colour: str, *, offset: float = 0.0) -> None:
    """A word to the right of the axes, at a part of their height."""
    axes.annotate(
        text, (1, height), xycoords="axes fraction", xytext=(10, offset), textcoords="offset points", va="center",
        color=colour, fontsize=9, annotation_clip=False,
    )  # fmt: skip
