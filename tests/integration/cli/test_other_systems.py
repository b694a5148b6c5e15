"""`render` and `inspect` without what only Linux has. Simulated on Linux: nobody has run this on macOS."""

from __future__ import annotations

import os
import subprocess
import sys

from paths import ROOT

from worker.ffmpeg.program import find_ffmpeg

# Loaded first: these choose a library by the system's name.
AS_ON_MACOS = """
import numpy, pydantic, soundfile, soxr, zoneinfo
import ctypes, fcntl, os, resource, select, socket, sys, tempfile
sys.platform = "darwin"
tempfile._O_TMPFILE_WORKS = False  # as it finds when it is loaded there
of_linux = {
    fcntl: ["F_SETPIPE_SZ", "F_GETPIPE_SZ"],
    os: ["sched_getaffinity", "sched_setscheduler", "SCHED_BATCH", "sched_param", "memfd_create", "pidfd_open",
         "O_TMPFILE", "O_PATH", "posix_fadvise", "posix_fallocate", "splice", "eventfd", "copy_file_range"],
    resource: ["prlimit"],
    select: ["epoll"],
    socket: ["SO_PEERCRED", "SOCK_CLOEXEC"],
}
for module, names in of_linux.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
whole = ctypes.CDLL.__getattr__
def without_linux(library, name):
    if name in ("prctl", "mallopt", "syscall"):
        raise AttributeError(name)
    return whole(library, name)
ctypes.CDLL.__getattr__ = without_linux
from worker.__main__ import main
sys.exit(main())
"""


def test_a_render_and_its_inspection_need_nothing_of_linux_alone(tmp_path):
    (tmp_path / "job.json").write_text('{"durationMin": 0.1, "solfeggio": {"hz": 528}, "binaural": {"band": "theta"}}')
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FFMPEG": str(find_ffmpeg().path)}
    for arguments in (["render", "job.json", "-o", "track.mp3"], ["inspect", "track.mp3"]):
        command = [sys.executable, "-c", AS_ON_MACOS, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert "528" in done.stdout
