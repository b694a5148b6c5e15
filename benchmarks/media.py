"""Decodes files of every container and coding, whole and broken, beside FFmpeg and libsndfile.

    python -m benchmarks.media [--only WORD] [--all]

It makes the files itself, some hundred, and prints a line for each where this project's sound differs from both
others', in length or by more than `_SAME_DB`, and each line with `--all`. A difference needs a reason (`_reason`);
without one the run ends with status 1. FFmpeg here is the plain command `ffmpeg -i FILE -f wav`, as anybody would
decode a file with it.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from worker.errors import MediaError
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.media.decode import opened_sound

SECONDS = 4.0
_TIMEOUT_S = 60
_SAME_S = 0.3  # the tolerance of 0.25 s, and an encoder's padding
_SAME_DB = -40.0  # of the difference, against the sound; decoders of one coding are within it
_CODINGS = {  # container: codings
    "wav": ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "adpcm_ms"),
    "rf64": ("pcm_s16le", "pcm_s24le"),
    "w64": ("pcm_s16le", "pcm_f32le"),
    "aiff": ("pcm_s16be", "pcm_s24be"),
    "au": ("pcm_s16be", "pcm_mulaw"),
    "caf": ("pcm_s16le", "alac"),
    "mp3": ("libmp3lame",),
    "mp2": ("mp2",),
    "aac": ("aac",),
    "ac3": ("ac3",),
    "eac3": ("eac3",),
    "flac": ("flac",),
    "ogg": ("libvorbis", "libopus", "flac"),
    "m4a": ("aac", "alac"),
    "mp4": ("aac", "ac3", "eac3", "libopus", "flac", "libmp3lame"),
    "fragments": ("aac", "alac", "libopus"),
    "3gp": ("aac",),
    "mov": ("aac", "pcm_s16le", "alac"),
    "webm": ("libvorbis", "libopus"),
    "live": ("libvorbis", "libopus"),
    "mka": ("libopus", "libvorbis", "flac", "aac", "libmp3lame", "pcm_s16le", "ac3", "eac3", "alac"),
    "wma": ("wmav1", "wmav2"),
}
_WRITTEN_AS: dict[str, tuple[str, tuple[str, ...]]] = {  # container: ending and options, where it is no ending itself
    "rf64": ("wav", ("-rf64", "always")),
    "ogg": ("ogg", ("-page_duration", "60000")),
    "m4a": ("m4a", ("-movflags", "faststart")),
    "mp4": ("mp4", ("-movflags", "faststart", "-strict", "-2")),
    "mov": ("mov", ("-movflags", "faststart")),
    "fragments": ("mp4", ("-movflags", "frag_keyframe+empty_moov", "-frag_duration", "1500000", "-strict", "-2")),
    "live": ("webm", ("-live", "1")),
}
_RATES_HZ = {"libopus": 24_000, "ac3": 32_000, "eac3": 32_000}  # odd ones that the coding allows; else 22,050
_TIMED = ("m4a", "mp4", "fragments", "3gp", "mov", "webm", "live", "mka", "wma", "ogg")
_FILMS = ("mp4", "mov", "mka")
_FRAMES = ("mp3", "mp2", "aac", "ac3", "eac3")  # nothing but frames, and most of them without an index
_STATES = (
    *("whole", "cut", "damaged", "gap", "late", "edited", "mono then stereo", "odd rate", "mono", "film", "tagged"),
    *("24 in 32", "odd mask"),
)


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
class DecodedFile:
    """What a decoder made of a file: seconds of sound and its samples in two channels, or words."""

    seconds: float | None
    words: str = ""
    samples: NDArray[np.float32] | None = None

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
                ending, _ = _WRITTEN_AS.get(container, (container, ()))
                case = Case(container, coding, state, folder / f"a.{ending}")
                if only in case.name and _make(ffmpeg, case):
                    yield case


def _make(ffmpeg: Ffmpeg, case: Case) -> bool:
    """Make the file of a case; false where there is no such file."""
    state, container, path = case.state, case.container, case.path
    tone = f"aevalsrc=0.2*sin(2*PI*440*t)+0.1*random(0)|0.2*sin(2*PI*660*t):s=48000:d={SECONDS:g}"
    sound = ("-f", "lavfi", "-i", tone)
    options: tuple[str, ...] = ("-c:a", case.coding, *_WRITTEN_AS.get(container, ("", ()))[1])
    if state in ("24 in 32", "odd mask"):
        return (container, case.coding) == ("wav", "pcm_s32le") and _make_odd_wav(case)
    if state in ("gap", "late", "edited", "film") and container not in _TIMED:
        return False
    if state == "film" and container not in _FILMS:
        return False
    film = ("-f", "lavfi", "-i", f"testsrc=s=64x64:r=10:d={SECONDS + 2:g}")
    match state:
        case "gap":
            options = ("-af", f"aselect='not(between(t,{SECONDS / 4:g},{SECONDS / 2:g}))'", *options)
        case "late" if container in _FILMS:
            sound, options = (*film, "-itsoffset", "1", *sound), ("-c:v", "mpeg4", *options)
        case "late":
            options = ("-output_ts_offset", "1", *options)
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
            if container not in (*_FRAMES, "ogg"):
                return False
            if not _run(ffmpeg, *sound, "-ac", "1", *options, path):
                return False
            data = path.read_bytes() + data
        case "tagged":
            data = b"ID3\x03\0\0\0\0\0\x05title" * 2 + bytes(5000) + data + b"TAG" + bytes(125)
    path.write_bytes(data)
    return True


def _make_odd_wav(case: Case) -> bool:
    """A WAV that no encoder here writes: 24 valid bits in 32, or two channels named side left and side right."""
    rate, (bits, mask) = 48_000, ((24, 3) if case.state == "24 in 32" else (32, 0x600))
    samples = np.random.default_rng(1).integers(-(2**28), 2**28, (int(SECONDS * rate), 2)) & ~0xFFF
    guid = b"\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 2, rate, 8 * rate, 8, 32, 22, bits, mask) + guid
    data = samples.astype("<i4").tobytes()
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    case.path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return True


def _run(ffmpeg: Ffmpeg, *arguments: str | Path) -> bool:
    command = [ffmpeg.path, "-v", "error", "-nostdin", "-y", *arguments]
    return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=_TIMEOUT_S, check=False).returncode == 0


def _ours(ffmpeg: Ffmpeg, case: Case) -> DecodedFile:
    try:
        with opened_sound(ffmpeg, case.path, max_seconds=600) as sound:
            samples = np.concatenate(list(sound.blocks))
    except MediaError as error:
        return DecodedFile(None, error.message.removeprefix(case.path.name).strip())
    return DecodedFile(sound.frames / sound.sample_rate, samples=samples)


def _plain(ffmpeg: Ffmpeg, case: Case) -> DecodedFile:
    out = case.path.with_name("plain.wav")
    out.unlink(missing_ok=True)
    if not _run(ffmpeg, "-i", case.path, "-vn", "-c:a", "pcm_s16le", "-f", "wav", out) or not out.exists():
        return DecodedFile(None, "error")
    return _read(out)


def _library(case: Case) -> DecodedFile:
    try:
        return _read(case.path)
    except (soundfile.LibsndfileError, RuntimeError, ValueError):
        return DecodedFile(None, "error")


def _read(path: Path) -> DecodedFile:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return DecodedFile(len(samples) / rate, samples=np.broadcast_to(samples, (len(samples), 2)))


def _same(ours: DecodedFile, other: DecodedFile) -> bool:
    if ours.seconds is None or other.seconds is None:
        return ours.seconds is other.seconds
    return abs(ours.seconds - other.seconds) <= _SAME_S and _difference_db(ours, other) <= _SAME_DB


def _difference_db(ours: DecodedFile, other: DecodedFile) -> float:
    """Level of the difference against the sound, over what both have."""
    assert ours.samples is not None and other.samples is not None  # noqa: PT018
    frames = min(len(ours.samples), len(other.samples))
    mine, theirs = (samples[:frames].astype(np.float64) for samples in (ours.samples, other.samples))
    return float(10 * np.log10(max(1e-12, np.square(mine - theirs).mean()) / max(1e-12, np.square(mine).mean())))


def _right(case: Case, ours: DecodedFile) -> bool:
    """Whether it is what the file was made to be, whatever the others say."""
    if case.state in ("cut", "damaged"):
        return ours.seconds is None
    wanted = {"edited": SECONDS - 1.5, "mono then stereo": 2 * SECONDS}.get(case.state, SECONDS)
    return ours.seconds is not None and abs(ours.seconds - wanted) <= _SAME_S


def _reason(case: Case, ours: DecodedFile) -> str | None:
    """Why this project does otherwise than both others, or than the file was made; None for no reason."""
    raw = case.coding.startswith(("pcm", "adpcm"))
    if case.state in ("24 in 32", "odd mask") and _right(case, ours):
        return "read by its header"
    if case.state == "damaged" and raw and ours.seconds is not None:
        return "zeros are samples like any others"
    if case.state == "cut" and case.container in _FRAMES and ours.seconds is not None:
        return "frames without an index: they may end anywhere"
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
    return "the tags are skipped" if case.state == "tagged" else None


if __name__ == "__main__":
    sys.exit(main())
