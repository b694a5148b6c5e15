"""What a render takes beside time: modules and disk."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
from paths import ROOT

from dsp.noise import Noise

RATE = 44_100
JOB = {
    "script": "Recorded.",
    "durationMin": 1,
    "backgroundMusic": {"url": "rain.flac"},
    "binaural": {"enabled": True, "band": "theta"},
}
# Each costs 15 to 90 MB, or a tenth of a second: only who needs it loads it.
LARGE = {
    "scipy",
    "supabase",
    "storage3",
    "openai",
    "elevenlabs",
    "httpx",
    "psycopg",
    "matplotlib",
    "rich",
    "loguru",
    "asyncio",
    "ssl",
}


def prepared(folder: Path) -> list[str]:
    """A job with a recording and music, and the arguments that render it."""
    sound = 0.1 * Noise("pink", 1, RATE).render(0, 5 * RATE)
    soundfile.write(folder / "me.wav", np.ascontiguousarray(sound[:, 0]), RATE, subtype="PCM_16")
    soundfile.write(folder / "rain.flac", np.concatenate([sound, sound]), RATE)
    (folder / "job.json").write_text(json.dumps(JOB))
    return ["render", "job.json", "--voice", "me.wav", "--music", "rain.flac", "--out", "track.mp3", "--quiet"]


def environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}


def test_a_render_loads_nothing_that_it_does_not_need(tmp_path):
    program = "import sys\nfrom worker.cli.main import run\nprint(run(sys.argv[1:]), *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, *prepared(tmp_path)],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    status, *loaded = done.stdout.split()
    assert status == "0"
    assert not LARGE & {name.partition(".")[0] for name in loaded}


def test_disk_is_taken_for_the_decoded_inputs_and_the_finished_file_only(tmp_path):
    arguments = prepared(tmp_path)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    most = 0
    with subprocess.Popen(
        [sys.executable, "-m", "worker", *arguments], cwd=tmp_path, env=environment(tmp_path)
    ) as process:
        while process.poll() is None:
            most = max(most, _bytes_on_disk(tmp_path, before))
            time.sleep(0.005)
    assert process.returncode == 0
    finished = (tmp_path / "track.mp3").stat().st_size
    decoded = 4 * 5 * RATE + 8 * 10 * RATE  # float32: a voice in one channel, music in two
    assert finished + decoded / 2 < most <= finished + decoded
    assert {path for path in tmp_path.rglob("*") if path.is_file()} - before == {
        tmp_path / "track.mp3",
        tmp_path / f"mindscript-cache-{os.getuid()}" / "machine" / "machine",  # a number, for the next job's progress
    }


def _bytes_on_disk(folder: Path, without: set[Path]) -> int:
    """Of all files but some; one that is renamed while we look counts once."""
    sizes = {}
    for parent, _, names in os.walk(folder):  # passes over folders that go away meanwhile, as rglob does not
        for path in (Path(parent, name) for name in names):
            with contextlib.suppress(OSError):  # so may a file
                status = path.stat()
                if stat.S_ISREG(status.st_mode) and path not in without:
                    sizes[status.st_ino] = status.st_size
    return sum(sizes.values())
