"""The measuring room: files made by the real program, taken apart and measured by others' tools."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import soundfile
from numpy.typing import NDArray

from worker.codec.encoding import Encoding
from worker.config import Config
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.formats import FormatName as Format
from worker.formats import Quality
from worker.payload.parse import parse_job
from worker.plan.compile import Compiled, compile_plan
from worker.plan.recordings import Media
from worker.render.materials import Materials
from worker.render.produce import produce
from worker.render.report import Report
from worker.tasks.files import beside

RATE = 44_100
Samples = NDArray[np.float64]
"""Shape (frames, 2)."""


@dataclass(frozen=True)
class Room:
    """A folder to work in, and the tools.

    Attributes
    ----------
    folder : Path
    ffmpeg : Ffmpeg
    threads : int
    """

    folder: Path
    ffmpeg: Ffmpeg
    threads: int = 2

    @classmethod
    def at(cls, folder: Path, ffmpeg: str | None = None) -> Room:
        """Open it, with this FFmpeg or the one that the worker would take."""
        return cls(folder, find_ffmpeg(ffmpeg))

    def render(
        self,
        job: Mapping[str, Any],
        *,
        format: Format = "flac",
        quality: Quality = "medium",
        voice: Path | None = None,
        music: Path | None = None,
        name: str = "track",
    ) -> tuple[Path, Report]:
        """Make a file of a job as `mindscript-worker render` does.

        Raises
        ------
        WorkerError
            As the program does.
        """
        recordings = tuple(kind for kind, path in (("voice", voice), ("music", music)) if path is not None)
        config = Config(render_threads=self.threads, ffmpeg=str(self.ffmpeg.path))
        materials = Materials(config, beside(self.folder, config), voice_file=voice, music_file=music)
        out = self.folder / f"{name}.{format}"
        parsed = parse_job(job, recordings=recordings)  # type: ignore[arg-type]
        produced = produce(parsed, out, materials=materials, encoding=Encoding.for_quality(format, quality))
        return out, produced.report

    def sound_of(self, job: Mapping[str, Any], **how: Any) -> Samples:
        """Render to FLAC and read it back."""
        return read(self.render(job, **how)[0])

    def decoded(self, path: Path) -> Samples:
        """Decode a whole file with FFmpeg."""
        done = subprocess.run(
            [self.ffmpeg.path, "-nostdin", "-v", "error", "-i", path, "-f", "f32le", "-c:a", "pcm_f32le", "-"],
            capture_output=True,
            timeout=300,
            check=True,
        )
        return np.frombuffer(done.stdout, "<f4").reshape(-1, 2).astype(np.float64)

    def ebur128_frames(self, path: Path, options: str = "") -> str:
        """What FFmpeg's meter says of a file, every 100 ms."""
        filters = f"ebur128=metadata=1:framelog=verbose{options},ametadata=print:file=-"
        return subprocess.run(
            [self.ffmpeg.path, "-nostdin", "-v", "error", "-i", path, "-af", filters, "-f", "null", "-"],
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        ).stdout

    def ebur128(self, path: Path) -> tuple[float, float]:
        """Loudness in LUFS and true peak in dBTP of a file, by FFmpeg's meter; both to a few thousandths."""
        said = self.ebur128_frames(path, ":peak=true")
        lufs, peaks = (re.findall(rf"r128\.{key}=(\S+)", said) for key in ("I", r"true_peaks_ch\d"))
        return float(lufs[-1]), decibels(max(map(float, peaks)))

    def encode(self, samples: Samples, name: str, *options: str) -> Path:
        """Encode samples with FFmpeg alone."""
        out = self.folder / name
        raw = ["-f", "f32le", "-ar", str(RATE), "-ac", "2", "-i", "-"]
        subprocess.run(
            [self.ffmpeg.path, "-nostdin", "-v", "error", "-y", *raw, *options, str(out)],
            input=samples.astype("<f4").tobytes(),
            timeout=300,
            check=True,
        )
        return out

    def alone(self) -> Room:
        """The same with a single thread."""
        return replace(self, threads=1)


def plan_of(job: Mapping[str, Any]) -> Compiled:
    """Compile a job without recordings."""
    return compile_plan(parse_job(job), Media())


def read(path: Path) -> Samples:
    """Read a file with libsndfile."""
    return soundfile.read(path, dtype="float64", always_2d=True)[0]


def decibels(gain: float) -> float:
    """Of a linear amplitude; -400 for nothing."""
    return 20 * float(np.log10(max(gain, 1e-20)))


def lufs_of(samples: Samples, rate: int = RATE) -> float:
    """Integrated loudness by pyloudnorm, with the standard's own filter."""
    return float(pyloudnorm.Meter(rate, "DeMan").integrated_loudness(samples))


def true_peak_dbtp(samples: Samples) -> float:
    """True peak by exact band-limited interpolation to eight times the sample rate, a minute at a time."""
    highest = 0.0
    margin, step = 4096, 60 * RATE
    for first in range(0, len(samples), step):
        begin, end = max(0, first - margin), min(len(samples), first + step + margin)
        stretch = np.pad(samples[begin:end], ((margin, margin), (0, 0)))
        size = 1 << (len(stretch) - 1).bit_length() if len(stretch) < 2**20 else len(stretch)
        spectrum = np.fft.rfft(stretch, size, axis=0)
        fine = np.abs(np.fft.irfft(spectrum, 8 * size, axis=0)) * 8
        inside = slice(8 * margin, 8 * (margin + end - begin))
        highest = max(highest, float(fine[inside].max()))
    return decibels(highest)


def projected(samples: Samples, onto: list[Samples]) -> tuple[Samples, Samples]:
    """Least squares: how much of each signal is in the samples, and what is left."""
    basis = np.stack([signal.reshape(-1) for signal in onto], axis=1)
    shares = np.linalg.solve(basis.T @ basis, basis.T @ samples.reshape(-1))
    return shares, samples - (basis @ shares).reshape(samples.shape)


def tones_in(samples: NDArray[np.float64], frequencies_hz: list[float], start: int = 0) -> NDArray[np.complex128]:
    """Complex amplitudes of tones of known frequency in one ear, fitted together; phase against frame 0."""
    n = np.arange(start, start + len(samples))
    turns = np.outer(np.array(frequencies_hz) / RATE, n) % 1.0
    basis = np.concatenate([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)])
    fitted = np.linalg.solve(basis @ basis.T, basis @ samples)
    return fitted[: len(frequencies_hz)] - 1j * fitted[len(frequencies_hz) :]


def rms(samples: NDArray[np.float64]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(samples))))
