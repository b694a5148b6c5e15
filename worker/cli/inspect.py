"""`mindscript-worker inspect`: measures a finished file's decoded sound, and draws a picture of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from worker.cli.outputs import PICTURE_ENDINGS, Output, Overwrite, check_outputs, staged
from worker.config import Config
from worker.errors import ConfigurationError, JobError
from worker.ffmpeg.program import find_ffmpeg
from worker.inspect.inspection import FoundBeat, Inspection, Inspector
from worker.inspect.waveform import WaveformBuilder
from worker.media.decode import SoundStream, opened_sound
from worker.media.sniff import mp3_encoder
from worker.os_errors import in_words
from worker.printable import printable

Span = tuple[float, float]

_CUE = re.compile(r"(?:(\d+):)?(\d\d):(\d\d\.\d{3}) --> (?:(\d+):)?(\d\d):(\d\d\.\d{3})")


def inspect(
    config: Config,
    *,
    file: Path,
    picture: Path | None,
    loop: bool,
    as_json: bool = False,
    lyrics: Path | None,
    report: Path | None,
    force: bool = False,
) -> int:
    """Run the command; for the arguments see `worker.cli.arguments`."""
    overwrite = Overwrite(force=force)
    if picture is not None:
        if find_spec("matplotlib") is None:
            raise ConfigurationError(
                "--picture needs matplotlib: pip install 'mindscript-audio-worker[picture]'", code="configuration.extra"
            )
        outputs = [Output("--picture", picture, PICTURE_ENDINGS)]
        check_outputs(outputs, [path for path in (file, lyrics, report) if path is not None], overwrite)
    if loop:
        if lyrics is not None or report is not None:
            raise JobError("--loop: found with --lyrics or --report, which are of finished tracks")
        from worker.cli.inspect_loop import inspect_loop

        return inspect_loop(config, file, picture=picture, overwrite=overwrite, as_json=as_json)
    target_lufs = None if report is None else _target_of(report)
    voice = _voice(file, lyrics)
    with opened_sound(find_ffmpeg(config.ffmpeg), file) as sound:
        inspector = Inspector(sound.sample_rate)
        waveform = None if picture is None else WaveformBuilder(sound.sample_rate)
        for block in sound.blocks:
            inspector.add(block)
            if waveform is not None:
                waveform.add(block)
    result = inspector.result()
    figures = _figures(file, sound, result, voice)
    if waveform is not None and picture is not None:
        from worker.cli.picture import draw

        with staged([picture], overwrite) as place:
            draw(
                place(picture),
                title=printable(file.name).replace("$", r"\$"),
                subtitle=_subtitle(figures, result),
                drawn=waveform.result(),
                energies=inspector.energies,
                result=result,
                voice=voice,
                target_lufs=target_lufs,
            )
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        _print(figures, result, picture)
    return 0


def _target_of(report: Path) -> float | None:
    try:
        target = json.loads(report.read_bytes()).get("target_lufs")
    except OSError as error:
        raise JobError(f"--report: {report}: {in_words(error)}") from None
    except (ValueError, AttributeError):
        raise JobError(f"--report: {report} is no report of `render --report`") from None
    return float(target) if isinstance(target, int | float) else None


def _voice(file: Path, lyrics: Path | None) -> tuple[Span, ...]:
    """Where the voice sounds, by the lyrics beside the file or those that were named."""
    if lyrics is None:
        lyrics = file.with_name(f"{file.stem}.vtt") if file.name else file  # a folder such as "." has no name
        if not lyrics.is_file():
            return ()
    try:
        text = lyrics.read_text(encoding="utf-8")
    except OSError as error:
        raise JobError(f"--lyrics: {lyrics}: {in_words(error)}") from None
    except UnicodeDecodeError:
        raise JobError(f"--lyrics: {lyrics} is not UTF-8") from None
    if not text.removeprefix("\ufeff").startswith("WEBVTT"):
        raise JobError(f"--lyrics: {lyrics} is no WebVTT file")
    return tuple((_seconds(*cue[:3]), _seconds(*cue[3:])) for cue in _CUE.findall(text))


def _seconds(hours: str, minutes: str, seconds: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)


def _figures(file: Path, sound: SoundStream, result: Inspection, voice: Sequence[Span]) -> dict[str, Any]:
    size = file.stat().st_size
    return {
        "file": file.name,
        "codec": sound.codec,
        "encoder": mp3_encoder(file) if sound.codec == "mp3" else None,
        "channels": min(2, sound.source_channels),
        "size_bytes": size,
        "average_kbps": round(size * 8 / 1000 / result.duration_s, 1),
        **asdict(result),
        "voice": {"spans": len(voice), "seconds": round(sum(stop - start for start, stop in voice), 2)}
        if voice
        else None,
    }


def clock(seconds: float, digits: int = 0) -> str:
    """Minutes and seconds, or hours, as people read them."""
    minutes, seconds = divmod(round(seconds, digits), 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{seconds:0{2 if not digits else 3 + digits}.{digits}f}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def hertz(value: float) -> str:
    """A frequency to a hundredth, without zeros that say nothing."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def signed(value: float | None, unit: str, digits: int = 1) -> str:
    """A figure with its unit and a true minus sign; a dash for none."""
    return "–" if value is None else f"{value:.{digits}f} {unit}".replace("-", "−")


def beat_in_words(beat: FoundBeat) -> str:
    """A beat as its label says it."""
    if beat.mode == "binaural":
        return f"L {hertz(beat.low_hz)} Hz / R {hertz(beat.high_hz)} Hz: {hertz(abs(beat.beat_hz))} Hz beat"
    if beat.mode == "monaural":
        return f"{hertz(beat.low_hz)} + {hertz(beat.high_hz)} Hz: {hertz(beat.beat_hz)} Hz beat in both ears"
    return f"{hertz(beat.low_hz)} Hz in {hertz(beat.beat_hz)} pulses a second"


def _subtitle(figures: dict[str, Any], result: Inspection) -> str:
    return "  ·  ".join(
        (
            f"{figures['codec'].upper()} {figures['average_kbps']:.0f} kbit/s",
            clock(result.duration_s),
            signed(result.integrated_lufs, "LUFS"),
            f"LRA {result.loudness_range_lu:.1f} LU",
            signed(result.true_peak_dbtp, "dBTP"),
        )
    )


def _print(figures: dict[str, Any], result: Inspection, picture: Path | None) -> None:
    from rich.table import Table
    from rich.text import Text

    from worker.cli.terminal import console

    name = Text(printable(figures["file"]), style="table.title")
    table = Table(box=None, show_header=False, pad_edge=False, title=name, title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for field, value in _rows(figures, result):
        table.add_row(field, value)
    if picture is not None:
        table.add_row("picture", Text(printable(str(picture))))
    console().print(table)


def _rows(figures: dict[str, Any], result: Inspection) -> Iterator[tuple[str, str]]:
    encoder = f", {printable(figures['encoder'])}" if figures["encoder"] else ""
    layout = "stereo" if figures["channels"] == 2 else "mono"
    yield (
        "format",
        f"{printable(figures['codec'])}, {figures['average_kbps']:g} kbit/s, {result.sample_rate_hz} Hz, "
        f"{layout}{encoder}",
    )
    yield "length", f"{clock(result.duration_s, 3)} ({result.frames} frames)"
    yield "loudness", f"{signed(result.integrated_lufs, 'LUFS', 2)}, range {result.loudness_range_lu:.2f} LU"
    short_term = signed(result.max_short_term_lufs, "LUFS", 2)
    yield "loudest", f"{short_term} short-term, {signed(result.max_momentary_lufs, 'LUFS', 2)} momentary"
    true_peak = signed(result.true_peak_dbtp, "dBTP", 2)
    yield "peak", f"{true_peak}, {signed(result.sample_peak_dbfs, 'dBFS', 2)} by samples"
    for channel in ("left", "right"):
        tones = [
            f"{tone.hz:.4f} Hz  {signed(tone.level_dbfs, 'dBFS')}  {clock(tone.from_s)}–{clock(tone.to_s)}"
            for tone in result.tones[channel]
        ]
        yield f"tones, {channel}", "\n".join(tones) or "none that is steady"
    for beat in result.beats:
        yield "beat", f"{beat_in_words(beat)} ({beat.mode}, {beat.beat_hz:.4f} Hz)"
        if beat.mode == "binaural":
            left, right = (
                "masked" if beat.leakage_db[ear] is None else signed(beat.leakage_db[ear], "dB")
                for ear in ("left", "right")
            )
            yield "leakage", f"left {left}, right {right}"
    silence, step = result.longest_silence, result.largest_step
    yield "silence", "none" if silence is None else f"{silence.seconds:.1f} s from {clock(silence.from_s, 1)}"
    clicks = "\n".join(
        f"at {clock(click.at_s, 2)}, {click.above_surroundings_db:.0f} dB above its surroundings"
        for click in result.clicks
    )
    if not clicks and step is not None:
        step_db = step.above_surroundings_db
        clicks = f"none; largest step {step_db:.1f} dB above its surroundings, at {clock(step.at_s, 2)}"
    yield "clicks", clicks or "none"
    yield "DC", ", ".join(f"{channel} {value:.1e}" for channel, value in result.dc_offset.items()).replace("-", "−")
    if figures["voice"]:
        yield "voice", f"{figures['voice']['spans']} lines, {clock(figures['voice']['seconds'])}"
