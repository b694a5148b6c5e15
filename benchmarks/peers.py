"""Who takes part: each makes the track of ``mix.json`` in its own way.

    python -m benchmarks.peers NAME FOLDER OUT

Runs one contender's commands and prints the wall seconds and the CPU seconds of all their processes as JSON. Needs
the standard library only, so that next to nothing but the contender is measured. Every contender gets the same
FFmpeg, the same recordings and the same figures.
"""

from __future__ import annotations

import json
import math
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

_TIMEOUT_S = 3600
_MP3 = ("-c:a", "libmp3lame", "-b:a", "192k")
_SINE_DB = 18.06  # FFmpeg's `sine` has an amplitude of 1/8


def whole(mix: SimpleNamespace, folder: Path, out: Path) -> None:
    """This project."""
    recordings = ("--voice", folder / "voice.wav", "--music", folder / "music.flac")
    _run(sys.executable, "-m", "worker", "render", folder / "job.json", *recordings, "--out", out, "--force", "--quiet")


def only_voice(mix: SimpleNamespace, folder: Path, out: Path) -> None:
    """This project, a job of one layer: it refuses a recording of music that the job does not ask for."""
    voice = ("--voice", folder / "voice.wav")
    _run(sys.executable, "-m", "worker", "render", folder / "job.json", *voice, "--out", out, "--force", "--quiet")


def staged(mix: SimpleNamespace, folder: Path, out: Path) -> None:
    """The design this project replaces, in its Node worker's steps: every layer and stage an MP3 of its own.

    The voice takes five runs: a pause, all repetitions joined by the `concat` filter, cut to length, a start delay, and
    both joined. Tones have their gain when they are made, recordings theirs in the mix. The worker also asked
    `ffprobe` for a length some five times; that is left out.
    """
    names = ("pause", "repeated", "cut", "delay", "voice", "music", "solfeggio", "binaural", "mix", "faded")
    part = {name: folder / f"staged-{name}.mp3" for name in names}
    spoken_s = mix.seconds - mix.start_delay_s
    _ffmpeg(mix, *_silence(mix.pause_s), *_MP3, part["pause"])
    times = math.ceil(spoken_s / (mix.voice_s + mix.pause_s))
    turns = [word for _ in range(times) for word in ("-i", folder / "voice.wav", "-i", part["pause"])]
    joined = "".join(f"[{number}:a]" for number in range(2 * times)) + f"concat=n={2 * times}:v=0:a=1[out]"
    _ffmpeg(mix, *turns, "-filter_complex", joined, "-map", "[out]", "-ac", "2", *_MP3, part["repeated"])
    _ffmpeg(mix, "-i", part["repeated"], "-t", spoken_s, "-ac", "2", *_MP3, part["cut"])
    _ffmpeg(mix, *_silence(mix.start_delay_s), *_MP3, part["delay"])
    listing = folder / "staged.txt"
    listing.write_text(f"file '{part['delay']}'\nfile '{part['cut']}'\n")
    _ffmpeg(mix, "-f", "concat", "-safe", "0", "-i", listing, "-c", "copy", part["voice"])
    looped = ("-stream_loop", "-1", "-i", folder / "music.flac", "-t", mix.seconds)
    _ffmpeg(mix, *looped, "-af", f"{_fades(mix)},aformat=channel_layouts=stereo", "-ac", "2", *_MP3, part["music"])
    tone, for_all = f"volume={mix.tones_db + _SINE_DB}dB", ("-t", mix.seconds)
    solfeggio = ("-f", "lavfi", "-i", _sine(mix.solfeggio_hz), "-af", f"{tone},aformat=channel_layouts=stereo")
    _ffmpeg(mix, *solfeggio, *for_all, "-ac", "2", *_MP3, part["solfeggio"])
    left, right = _sine(mix.carrier_hz - mix.beat_hz / 2), _sine(mix.carrier_hz + mix.beat_hz / 2)
    ears = f"[0:a]{tone}[left];[1:a]{tone}[right];{_EARS.format('left', 'right', '')}"
    beat = ("-f", "lavfi", "-i", left, "-f", "lavfi", "-i", right, "-filter_complex", ears)
    _ffmpeg(mix, *beat, *for_all, *_MP3, part["binaural"])
    gains = {"voice": mix.voice_db, "music": mix.music_db, "solfeggio": 0.0, "binaural": 0.0}
    levels = ";".join(f"[{number}:a]volume={gain}dB[l{number}]" for number, gain in enumerate(gains.values()))
    layers = [word for name in gains for word in ("-i", part[name])]
    _ffmpeg(mix, *layers, "-filter_complex", f"{levels};{_AMIX}", *for_all, *_MP3, part["mix"])
    _ffmpeg(mix, "-i", part["mix"], "-af", _fades(mix), *_MP3, part["faded"])
    _ffmpeg(mix, "-i", part["faded"], "-af", f"loudnorm=I={mix.target_lufs}:TP=-1", "-ar", "44100", *_MP3, out)


def graph_loudnorm(mix: SimpleNamespace, folder: Path, out: Path) -> None:
    """One FFmpeg graph with `loudnorm` in it: the loudness is right, and moves with the programme."""
    _graph(mix, folder, f"loudnorm=I={mix.target_lufs}:TP=-1,aresample=44100", *_MP3, out)


def graph_loudnorm_twice(mix: SimpleNamespace, folder: Path, out: Path) -> None:
    """The graph twice: `loudnorm` measures, then is given what it measured, which makes it one steady gain."""
    target = f"loudnorm=I={mix.target_lufs}:TP=-1"
    said = _graph(mix, folder, f"{target}:print_format=json", "-f", "null", "-")
    found = json.loads(said[said.rindex("{") : said.rindex("}") + 1])
    keys = {"I": "input_i", "TP": "input_tp", "LRA": "input_lra", "thresh": "input_thresh"}
    known = ":".join(f"measured_{name}={found[key]}" for name, key in keys.items())
    steady = f"{target}:LRA=50:linear=true:offset={found['target_offset']}:{known},aresample=44100"
    _graph(mix, folder, steady, *_MP3, out)


def graph_gain(mix: SimpleNamespace, folder: Path, out: Path) -> None:
    """The graph twice: `ebur128` measures, then one gain and FFmpeg's limiter of sample peaks."""
    said = _graph(mix, folder, "ebur128=framelog=verbose", "-f", "null", "-")
    gain = mix.target_lufs - float(re.findall(r"I:\s+(-?[\d.]+) LUFS", said)[-1])
    _graph(mix, folder, f"volume={gain}dB,alimiter=limit=-1.5dB:level=false", *_MP3, out)


def encoder(mix: SimpleNamespace, folder: Path, out: Path) -> None:
    """One FFmpeg encoding of the finished PCM, one thread: the floor under everybody who makes an MP3 with it."""
    _ffmpeg(mix, "-threads", "1", "-i", folder / "whole.wav", *_MP3, "-threads", "1", out)


def encoder_halves(mix: SimpleNamespace, folder: Path, out: Path) -> None:
    """Both halves of the finished PCM encoded side by side, and nothing else: what two cores can do at best."""
    half = mix.seconds / 2
    parts = [
        [
            *(mix.ffmpeg, "-nostdin", "-v", "error", "-y", "-threads", "1", "-ss", str(start), "-t", str(half)),
            *("-i", str(folder / "whole.wav"), *_MP3, "-reservoir", "0", "-threads", "1", str(made)),
        ]
        for start, made in ((0, out), (half, out.with_stem("half")))
    ]
    running = [subprocess.Popen(part) for part in parts]
    for process in running:
        if process.wait(_TIMEOUT_S):
            raise SystemExit(f"{process.args!r} failed")


def pydub(mix: SimpleNamespace, folder: Path, out: Path) -> None:
    """pydub; it measures no loudness in LUFS, so it matches the mean level instead."""
    _run(sys.executable, "-m", "benchmarks.pydub_mix", folder, out)


def sox(mix: SimpleNamespace, folder: Path, out: Path) -> None:
    """SoX for the mix, FFmpeg for the MP3; it measures no loudness, so the peak is brought to -1 dB instead."""
    made, raw, long = folder / "sox.wav", "-r 44100 -c 2 -b 24", f"trim 0 {mix.seconds}"
    spoken = f"|sox '{folder}/voice.wav' -c 2 -p pad 0 {mix.pause_s} repeat - pad {mix.start_delay_s} {long}"
    music = f"|sox '{folder}/music.flac' -p repeat - {long}"
    solfeggio = f"|sox {raw} -n -p synth {mix.seconds} sine {mix.solfeggio_hz}"
    left, right = mix.carrier_hz - mix.beat_hz / 2, mix.carrier_hz + mix.beat_hz / 2
    ears = f"|sox {raw} -n -p synth {mix.seconds} sine {left} sine {right}"
    mixed: list[object] = ["sox", "-m"]
    for gain, layer in zip(
        (mix.voice_db, mix.music_db, mix.tones_db, mix.tones_db), (spoken, music, solfeggio, ears), strict=True
    ):
        mixed += ["-v", 10 ** (gain / 20), layer]
    _run(*mixed, "-b", "16", made, "fade", "t", mix.fade_in_s, mix.seconds, mix.fade_out_s, "gain", "-n", "-1")
    _ffmpeg(mix, "-i", made, *_MP3, out)


_AMIX = "[l0][l1][l2][l3]amix=inputs=4:normalize=0:duration=longest"
_EARS = "[{}][{}]join=inputs=2:channel_layout=stereo{}"


def _graph(mix: SimpleNamespace, folder: Path, master: str, *output: object) -> str:
    """Run the whole mix as one graph, `master` at its end; returns what FFmpeg says."""
    tone = f"volume={mix.tones_db + _SINE_DB}dB"
    turn = round((mix.voice_s + mix.pause_s) * 44_100)
    graph = ";".join(
        (
            f"[0:a]aformat=sample_rates=44100:channel_layouts=stereo,apad=pad_dur={mix.pause_s},"
            f"aloop=loop=-1:size={turn},adelay={mix.start_delay_s}s:all=1,volume={mix.voice_db}dB[l0]",
            f"[1:a]volume={mix.music_db}dB[l1]",
            f"[2:a]{tone},aformat=channel_layouts=stereo[l2]",
            f"[3:a]{tone}[left]",
            f"[4:a]{tone}[right]",
            _EARS.format("left", "right", "[l3]"),
            f"{_AMIX},atrim=duration={mix.seconds},{_fades(mix)},{master}",
        )
    )
    sines = (mix.solfeggio_hz, mix.carrier_hz - mix.beat_hz / 2, mix.carrier_hz + mix.beat_hz / 2)
    made = [word for hz in sines for word in ("-f", "lavfi", "-i", _sine(hz))]
    recorded = ("-i", folder / "voice.wav", "-stream_loop", "-1", "-i", folder / "music.flac")
    return _ffmpeg(mix, *recorded, *made, "-filter_complex", graph, "-t", mix.seconds, *output)


def _silence(seconds: float) -> tuple[object, ...]:
    return "-f", "lavfi", "-i", "anullsrc=r=44100:cl=stereo", "-t", seconds


def _sine(hz: float) -> str:
    return f"sine=frequency={hz}:sample_rate=44100"


def _fades(mix: SimpleNamespace) -> str:
    return f"afade=t=in:d={mix.fade_in_s},afade=t=out:st={mix.seconds - mix.fade_out_s}:d={mix.fade_out_s}"


def _ffmpeg(mix: SimpleNamespace, *arguments: object) -> str:
    return _run(mix.ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-y", *arguments)


def _run(*command: object) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{words[0]} failed with {done.returncode}: {done.stderr[-2000:]}")
    return done.stderr


CONTENDERS: dict[str, Callable[[SimpleNamespace, Path, Path], None]] = {
    function.__name__: function
    for function in (
        whole, only_voice, staged, graph_loudnorm, graph_loudnorm_twice, graph_gain, encoder,
        encoder_halves, pydub, sox,
    )
}  # fmt: skip


def main() -> None:
    """Run one contender."""
    name, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    mix = SimpleNamespace(**json.loads((folder / "mix.json").read_text()))
    started = time.perf_counter()
    CONTENDERS[name](mix, folder, out)
    wall = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    main()
