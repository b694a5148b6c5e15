"""What the encoders cost and what they do to the sound, measured on this machine.

    python benchmarks/codec.py [--seconds 600] [--ffmpeg PROGRAM] [--only speed level peaks joins decode]

speed   the finished PCM alone: one FFmpeg process against this project with 1 and 2 threads, with and without the check
level   how much quieter each encoder gives a programme back
peaks   how far the decoded peaks of a programme limited to -1.0 dBTP rise
joins   coding noise in the 50 ms around each join, against one encoding of the whole
decode  recordings in
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import soundfile

from dsp.blocks import Block, spans
from dsp.limiter import limit
from dsp.loudness import LoudnessMeter, integrated_lufs
from worker.codec.aac import aac_coder
from worker.codec.encode import encode
from worker.codec.encoder_processes import encode_segments
from worker.codec.encoding import Encoding
from worker.codec.frames import EncodedFrames
from worker.codec.mp3 import mp3_coder
from worker.codec.segments import Pcm, SegmentCoder, Track, cut
from worker.codec.tags import Tags
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.media.decode import decode

RATE = 44100
KBPS = (128, 192, 320)


@dataclass(frozen=True)
class Cost:
    """Wall seconds and CPU seconds of all processes."""

    wall: float
    cpu: float


def cost_of(work: Callable[[], object]) -> Cost:
    """Run something once and count."""

    def cpu() -> float:
        return sum(os.times()[:4])

    wall, before = time.perf_counter(), cpu()
    work()
    return Cost(time.perf_counter() - wall, cpu() - before)


def pink(frames: int, *, seed: int = 1) -> Block:
    """Pink noise at -20 dBFS, ears independent."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((frames, 2)), axis=0)
    hz = np.maximum(np.fft.rfftfreq(frames, 1 / RATE), 20)[:, None]
    noise = np.fft.irfft(spectrum / np.sqrt(hz), frames, axis=0)
    return (0.1 * noise / noise.std()).astype(np.float32)


def white(frames: int) -> Block:
    """White noise at -20 dBFS."""
    return (0.1 * np.random.default_rng(4).standard_normal((frames, 2))).astype(np.float32)


def tones(frames: int) -> Block:
    """A binaural pair."""
    seconds = np.arange(frames) / RATE
    return np.stack([0.3 * np.sin(2 * np.pi * hz * seconds) for hz in (197, 203)], axis=1).astype(np.float32)


def speech(frames: int) -> Block:
    """Syllables of a buzzing voice with pauses, over a whisper of noise."""
    seconds = np.arange(frames) / RATE
    syllables = np.abs(np.sin(2 * np.pi * 1.7 * seconds)) ** 4 * (np.sin(2 * np.pi * 0.11 * seconds) > -0.5)
    buzz = sum(np.sin(2 * np.pi * 150 * n * seconds + n * np.sin(6 * np.pi * seconds)) / n for n in range(1, 20))
    return ((0.2 * syllables * buzz)[:, None] + 0.001 * pink(frames, seed=2)).astype(np.float32)


def music(frames: int) -> Block:
    """Plucked notes twice a second, the ears a little apart."""
    seconds = np.arange(frames) / RATE
    notes = ((220, 0.0), (330, 0.3), (440, 0.6), (1760, 0.1))
    plucked = sum(np.sin(2 * np.pi * hz * seconds) * np.exp(-4 * ((2 * seconds + phase) % 1)) for hz, phase in notes)
    return (0.1 * np.stack([plucked, np.roll(plucked, 300)], axis=1) + 0.02 * pink(frames, seed=3)).astype(np.float32)


def mix(frames: int) -> Block:
    """Voice over music, tones and noise, dense enough to keep a limiter busy at -16 LUFS."""
    return speech(frames) + 0.5 * music(frames) + 0.3 * tones(frames) + 0.3 * pink(frames)


SIGNALS = {"tones": tones, "noise": pink, "speech": speech, "music": music}


def pcm_of(sound: Block) -> Callable[[int, int], Iterator[Block]]:
    """Serve any stretch of a sound."""

    def pcm(start: int, stop: int) -> Iterator[Block]:
        for first, last in spans(start, stop):
            yield sound[first:last]

    return pcm


def encoded(
    sound: Block, encoding: Encoding, ffmpeg: Ffmpeg, out: Path, *, threads: int = 2, check: bool = True
) -> Block:
    """Encode a sound; returns what the check decoded."""
    decoded: list[Block] = []
    on_decoded = decoded.append if check else None
    encode(Track(pcm_of(sound), len(sound), RATE, Tags(), ffmpeg, threads, on_decoded=on_decoded), out, encoding)
    return np.concatenate(decoded) if check else sound[:0]


def speed(ffmpeg: Ffmpeg, folder: Path, seconds: int) -> None:
    """Print what encoding costs."""
    minute = mix(RATE * 60)
    raw = folder / "pcm.f32"
    with raw.open("wb") as file:
        for _ in range(seconds // 60):
            file.write(minute.data)
    frames = seconds // 60 * len(minute)

    def pcm(start: int, stop: int) -> Iterator[Block]:
        for first, last in spans(start, stop):
            yield np.take(minute, np.arange(first, last) % len(minute), axis=0)

    def ours(encoding: Encoding, threads: int, *, check: bool) -> None:
        on_decoded = (lambda _: None) if check else None
        track = Track(pcm, frames, RATE, Tags(), ffmpeg, threads, on_decoded=on_decoded)
        encode(track, folder / f"out.{encoding.format}", encoding)

    def alone(encoding: Encoding) -> None:
        codec = {"mp3": "libmp3lame", "m4a": "aac", "flac": "flac"}[encoding.format]
        rate = ["-b:a", f"{encoding.bitrate_kbps}k"] if encoding.bitrate_kbps else []
        source = ["-threads", "1", "-f", "f32le", "-ar", str(RATE), "-ac", "2", "-i", f"file:{raw}"]
        target = ["-threads", "1", "-c:a", codec, *rate, "-y", f"file:{folder / 'alone'}.{encoding.format}"]
        subprocess.run([ffmpeg.path, "-nostdin", "-v", "error", *source, *target], check=True, timeout=600)

    print(f"\n{frames / RATE:.0f} s of PCM, median of 3 in turn; wall s, CPU s, wall ÷ FFmpeg alone")
    for encoding in (Encoding("mp3", 192), Encoding("m4a", 192), Encoding("flac")):
        ways: dict[str, Callable[[], object]] = {
            "FFmpeg alone": functools.partial(alone, encoding),
            "1 thread": functools.partial(ours, encoding, 1, check=False),
            "2 threads": functools.partial(ours, encoding, 2, check=False),
            "2 threads, checked": functools.partial(ours, encoding, 2, check=True),
        }
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        for _ in range(3):
            for name, way in ways.items():
                costs[name].append(cost_of(way))
        base = statistics.median(cost.wall for cost in costs["FFmpeg alone"])
        for name, measured in costs.items():
            wall, cpu = (statistics.median(getattr(cost, of) for cost in measured) for of in ("wall", "cpu"))
            print(f"  {encoding.format:5} {name:20} {wall:7.2f} {cpu:7.2f} {wall / base:7.2f}")
    for encoding in (Encoding("mp3", 192), Encoding("m4a", 192), Encoding("flac")):
        print(f"  peak memory of one {encoding.format} encoder: {peak_megabytes(pcm, encoding, ffmpeg, folder):.0f} MB")


def peak_megabytes(pcm: Pcm, encoding: Encoding, ffmpeg: Ffmpeg, folder: Path) -> float:
    """Look at the encoders while they work on two minutes."""
    most = 0

    def watched(start: int, stop: int) -> Iterator[Block]:
        nonlocal most
        for block in pcm(start, stop):
            yield block
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    if child.name() != "python":  # between fork and exec it is we ourselves
                        most = max(most, child.memory_info().rss)

    encode(Track(watched, RATE * 120, RATE, Tags(), ffmpeg, 2), folder / f"out.{encoding.format}", encoding)
    return most / 1e6


def lufs(sound: Block) -> float:
    """Integrated loudness."""
    meter = LoudnessMeter(RATE)
    meter.add(sound)
    return integrated_lufs(meter.result().energies)


def level(ffmpeg: Ffmpeg, folder: Path, _: int) -> None:
    """Print by how much each codec changes the loudness."""
    kinds = {"tones": tones, "music": music, "speech": speech, "pink": pink, "white": white}
    print("\nloudness of the decoded file minus loudness of the PCM, LU")
    print("  " + " " * 9 + "".join(f"{name:>9}" for name in kinds))
    for form in ("mp3", "m4a"):
        for kbps in KBPS:
            changes = []
            for make in kinds.values():
                sound = make(RATE * 12)
                changes.append(lufs(encoded(sound, Encoding(form, kbps), ffmpeg, folder / f"a.{form}")) - lufs(sound))
            print(f"  {form} {kbps:4} " + "".join(f"{change:9.3f}" for change in changes))


def peaks(ffmpeg: Ffmpeg, folder: Path, _: int) -> None:
    """Print how far decoded peaks rise above the limiter's ceiling."""
    frames = RATE * 40
    programme = mix(frames)
    gain = 10 ** ((-12.0 - lufs(programme)) / 20)
    limited = np.concatenate(
        list(
            limit(
                lambda start, stop: np.pad(
                    programme[max(start, 0) : stop], ((max(-start, 0), max(stop - max(frames, start), 0)), (0, 0))
                )[: stop - start],
                0,
                frames,
                frames=frames,
                sample_rate=RATE,
                gain=gain,
                ceiling_dbtp=-1.0,
            )
        )
    )
    print("\ntrue peak of a dense programme at -12 LUFS limited to -1.0 dBTP, after decoding")
    for form in ("mp3", "m4a", "wav", "flac"):
        for kbps in KBPS if form in ("mp3", "m4a") else (None,):
            meter = LoudnessMeter(RATE, true_peak=True)
            meter.add(encoded(limited, Encoding(form, kbps), ffmpeg, folder / f"a.{form}"))
            print(f"  {form:4} {kbps or '':>4} {20 * np.log10(meter.result().true_peak):+6.2f} dBTP")


def joins(ffmpeg: Ffmpeg, _: Path, __: int) -> None:
    """Print the coding noise around joins against one encoding of the whole, for several prerolls."""
    print("\ncoding noise in the 50 ms before, around and after each join, minus that of one encoding there, at most")
    for kbps in KBPS:
        mp3 = replace(mp3_coder(RATE, kbps, 10**9), shortest=98, longest=98)
        aac = replace(aac_coder(RATE, kbps), shortest=300, longest=400)
        coders = [
            *(replace(mp3, preroll=2, shared=shared, postroll=shared + 3) for shared in (8, 16)),
            replace(mp3, shared=8, postroll=11),
            mp3,
            *(replace(aac, preroll=preroll) for preroll in (40, 400, aac.preroll)),
        ]
        for coder in coders:
            for signal, make in SIGNALS.items():
                sound = make(coder.frame_samples * (40 * 98 if coder.shared else 400 + 4 * coder.preroll))
                joined, missed = decoded_by(coder, sound, ffmpeg)
                single, _ = decoded_by(replace(coder, shortest=10**9), sound, ffmpeg)
                rises = rises_db(coder, sound, joined, single)
                other = np.any(joined != single, axis=1)[: len(sound) // coder.frame_samples * coder.frame_samples]
                same = 1 - np.mean(other.reshape(-1, coder.frame_samples).any(axis=1))
                print(
                    f"  {'mp3' if coder.shared else 'aac'} {kbps:4} {signal:7} preroll {coder.preroll:3}, "
                    f"shared {coder.shared:2}: {max(rises):+5.1f} dB at {len(rises) // 3:2} joins, "
                    f"{missed} of them at the second try; {same:.1%} of the frames decode to the same",
                    flush=True,
                )


def decoded_by(coder: SegmentCoder, sound: Block, ffmpeg: Ffmpeg) -> tuple[Block, int]:
    """Encode with a coder; what it decodes to, and how many joins found no place at first."""
    decoded: list[Block] = []
    missed = 0

    def join(before: EncodedFrames, after: EncodedFrames) -> EncodedFrames | None:
        nonlocal missed
        whole = coder.join(before, after)
        missed += whole is None
        return whole

    track = Track(pcm_of(sound), len(sound), RATE, Tags(), ffmpeg, threads=2, on_decoded=decoded.append)
    for _ in encode_segments(track, replace(coder, join=join)):
        pass
    return np.concatenate(decoded), missed


def rises_db(coder: SegmentCoder, sound: Block, joined: Block, single: Block) -> list[float]:
    """Noise of the joined sound over that of the single one in windows at each join, floored at -110 dBFS."""
    window, floor, rises = RATE // 20, 10 ** (-110 / 10), []
    for piece in cut(len(sound), coder)[1:]:
        at = piece.start + piece.drop * coder.frame_samples - coder.delay
        for start in (at - window, at - window // 2, at):
            span = slice(start, start + window)
            here, there = (np.mean((other[span].astype(np.float64) - sound[span]) ** 2) for other in (joined, single))
            rises.append(float(10 * np.log10((here + floor) / (there + floor))))
    return rises


def decoding(ffmpeg: Ffmpeg, folder: Path, seconds: int) -> None:
    """Print what it costs to decode and resample a recording to disk."""
    print(f"\ndecoding {seconds} s of stereo to 44.1 kHz float on disk; wall s, CPU s, × real time")
    sound = np.tile(music(RATE * 20), (seconds // 20, 1))
    for name, rate in (("mp3", RATE), ("flac", RATE), ("wav", 48_000)):
        source = folder / f"in.{name}"
        if name == "wav":
            soundfile.write(source, sound, rate, subtype="PCM_16")
        else:
            encoded(sound, Encoding(name, 192), ffmpeg, source, check=False)

        def read(source: Path = source) -> None:
            decode(ffmpeg, source, folder / "raw", sample_rate=RATE, max_seconds=86_400, timeout_s=600).close()

        cost = cost_of(read)
        print(f"  {name:5} {rate:6} Hz {cost.wall:7.2f} {cost.cpu:7.2f} {len(sound) / rate / cost.wall:7.0f}")


def main() -> None:
    """Print the tables."""
    parts = {"speed": speed, "level": level, "peaks": peaks, "joins": joins, "decode": decoding}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--ffmpeg")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    arguments = parser.parse_args()
    ffmpeg = find_ffmpeg(arguments.ffmpeg)
    print(
        f"FFmpeg {ffmpeg.version}, Python {platform.python_version()}, NumPy {np.__version__}, {os.cpu_count()} cores"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            parts[name](ffmpeg, Path(folder), arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())
