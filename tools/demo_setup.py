"""Say what `make demo` does, and install its packages into a virtual environment of their own.

Run: python3 tools/demo_setup.py FOLDER

It comes before any package, so it uses the standard library alone; and it must start with a Python that is too old, to
say so. Progress is one line on a terminal; elsewhere a line for each step.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Measured on Linux x86-64 with Python 3.11: the wheels; the folder afterwards, with the tracks and the database.
DOWNLOAD_MB, DISK_MB = 90, 365
FFMPEG_DOWNLOAD_MB, FFMPEG_DISK_MB = 70, 165
OLDEST_PYTHON = (3, 11)
OLDEST_FFMPEG = (5, 1)  # as in worker/ffmpeg/program.py
SILENCE_S = 15.0  # elsewhere than on a terminal something is said as often as that
LAST_LINES = 8


def main() -> int:
    """Install what is missing; 0, or 1 with the reason on standard error."""
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"Python 3.11 or newer is needed, this is {found}: make demo PYTHON=python3.12")
    folder = Path(sys.argv[1])
    files = [ROOT / "requirements-demo.txt"]
    with_ffmpeg = not path_has_ffmpeg()
    if with_ffmpeg:
        files.append(ROOT / "requirements-demo-ffmpeg.txt")
    state = state_of(files)
    marker = folder / "installed"
    if marker.is_file() and marker.read_text() == state:
        print(f"The demo's packages are in {folder}/. It renders eight tracks and an album within a minute.\n")
        return 0
    print_plan(folder, with_ffmpeg=with_ffmpeg)
    marker.unlink(missing_ok=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    locked = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-compile", "--progress-bar", "off"]
    steps = [
        ("virtual environment", [sys.executable, "-m", "venv", "--clear", str(folder)]),
        ("packages", [*pip, *locked, *(part for file in files for part in ("-r", str(file)))]),
        ("this project", [*pip, "--no-deps", "--no-build-isolation", "--no-index", "--editable", str(ROOT)]),
    ]
    total = len({name for file in files for name in re.findall(r"^([\w.-]+)==(?!.*win32)", file.read_text(), re.M)})
    for number, (name, command) in enumerate(steps, start=1):
        if not Step(f"{number}/{len(steps)} {name}", folder, total if name == "packages" else 0).run(command):
            return 1
    marker.write_text(state)
    print()
    return 0


def print_plan(folder: Path, *, with_ffmpeg: bool) -> None:
    """Say what will be done, what it downloads, and what it leaves."""
    download, disk = DOWNLOAD_MB + with_ffmpeg * FFMPEG_DOWNLOAD_MB, DISK_MB + with_ffmpeg * FFMPEG_DISK_MB
    ffmpeg = ", FFmpeg among them, since PATH has none of 5.1 or newer" if with_ffmpeg else ""
    print(
        f"make demo installs the demo's packages into {folder}/; eight tracks and an album go to out/demo/.\n"
        f"  download  {download} MB of packages, each checked against its hash{ffmpeg}\n"
        f"  time      about a minute on two cores, and the download\n"
        f"  disk      {disk} MB: {folder}/, out/demo/, .mindscript/ (a Postgres, caches), Python's __pycache__\n"
        f"  elsewhere nothing, but for pip's own cache of downloads; `make clean` removes the rest\n",
        flush=True,
    )


def path_has_ffmpeg() -> bool:
    """Whether PATH's FFmpeg is one that the worker would use: builds without a release's number are taken as new."""
    found = shutil.which(os.environ.get("FFMPEG") or "ffmpeg")
    if found is None:
        return False
    try:
        done = subprocess.run([found, "-version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    answer = done.stdout.decode(errors="replace")
    release = re.match(r"ffmpeg version n?(\d{1,2})\.(\d+)", answer)
    if release:
        return (int(release[1]), int(release[2])) >= OLDEST_FFMPEG
    return done.returncode == 0 and answer.startswith("ffmpeg version")


def state_of(files: list[Path]) -> str:
    """What an environment that is made now would be made of."""
    parts = [sys.version, str(ROOT), *(file.read_text() for file in (*files, ROOT / "pyproject.toml"))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest() + "\n"


class Step:
    """One command, whose output is shown if it fails only."""

    def __init__(self, name: str, folder: Path, packages: int) -> None:
        self._name, self._folder, self._packages = name, folder, packages
        self._began = time.monotonic()
        self._is_terminal = sys.stdout.isatty()
        self._output: list[str] = []
        self._fetched = 0

    def run(self, command: list[str]) -> bool:
        """Run it to its end, and tell whether it succeeded."""
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        )
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        reader.start()
        said = time.monotonic()
        if not self._is_terminal:
            print(f"{self._name} …", flush=True)
        try:
            while reader.is_alive():
                reader.join(0.25)
                if self._is_terminal:
                    self._rewrite(self._how_far())
                elif time.monotonic() - said > SILENCE_S:
                    said = time.monotonic()
                    print(f"{self._name}: {self._how_far()}", flush=True)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            print("\ninterrupted; `make demo` installs anew, with what pip has downloaded so far", file=sys.stderr)
            sys.exit(130)
        succeeded = process.wait() == 0
        ends = f"{'done' if succeeded else 'failed'} after {self._seconds():.0f} s"
        if self._is_terminal:
            self._rewrite(ends + "\n")
        else:
            print(f"{self._name}: {ends}", flush=True)
        if not succeeded:
            print("".join(self._output[-LAST_LINES:]), file=sys.stderr)
            print("error: the demo's packages are not installed; `make demo` tries again", file=sys.stderr)
        return succeeded

    def _read(self, process: subprocess.Popen) -> None:
        for raw in process.stdout or ():
            line = raw.decode(errors="replace")
            self._fetched += line.startswith("Collecting ")
            self._output.append(line)

    def _how_far(self) -> str:
        if not self._packages:
            return f"{self._seconds():.0f} s"
        installed = sum(1 for _ in self._folder.glob("lib/python*/site-packages/*.dist-info")) - 2  # pip, setuptools
        if installed > 0:
            return f"installed {min(installed, self._packages)} of {self._packages} · {self._seconds():.0f} s"
        return f"fetched {min(self._fetched, self._packages)} of {self._packages} · {self._seconds():.0f} s"

    def _rewrite(self, text: str) -> None:
        print(f"\r\033[K{self._name}  {text}", end="", flush=True)

    def _seconds(self) -> float:
        return time.monotonic() - self._began


if __name__ == "__main__":
    sys.exit(main())
