"""Rows about time: length, repetitions, the seam of the music."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import mutagen
import numpy as np
import soundfile

from benchmarks.sound.programmes import SHORT_FADES
from benchmarks.sound.room import RATE, Room, Samples, decibels, read, rms
from benchmarks.sound.row import Row
from worker.codec.m4a_index import FRAME_SAMPLES
from worker.formats import FormatName as Format
from worker.formats import Quality

ODD_FRAMES = (132_301, 133_631, 145_151, 145_152, 145_153, 300_007, 882_001)
FORMATS: tuple[tuple[Format, Quality], ...] = (
    ("mp3", "low"),
    ("mp3", "medium"),
    ("mp3", "high"),
    ("m4a", "medium"),
    ("wav", "low"),
    ("flac", "low"),
)
_NO_FADES = {"inMs": 0, "outMs": 0}
_CROSSFADE = 2 * RATE


def noise_of(frames: int) -> dict[str, object]:
    """Job of so many frames of noise, without a voice or music."""
    return {"durationMin": frames / RATE / 60, "carrierType": "pink", "fade": SHORT_FADES, "seed": 1}


def length(room: Room) -> Row:
    """Frames after decoding by two decoders, the length that the headers tell, and where the sound lies."""
    details: dict[str, object] = {}
    missed = []
    ends_m4a = _ends_m4a(room)
    m4a = "too" if ends_m4a else "by its edit list, whose end this FFmpeg overlooks in its own files, too"
    for frames in ODD_FRAMES:
        job = noise_of(frames)
        truth = room.sound_of(job)
        for format, quality in FORMATS:
            path, report = room.render(job, format=format, quality=quality)
            decodings = {"FFmpeg": room.decoded(path)}
            if format != "m4a":
                decodings["libsndfile"] = read(path)
            # M4A's headers count the encoder's priming, which the edit list then takes out, as the standard has it
            told = _edited_frames(path) if format == "m4a" else round(mutagen.File(path).info.length * RATE)
            due = _whole_aac(frames) if format == "m4a" and not ends_m4a else frames
            found = {name: len(sound) for name, sound in decodings.items()}
            late = max((_late(sound, truth) for sound in decodings.values()), key=abs)
            name = f"{frames} frames, {format} {quality}"
            details[name] = {**found, "told": told, "report": report.frames, "late": late}
            if set(found.values()) != {due} or told != frames or late:
                missed.append(name)
    return Row(
        "length",
        "exact to the frame after a gapless decode (mp3, wav, flac); no padding heard or reported",
        f"exact in all {len(details)} files (m4a, {m4a}), by FFmpeg and libsndfile" if not missed else "NOT exact",
        not missed,
        details,
        tuple(missed),
    )


def _ends_m4a(room: Room) -> bool:
    """Whether this FFmpeg plays an M4A of its own to the end of its edit list only, not of its last coded frame."""
    frames = ODD_FRAMES[0]
    own = room.encode(np.zeros((frames, 2)), "own.m4a", "-c:a", "aac")
    return len(room.decoded(own)) < _whole_aac(frames)


def _whole_aac(frames: int) -> int:
    """Rounded up to whole coded frames."""
    return -(-frames // FRAME_SAMPLES) * FRAME_SAMPLES


def _edited_frames(path: Path) -> int:
    """Frames that an M4A's first edit list keeps (14496-12, 8.6.6), where the movie's clock is the sample rate."""
    data = path.read_bytes()
    (clock_hz,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    (duration,) = struct.unpack_from(">I", data, data.index(b"elst") + 12)
    return round(duration * RATE / clock_hz)


def _late(sound: Samples, truth: Samples) -> int:
    """By how many frames the sound comes late: where the correlation of the two is highest."""
    size = 1 << (len(sound) + len(truth)).bit_length()
    spectra = [np.fft.rfft(samples.mean(axis=1), size) for samples in (sound, truth)]
    lag = int(np.argmax(np.fft.irfft(spectra[0] * np.conj(spectra[1]), size)))
    return lag if lag < size // 2 else lag - size


def repetitions(room: Room, made: Mapping[str, Path]) -> Row:
    """The voice where the job's seconds put it, in delivered FLAC files."""
    voice = read(made["speech"])[: 4 * RATE + 123]
    path = room.folder / "repeated.wav"
    soundfile.write(path, voice, RATE, "FLOAT")
    stereo = np.repeat(voice, 2, axis=1)
    details: dict[str, object] = {}
    missed = []
    for delay_s, pause_s, total_s, mode in (
        (1.2345, 2.34567, 61.0, {"loopMode": True}),
        (0.0, 0.0, 33.3, {"loopMode": True}),
        (3.0, 0.0, 100.01, {"loopMode": "interval", "intervalSec": 30.5}),
        (2.00001, 5.0, 20.0, {"loopMode": False}),
    ):
        job = {
            "durationMin": total_s / 60,
            "startDelaySec": delay_s,
            "pauseSec": pause_s,
            **mode,
            "fade": {"inMs": 0, "outMs": 1500},
            "gains": {"reference": "source", "voiceDb": 0},
            "output": {"normalize": False},
        }
        track = room.sound_of(job, voice=path)
        # from the job's own seconds alone, without asking the program
        step = round(30.5 * RATE) if mode["loopMode"] == "interval" else len(voice) + round(pause_s * RATE)
        until = round(total_s * RATE) - round(1.5 * RATE)
        starts = list(range(round(delay_s * RATE), until - len(voice) + 1, step))
        starts = starts if mode["loopMode"] else starts[:1]

        def placed(late: int, starts: list[int] = starts, frames: int = len(track)) -> Samples:
            expected = np.zeros((frames, 2))
            for start in starts:
                expected[start + late : start + late + len(stereo)] = stereo[: frames - start - late]
            return expected

        left_db = decibels(rms(track - placed(0)) / rms(track))
        one_late_db = decibels(rms(track - placed(1)) / rms(track))
        name = f"delay {delay_s} s, pause {pause_s} s, {mode}"
        details[name] = {"repetitions": len(starts), "left_db": round(left_db, 1), "one_late_db": round(one_late_db, 1)}
        silent = not track[starts[-1] + len(stereo) :].any()
        if left_db > -100 or one_late_db < -60 or not silent:
            missed.append(name)
    times = sum(one["repetitions"] for one in details.values())  # type: ignore[index]
    worst = max(one["left_db"] for one in details.values())  # type: ignore[index]
    return Row(
        "repetitions of the voice",
        "never cut inside a word; start delay and pauses exact to the frame",
        f"{times} repetitions exact: what is not the recording in its place lies {-worst:.0f} dB down; none cut",
        not missed,
        details,
        tuple(missed),
    )


def loop(room: Room, made: Mapping[str, Path]) -> Row:
    """Music repeated as a whole: its period, its steps at the seam, its power across it; from FLAC and from MP3."""
    job = {
        "durationMin": 1.5,
        "backgroundMusic": {"loop": "whole"},
        "fade": _NO_FADES,
        "gains": {"reference": "source", "musicDb": 0},
        "output": {"normalize": False},
    }
    details: dict[str, object] = {}
    missed = []
    as_mp3 = room.encode(read(made["music"]), "music.mp3", "-c:a", "libmp3lame", "-b:a", "192k")
    worst_share, worst_power_db = 0.0, 0.0
    for name, path in (("demo loop", made["music"]), ("pink noise", made["noise"]), ("demo loop as MP3", as_mp3)):
        music = room.decoded(path) if path.suffix == ".mp3" else np.resize(read(path), (len(read(path)), 2))
        music = music if music.shape[1] == 2 else np.repeat(music, 2, axis=1)
        track = room.sound_of(job, music=path)
        period = len(music) - _CROSSFADE
        again_db = decibels(
            rms(track[period + _CROSSFADE :] - _shifted(track, period)[period + _CROSSFADE :]) / rms(track)
        )
        steps = np.abs(np.diff(track, axis=0)).max(axis=1)
        # a seam would be audible where a pass begins or ends; within, two sounds of noise overlap, which may well
        # be steeper together than either
        joints = [at + side for at in range(period, len(track) - _CROSSFADE, period) for side in (-1, _CROSSFADE - 1)]
        step = steps[joints if name == "pink noise" else slice(None)].max() / np.abs(np.diff(music, axis=0)).max()
        power_db = _seam_power_db(track, music, period)
        details[name] = {"step": round(float(step), 3), "power_db": round(power_db, 3), "again_db": round(again_db, 1)}
        worst_share = max(worst_share, float(step))
        if name == "pink noise":
            worst_power_db = abs(power_db)
        if step > 1 or again_db > -100 or (name == "pink noise" and abs(power_db) > 0.5):
            missed.append(name)
    return Row(
        "music loop",
        "gapless (encoder padding removed), equal-power crossfade; no seam step above the music's own",
        f"largest step of the track {worst_share:.2f} of the music's own; power across it within "
        f"{worst_power_db:.2f} dB (pink noise); period exact, from MP3 as well",
        not missed,
        details,
        tuple(missed),
    )


def _shifted(track: Samples, frames: int) -> Samples:
    return np.concatenate([np.zeros((frames, 2)), track[:-frames]])


def _seam_power_db(track: Samples, music: Samples, period: int) -> float:
    """Power of the seam over that of the two passes it is made of, in equal shares."""
    seam = track[period : period + _CROSSFADE]
    own = (rms(music[:_CROSSFADE]) ** 2 + rms(music[period:]) ** 2) / 2
    return decibels(rms(seam) / np.sqrt(own))
