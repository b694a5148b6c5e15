"""Films, as customers and operators send them in the place of sound."""

from __future__ import annotations

import subprocess
from pathlib import Path

from worker.ffmpeg.program import find_ffmpeg


def film(folder: Path, *sound: str) -> bytes:
    """An MP4 with a picture, and with a sound if one is given."""
    picture = ("-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:d=2", "-c:v", "mpeg4")
    file = folder / "film.mp4"
    command = [find_ffmpeg().path, "-v", "error", "-nostdin", "-y", *sound, *picture, str(file)]
    subprocess.run(command, check=True, timeout=60)
    return file.read_bytes()
