"""Which FFmpeg is used: the configured one, else PATH's, else the one that imageio-ffmpeg brings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from worker.errors import MachineError
from worker.ffmpeg.sandbox import Sandbox, start

OLDEST = (5, 1)
_OLDEST_LIBAVCODEC = (59, 37)  # of FFmpeg 5.1: the age of builds from git, whose version is a date or a hash
_ANSWER_TIMEOUT_S = 30
HINT = "install FFmpeg 5.1 or newer, or the Python package imageio-ffmpeg, or set FFMPEG to the program's path"


@dataclass(frozen=True)
class Ffmpeg:
    """An FFmpeg program that runs and is new enough; how much of the sandbox it starts in."""

    path: Path
    version: str
    sandbox: Sandbox = "whole"


FOUND_FFMPEGS: Final[dict[str | None, Ffmpeg]] = {}
"""By its setting, each that this process has found. A worker hands it on to its jobs: to ask takes 70 ms at most."""


def find_ffmpeg(configured: str | None = None) -> Ffmpeg:
    """Find the FFmpeg to use: the configured one, else PATH's when it is new enough, else imageio-ffmpeg's.

    The answer is remembered in `FOUND_FFMPEGS`.

    Raises `MachineError` if there is none, or the configured one is missing, fails or is older than 5.1; with a
    hint.

    Parameters
    ----------
    configured : str, optional
        A path, or a name on PATH (the setting FFMPEG). When given, no other is tried.
    """
    if configured not in FOUND_FFMPEGS:
        FOUND_FFMPEGS[configured] = _found(configured)
    return FOUND_FFMPEGS[configured]


def _found(configured: str | None) -> Ffmpeg:
    if configured:
        found = shutil.which(configured)
        if found is None:
            raise MachineError(
                f"FFMPEG is {configured!r}, which is not a program that can be run: {HINT}",
                code="configuration.ffmpeg",
            )
        return _checked(Path(found))
    refused = ""
    on_path = shutil.which("ffmpeg")
    if on_path is not None:
        try:
            return _checked(Path(on_path))
        except MachineError as error:
            refused = f" ({error.message.split(':')[0]})"
    try:
        import imageio_ffmpeg

        return _checked(Path(imageio_ffmpeg.get_ffmpeg_exe()))
    except (ImportError, RuntimeError):  # RuntimeError: the wheel for this platform brings no program
        raise MachineError(f"no FFmpeg was found{refused}: {HINT}", code="configuration.ffmpeg") from None


def _checked(path: Path) -> Ffmpeg:
    answer, sandbox = _answer(path)
    version, new_enough = parse_version(answer)
    if not new_enough:
        raise MachineError(
            f"{path} is FFmpeg {version}, older than {OLDEST[0]}.{OLDEST[1]}: {HINT}",
            code="configuration.ffmpeg",
        )
    return Ffmpeg(path, version, sandbox)


def _answer(path: Path) -> tuple[str, Sandbox]:
    """Its answer to ``-version``, and in how much of the sandbox it gives one: its libraries may lie anywhere."""
    for sandbox in get_args(Sandbox):
        try:
            with start(
                [path, "-version"], sandbox=sandbox, env=clean_environment(), stderr=subprocess.DEVNULL
            ) as process:
                try:
                    answer, _ = process.communicate(timeout=_ANSWER_TIMEOUT_S)
                finally:
                    process.kill()
            if process.returncode == 0:
                return answer.decode(errors="replace"), sandbox
            reason = "it does not answer -version"
        except subprocess.TimeoutExpired:
            reason = f"it does not answer -version within {_ANSWER_TIMEOUT_S} s"
            break
        except OSError as error:
            reason = error.strerror or str(error)
    raise MachineError(f"{path} cannot be run: {reason}: {HINT}", code="configuration.ffmpeg")


def parse_version(answer: str) -> tuple[str, bool]:
    """Read the answer to `-version`: the version as printed, and whether it is 5.1 or newer.

    Releases print ``5.1.9-0+deb12u1`` or ``n9.0.2-17-g2a571b6068``; builds from git print ``N-109542-g…`` or a date,
    and only their libavcodec shows how old they are.
    """
    first = re.match(r"ffmpeg version (\S+)", answer)
    if first is None:
        return "unknown", False
    version = first[1]
    release = re.match(r"n?(\d{1,2})\.(\d+)", version)
    if release:
        return version, (int(release[1]), int(release[2])) >= OLDEST
    library = re.search(r"^libavcodec\s+(\d+)\.\s*(\d+)\.", answer, re.MULTILINE)
    return version, library is not None and (int(library[1]), int(library[2])) >= _OLDEST_LIBAVCODEC


def clean_environment() -> dict[str, str]:
    """Make FFmpeg's environment: it needs none of our settings, least of all the secrets among them."""
    # The linker's path is where a program unpacked outside the system, as on Heroku, finds its libraries.
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C"}
