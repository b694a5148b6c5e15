"""Run in an image: its FFmpeg has the listed components and no other, but for those that its program always has."""

import re
import subprocess

from worker.ffmpeg.components import COMPONENTS, MUXER_NAMES

_ALWAYS = {  # the ends of each graph; what `ffmpeg` adds itself where pictures are turned or sound is trimmed
    *("abuffer", "abuffersink", "buffer", "buffersink", "anull", "null", "atrim", "trim", "format"),
    *("crop", "hflip", "rotate", "transpose", "vflip"),
}


def built_in(kind: str) -> set[str]:
    """Those of a kind, by ``-decoders`` and the like: after each one's flags its name, or several."""
    command = ("ffmpeg", "-hide_banner", "-v", "error", f"-{kind}s")
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^ +[A-Z.|]+ +d? *([\w,]+) +(?!=)", said, re.MULTILINE)
    return {name for several in names for name in several.split(",")}


for kind in sorted(set(COMPONENTS) - {"parser", "protocol"}):
    listed = {MUXER_NAMES.get(name, name) if kind == "muxer" else name for name in COMPONENTS[kind]}
    found = built_in(kind)
    print(f"{kind}s: {len(found)}")
    if kind == "demuxer":  # one of several names
        found -= {name for name in found if name in ("m4a", "mp4", "3gp", "3g2", "mj2", "webm")}
    assert found - _ALWAYS == listed, f"{kind}s: {sorted((found - _ALWAYS) ^ listed)}"
