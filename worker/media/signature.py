"""The name that LAME and FFmpeg leave in an MP3 file's first frame."""

from __future__ import annotations

import re
from pathlib import Path

from worker.media.sniff import id3v2_bytes

_FRAME_BYTES = 1441  # the largest of MPEG-1 layer III


def mp3_encoder(file: Path) -> str | None:
    """Read the encoder's name and version behind the Xing/Info header ("MP3 Info Tag revision 1"); None without it."""
    with file.open("rb") as opened:
        start = id3v2_bytes(opened.read(10))
        opened.seek(start)
        frame = opened.read(_FRAME_BYTES)
    header = re.search(rb"(?:Xing|Info).{0,120}?((?:LAME|Lavc|Lavf)[\w.]{0,5})", frame, re.DOTALL)
    return None if header is None else header[1].decode("ascii")
