"""What a decoder can do that a stranger's file has taken over, and what another program of the worker's user can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from standins.taken_over_worker import as_user, taken_over

from worker.ffmpeg import landlock
from worker.ffmpeg.program import find_ffmpeg
from worker.ffmpeg.sandbox import shortfall, start

FILES = {"another job's file", "/etc/passwd", "list of the cache", "list of processes", "its own /proc", "a shell"}


@pytest.fixture
def worker(leased_dsn):
    with taken_over(leased_dsn) as worker:
        worker.enqueue(1)
        yield worker


def test_a_taken_over_decoder_gets_nothing(worker):
    (tries,) = worker.drained(worker.decoder())
    keys = tries.pop("keys")
    assert keys == 0
    got = {name for name, result in tries.items() if result == "got"}
    if not landlock.version():
        got -= FILES  # files and programs are the part that this kernel does not offer
    assert not got
    assert len(tries) > 15


def test_no_program_of_its_user_reads_the_workers_memory(worker):
    decoder = worker.decoder(stays_s=3)
    with worker.worker(decoder) as process:
        tries = worker.beside(process, decoder)
    assert tries.pop("keys") == 0
    assert set(tries.values()) <= {"Operation not permitted", "Permission denied"}, tries


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has /proc")
def test_it_inherits_no_descriptor_but_its_input():
    leaked, other = os.pipe()
    os.set_inheritable(leaked, True)
    with tempfile.TemporaryFile() as given:
        command = ["/bin/sh", "-c", "exec ls /proc/self/fd"]
        with start(command, sandbox="calls", env={"PATH": "/bin"}, reads=(given.fileno(),)) as process:
            seen = {int(number) for number in process.communicate(timeout=60)[0].split()}
    os.close(leaked)
    os.close(other)
    assert len(seen) == 5  # three of its own, its input, and the folder that it lists


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_an_ffmpeg_whose_libraries_lie_elsewhere_still_starts(tmp_path):
    wrapper = tmp_path / "ffmpeg"
    wrapper.write_text(f'#!/bin/sh\nexec "{find_ffmpeg().path}" "$@"\n')
    wrapper.chmod(0o755)
    found = find_ffmpeg(str(wrapper))
    assert found.sandbox == "calls"
    assert any("does not start with it" in lack for lack in shortfall(found.sandbox))
    assert find_ffmpeg().sandbox == "whole"
    assert shortfall("whole") == ()


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root can become another user")
def test_an_init_that_nobody_may_read_shows_no_environment():
    """As the image has it: its process 1 and its shell may be run by the worker's user, and not read."""
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        init = folder / "init"
        shutil.copy("/bin/sleep", init)
        for mode, shown in ((0o755, True), (0o711, False)):
            init.chmod(mode)
            with subprocess.Popen(as_user([init, "60"]), env={"OPENAI_API_KEY": "sk-canary"}) as process:
                command = as_user(["/bin/cat", f"/proc/{process.pid}/environ"])
                deadline = time.monotonic() + 60
                while b"60" not in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[1:2]:
                    assert time.monotonic() < deadline
                read = subprocess.run(command, capture_output=True, check=False)
                process.kill()
            assert (b"sk-canary" in read.stdout) is shown
    finally:
        shutil.rmtree(folder)
