"""Decodes files of every container and coding, whole and broken, beside FFmpeg and libsndfile.

    python -m benchmarks.media [--only WORD] [--all]

It makes the files itself, some hundred, and prints a line for each where this project's length differs from both
others', and each line with `--all`. A difference needs a reason (`_reason`); without one the run ends with status 1.
FFmpeg here is the plain command `ffmpeg -i FILE -f wav`, as anybody would decode a file with it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from worker.errors import MediaError
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.media.decode import opened_sound

SECONDS = 4.0
_TIMEOUT_S = 60
_SAME_S = 0.3  # the tolerance of 0.25 s, and an encoder's padding
_CODINGS = {  # container: codings
    "wav": ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "adpcm_ms"),
    "w64": ("pcm_s16le", "pcm_f32le"),
    "aiff": ("pcm_s16be", "pcm_s24be"),
    "au": ("pcm_s16be", "pcm_mulaw"),
    "caf": ("pcm_s16le", "alac"),
    "mp3": ("libmp3lame",),
    "aac": ("aac",),
    "flac": ("flac",),
    "ogg": ("libvorbis", "libopus", "flac"),
    "m4a": ("aac", "alac"),
    "mp4": ("aac", "ac3", "eac3", "libopus", "flac", "libmp3lame"),
    "mov": ("aac", "pcm_s16le", "alac"),
    "webm": ("libvorbis", "libopus"),
    "mka": ("libopus", "libvorbis", "flac", "aac", "libmp3lame", "pcm_s16le", "ac3", "eac3", "alac"),
    "wma": ("wmav1", "wmav2"),
}
_RATES_HZ = {"libopus": 24_000, "ac3": 32_000, "eac3": 32_000}  # odd ones that the coding allows; else 22,050
_TIMED = ("m4a", "mp4", "mov", "webm", "mka", "wma", "ogg")
_FILMS = ("mp4", "mov", "mka")
_STATES = ("whole", "cut", "damaged", "gap", "late", "edited", "mono then stereo", "odd rate", "mono", "film")


@dataclass(frozen=True)
class Case:
    """A file of the matrix."""

    container: str
    coding: str
    state: str
    path: Path

    @property
    def name(self) -> str:
        return f"{self.container} {self.coding} {self.state}"


@dataclass(frozen=True)
class Heard:
    """What a decoder made of a file: seconds of sound, or words."""

    seconds: float | None
    words: str = ""

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s" if self.seconds is not None else self.words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="cases whose name contains it")
    parser.add_argument("--all", action="store_true", help="print the lines that agree, too")
    arguments = parser.parse_args()
    ffmpeg = find_ffmpeg()
    print(f"FFmpeg {ffmpeg.version}, {soundfile.__libsndfile_version__}\n")
    print(f"{'file':<34}  {'this project':<34}  {'FFmpeg':<10}  {'libsndfile':<10}  reason")
    files = differing = unexplained = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in _cases(ffmpeg, Path(folder), arguments.only):
            ours, plain, library = _ours(ffmpeg, case), _plain(ffmpeg, case), _library(case)
            differs = not any(_same(ours, other) for other in (plain, library))
            reason = _reason(case, ours) if differs or not _right(case, ours) else ""
            files += 1
            differing += differs
            unexplained += reason is None
            if differs or arguments.all or reason is None:
                shown = "NONE" if reason is None else reason
                print(f"{case.name:<34}  {ours!s:<34.34}  {plain!s:<10.10}  {library!s:<10.10}  {shown}")
    print(f"\n{files} files; {differing} differ from both others; {unexplained} without a reason")
    return int(unexplained > 0)


def _cases(ffmpeg: Ffmpeg, folder: Path, only: str) -> Iterator[Case]:
    for container, codings in _CODINGS.items():
        for coding in codings:
            for state in _STATES:
                case = Case(container, coding, state, folder / f"a.{container}")
                if only in case.name and _make(ffmpeg, case):
                    yield case


def _make(ffmpeg: Ffmpeg, case: Case) -> bool:
    """Make the file of a case; false where there is no such file."""
    state, container, path = case.state, case.container, case.path
    tone = f"aevalsrc=0.2*sin(2*PI*440*t)+0.1*random(0)|0.2*sin(2*PI*660*t):s=48000:d={SECONDS:g}"
    sound = ("-f", "lavfi", "-i", tone)
    options: tuple[str, ...] = ("-c:a", case.coding, *_muxer_options(container))
    if state in ("gap", "late", "edited", "film") and container not in _TIMED:
        return False
    if state in ("late", "film") and container not in _FILMS:
        return False
    film = ("-f", "lavfi", "-i", f"testsrc=s=64x64:r=10:d={SECONDS + 2:g}")
    match state:
        case "gap":
            options = ("-af", f"aselect='not(between(t,{SECONDS / 4:g},{SECONDS / 2:g}))'", *options)
        case "late":
            sound, options = (*film, "-itsoffset", "1", *sound), ("-c:v", "mpeg4", *options)
        case "film":
            sound, options = (*film, *sound), ("-c:v", "mpeg4", *options)
        case "odd rate":
            options = ("-ar", str(_RATES_HZ.get(case.coding, 22_050)), *options)
        case "mono":
            options = ("-ac", "1", *options)
    if not _run(ffmpeg, *sound, *options, path):
        return False
    data = path.read_bytes()
    match state:
        case "cut":
            data = data[: len(data) * 2 // 3]
        case "damaged":
            begin, end = int(len(data) * 0.4), int(len(data) * 0.8)
            data = data[:begin] + bytes(end - begin) + data[end:]
        case "edited":
            part = path.with_stem("part")
            if not _run(ffmpeg, "-ss", "1.5", "-i", path, "-c", "copy", part):
                return False
            data = part.read_bytes()
        case "mono then stereo":
            if container not in ("mp3", "aac", "ogg"):
                return False
            if not _run(ffmpeg, *sound, "-ac", "1", *options, path):
                return False
            data = path.read_bytes() + data
    path.write_bytes(data)
    return True


def _muxer_options(container: str) -> tuple[str, ...]:
    if container in ("m4a", "mp4", "mov"):
        return ("-movflags", "faststart", "-strict", "-2")
    return ("-page_duration", "60000") if container == "ogg" else ()


def _run(ffmpeg: Ffmpeg, *arguments: str | Path) -> bool:
    command = [ffmpeg.path, "-v", "error", "-nostdin", "-y", *arguments]
    return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=_TIMEOUT_S, check=False).returncode == 0


def _ours(ffmpeg: Ffmpeg, case: Case) -> Heard:
    try:
        with opened_sound(ffmpeg, case.path, max_seconds=600) as sound:
            for _ in sound.blocks:
                pass
    except MediaError as error:
        return Heard(None, error.message.removeprefix(case.path.name).strip())
    return Heard(sound.frames / sound.sample_rate)


def _plain(ffmpeg: Ffmpeg, case: Case) -> Heard:
    out = case.path.with_name("plain.wav")
    out.unlink(missing_ok=True)
    if not _run(ffmpeg, "-i", case.path, "-vn", "-c:a", "pcm_s16le", "-f", "wav", out) or not out.exists():
        return Heard(None, "error")
    return Heard(soundfile.info(out).duration)


def _library(case: Case) -> Heard:
    try:
        samples, rate = soundfile.read(case.path, dtype="float32")
    except (soundfile.LibsndfileError, RuntimeError, ValueError):
        return Heard(None, "error")
    return Heard(len(samples) / rate)


def _same(ours: Heard, other: Heard) -> bool:
    if ours.seconds is None or other.seconds is None:
        return ours.seconds is other.seconds
    return abs(ours.seconds - other.seconds) <= _SAME_S


def _right(case: Case, ours: Heard) -> bool:
    """Whether it is what the file was made to be, whatever the others say."""
    if case.state in ("cut", "damaged"):
        return ours.seconds is None
    wanted = {"edited": SECONDS - 1.5, "mono then stereo": 2 * SECONDS}.get(case.state, SECONDS)
    return ours.seconds is not None and abs(ours.seconds - wanted) <= _SAME_S


def _reason(case: Case, ours: Heard) -> str | None:
    """Why this project does otherwise than both others, or than the file was made; None for no reason."""
    raw = case.coding.startswith(("pcm", "adpcm"))
    if case.state == "damaged" and raw and ours.seconds is not None:
        return "zeros are samples like any others"
    if case.state == "cut" and case.container == "aac" and ours.seconds is not None:
        return "ADTS has no index: it may end anywhere"
    if case.state == "gap" and case.container == "mov" and raw:
        return "MOV gives PCM no times: there is no gap"
    if not _right(case, ours):
        return None
    if case.state in ("cut", "damaged"):
        return "sound is missing; neither says so"
    if case.state == "gap":
        return "the times leave a gap; neither fills it"
    if case.state == "mono then stereo":
        return "both end, or stay mono, at the change"
    if case.state == "edited":
        return "the edit list is kept"
    return None


if __name__ == "__main__":
    sys.exit(main())
