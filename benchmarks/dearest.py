"""What the dearest job that a payload can ask for costs: CPU, memory, seconds.

    python -m benchmarks.dearest --minutes 10 --characters 500

Sixteen layers, every list at its limit, two tracks in the format whose encoder is the slowest, every further format and
all stems, beside a usual job of the same length. `spoken` has the script said by the local voice, and the dearest
generated layers beside; `recorded` has voices that are recordings as long as the track instead, with all that may be
done to each. Speech is made once and costs by the character; the rest grows with the length. What limits both:
MAX_SCRIPT_CHARACTERS, MAX_DURATION_MIN; and JOB_DEADLINE_MIN and JOB_DEADLINE_FACTOR, whatever a job asks for.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile

from dsp.noise import Noise
from worker.formats import FORMATS
from worker.payload.layers import MOST_LAYERS

_ROOT = Path(__file__).parent.parent
_RATE = 44_100
_MUSIC_S = 240
_LOOK_S = 0.2
_LINE = "I am calm. "


@dataclass(frozen=True)
class _Cost:
    wall_s: float
    cpu_s: float
    pss_mb: float


def dearest(minutes: float, characters: int) -> dict[str, Any]:
    """A job that has everything, and as much of it as the payload allows."""
    points = [{"atMin": minutes * at / 1000, "db": -20.0 + at % 7} for at in range(1000)]
    beats = [{"atMin": minutes * at / 1000, "beatHz": 4 + at % 5, "carrierHz": 180 + at % 40} for at in range(1000)]
    return {
        "script": (_LINE * (characters // len(_LINE) + 1))[:characters],
        "voice": {"provider": "local", "speed": 0.5, "shuffle": True, "highPassHz": 100, "declick": True},
        "durationMin": minutes,
        "pauseSec": 0,
        "backgroundMusic": {"url": "music.flac"},
        "solfeggio": {"wave": "square", "sequence": [(528, 396, 741)[at % 3] for at in range(100)]},
        "binaural": {"timeline": beats, "speakersMode": "isochronic"},
        "carrierType": "brown",
        "gains": {"timeline": {name: points for name in ("voice", "music", "solfeggio", "binaural", "noise")}},
        "ducking": {"depthDb": 20, "attackMs": 5000, "holdMs": 10_000, "releaseMs": 10_000},
        "safety": {"targetLufs": -10, "measure": "speech"},
        "outputFormat": "m4a",
        "output": {"quality": "high"},
        "deliver": ["headphones", "speakers", "stems", *FORMATS],
        "chapters": "lines",
        "lyrics": True,
        "peaks": True,
        "layers": [*generated(points, beats)],
    }


def generated(points: list[dict[str, Any]], beats: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The layers of a list that cost most, beside the five of the job's own fields: all of them move."""
    pan = [{"atMin": point["atMin"], "pan": (number % 9 - 4) / 4} for number, point in enumerate(points)]
    moving = {"gain": points, "pan": pan}
    for number in range(MOST_LAYERS - 5):
        if number % 4 == 3:
            yield {"kind": "tone", "wave": "square", "sequence": [528 + at % 3 for at in range(100)], **moving}
        elif number == 0:
            yield {"kind": "binaural", "mode": "isochronic", "timeline": beats, "gain": points}
        else:
            yield {"kind": "noise", "colour": "brown", "width": 2, "duckedBy": ["voice"], **moving}


def with_recordings(job: dict[str, Any]) -> dict[str, Any]:
    """The same with a recording as long as the track for each voice, and as many voices as it may have."""
    voice = {"provider": "uploaded", "url": "voice.flac", "speed": 0.5, "care": "gentle", "highPassHz": 100}
    voice["declick"] = True
    listed = [{**layer, "kind": "speech", "voice": voice} for layer in job["layers"] if layer["kind"] == "noise"]
    others = [layer for layer in job["layers"] if layer["kind"] != "noise"]
    for layer in listed:
        del layer["colour"], layer["width"]
    return {**job, "voice": voice, "layers": [*listed, *others]}


def usual(minutes: float) -> dict[str, Any]:
    """Four layers as MP3."""
    return {
        "script": _LINE * 10,
        "voice": {"provider": "local"},
        "durationMin": minutes,
        "backgroundMusic": {"url": "music.flac"},
        "solfeggio": {"hz": 528},
        "binaural": {"band": "theta"},
    }


def main() -> None:
    """Print a line for each job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="length of the tracks; 480 is the longest")
    parser.add_argument("--characters", type=int, default=5000, help="length of the spoken script; 5000 is the longest")
    options = parser.parse_args()
    minutes, characters = options.minutes, options.characters
    with tempfile.TemporaryDirectory(prefix="dearest-") as name:
        folder = Path(name)
        soundfile.write(folder / "music.flac", 0.1 * Noise("pink", 9, 48_000).render(0, _MUSIC_S * 48_000), 48_000)
        _write_voice(folder / "voice.flac", minutes * 60)
        print(f"{minutes:g} minutes, {characters} characters, {os.cpu_count()} cores")
        print(f"{'job':<10}{'wall s':>10}{'CPU s':>10}{'MB (PSS)':>10}{'CPU s a minute':>16}")
        for job, payload in (
            ("usual", usual(minutes)),
            ("spoken", dearest(minutes, characters)),
            ("recorded", with_recordings(dearest(minutes, 0))),
        ):
            cost = _rendered(payload, folder, job)
            print(
                f"{job:<10}{cost.wall_s:>10.1f}{cost.cpu_s:>10.1f}{cost.pss_mb:>10.0f}{cost.cpu_s / minutes:>16.2f}",
                flush=True,
            )


def _write_voice(path: Path, seconds: float) -> None:
    """Something like speech, as long as the track: noise in syllables."""
    noise = Noise("pink", 8, _RATE)
    with soundfile.SoundFile(path, "w", _RATE, 1) as file:
        for start in range(0, round(seconds * _RATE), 60 * _RATE):
            n = np.arange(start, min(start + 60 * _RATE, round(seconds * _RATE)))
            syllables = np.maximum(np.sin(2 * np.pi * 3.1 * n / _RATE), 0) * (
                np.sin(2 * np.pi * 0.4 * n / _RATE) > -0.7
            )
            file.write(0.3 * syllables * noise.render(start, start + len(n))[:, 0])


def _rendered(payload: dict[str, Any], folder: Path, name: str) -> _Cost:
    """Render in a process of its own, with an empty speech cache."""
    job, track = folder / f"{name}.json", folder / f"{name}.{payload.get('outputFormat', 'mp3')}"
    job.write_text(json.dumps(payload))
    environ = {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "TMPDIR": str(folder),
        "CACHE_DIR": str(folder / f"{name}-cache"),
    }
    command = [
        sys.executable,
        "-m",
        "worker",
        "render",
        str(job),
        "-o",
        str(track),
        "--preview",
        str(folder / "p.mp3"),
        "--force",
    ]
    started, most = time.monotonic(), 0.0
    before = os.times()
    process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None:
        most = max(most, _pss_mb(process.pid))
        time.sleep(_LOOK_S)
    after = os.times()
    if process.returncode and process.stderr is not None:
        raise SystemExit(f"{name}: {process.stderr.read().decode()[-500:]}")
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return _Cost(time.monotonic() - started, cpu_s, most)


def _pss_mb(pid: int) -> float:
    total = 0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return 0.0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # it ended while we looked
            continue
    return total / 1e6


if __name__ == "__main__":
    main()
