"""The picture of a track: waveforms with the voice marked, loudness and target, spectra with tones named."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from dsp.k_weighting import Energies
from dsp.loudness import momentary_lufs, short_term_lufs
from worker.inspect.fonts import drawable, families, shortened
from worker.inspect.inspection import Inspection
from worker.inspect.lyrics import Span
from worker.inspect.named import Named
from worker.inspect.waveform import LOWEST_HZ, Waveform
from worker.inspect.words import clock
from worker.plan.sounding import SoundingSpan
from worker.printable import printable

PAPER, INK, SOFT, GRID = "#fbfaf7", "#24303d", "#7d8793", "#e4e2dc"
WAVE, VOICE, TARGET = "#3f6c8f", "#d98032", "#b23a48"
SKY = ("#fbfaf7", "#dce6ea", "#a9c4d0", "#6a98b3", "#3f6c8f", "#274a6b", "#152a43")
DPI = 110
_WIDE_INCHES = 12.0
_HEAD_INCHES, _FOOT_INCHES, _GAP_INCHES = 1.05, 0.42, 0.27
_WAVE_INCHES, _LOUDNESS_INCHES, _SPECTRUM_INCHES = 1.5, 1.25, 1.9
_LEFT, _RIGHT, _LABELS = 0.062, 0.80, 0.822  # of the width
_LANE_INCHES = 0.19
_LINE_INCHES, _LABEL_CHARACTERS = 0.165, 28
_LOUDEST_DB, _RANGE_DB = -20.0, 75.0
_COLOURS = 128
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)

_STYLE: Any = {"font.size": 9, "axes.edgecolor": GRID, "axes.linewidth": 0.8}
_TICKS = (
    (50, "50"),
    (100, "100"),
    (200, "200"),
    (500, "500"),
    (1000, "1k"),
    (2000, "2k"),
    (5000, "5k"),
    (10_000, "10k"),
)

mpl.use("agg")


def draw(
    out: Path,
    *,
    title: str,
    subtitle: str,
    drawn: Waveform,
    energies: Energies,
    result: Inspection,
    names: Sequence[Named],
    remarks: Sequence[str] = (),
    voice: Sequence[Span],
    layers: Mapping[str, Sequence[SoundingSpan]] | None = None,
    target_lufs: float | None,
) -> None:
    """Draw a picture of a track as a PNG file.

    Parameters
    ----------
    out : Path
    title, subtitle : str
        Text, of any writing; what no font has is drawn as a box. A title that is too long is shortened in the middle.
    drawn : Waveform
        Waveform and spectrogram of both channels; drawn once where they are the same.
    energies : float32 array
        Of the loudness meter, a value every 100 ms.
    result : Inspection
    names : sequence of Named
        Tones and beats, all of which are labelled: the picture grows where they need the room.
    remarks : sequence of str
        What else is to be said of the tones, below their labels.
    voice : sequence of (start, stop)
        In seconds.
    layers : mapping, optional
        By layer, when it sounds; drawn where one of them has several spans, or fades of its own.
    target_lufs : float or None
        None draws the track's own integrated loudness instead.
    """
    from matplotlib.figure import Figure

    channels = 1 if drawn.alike else 2
    lanes = layers if layers and any(_come_and_go(spans) for spans in layers.values()) else {}
    heights = [_WAVE_INCHES / channels] * channels + [_LOUDNESS_INCHES] + [_SPECTRUM_INCHES] * channels
    labels = _label_column(names, remarks)
    column = sum(heights[channels + 1 :]) + _GAP_INCHES * (channels - 1)
    grown = max(0.0, sum(label.tall for label in labels) - column)
    heights[channels + 1 :] = [height + grown / channels for height in heights[channels + 1 :]]
    if lanes:
        heights.insert(channels, _LANE_INCHES * len(lanes))
    tall = _HEAD_INCHES + sum(heights) + _GAP_INCHES * (len(heights) - 1) + _FOOT_INCHES
    with style("".join((title, subtitle, *lanes))):
        figure = Figure(figsize=(_WIDE_INCHES, tall), dpi=DPI, facecolor=PAPER)
        axes, top = [], tall - _HEAD_INCHES
        for height in heights:
            axes.append(figure.add_axes((_LEFT, (top - height) / tall, _RIGHT - _LEFT, height / tall)))
            top -= height + _GAP_INCHES
        waves, loudness, spectra = axes[:channels], axes[-1 - channels], axes[-channels:]
        heading(figure, title, subtitle, tall=tall)
        sides = ("both channels are the same",) if channels == 1 else ("left", "right")
        for channel, (wave, side) in enumerate(zip(waves, sides, strict=True)):
            _wave(wave, drawn, channel, voice)
            named_axes(wave, f"Waveform, {side}")
        if voice:
            beside(waves[0], 0.62, "voice", VOICE)
            beside(waves[0], 0.62 - 0.24 * channels, "music and tones", WAVE)
        if lanes:
            _lanes(axes[channels], lanes)
        _loudness(loudness, energies, result, target_lufs)
        for channel, (spectrum, side) in enumerate(zip(spectra, sides, strict=True)):
            spectrogram(spectrum, drawn, channel=channel)
            named_axes(spectrum, f"Spectrum, Hz, {side}")
        for each in axes:
            time_axis(each, result.duration_s, labelled=each is axes[-1])
        _place_labels(figure, spectra, labels, tall)
        save(figure, out)


def style(text: str) -> Any:
    """Sizes, colours and fonts of a picture with this text in it, as a context."""
    return mpl.rc_context({**_STYLE, "font.family": families(text)})


def heading(figure: Any, title: str, subtitle: str, *, tall: float) -> None:
    """Title and figures above a picture that is so many inches tall."""
    written = figure.text(
        _LEFT,
        1 - 0.36 / tall,
        drawable(title),
        fontsize=15,
        fontweight="bold",
        color=INK,
        va="center",
        parse_math=False,
    )
    whole = drawable(title)
    kept = len(whole)
    while written.get_window_extent().x1 > 0.985 * figure.bbox.width and kept > 8:
        kept = min(kept - 1, int(kept * 0.985 * figure.bbox.width / written.get_window_extent().x1) + 1)
        written.set_text(shortened(whole, kept))
    figure.text(_LEFT, 1 - 0.66 / tall, drawable(subtitle), fontsize=9.5, color=SOFT, va="center", parse_math=False)


def save(figure: Any, out: Path) -> None:
    """Write a PNG; a palette holds all of the few colours, in a third of the size."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=PAPER)
    with Image.open(buffer) as image:
        few = image.convert("RGB").quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(out, format="PNG", optimize=True)


def _wave(axes: Any, drawn: Waveform, channel: int, voice: Sequence[Span]) -> None:
    lows, highs = drawn.lows[:, channel], drawn.highs[:, channel]
    times = (np.arange(len(lows)) + 0.5) * drawn.wave_s
    spoken = np.zeros(len(times), bool)
    for start, stop in voice:
        spoken |= (times >= start - drawn.wave_s / 2) & (times <= stop + drawn.wave_s / 2)
    axes.fill_between(times, lows, highs, color=WAVE, linewidth=0.3)
    if spoken.any():
        axes.fill_between(times, lows, highs, where=spoken, color=VOICE, linewidth=0.3)
    for start, stop in voice:
        axes.axvspan(start, stop, color=VOICE, alpha=0.10, linewidth=0)
    reach = max(0.05, 1.12 * float(max(drawn.highs.max(), -drawn.lows.min())))  # the same for both, to compare them
    axes.set_ylim(-reach, reach)
    axes.set_yticks([])


def _come_and_go(spans: Sequence[SoundingSpan]) -> bool:
    """Whether a layer has several spans, or fades of its own."""
    return len(spans) > 1 or any(fade_in or fade_out for _, _, fade_in, fade_out in spans)


def _lanes(axes: Any, layers: Mapping[str, Sequence[SoundingSpan]]) -> None:
    """Draw when each layer sounds, and its fades, one below the other."""
    from matplotlib.collections import PolyCollection

    shapes = [
        [(start, lane + 0.85), (start + fade_in, lane + 0.15), (stop - fade_out, lane + 0.15), (stop, lane + 0.85)]
        for lane, spans in enumerate(layers.values())
        for start, stop, fade_in, fade_out in spans
    ]
    axes.add_collection(PolyCollection(shapes, facecolors=WAVE, alpha=0.55, linewidth=0))
    for lane, name in enumerate(layers):
        shown = drawable(shortened(printable(name), _LABEL_CHARACTERS))
        axes.annotate(
            shown, (1, lane + 0.5), xycoords=("axes fraction", "data"), xytext=(10, 0), textcoords="offset points",
            va="center", color=INK, fontsize=9, annotation_clip=False, parse_math=False,
        )  # fmt: skip
    axes.set_ylim(len(layers), 0)
    axes.set_yticks([])
    named_axes(axes, "Layers")


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
    named_axes(axes, "Short-term loudness, LUFS")


def thinned(times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """No more points than can be seen: the mean of a few."""
    step = max(1, len(values) // 1500)
    count = len(values) // step * step
    return times[:count].reshape(-1, step).mean(axis=1), values[:count].reshape(-1, step).mean(axis=1)


def spectrogram(axes: Any, drawn: Waveform, *, channel: int | None, from_s: float = 0.0) -> None:
    """Draw levels by time and frequency, of a channel or of the louder one; colours mean the same in both."""
    from matplotlib.colors import LinearSegmentedColormap

    sky = LinearSegmentedColormap.from_list("sky", SKY)
    top = max(_LOUDEST_DB - 20.0, float(np.percentile(drawn.levels_db, 99.7)))
    levels_db = drawn.levels_db.max(axis=0) if channel is None else drawn.levels_db[channel]
    columns, rows = levels_db.shape
    low, high = np.log2(LOWEST_HZ), np.log2(drawn.highest_hz)
    axes.pcolorfast(
        from_s + np.arange(columns + 1) * drawn.spectrum_s,
        np.linspace(low, high, rows + 1),
        levels_db.T,
        cmap=sky,
        vmin=top - _RANGE_DB,
        vmax=top,
    )
    axes.set_ylim(low, high)
    ticks = [(hz, name) for hz, name in _TICKS if hz <= drawn.highest_hz]
    axes.set_yticks(np.log2([hz for hz, _ in ticks]), [name for _, name in ticks])


@dataclass(frozen=True)
class _Label:
    """What stands beside the spectra, `tall` inches of it, joined to places in them."""

    text: str
    colour: str
    places: tuple[tuple[int, float], ...] = ()

    @property
    def tall(self) -> float:
        return _LINE_INCHES * (0.45 + 1 + self.text.count("\n"))


def _label_column(names: Sequence[Named], remarks: Sequence[str]) -> list[_Label]:
    """All labels, from the top down."""
    colours = {None: INK, "found": INK, "not found": TARGET, "masked": SOFT, "not measured": SOFT}
    labels = []
    for name in sorted(names, key=lambda name: (min(channel for channel, _ in name.places), -name.places[0][1])):
        state = "" if name.state in (None, "found") else f"\n{name.state}"
        lines = name.words.replace(": ", ":\n", 1).split("\n")
        text = "\n".join(textwrap.fill(line, _LABEL_CHARACTERS) for line in lines)
        labels.append(_Label(f"{text}{state}", colours[name.state], name.places))
    return [*labels, *(_Label(textwrap.fill(remark, _LABEL_CHARACTERS + 4), SOFT) for remark in remarks)]


def _place_labels(figure: Any, spectra: Sequence[Any], labels: Sequence[_Label], tall: float) -> None:
    """Put each label as near to its places as its neighbours allow, and join them by thin lines; all in inches."""
    if not labels:
        return

    def height(channel: int, hz: float) -> float:
        axes = spectra[min(channel, len(spectra) - 1)]
        low, high = axes.get_ylim()
        box = axes.get_position()
        share = (np.log2(max(hz, 1.0)) - low) / (high - low)
        return float((box.y0 + box.height * min(max(share, 0.0), 1.0)) * tall)

    bottom, top = spectra[-1].get_position().y0 * tall, spectra[0].get_position().y1 * tall
    middles = [
        float(np.mean([height(*place) for place in label.places])) if label.places else bottom + label.tall / 2
        for label in labels
    ]
    edge = top
    for number, label in enumerate(labels):  # none above the one before it, then none below the bottom
        middles[number] = min(middles[number], edge - label.tall / 2)
        edge = middles[number] - label.tall / 2
    edge = bottom
    for number in reversed(range(len(labels))):
        middles[number] = max(middles[number], edge + labels[number].tall / 2)
        edge = middles[number] + labels[number].tall / 2
    for label, middle in zip(labels, middles, strict=True):
        figure.text(
            _LABELS, middle / tall, label.text, fontsize=9, color=label.colour, va="center", linespacing=1.3,
            parse_math=False,
        )  # fmt: skip
        for place in label.places:
            _join(figure, (_RIGHT, height(*place) / tall), (_LABELS - 0.004, middle / tall))


def _join(figure: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    from matplotlib.lines import Line2D

    xs, ys = zip(start, end, strict=True)
    figure.add_artist(Line2D(xs, ys, color=TARGET, linewidth=0.8, transform=figure.transFigure))


def time_axis(axes: Any, seconds: float, *, labelled: bool) -> None:
    """From 0 on, in minutes and seconds; labelled below the lowest of several axes."""
    step = next((step for step in _STEPS_S if seconds / step <= 10), 7200)
    ticks = np.arange(0, seconds + step * 0.01, step)
    axes.set_xlim(0, seconds)
    axes.set_xticks(ticks, [clock(tick) for tick in ticks] if labelled else [""] * len(ticks))
    axes.tick_params(colors=SOFT, length=3 if labelled else 0, width=0.8, labelsize=8.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def named_axes(axes: Any, name: str) -> None:
    """A name above the axes."""
    axes.set_title(name, loc="left", fontsize=9.5, color=INK, pad=4)
    axes.set_facecolor(PAPER)


def beside(axes: Any, height: float, text: str, colour: str, *, offset: float = 0.0) -> None:
    """A word to the right of the axes, at a part of their height."""
    axes.annotate(
        text, (1, height), xycoords="axes fraction", xytext=(10, offset), textcoords="offset points", va="center",
        color=colour, fontsize=9, annotation_clip=False,
    )  # fmt: skip
