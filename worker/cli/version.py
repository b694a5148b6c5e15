"""`mindscript-worker --version`: the versions of this program, of Python and of the FFmpeg that would be used."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version

from worker.env_file import load_config
from worker.errors import WorkerError
from worker.ffmpeg.program import find_ffmpeg
from worker.printable import printable


def versions() -> str:
    """A line each; a setting that is wrong elsewhere is no reason to say nothing."""
    return "\n".join(
        (
            f"mindscript-worker {version('mindscript-audio-worker')}",
            f"Python {platform.python_version()} ({printable(sys.executable)})",
            _ffmpeg(),
        )
    )


def _ffmpeg() -> str:
    try:
        configured = load_config().ffmpeg
    except WorkerError:
        configured = os.environ.get("FFMPEG")
    try:
        found = find_ffmpeg(configured)
    except WorkerError as error:
        return f"FFmpeg: {printable(error.message, longest=None)}"
    return f"FFmpeg {printable(found.version)} ({printable(str(found.path))})"
