"""Rows about levels: loudness and true peak in every format, the balance of the layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.sound.programmes import Programme, everyday, hard
from benchmarks.sound.room import Room, decibels, lufs_of, projected, rms, true_peak_dbtp
from benchmarks.sound.row import Row
from worker.errors import WorkerError
from worker.payload.short_form import SHORT_KEYS

LOUDNESS_LU, MOST_DBTP = 0.1, -1.0
FORMATS = (
    *((lossy, quality) for lossy in ("mp3", "m4a", "aac") for quality in ("low", "medium", "high")),
    ("wav", "medium"),
    ("flac", "medium"),
)
EVERYDAY_LUFS = (-23, -16, -12)
HARD_FORMATS = (("mp3", "low"), ("mp3", "medium"), ("m4a", "medium"), ("aac", "low"), ("wav", "medium"))
HARD_LUFS = (-30, -16, -6)
# where the codec's overshoot and the limiter run after each other
STUBBORN = (
    ("one ear", "mp3", "high", -9),
    ("20 kHz and voice", "mp3", "high", -9),
    ("clipped noise", "mp3", "medium", -6),
    ("clipped noise", "m4a", "low", -6),
)


@dataclass(frozen=True)
class Measured:
    """What others' meters say of one delivered file; `refused` in place of it where there is none.

    Attributes
    ----------
    miss_lu : float
        From the target, by pyloudnorm.
    ffmpeg_miss_lu : float
    dbtp : float
        By FFmpeg's meter.
    exact_dbtp : float
        By exact interpolation of all that is below half the sample rate: what lies above 20 kHz counts in full, which
        no meter of BS.1770 is asked to see. It is told, not judged.
    own_dbtp : float
        In the job's own report.
    encodes : int
    refused : str
    """

    miss_lu: float = math.nan
    ffmpeg_miss_lu: float = math.nan
    dbtp: float = -math.inf
    exact_dbtp: float = -math.inf
    own_dbtp: float = -math.inf
    encodes: int = 0
    refused: str = ""

    @property
    def loud_enough(self) -> bool:
        """Whether both meters are within the figure."""
        return bool(self.refused) or max(abs(self.miss_lu), abs(self.ffmpeg_miss_lu)) <= LOUDNESS_LU

    @property
    def low_enough(self) -> bool:
        """Whether the peak is."""
        return bool(self.refused) or self.dbtp <= MOST_DBTP


def measure_delivered(
    room: Room, programme: Programme, format: str, quality: str, target: float, *, limiter: bool = True
) -> Measured:
    """Render at exactly the target, decode and measure; without a limiter the file may be quieter, never louder."""
    job = {**programme.job, "safety": {"targetLufs": target, "limiter": limiter, "loudness": "exact"}}
    try:
        path, report = room.render(
            job,
            format=format,  # type: ignore[arg-type]
            quality=quality,  # type: ignore[arg-type]
            voice=programme.voice,
            music=programme.music,
        )
    except WorkerError as error:
        return Measured(refused=f"{error.code}: {error.message}")
    sound = room.decoded(path)
    lufs, dbtp = room.ebur128(path)
    due = target if limiter else min(target, report.integrated_lufs if report.integrated_lufs is not None else target)
    return Measured(
        miss_lu=lufs_of(sound) - due,
        ffmpeg_miss_lu=lufs - due,
        dbtp=dbtp,
        exact_dbtp=true_peak_dbtp(sound),
        own_dbtp=report.true_peak_dbtp if report.true_peak_dbtp is not None else -math.inf,
        encodes=report.encodes,
    )


def _trials(made: dict[str, Path]) -> Iterable[tuple[Programme, str, str, float, bool]]:
    for row, programme in enumerate(everyday(made)):
        for column, (format, quality) in enumerate(FORMATS):
            # the usual mix at every target, the others at one after another
            targets = EVERYDAY_LUFS if row == 0 else (EVERYDAY_LUFS[(row + column) % len(EVERYDAY_LUFS)],)
            for target in targets:
                yield programme, format, quality, target, True
    for row, programme in enumerate(hard(made)):
        for column, target in enumerate(HARD_LUFS):
            yield programme, *HARD_FORMATS[(row + column) % len(HARD_FORMATS)], target, True
        yield programme, *HARD_FORMATS[(row + len(HARD_LUFS)) % len(HARD_FORMATS)], -12, False
        for name, format, quality, target in STUBBORN:
            if name == programme.name:
                yield programme, format, quality, target, True


def loudness_and_peak(room: Room, made: dict[str, Path], say: Callable[[str], None]) -> tuple[Row, Row]:
    """Both rows, of the same files."""
    found: dict[str, Measured] = {}
    for programme, format, quality, target, limiter in _trials(made):
        name = f"{programme.name}, {format} {quality}, {target:g} LUFS{'' if limiter else ', no limiter'}"
        found[name] = measured = measure_delivered(room, programme, format, quality, target, limiter=limiter)
        if not (measured.loud_enough and measured.low_enough):
            say(f"MISSED {name}: {measured}")
    files = {name: measured for name, measured in found.items() if not measured.refused}
    refused = {name: measured.refused for name, measured in found.items() if measured.refused}
    too_loud = tuple(name for name, measured in files.items() if not measured.loud_enough)
    too_high = tuple(name for name, measured in files.items() if not measured.low_enough)
    worst_lu = max(max(abs(measured.miss_lu), abs(measured.ffmpeg_miss_lu)) for measured in files.values())
    worst_dbtp = max(measured.dbtp for measured in files.values())
    exact_dbtp = max(measured.exact_dbtp for measured in files.values())
    details = {name: vars(measured) for name, measured in found.items()}
    # a mix that cannot be made so loud is refused with a reason; a file refused after it was made is a fault
    faults = tuple(f"{name}: {why}" for name, why in refused.items() if not why.startswith("job.loudness"))
    no = f"; {len(refused) - len(faults)} refused as impossible" if len(refused) > len(faults) else ""
    no += f"; {len(faults)} failed for want of a file that keeps it" if faults else ""
    return (
        Row(
            "integrated loudness of the finished file, any format and quality",
            "within 0.1 LU of targetLufs, where loudness is exact",
            f"{worst_lu:.3f} LU off at worst of {len(files)} files (pyloudnorm and FFmpeg){no}",
            not too_loud and not faults,
            details,
            too_loud + faults,
        ),
        Row(
            "true peak of the finished file, any format and quality",
            "≤ −1.0 dBTP after decoding, always",
            f"{worst_dbtp:.2f} dBTP at worst of the same {len(files)} files by FFmpeg, {exact_dbtp:.2f} by exact "
            "interpolation",
            not too_high,
            {},
            too_high,
        ),
    )


def balance(room: Room, made: dict[str, Path]) -> Row:
    """Each layer against its gain, alone and in company."""
    gains = {"voiceDb": -3, "musicDb": -12, "solfeggioDb": -21, "binauralDb": -17}
    job = {
        "durationMin": 24 / 60,
        "startDelaySec": 0,
        "loopMode": False,
        "fade": {"inMs": 0, "outMs": 0},
        "gains": gains,
        "safety": {"targetLufs": -24},
        "seed": 3,
    }
    layers = {
        "voice": {},
        "music": {},
        "solfeggio": {"solfeggio": {"hz": 396}},
        "binaural": {"binaural": {"beatHz": 6}},
        "noise": {"carrierType": "pink", "carrierGainDb": -26},
    }
    recordings = {"voice": made["speech"], "music": made["music"]}

    def sound_of(names: tuple[str, ...], *, normalize: bool) -> np.ndarray:
        fields = {key: value for name in names for key, value in layers[name].items()}
        files = {name: recordings[name] for name in names if name in recordings}
        return room.sound_of({**job, **fields, "output": {"normalize": normalize}}, **files)

    alone = {name: sound_of((name,), normalize=False) for name in SHORT_KEYS}
    tone_db = {name: decibels(np.sqrt(2) * rms(alone[name])) for name in ("solfeggio", "binaural", "noise")}
    errors_db = {
        "voice alone": lufs_of(alone["voice"]) - (-16 - 3),
        "music alone": lufs_of(alone["music"]) - (-16 - 12),
        "solfeggio alone": tone_db["solfeggio"] + 21,
        "binaural alone": tone_db["binaural"] + 17,
        "noise alone": tone_db["noise"] + 26,
    }
    residues_db = []
    for left_out in (None, *SHORT_KEYS):
        names = tuple(name for name in SHORT_KEYS if name != left_out)
        mixed = sound_of(names, normalize=True)
        shares, rest = projected(mixed, [alone[name] for name in names])
        middle = decibels(float(np.exp(np.mean(np.log(shares)))))
        without = f"without {left_out}" if left_out else "all five"
        errors_db |= {f"{name}, {without}": decibels(share) - middle for name, share in zip(names, shares, strict=True)}
        residues_db.append(decibels(rms(rest) / rms(mixed)))
    worst = max(abs(error) for error in errors_db.values())
    in_company = max(abs(error) for name, error in errors_db.items() if "alone" not in name)
    missed = tuple(name for name, error in errors_db.items() if abs(error) > LOUDNESS_LU)
    return Row(
        "layer balance",
        "what the gains ask, within 0.1 dB; no layer moves when another is added",
        f"{worst:.3f} dB off at worst; in company {in_company:.5f} dB, all else {-max(residues_db):.0f} dB down",
        not missed and max(residues_db) < -80,
        {"errors_db": errors_db, "residues_db": residues_db},
        missed,
    )
