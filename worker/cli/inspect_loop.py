"""`mindscript-worker inspect --loop`: where music would loop in a longer track, in figures and drawn."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from dsp.k_weighting import Energies
from dsp.loudness import integrated_lufs, windows_lufs
from dsp.music_loop import FoundLoop, find_loop
from dsp.recorded import Looped
from worker.config import Config
from worker.ffmpeg.program import find_ffmpeg
from worker.inspect.seam import SeamLoudness, seam_loudness
from worker.inspect.words import clock, signed
from worker.media.clip import FileClip
from worker.media.decode import decode
from worker.payload.schema import SAMPLE_RATE_HZ
from worker.plan.looping import loop_at
from worker.plan.recordings import Loop
from worker.plan.sources import looped
from worker.printable import printable
from worker.tasks.outputs import Overwrite, staged
from worker.tts.processing import measure_clip

_LONGEST_S = 24 * 3600.0
_COLUMNS = 72
_STEPS = " ▁▂▃▄▅▆▇█"
_STEP_LU = 4.0
_ONCE, _REPEATED, _CROSSFADE, _LEFT_OUT = "·", "━", "╳", " "


@dataclass(frozen=True)
class InspectedLoop:
    """A piece of music, where it loops, and what is heard at its seam."""

    clip: FileClip
    energies: Energies
    found: FoundLoop
    loop: Loop
    music: Looped
    seam: SeamLoudness


def inspect_loop(config: Config, file: Path, *, picture: Path | None, overwrite: Overwrite, as_json: bool) -> int:
    """Run the command: the piece is decoded, measured and looked at as for a track."""
    with tempfile.TemporaryDirectory(prefix="mindscript-") as folder:
        clip = decode(
            find_ffmpeg(config.ffmpeg),
            file,
            Path(folder) / "music.f32",
            sample_rate=SAMPLE_RATE_HZ,
            max_seconds=_LONGEST_S,
            timeout_s=60.0 + _LONGEST_S,
        )
        energies = measure_clip(clip).energies
        found = find_loop(clip, energies, SAMPLE_RATE_HZ)
        inspected = None
        if found is not None:
            loop = loop_at(clip, energies, found)
            music = looped(clip, loop)
            inspected = InspectedLoop(clip, energies, found, loop, music, seam_loudness(music, SAMPLE_RATE_HZ))
        if inspected is not None and picture is not None:
            from worker.cli.loop_picture import draw_loop

            with staged([picture], overwrite) as place:
                draw_loop(place(picture), inspected, title=printable(file.name))
    if as_json:
        print(json.dumps(_figures(file, clip.frames, energies, inspected), indent=2))
    else:
        _print(file, clip.frames, energies, inspected, picture)
    return 0


def _figures(file: Path, frames: int, energies: Energies, inspected: InspectedLoop | None) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "file": file.name,
        "duration_s": _seconds(frames),
        "integrated_lufs": _finite(integrated_lufs(energies)),
        "loop": None,
    }
    if inspected is None:
        return figures
    found, loop, seam = inspected.found, inspected.loop, inspected.seam
    figures["body"] = {"from_s": found.body.start / 10, "to_s": found.body.stop / 10}
    figures["loop"] = {
        "from_s": _seconds(loop.start),
        "to_s": _seconds(loop.stop),
        "period_s": _seconds(inspected.music.period_frames),
        "crossfade_s": _seconds(loop.crossfade_frames),
        "integrated_lufs": _finite(loop.loudness_lufs),
        "difference_db": found.difference_db,
        "likeness": loop.likeness,
        "seam_lufs": [_finite(seam.lowest_lufs), _finite(seam.highest_lufs)],
        "range_lufs": [_finite(seam.low_lufs), _finite(seam.high_lufs)],
        "level_miss_lu": round(seam.miss_lu, 2),
    }
    figures["note"] = loop.note
    return figures


def _seconds(frames: int) -> float:
    return round(frames / SAMPLE_RATE_HZ, 6)


def _finite(lufs: float) -> float | None:
    return round(lufs, 2) if math.isfinite(lufs) else None


def _print(file: Path, frames: int, energies: Energies, inspected: InspectedLoop | None, picture: Path | None) -> None:
    from rich.table import Table
    from rich.text import Text

    from worker.cli.terminal import console

    table = Table(
        box=None,
        show_header=False,
        pad_edge=False,
        title=Text(printable(file.name), style="table.title"),
        title_justify="left",
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    lufs = signed(_finite(integrated_lufs(energies)), "LUFS", 2)
    table.add_row("length", f"{clock(frames / SAMPLE_RATE_HZ, 3)}, {lufs}")
    for field, value in _rows(inspected):
        table.add_row(field, Text(value))
    if picture is not None and inspected is not None:
        table.add_row("picture", Text(printable(str(picture))))
    screen = console()
    screen.print(table)
    if inspected is not None:
        for line in drawing(inspected):
            screen.print(Text(line), no_wrap=True, crop=False)


def _rows(inspected: InspectedLoop | None) -> Iterator[tuple[str, str]]:
    if inspected is None:
        yield "loop", "as a whole: it is silent, or too short for a place of its own"
        return
    loop, found, seam = inspected.loop, inspected.found, inspected.seam
    first, last, period = (
        clock(at / SAMPLE_RATE_HZ, 1) for at in (loop.start, loop.stop, inspected.music.period_frames)
    )
    yield "loop", f"{first} to {last}, every {period}, {signed(_finite(loop.loudness_lufs), 'LUFS', 2)}"
    yield "crossfade", f"{loop.crossfade_frames / SAMPLE_RATE_HZ:.2f} s, likeness {loop.likeness:.2f}".replace("-", "−")
    yield "match", f"spectra {found.difference_db:.1f} dB apart"
    yield (
        "seam",
        f"{signed(seam.lowest_lufs, '')}to {signed(seam.highest_lufs, 'LUFS')} over any 3 s, "
        f"range {signed(seam.low_lufs, '')}to {signed(seam.high_lufs, 'LUFS')}",
    )
    body = found.body
    yield "body", f"{clock(body.start / 10, 1)} to {clock(body.stop / 10, 1)}, without silences and fades"
    yield "note", loop.note or "the whole piece is repeated"


def drawing(inspected: InspectedLoop) -> list[str]:
    """Level of the piece in columns, and below it what is heard once, repeated and left out."""
    hops = len(inspected.energies)
    edges = np.linspace(0, hops, min(_COLUMNS, max(hops, 1)) + 1).astype(int)
    levels = [
        float(windows_lufs(inspected.energies[first:last], last - first)[0]) for first, last in pairwise(edges.tolist())
    ]
    loudest = max(levels)
    steps = [max(0, len(_STEPS) - 1 - int((loudest - level) / _STEP_LU)) if level > -70 else 0 for level in levels]
    loop, crossfade = inspected.loop, inspected.loop.crossfade_frames
    marks = [_LEFT_OUT] * len(levels)
    column_frames = inspected.clip.frames / len(levels)
    for column in range(len(levels)):
        middle = (column + 0.5) * column_frames
        if middle < loop.stop:
            marks[column] = _ONCE if middle < loop.start else _REPEATED
    for at in (loop.start + crossfade // 2, loop.stop - crossfade // 2):
        marks[min(int(at / column_frames), len(marks) - 1)] = _CROSSFADE
    return [
        "".join(_STEPS[step] for step in steps),
        "".join(marks),
        f"{_ONCE} heard once   {_REPEATED} repeated   {_CROSSFADE} crossfade   blank: left out",
    ]
