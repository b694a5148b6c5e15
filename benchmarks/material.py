"""The job that everybody has to do: four layers, and the recordings for them."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from worker.ffmpeg.program import Ffmpeg

RATE = 44_100
VOICE_S = 20
MUSIC = Path(__file__).parent.parent / "examples" / "demo-loop.flac"
LAYERS = ("voice", "music", "solfeggio", "binaural", "noise")


@dataclass(frozen=True)
class Mix:
    """What is in the mix, in figures every contender uses alike.

    Written as ``mix.json`` into the folder where the contenders work, with ``voice.wav`` and ``music.flac`` beside it.
    """

    seconds: int
    ffmpeg: str
    start_delay_s: float = 3.0
    pause_s: float = 6.0
    voice_s: float = VOICE_S
    solfeggio_hz: float = 528.0
    carrier_hz: float = 200.0
    beat_hz: float = 6.0
    voice_db: float = -1.0
    music_db: float = -10.0
    tones_db: float = -24.0
    fade_in_s: float = 2.0
    fade_out_s: float = 5.0
    target_lufs: float = -16.0

    def job(self, layers: int = 4) -> dict[str, object]:
        """The same as a job of this project, with the first so many of `LAYERS`."""
        named = LAYERS[:layers]
        return {
            "script": "Recorded." if "voice" in named else None,
            "durationMin": self.seconds / 60,
            "startDelaySec": self.start_delay_s,
            "pauseSec": self.pause_s,
            "loopMode": True,
            "backgroundMusic": {"url": "music.flac"} if "music" in named else None,
            "solfeggio": {"enabled": "solfeggio" in named, "hz": round(self.solfeggio_hz)},
            "binaural": {"enabled": "binaural" in named, "band": "theta", "carrierHz": self.carrier_hz},
            "carrierType": "pink" if "noise" in named else "none",
            "gains": {
                "voiceDb": self.voice_db,
                "musicDb": self.music_db,
                "solfeggioDb": self.tones_db,
                "binauralDb": self.tones_db,
            },
            "fade": {"inMs": round(self.fade_in_s * 1000), "outMs": round(self.fade_out_s * 1000)},
            "safety": {"targetLufs": self.target_lufs},
            "outputFormat": "mp3",
            "output": {"quality": "medium"},
        }


def prepare(folder: Path, minutes: float, ffmpeg: Ffmpeg, *, layers: int = 4, music_minutes: float = 0) -> Mix:
    """Write the recordings, ``mix.json`` and ``job.json`` into a folder.

    Parameters
    ----------
    music_minutes : float
        The music is repeated to this length; 0 leaves it as it is (24 s).
    """
    mix = Mix(seconds=round(minutes * 60), ffmpeg=str(ffmpeg.path))
    soundfile.write(folder / "voice.wav", voice(), RATE, "PCM_16")
    bed = folder / "music.flac"
    if music_minutes:
        repeat = ["-stream_loop", "-1", "-i", str(MUSIC), "-t", str(music_minutes * 60), str(bed)]
        subprocess.run([mix.ffmpeg, "-nostdin", "-v", "error", "-y", *repeat], check=True, timeout=600)
    else:
        shutil.copyfile(MUSIC, bed)
    (folder / "mix.json").write_text(json.dumps(asdict(mix)))
    (folder / "job.json").write_text(json.dumps(mix.job(layers)))
    return mix


def voice() -> np.ndarray:
    """Synthesise something like speech, mono: a buzz through moving formants, in syllables, phrases and breath."""
    seconds = np.arange(VOICE_S * RATE) / RATE
    pitch_hz = 120 + 15 * np.sin(2 * np.pi * 0.4 * seconds) + 6 * np.sin(2 * np.pi * 2.3 * seconds)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    formants = ((600 + 200 * np.sin(5.1 * seconds), 1.0), (1400 + 500 * np.sin(3.7 * seconds), 0.5), (2600.0, 0.2))
    buzz = np.zeros_like(seconds)
    for number in range(1, 31):
        hz = number * pitch_hz
        buzz += sum(gain / (1 + ((hz - centre) / 150) ** 2) for centre, gain in formants) * np.sin(number * phase)
    syllables = np.abs(np.sin(2 * np.pi * 1.9 * seconds)) ** 1.5
    phrases = np.clip(6 * np.sin(2 * np.pi * seconds / 5) + 4, 0, 1)  # a phrase each 5 s
    breath = np.random.default_rng(1).standard_normal(len(seconds)) * 0.02
    sound = (buzz + breath) * syllables * phrases
    return 0.5 * sound / np.abs(sound).max()
