"""Results as tables, and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.dsp_parts import Segment
from benchmarks.dynos import DynoCost
from benchmarks.render import Figure, Result, Run

LABELS = {
    "whole": "mindscript-audio-worker",
    "encoder": "FFmpeg, MP3 encoder alone",
    "encoder_halves": "FFmpeg, MP3 encoder, half a track a core",
    "graph_gain": "FFmpeg graph twice: ebur128, gain",
    "graph_loudnorm_twice": "FFmpeg graph twice: loudnorm",
    "graph_loudnorm": "FFmpeg graph: loudnorm",
    "staged": "FFmpeg, staged MP3s",
    "pydub": "pydub",
    "sox": "SoX and FFmpeg's MP3",
}
_NO_LOUDNESS = ("encoder", "encoder_halves", "pydub", "sox")
_OURS, _THEIRS, _FLOOR = "#2a6f97", "#b8c0c8", "#8a949e"


def show_environment(console: Console, facts: Mapping[str, object]) -> None:
    """One line of facts."""
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), style="dim", highlight=False)


def show_comparison(console: Console, results: Sequence[Result], minutes: float) -> None:
    """Print the contenders from fast to slow."""
    runs = sorted({len(result.walls_s) for result in results})
    title = f"{minutes:g}-minute track, four layers, MP3 192 kbit/s; medians of {' or '.join(map(str, runs))} runs"
    table = _table(title, "", "wall s", "CPU s", "× real time", "PSS MB", "RSS MB", "LUFS", "dBTP", "length s")
    for result in sorted(results, key=lambda one: one.wall_s):
        measured = result.measured
        table.add_row(
            LABELS[result.name],
            f"{result.wall_s:.2f}",
            f"{result.cpu_s:.2f}",
            f"{result.times_real_time:.0f}",
            f"{result.pss_mb:.0f}",
            f"{result.rss_mb:.0f}",
            *(
                ("", "", "")
                if measured is None
                else (f"{measured.lufs:.1f}", f"{measured.dbtp:.1f}", f"{measured.seconds:.2f}")
            ),
            style="bold" if result.name == "whole" else None,
        )
    console.print(table)


def show_figures(console: Console, figures: Sequence[Figure]) -> None:
    """Print the project's figures for speed and memory beside what was measured."""
    table = _table("Speed and memory", "", "measured", "figure to keep", "")
    for figure in figures:
        target = f"{'≤' if figure.at_most else '≥'} {figure.target:g}"
        table.add_row(figure.name, f"{figure.value:.4g}", target, "kept" if figure.kept else "MISSED")
    console.print(table)


def show_pieces(console: Console, pieces: Sequence[Segment]) -> None:
    """Print what each piece of the DSP costs."""
    table = _table("DSP on one core", "", "× real time", "CPU ms for a minute")
    for piece in pieces:
        table.add_row(piece.name, f"{piece.times_real_time:,.0f}", f"{1000 * piece.cpu_s_per_minute:.1f}")
    console.print(table)


def show_memory(console: Console, runs: Sequence[Run]) -> None:
    """Print the peaks at ten minutes and at eight hours, and how far they are apart."""
    table = _table("Peak memory of all processes", "", "PSS MB", "RSS MB", "wall s", "× real time")
    for run in runs:
        cost = run.cost
        table.add_row(
            f"{run.minutes:g} min",
            f"{cost.pss_mb:.1f}",
            f"{cost.rss_mb:.1f}",
            f"{cost.wall_s:.1f}",
            f"{run.minutes * 60 / cost.wall_s:.0f}",
        )
    console.print(table)


def show_scaling(console: Console, runs: Sequence[Run]) -> None:
    """Print one row per run."""
    table = _table("Scaling", "minutes", "layers", "threads", "wall s", "CPU s", "× real time", "PSS MB")
    for run in runs:
        cost = run.cost
        table.add_row(
            f"{run.minutes:g}",
            str(run.layers),
            "all cores" if run.threads is None else str(run.threads),
            f"{cost.wall_s:.2f}",
            f"{cost.cpu_s:.2f}",
            f"{run.minutes * 60 / cost.wall_s:.0f}",
            f"{cost.pss_mb:.0f}",
        )
    console.print(table)


def show_dynos(console: Console, costs: Sequence[DynoCost], minutes: float) -> None:
    """Print what a track costs on each dyno."""
    title = f"Heroku, {minutes:g}-minute tracks one after another, on cores like these"
    table = _table(title, "", "memory MB", "jobs per hour", "cents per track")
    for cost in costs:
        many, cents = f"{cost.jobs_per_hour:.0f}", f"{cost.cents_per_track:.4f}"
        if cost.shared:
            many, cents = f"≤ {many}", f"≥ {cents}"
        table.add_row(cost.dyno, str(cost.memory_mb), many if cost.fits else "too small", cents if cost.fits else "")
    console.print(table)


def draw(results: Sequence[Result], minutes: float, file: Path) -> None:
    """Draw the wall seconds of each contender as a PNG; a contender that controls no loudness is marked."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    ordered = sorted(results, key=lambda one: one.wall_s, reverse=True)
    names = [LABELS[one.name] + (" *" if one.name in _NO_LOUDNESS else "") for one in ordered]
    colours = [{"whole": _OURS, "encoder": _FLOOR, "encoder_halves": _FLOOR}.get(one.name, _THEIRS) for one in ordered]
    figure, axes = pyplot.subplots(figsize=(8, 0.42 * len(ordered) + 1.3), layout="constrained")
    bars = axes.barh(names, [one.wall_s for one in ordered], color=colours, height=0.7)
    marks = [f"{one.wall_s:.1f} s  ({one.times_real_time:.0f} × real time)" for one in ordered]
    axes.bar_label(bars, marks, padding=4, fontsize=9)
    axes.set_xlim(0, 1.45 * max(one.wall_s for one in ordered))
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    figure.suptitle(
        f"Seconds to make a {minutes:g}-minute track of four layers, MP3 192 kbit/s", x=0.01, ha="left", fontsize=11
    )
    figure.supxlabel("* no control of loudness", fontsize=8, color="#555555", x=0.01, ha="left")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150, metadata={"Software": None})
    pyplot.close(figure)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=number == 0)
    return table
