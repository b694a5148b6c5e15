"""Rows about sameness: the same samples on any number of threads, blocks and kernels; and one encoding only."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.sound.room import Room, Samples, decibels, projected, read, rms
from benchmarks.sound.row import Row

ROOT = Path(__file__).parents[2]
_JOB = {
    "durationMin": 1.1,
    "startDelaySec": 1,
    "pauseSec": 2,
    "pauseJitterSec": 1,
    "solfeggio": {"sequence": [396, 528]},
    "binaural": {"timeline": [{"atMin": 0, "beatHz": 10}, {"atMin": 1, "beatHz": 4}]},
    "carrierType": "pink",
    "ducking": {"enabled": True},
    "safety": {"targetLufs": -12},
}
# Sets the block size before anything else is imported, for it is a default of functions.
_WITH_BLOCKS = """
import sys, dsp.blocks
dsp.blocks.BLOCK_FRAMES = {frames}
dsp.blocks.spans.__defaults__ = ({frames},)
from worker.__main__ import main
sys.exit(main())
"""
_OTHER_MACHINE = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX"}
_WAYS: dict[str, tuple[int | None, dict[str, str]]] = {
    "1 thread": (None, {"RENDER_THREADS": "1"}),
    "2 threads": (None, {"RENDER_THREADS": "2"}),
    "3 threads": (None, {"RENDER_THREADS": "3"}),
    "blocks of 4410": (4410, {"RENDER_THREADS": "2"}),
    "blocks of 10007": (10_007, {"RENDER_THREADS": "2"}),
    "another processor's kernels": (None, {"RENDER_THREADS": "2", **_OTHER_MACHINE}),
}


def repeatability(room: Room, made: Mapping[str, Path]) -> Row:
    """One job in six ways, each in a process of its own."""
    job = room.folder / "again.json"
    job.write_text(json.dumps(_JOB))
    details: dict[str, object] = {}
    missed = []
    hashes: dict[str, set[str]] = {"wav": set(), "flac": set()}
    truth: dict[str, Samples] = {}
    away_lsb: dict[str, float] = {}
    for name, (frames, environment) in _WAYS.items():
        for format in hashes:
            out = room.folder / f"again.{format}"
            command = ["-m", "worker"] if frames is None else ["-c", _WITH_BLOCKS.format(frames=frames)]
            recordings = ["--voice", str(made["speech"]), "--music", str(made["music"])]
            subprocess.run(
                [sys.executable, *command, "render", str(job), "-o", str(out), *recordings, "--force", "--quiet"],
                check=True,
                timeout=300,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", **environment},
            )
            sound = read(out)
            away = np.abs(sound - truth.setdefault(format, sound)) * 2**23
            digest = hashlib.sha256(out.read_bytes()).hexdigest()[:16]
            if "thread" in name:
                hashes[format].add(digest)
            details[f"{name}, {format}"] = {
                "sha256": digest,
                "lsb24": float(away.max()),
                "share_beyond_one": float(np.mean(away > 1)),
            }
            if format == "flac":
                away_lsb[name] = float(away.max())
            if away.max() > (1 if format == "flac" else 2**8):  # WAV has 16 bits: one step of its own
                missed.append(f"{name}, {format}")
    if any(len(found) > 1 for found in hashes.values()):
        missed.append("the same file for any number of threads")
    threads = max(lsb for name, lsb in away_lsb.items() if "thread" in name)
    blocks = max(lsb for name, lsb in away_lsb.items() if "blocks" in name)
    others = away_lsb["another processor's kernels"]
    return Row(
        "repeatability",
        "the same PCM on any machine, any block size, any number of segments (within 1 LSB of 24 bits)",
        f"1, 2, 3 threads: {'the same file' if not threads else f'{threads:.0f} LSB'} (WAV and FLAC); other block "
        f"sizes: {blocks:.0f} LSB; another processor's kernels: {others:.0f} LSB",
        not missed,
        details,
        tuple(missed),
    )


def generations(room: Room, made: Mapping[str, Path]) -> Row:
    """Coding noise of the delivered MP3, beside one and two encodings of the finished PCM by FFmpeg alone."""
    job = {
        "durationMin": 0.5,
        "solfeggio": {"hz": 528},
        "binaural": {"band": "theta"},
        "safety": {"targetLufs": -20},
    }
    how = {"music": made["music"], "voice": made["speech"]}
    truth = room.sound_of(job, **how)
    delivered = room.decoded(room.render(job, format="mp3", **how)[0])
    options = ("-c:a", "libmp3lame", "-b:a", "192k")
    once = room.decoded(room.encode(truth, "once.mp3", *options))
    twice = room.decoded(room.encode(once, "twice.mp3", *options))
    noise_db = {}
    for name, sound in (("delivered", delivered), ("once", once), ("twice", twice)):
        _, rest = projected(sound[: len(truth)], [truth])
        noise_db[name] = decibels(rms(rest) / rms(sound))
    more_db = noise_db["delivered"] - noise_db["once"]
    twice_db = noise_db["twice"] - noise_db["once"]
    return Row(
        "encoding generations of the music, tones and mix",
        "one",
        f"one: coding noise {more_db:+.2f} dB against one encoding of the finished PCM "
        f"(a second adds {twice_db:+.1f} dB)",
        more_db < twice_db / 2,
        noise_db,
    )
