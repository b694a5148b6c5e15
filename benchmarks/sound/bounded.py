"""Row about balance before loudness: what the gains ask stays, and the limiter stays within its bounds."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.sound.levels import HARD_FORMATS, MOST_DBTP
from benchmarks.sound.programmes import hard
from benchmarks.sound.room import RATE, Room, Samples, decibels, projected
from benchmarks.sound.row import Row
from worker.errors import WorkerError
from worker.render.report import Report

WITHIN_DB = 0.5
MOST_LIMITED_DB, MOST_SHARE = 4.0, 0.01
TOUCH_DB = 0.01  # what a reduction's figure is rounded by, and more
_SCRIPT = "I am calm. I trust the rhythm of my breath. Every day I grow stronger."
_COMMON = {"voice": {"provider": "local"}, "seed": 3}
# a short voice over a long bed: the whole of it is far from the voice's own level
LONG_BEDS: Mapping[str, Mapping[str, Any]] = {
    "I am calm, every two minutes over brown noise": {
        **_COMMON,
        "script": "I am calm.",
        "durationMin": 20,
        "loopMode": "interval",
        "intervalSec": 120,
        "carrierType": "brown",
        "carrierGainDb": -30,
    },
    "a script once over half an hour of music": {
        **_COMMON,
        "script": _SCRIPT,
        "durationMin": 30,
        "loopMode": False,
        "gains": {"musicDb": -18},
    },
    "a line over half an hour of rain, measured over the speech": {
        **_COMMON,
        "script": "I am calm.",
        "durationMin": 30,
        "loopMode": False,
        "carrierType": "pink",
        "carrierGainDb": -40,
        "safety": {"measure": "speech"},
    },
}
_WORDS, _BED = (3, 9), (60, 72)  # seconds: where the voice is spoken first, and where the bed is alone


def bounded(room: Room, made: dict[str, Path], say: Callable[[str], None]) -> Row:
    """Render what a loudness target would crush, and what makes peaks hard to keep."""
    missed: list[str] = []
    details: dict[str, object] = {}
    worst_db = worst_reduction_db = worst_share = 0.0
    count = 0
    hardest = [
        (f"{programme.name}, {target} LUFS", programme.job, HARD_FORMATS[row % len(HARD_FORMATS)], programme, target)
        for row, programme in enumerate(hard(made))
        for target in (-16, -6)
    ]
    for name, job, (format, quality), programme, target in hardest:
        count += 1
        try:
            path, report = room.render(
                {**job, "safety": {"targetLufs": target}},
                format=format,  # type: ignore[arg-type]
                quality=quality,  # type: ignore[arg-type]
                voice=programme.voice,
                music=programme.music,
            )
        except WorkerError as error:
            missed.append(f"{name}: {error.message}")
            continue
        share = _share(report)
        dbtp = room.ebur128(path)[1]
        details[name] = {
            "lufs": report.integrated_lufs,
            "dbtp": dbtp,
            "reduction_db": report.limiter_max_reduction_db,
            "share": share,
            "encodes": report.encodes,
            "notes": report.notes,
        }
        worst_reduction_db = max(worst_reduction_db, report.limiter_max_reduction_db)
        worst_share = max(worst_share, share)
        if report.limiter_max_reduction_db > MOST_LIMITED_DB + TOUCH_DB or share > MOST_SHARE or dbtp > MOST_DBTP:
            missed.append(f"{name}: {details[name]}")
    for name, asked in LONG_BEDS.items():
        count += 1
        error_db, report = _off_balance(room, asked, made["music"] if "musicDb" in asked.get("gains", {}) else None)
        details[name] = {"off_db": error_db, "reduction_db": report.limiter_max_reduction_db, "notes": report.notes}
        worst_db = max(worst_db, abs(error_db))
        worst_reduction_db = max(worst_reduction_db, report.limiter_max_reduction_db)
        worst_share = max(worst_share, _share(report))
        if abs(error_db) > WITHIN_DB or report.limiter_max_reduction_db > MOST_LIMITED_DB + TOUCH_DB:
            missed.append(f"{name}: {details[name]}")
        say(f"{name}: {details[name]}")
    return Row(
        "balance before loudness: voice and bed of a short voice over a long bed; the limiter, on any mix",
        "within 0.5 dB of what was asked; at most 4 dB, more than 0.5 dB for at most 1 % of the time; none refused",
        f"{worst_db:.2f} dB off at worst of {len(LONG_BEDS)} (projected on separate renders of the layers); at most "
        f"{worst_reduction_db:.2f} dB and {100 * worst_share:.2f} % of {count} files",
        not missed,
        details,
        tuple(missed),
    )


def _share(report: Report) -> float:
    return report.limiter_noticed_seconds / report.duration_s


def _off_balance(room: Room, job: Mapping[str, Any], music: Path | None) -> tuple[float, Report]:
    """How far voice and bed are from each other in the delivered file, over what separate renders of both have."""
    path, report = room.render(job, format="mp3", quality="high", music=music, name="delivered")
    apart = {**job, "safety": {}, "output": {"normalize": False}}
    voice_path, _ = room.render({**apart, "carrierType": "none"}, name="voice")
    bed_path, _ = room.render({**apart, "script": ""}, name="bed", music=music)
    in_words, bed_alone = (_decoded(room, path, *span) for span in (_WORDS, _BED))
    voice, under_words = (_read(one, *_WORDS) for one in (voice_path, bed_path))
    voice_share = projected(in_words, [voice, under_words])[0][0]
    bed_share = projected(bed_alone, [_read(bed_path, *_BED)])[0][0]
    return decibels(voice_share) - decibels(bed_share), report


def _read(path: Path, start_s: int, stop_s: int) -> Samples:
    return soundfile.read(path, start=start_s * RATE, stop=stop_s * RATE, dtype="float64", always_2d=True)[0]


def _decoded(room: Room, path: Path, start_s: int, stop_s: int) -> Samples:
    """A span of a file, decoded from its beginning by FFmpeg."""
    trim = f"atrim=start_sample={start_s * RATE}:end_sample={stop_s * RATE}"
    done = subprocess.run(
        [room.ffmpeg.path, "-nostdin", "-v", "error", "-i", path, "-af", trim, "-f", "f32le", "-"],
        capture_output=True,
        timeout=300,
        check=True,
    )
    return np.frombuffer(done.stdout, "<f4").reshape(-1, 2).astype(np.float64)
