"""The mix with pydub, written as a user of it who cares for speed would: one second of each tone, repeated.

    python -m benchmarks.pydub_mix FOLDER OUT

pydub makes tones sample by sample in Python; ten minutes of three of them would take minutes by themselves.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pydub import AudioSegment
from pydub.generators import Sine

RATE = 44_100


def main() -> None:
    """Make the track."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    mix = json.loads((folder / "mix.json").read_text())
    AudioSegment.converter = mix["ffmpeg"]
    length_ms = round(mix["seconds"] * 1000)
    music_wav = folder / "pydub-music.wav"  # pydub asks ffprobe about anything but WAV, and there may be none
    decode = [mix["ffmpeg"], "-nostdin", "-v", "error", "-y", "-i", str(folder / "music.flac"), str(music_wav)]
    subprocess.run(decode, check=True, timeout=600)

    def tone(hz: float) -> AudioSegment:
        second = Sine(hz, sample_rate=RATE).to_audio_segment(duration=1000, volume=mix["tones_db"])
        return second * (length_ms // 1000 + 1)

    voice = AudioSegment.from_wav(folder / "voice.wav").set_channels(2) + mix["voice_db"]
    turn = voice + AudioSegment.silent(round(mix["pause_s"] * 1000), frame_rate=RATE)
    music = AudioSegment.from_wav(music_wav) + mix["music_db"]
    half = mix["beat_hz"] / 2
    ears = AudioSegment.from_mono_audiosegments(tone(mix["carrier_hz"] - half), tone(mix["carrier_hz"] + half))
    track = (music * (length_ms // len(music) + 1))[:length_ms]
    track = track.overlay(turn, position=round(mix["start_delay_s"] * 1000), loop=True)
    track = track.overlay(tone(mix["solfeggio_hz"]).set_channels(2)).overlay(ears)
    track = track.fade_in(round(mix["fade_in_s"] * 1000)).fade_out(round(mix["fade_out_s"] * 1000))
    track = track.apply_gain(min(mix["target_lufs"] - track.dBFS, -1.0 - track.max_dBFS))
    track.export(out, format="mp3", bitrate="192k").close()


if __name__ == "__main__":
    main()
