"""The time-stretch beside its peers, on real speech: ``python -m benchmarks.stretch``.

Speech comes from the local voice (hibari) and, where it is installed, espeak-ng. FFmpeg's `atempo` and `rubberband` are
measured the same way; so is Signalsmith's stretch where `python-stretch` can be imported (it is no dependency).
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from dsp.stretch import stretched
from tests.clips import ArrayClip
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.schema import VoiceChoice
from worker.tts.local_voice import ESPEAK_WORDS_PER_MINUTE, Espeak, Hibari, espeak_path, has_hibari
from worker.tts.voice import Utterance

RATE = 44_100
FACTORS = (0.5, 0.5 / 0.7, 0.9, 1.1, 1.5 / 1.2, 1.5)
TEXTS = (
    "I am calm. I let this day go, and I trust the rhythm of my breath.",
    "With every breath I let go a little more. Patience, peace, and quiet strength are taking root in me today.",
    "Today I take one step, and then another. Bright, quick thoughts pass by like clouds; I keep to my path.",
)
Sound = NDArray[np.float32]
Stretch = Callable[[Sound, float], Sound]


def speech() -> dict[str, Sound]:
    """Real speech, mono, at 44.1 kHz."""
    engines: dict[str, Hibari | Espeak] = {}
    if has_hibari():
        engines["hibari"] = Hibari(VoiceChoice(provider="local"))
    if program := espeak_path():
        engines["espeak-ng"] = Espeak(VoiceChoice(provider="local"), program)
    sounds = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, engine in engines.items():
            for number, text in enumerate(TEXTS):
                into = Path(folder) / f"{name}-{number}.wav"
                engine.speak(Utterance(text), into)
                sound, rate = soundfile.read(into, dtype="float32")
                sounds[f"{name} {number}"] = soxr.resample(sound, rate, RATE)
            engine.close()
    return sounds


def ours(sound: Sound, factor: float) -> Sound:
    clip = ArrayClip(np.ascontiguousarray(np.stack([sound, sound], axis=1)))
    return np.concatenate(list(stretched(clip, round(len(sound) / factor), RATE)))[:, 0]


def through_ffmpeg(filter_: str) -> Stretch:
    program = find_ffmpeg().path

    def run(sound: Sound, factor: float) -> Sound:
        raw = ["-f", "f32le", "-ar", str(RATE), "-ac", "1"]
        command = [program, "-v", "error", *raw, "-i", "-", "-af", f"{filter_}={factor}", *raw, "-"]
        done = subprocess.run(command, input=sound.tobytes(), capture_output=True, check=True, timeout=60)
        return np.frombuffer(done.stdout, "<f4")

    return run


def peers() -> dict[str, Stretch]:
    found: dict[str, Stretch] = {"this project": ours, "FFmpeg atempo": through_ffmpeg("atempo=tempo")}
    listed = subprocess.run([find_ffmpeg().path, "-filters"], capture_output=True, text=True, check=True, timeout=60)
    if " rubberband " in listed.stdout:
        found["FFmpeg rubberband"] = through_ffmpeg("rubberband=tempo")
    try:
        from python_stretch import Signalsmith  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return found

    def signalsmith(sound: Sound, factor: float) -> Sound:
        engine = Signalsmith.Stretch()
        engine.preset(1, RATE)
        engine.timeFactor = factor
        return np.asarray(engine.process(sound[None])[0])

    return {**found, "Signalsmith": signalsmith}


def pitch_course_hz(sound: Sound) -> Sound:
    """Pitch every 5 ms, by autocorrelation; NaN where there is none."""
    size, step = round(0.04 * RATE), round(0.005 * RATE)
    window = np.hanning(size)
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, 4 * size)) ** 2)[:size]
    loud = 0.03 * np.abs(sound).max()
    course = []
    for start in range(0, len(sound) - size, step):
        frame = sound[start : start + size]
        frame = frame - frame.mean()
        like = np.fft.irfft(np.abs(np.fft.rfft(frame * window, 4 * size)) ** 2)[:size]
        like = like / np.maximum(of_window, 1e-9)
        low, high = RATE // 350, RATE // 70
        at = low + int(np.argmax(like[low:high]))
        if frame.std() < loud or like[at] < 0.7 * like[0]:
            course.append(np.nan)
            continue
        before, here, after = like[at - 1 : at + 2]
        course.append(RATE / (at + 0.5 * (before - after) / (before - 2 * here + after)))
    return np.array(course, np.float32)


def pitch_error_percent(sound: Sound, out: Sound, factor: float) -> float:
    """Median of the pitch at every moment against the pitch at that moment before, where that is steady."""
    before, after = pitch_course_hz(sound), pitch_course_hz(out)
    errors = []
    for number, hz in enumerate(after):
        at = round(number * factor)
        near = before[max(0, at - 3) : at + 4]
        if np.isnan(hz) or len(near) < 7 or np.isnan(near).any() or near.max() > 1.05 * near.min():
            continue
        errors.append(hz / np.median(near) - 1)
    return 100 * float(np.median(errors))


def level_change_db(sound: Sound, out: Sound) -> float:
    def level(samples: Sound) -> float:
        loud = samples[np.abs(samples) > 1e-3 * np.abs(samples).max()]
        return 10 * float(np.log10(np.mean(loud.astype(np.float64) ** 2)))

    return level(out) - level(sound)


def attack_change_db(sound: Sound, out: Sound) -> float:
    """How much steeper the steepest hundredth of all 6 ms has become; far below 0 is smeared."""
    step = round(0.002 * RATE)

    def steepness(samples: Sound) -> float:
        energies = [np.mean(samples[at : at + 2 * step] ** 2) for at in range(0, len(samples) - 2 * step, step)]
        levels = 10 * np.log10(np.array(energies) + 1e-12)
        levels = np.maximum(levels, levels.max() - 45)
        return float(np.percentile(levels[3:] - levels[:-3], 99))

    return steepness(out) - steepness(sound)


def spectral_distance_db(sound: Sound, out: Sound, factor: float) -> float:
    """Median log-spectral distance of 23 ms frames, each to the nearest one around its place."""
    size, window = 1024, np.hanning(1024)

    def spectrum(samples: Sound) -> Sound:
        return 10 * np.log10(np.abs(np.fft.rfft(samples * window))[:400] ** 2 + 1e-7)

    distances = []
    for at in range(size, len(sound) - 2 * size, size // 2):
        frame = sound[at : at + size]
        if np.mean(frame**2) < 1e-3 * np.abs(sound).max() ** 2:
            continue
        expected, place = spectrum(frame), round(at / factor)
        near = [
            float(np.sqrt(np.mean((expected - spectrum(out[first : first + size])) ** 2)))
            for first in range(max(0, place - 800), min(place + 801, len(out) - size), 100)
        ]
        if near:
            distances.append(min(near))
    return float(np.median(distances))


def bursts_kept(stretch: Stretch, factor: float) -> tuple[int, int]:
    """Of impulses on a quiet bed: how many came, and how many went in."""
    bed = 1e-3 * np.random.default_rng(1).standard_normal(3 * RATE)
    bed[RATE // 6 :: RATE // 3] = 0.8
    loud = np.flatnonzero(np.abs(stretch(bed.astype(np.float32), factor)) > 0.2)
    return (int(np.count_nonzero(np.diff(loud) > round(0.003 * RATE))) + 1 if len(loud) else 0), 9


def measured(stretch: Stretch, sounds: Mapping[str, Sound], factor: float) -> str:
    rows = []
    started = time.perf_counter()
    made = {name: stretch(sound, factor) for name, sound in sounds.items()}
    spent = (time.perf_counter() - started) / sum(len(sound) / RATE for sound in sounds.values())
    for name, sound in sounds.items():
        out = made[name]
        rows.append(
            (
                100 * (len(out) * factor / len(sound) - 1),
                pitch_error_percent(sound, out, factor),
                level_change_db(sound, out),
                attack_change_db(sound, out),
                spectral_distance_db(sound, out, factor),
            )
        )
    table = np.array(rows)
    length, pitch, level = (table[np.argmax(np.abs(table[:, column])), column] for column in range(3))
    came, went = bursts_kept(stretch, factor)
    return (
        f"{length:+.2f} % | {pitch:+.2f} % | {level:+.2f} dB | {table[:, 3].mean():+.1f} dB | {came} of {went} | "
        f"{table[:, 4].mean():.1f} dB | {1000 * spent:.1f} ms"
    )


def main() -> None:
    sounds = speech()
    print(f"{len(sounds)} recordings ({ESPEAK_WORDS_PER_MINUTE} words a minute from espeak-ng); the worst of them for "
          "length, pitch and level, the mean for the rest\n")  # fmt: skip
    print("| factor | by | length | pitch | level | attacks | bursts | spectrum | a second of sound |")
    print("|---|---|---|---|---|---|---|---|---|")
    for factor in FACTORS:
        for name, stretch in peers().items():
            print(f"| {factor:.2f} | {name} | {measured(stretch, sounds, factor)} |", flush=True)


if __name__ == "__main__":
    main()
