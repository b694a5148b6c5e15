"""Stems: each layer of a track as a FLAC file of 24 bits, at its place and level in the mix before the limiter.

Together they are the mix at its master gain: each sample of their sum is within one step of 24 bits a stem. A stem that
would go beyond full scale by itself is lowered, and the list says by how much.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from dsp.blocks import BLOCK_FRAMES, Block, amplify, db_to_gain, gain_to_db, spans
from dsp.plan import RenderPlan, render
from worker.codec.encode import encode
from worker.codec.encoding import Encoding
from worker.codec.parallel import parallel_map
from worker.codec.segments import Track
from worker.codec.tags import Tags
from worker.ffmpeg.program import Ffmpeg
from worker.render.files_beside import stem_file, stem_list_file
from worker.render.programme import Programme

_FULL_SCALE = 1.0 - 2.0**-23  # the highest sample of 24 bits
_LOWERED_STEP_DB = 0.1
_SPAN_FRAMES = 16 * BLOCK_FRAMES


@dataclass(frozen=True)
class Stem:
    """One stem: its layer, its file, and the dB by which it is lower than in the mix (0 or less)."""

    layer: str
    file: str
    gain_db: float


@dataclass(frozen=True)
class Stems:
    """The files of a track's stems, by layer, and their list."""

    files: Mapping[str, Path]
    stem_list: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return (*self.files.values(), self.stem_list)

    def moved(self, folder: Path) -> Stems:
        """The same files in another folder."""
        return Stems({layer: folder / path.name for layer, path in self.files.items()}, folder / self.stem_list.name)


def write_stems(programme: Programme, track: Path, *, title: str | None, ffmpeg: Ffmpeg, threads: int) -> Stems:
    """Write all stems of a track, and their list as JSON, beside it.

    Parameters
    ----------
    programme : Programme
        That was encoded; its limiter and its level change are left out.
    track : Path
        Names the files: ``track-stem-voice.flac`` and ``track-stems.json`` beside ``track.mp3``.

    Raises
    ------
    WorkerError
        As `worker.codec.encode.encode` does.
    """
    plan = programme.plan
    stems: list[tuple[Path, Stem]] = []
    for layer in plan.layers:
        alone = replace(plan, layers=(layer,))
        lowered_db = _lowered_db(alone, programme.gain, threads)
        path = stem_file(track, layer.name)
        gain = programme.gain * db_to_gain(lowered_db)

        def blocks(start: int, stop: int, alone: RenderPlan = alone, gain: float = gain) -> Iterator[Block]:
            for first, last in spans(start, stop, BLOCK_FRAMES):
                yield amplify(render(alone, first, last), gain)

        tags = Tags(title=f"{title} ({layer.name})" if title else layer.name)
        encode(Track(blocks, plan.frames, plan.sample_rate, tags, ffmpeg, threads), path, Encoding("flac"))
        stems.append((path, Stem(layer.name, path.name, lowered_db)))
    document = {
        "master_gain_db": round(programme.gain_db, 3),
        "sample_rate_hz": plan.sample_rate,
        "frames": plan.frames,
        "stems": [asdict(stem) for _, stem in stems],
    }
    stem_list = stem_list_file(track)
    stem_list.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return Stems({stem.layer: path for path, stem in stems}, stem_list)


def _lowered_db(alone: RenderPlan, gain: float, threads: int) -> float:
    """How far one layer has to be lowered to stay within full scale, in steps of 0.1 dB; 0 for nearly all."""

    def peak(span: tuple[int, int]) -> float:
        return max(float(np.abs(render(alone, first, last)).max(initial=0.0)) for first, last in spans(*span))

    peaks = parallel_map(list(spans(0, alone.frames, _SPAN_FRAMES)), peak, threads=threads)
    over_db = gain_to_db(max(peaks, default=0.0) * gain / _FULL_SCALE)
    return -math.ceil(over_db / _LOWERED_STEP_DB) * _LOWERED_STEP_DB if over_db > 0 else 0.0
