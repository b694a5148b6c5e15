"""`render` that is ended half way: nothing half-written, no process left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from paths import ROOT
from processes import heed_interrupts
from rendering import TONES, job_file


@pytest.fixture
def encoding(tmp_path):
    """A long render whose encoder is running: the process, and the encoder."""
    job = job_file(tmp_path, durationMin=60, solfeggio={"hz": 528})
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "render", str(job), "-o", "track.m4a", "--quiet"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        preexec_fn=heed_interrupts,
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "adts" in child.cmdline():
                    yield process, child
                    process.kill()
                    process.wait(10)
                    return
        time.sleep(0.05)
    process.kill()
    pytest.fail("no encoder was started")


@pytest.mark.further
def test_ctrl_c_leaves_no_file_and_no_child(tmp_path, encoding):
    process, _ = encoding
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 130
    assert said.decode() == "interrupted\n"
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_a_killed_ffmpeg_is_told_and_nothing_is_left(tmp_path, encoding):
    process, encoder = encoding
    encoder.kill()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"FFmpeg" in said
    assert said.count(b"\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_standard_output_that_is_full_is_an_error(tmp_path):
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device, not a file of ours
        done = subprocess.run(
            [sys.executable, "-m", "worker", "render", str(job_file(tmp_path, **TONES)), "-o", "-", "--quiet"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
    assert done.returncode == 1
    assert b"No space" in done.stderr or b"disk is full" in done.stderr
