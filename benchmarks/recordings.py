"""`python -m benchmarks.recordings [FOLDER ...]`: what is corrected in recordings, and what care does to real speech.

The speech is the local voice's, and that of people in the sound files of each folder: each folder is one speaker.
Debian has LibriVox readings in `pocketsphinx-testdata` and words in `alsa-utils`.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from clips import ArrayClip
from signals import both
from spoken_pieces import RATE, SENTENCES, said

from dsp.gentle_care import with_gentle_care
from dsp.high_pass import HighPass
from dsp.k_weighting import Energies
from dsp.loudness import integrated_lufs, measure, momentary_lufs
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.schema import TIDY
from worker.tts.recording import recorded_speech

Samples = NDArray[np.float64]

_PAUSE_S = 0.8
_SPEECH_LUFS = -23.0
_SHORTEST_S = 8.0  # of a recording that is spoilt
_SPOKEN_LU, _PAUSE_LU = -20.0, -35.0  # over and under which a window holds speech, or none
_SILENT_LU = -60.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.recordings", description=__doc__)
    parser.add_argument("folders", metavar="FOLDER", nargs="*", type=Path)
    parser.add_argument("--pairs", type=int, default=5, help="jobs with and without, for the cost; 0: none")
    asked = parser.parse_args()
    speakers = {"local voice": [said(text).astype(np.float64) for text in SENTENCES[:32]]}
    for folder in asked.folders:
        speakers[folder.name] = list(_files(folder))
    _corrections({name: list(_recordings(pieces)) for name, pieces in speakers.items()})
    _care({name: _joined(pieces) for name, pieces in speakers.items()})
    if asked.pairs:
        _cost(speakers["local voice"], asked.pairs)


def _files(folder: Path) -> Iterator[Samples]:
    """The speech of a folder's files, at the rate of the tracks."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".wav", ".flac") and "noise" not in path.name.lower():
            samples, rate = soundfile.read(path, always_2d=True)
            yield soxr.resample(samples[:, 0], rate, RATE, quality="VHQ")


def _recordings(pieces: list[Samples]) -> Iterator[Samples]:
    """Pieces joined to recordings of some length, as a person would read them one after another."""
    waiting: list[Samples] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(map(len, waiting)) >= _SHORTEST_S * RATE:
            yield _joined(waiting)
            waiting = []


def _joined(pieces: list[Samples]) -> Samples:
    """Pieces with pauses, which are digital silence, at the level of a usual recording."""
    pause = np.zeros(round(_PAUSE_S * RATE))
    joined = np.concatenate([part for piece in pieces for part in (piece - piece.mean(), pause)])[: -len(pause)]
    return joined * 10 ** ((_SPEECH_LUFS - integrated_lufs(_energies(joined))) / 20)


def _energies(samples: Samples) -> Energies:
    return measure([both(samples)], RATE).energies


def _noise(samples: Samples, below_lu: float) -> Samples:
    """White noise so much softer than the speech."""
    noise = np.random.default_rng(1).standard_normal(len(samples))
    return noise * 10 ** ((_SPEECH_LUFS - below_lu - integrated_lufs(_energies(noise))) / 20)


def _hum(samples: Samples, mains_hz: float, below_lu: float) -> Samples:
    n = np.arange(len(samples))
    hum = sum(np.sin(2 * np.pi * mains_hz * k * n / RATE + k) / k for k in range(1, 9))
    return np.asarray(hum * 10 ** ((_SPEECH_LUFS - below_lu - integrated_lufs(_energies(hum))) / 20))


def _clipped(samples: Samples, by_db: float) -> Samples:
    return np.clip(samples / np.abs(samples).max() * 10 ** (by_db / 20), -1, 1) * 0.5


def _stereo(left: Samples, right: Samples) -> Samples:
    return np.stack([left, right], axis=1)


FAULTS: Mapping[str, tuple[str, Callable[[Samples], Samples]]] = {
    "DC of 2 %": ("constant offset", lambda s: s + 0.02),
    "DC of 46 %": ("constant offset", lambda s: s + 0.46),
    "one channel silent": ("channel only", lambda s: _stereo(s, 0 * s)),
    "one channel with noise only": ("channel only", lambda s: _stereo(_noise(s, 45), s)),
    "opposite polarity": ("opposite polarity", lambda s: _stereo(s, -0.8 * s + _noise(s, 40))),
    "4 s of noise before and behind": ("silence was cut", lambda s: _padded(s, 4.0, 45)),
    "clipped by 6 dB": ("cut off", lambda s: _clipped(s, 6)),
    "clipped by 12 dB": ("cut off", lambda s: _clipped(s, 12)),
    "noise, 30 LU softer": ("noise in the pauses", lambda s: s + _noise(s, 30)),
    "hum of 50 Hz, 42 LU softer": ("mains hum (50", lambda s: s + _hum(s, 49.95, 42)),
    "hum of 60 Hz, 42 LU softer": ("mains hum (60", lambda s: s + _hum(s, 60.02, 42)),
}


def _padded(samples: Samples, seconds: float, below_lu: float) -> Samples:
    padded = np.pad(samples, round(seconds * RATE))
    return padded + _noise(padded, below_lu)


def _corrections(recordings: Mapping[str, list[Samples]]) -> None:
    """What is noticed in each recording, spoilt in each way; noise at -50 LU is in all of them, as in any room."""
    print(f"| recording | {' | '.join(f'{name}: noticed, of' for name in recordings)} | other notes |")
    print(f"|---|{'---|' * len(recordings)}---|")
    for name, (says, spoil) in {"as it is": ("", lambda s: s), **FAULTS}.items():
        counts, others = [], 0
        for each in recordings.values():
            notes = [_notes_of(spoil(samples + _noise(samples, 50))) for samples in each]
            counts.append(f"{sum(any(says in note for note in found) for found in notes)}, {len(each)}")
            others += sum(says not in note for found in notes for note in found)
        print(f"| {name} | {' | '.join(counts)} | {others} |", flush=True)


def _notes_of(samples: Samples) -> list[str]:
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "me.wav"
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        recorded_speech(path, ffmpeg=find_ffmpeg(), folder=Path(folder), max_seconds=3600, tidy=TIDY, notes=notes)
    return notes


def _cared(samples: Samples) -> Samples:
    sound = both(samples)
    blocks = list(with_gentle_care(ArrayClip(sound), _energies(samples), RATE))
    return np.concatenate(blocks)[:, 0].astype(np.float64)


def _care(speakers: Mapping[str, Samples]) -> None:
    """What care leaves of a defect, beside the defect itself: care(spoilt) - care(clean), and spoilt - clean."""
    print("\n| speech | spoilt by | in pauses: it, left of it | while spoken: it, left of it | loudest 400 ms |")
    print("|---|---|---|---|---|")
    for name, recorded in speakers.items():
        clean = recorded
        for _ in range(5):  # level already: the leveller's gain would count as a defect
            clean = _cared(clean)
        speech = momentary_lufs(_energies(clean))
        pauses, spoken = speech < _SPEECH_LUFS + _PAUSE_LU, speech > _SPEECH_LUFS + _SPOKEN_LU
        sharp = HighPass(5500.0, RATE).add(both(clean))[:, 0].astype(np.float64)
        print(f"| {name} | nothing | – | left: {_level(_cared(clean) - clean, spoken)} | – |")
        for spoilt_by, defect in {
            "noise, 30 LU softer": _noise(clean, 30),
            "noise, 40 LU softer": _noise(clean, 40),
            "hum, 35 LU softer": _hum(clean, 50, 35),
            "sibilants 9 dB sharper": sharp * (10 ** (9 / 20) - 1),
            "a level that falls by 14 dB": clean * (10 ** (np.linspace(7, -7, len(clean)) / 20) - 1),
        }.items():
            left = _cared(clean + defect) - _cared(clean)
            print(
                f"| {name} | {spoilt_by} | {_level(defect, pauses)}, {_level(left, pauses)} "
                f"| {_level(defect, spoken)}, {_level(left, spoken)} "
                f"| {momentary_lufs(_energies(left)).max() - momentary_lufs(_energies(defect)).max():+.1f} dB |",
                flush=True,
            )


def _level(samples: Samples, chosen: NDArray[np.bool_]) -> str:
    """Mean loudness over some of the 400 ms windows, relative to the speech."""
    lufs = momentary_lufs(_energies(samples))[chosen]
    energy = float(np.mean(10 ** (lufs / 10))) if len(lufs) else 0.0
    level_lu = 10 * math.log10(max(energy, 1e-20)) - _SPEECH_LUFS
    return f"{level_lu:.1f}" if level_lu > _SILENT_LU else "–"


def _cost(pieces: list[Samples], pairs: int) -> None:
    """CPU of whole jobs with a recording of ten minutes, in turns."""
    speech = _joined(pieces)
    recording = np.tile(speech, -(-600 * RATE // len(speech)))[: 600 * RATE]
    music = Path(__file__).parents[1] / "examples" / "demo-loop.flac"
    job = {"durationMin": 10.5, "loopMode": False, "backgroundMusic": {"url": "music.flac"}}
    job |= {"solfeggio": {"enabled": True, "hz": 528}, "binaural": {"enabled": True, "band": "theta"}}
    ways: dict[str, dict[str, object]] = {
        "tidy: false": {"tidy": False},
        "by default": {},
        "care: gentle": {"care": "gentle"},
    }
    command = [sys.executable, "-m", "worker", "render", "job.json"]
    used_s: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        soundfile.write(Path(folder) / "me.wav", recording + _noise(recording, 50), RATE)
        for number in range(pairs + 1):
            for way, voice in ways.items():
                (Path(folder) / "job.json").write_text(json.dumps({**job, "voice": voice}))
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run(
                    [*command, "-o", "track.mp3", "--quiet", "--voice", "me.wav", "--music", str(music)],
                    cwd=folder,
                    check=True,
                    timeout=600,
                )
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                if number:  # the first ones warm the caches
                    used_s[way].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(
        "\n| a job with a recording of ten minutes | CPU, median | more than without, by pairs: median |\n|---|---|---|"
    )
    without = used_s["tidy: false"]
    for way, used in used_s.items():
        more = statistics.median((mine / other - 1) * 100 for mine, other in zip(used, without, strict=True))
        print(f"| `{way}` | {statistics.median(used):.2f} s | {more:+.1f} % |")


if __name__ == "__main__":
    main()
