"""Which FFmpeg is used: the configured one, else PATH's, else the one that imageio-ffmpeg brings."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.errors import ConfigurationError

OLDEST = (5, 1)
_OLDEST_LIBAVCODEC = (
    59,
    37,
)  # of FFmpeg 5.1; tells the age of builds from git, whose version is a date or a hash
_ANSWER_TIMEOUT_S = 30
_ASIDE_NICE = 10  # more than ours: a tenth of our share, where there is not enough for all
MEND = "install FFmpeg 5.1 or newer, or the Python package imageio-ffmpeg, or set FFMPEG to the program's path"


@dataclass(frozen=True)
class Ffmpeg:
    """An FFmpeg program that runs and is new enough."""

    path: Path
    version: str


@functools.cache
def find_ffmpeg(configured: str | None = None) -> Ffmpeg:
    """Find the FFmpeg to use: the configured one, else PATH's when it is new enough, else imageio-ffmpeg's.

    The answer is remembered for the life of the process.

    Parameters
    ----------
    configured : str, optional
        A path, or a name on PATH (the setting FFMPEG). When given, no other is tried.

    Raises
    ------
    ConfigurationError
        If there is none, or the configured one is missing, fails or is older than 5.1; says how to mend it.
    """
    if configured:
        found = shutil.which(configured)
        if found is None:
            raise ConfigurationError(
                f"FFMPEG is {configured!r}, which is not a program that can be run: {MEND}",
                code="configuration.ffmpeg",
            )
        return _checked(Path(found))
    refused = ""
    on_path = shutil.which("ffmpeg")
    if on_path is not None:
        try:
            return _checked(Path(on_path))
        except ConfigurationError as error:
            refused = f" ({error.message.split(':')[0]})"
    try:
        import imageio_ffmpeg

        return _checked(Path(imageio_ffmpeg.get_ffmpeg_exe()))
    except (ImportError, RuntimeError):  # RuntimeError: the wheel for this platform brings no program
        raise ConfigurationError(f"no FFmpeg was found{refused}: {MEND}", code="configuration.ffmpeg") from None


@contextlib.contextmanager
def ffmpeg_asked(configured: str | None = None) -> Iterator[Path | None]:
    """Ask the FFmpeg that `find_ffmpeg` will try first for its version, while others work; None if it is not on PATH.

    A build of many libraries takes a tenth of a second to start. What is wrong with it is said by `find_ffmpeg`.
    """
    found = shutil.which(configured or "ffmpeg")
    path = None if found is None else Path(found)
    if path is not None:
        with contextlib.suppress(OSError):
            _asked[path] = _ask(path)
            give_way(_asked[path].pid)
    try:
        yield path
    finally:
        unheard = _asked.pop(path, None) if path is not None else None
        if unheard is not None:
            with unheard:
                unheard.kill()


_asked: dict[Path, subprocess.Popen[bytes]] = {}


def _ask(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [path, "-version"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
    )


def _checked(path: Path) -> Ffmpeg:
    try:
        with _asked.pop(path, None) or _ask(path) as process:
            try:
                answer = process.communicate(timeout=_ANSWER_TIMEOUT_S)[0].decode(errors="replace")
            finally:
                process.kill()  # without effect where it has ended
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
    except (OSError, subprocess.SubprocessError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not answer -version"
        raise ConfigurationError(f"{path} cannot be run: {reason}: {MEND}", code="configuration.ffmpeg") from None
    version, new_enough = parse_version(answer)
    if not new_enough:
        raise ConfigurationError(
            f"{path} is FFmpeg {version}, older than {OLDEST[0]}.{OLDEST[1]}: {MEND}",
            code="configuration.ffmpeg",
        )
    return Ffmpeg(path, version)


def parse_version(answer: str) -> tuple[str, bool]:
    """Read the answer to `-version`: the version as printed, and whether it is 5.1 or newer.

    Releases say ``5.1.9-0+deb12u1`` or ``n9.0.2-17-g2a571b6068``; builds from git say ``N-109542-g…`` or a
    date, and are told by their libavcodec.
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


def give_way(pid: int) -> None:
    """Let a process wait for others rather than they for it; where cores are idle it is as fast as ever."""
    with contextlib.suppress(OSError, AttributeError):  # it has ended already; or this is no POSIX system
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + _ASIDE_NICE)


def clean_environment() -> dict[str, str]:
    """Make FFmpeg's environment: it needs none of our settings, least of all the secrets among them."""
    # The linker's path is where a program unpacked outside the system, as on Heroku, finds its libraries.
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C"}
