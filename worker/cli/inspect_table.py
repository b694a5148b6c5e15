"""The table that `inspect` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.inspect.inspection import Inspection
from worker.inspect.named import Named
from worker.inspect.promises import LookedFor
from worker.inspect.words import beat_in_words, clock, course_in_words, glide_in_words, hertz, signed


def rows(
    figures: Mapping[str, Any], result: Inspection, names: Sequence[Named], remarks: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Give name and words of each line; what strangers wrote in them is masked and escaped by the caller."""
    encoder = f", {figures['encoder']}" if figures["encoder"] else ""
    count = figures["channels"]
    layout = {1: "mono", 2: "stereo"}.get(count, "more than two channels, mixed to stereo here")
    yield (
        "format",
        f"{figures['codec']}, {figures['average_kbps']:g} kbit/s, {result.sample_rate_hz} Hz, {layout}{encoder}",
    )
    yield "length", f"{clock(result.duration_s, 3)} ({result.frames} frames)"
    yield "loudness", f"{signed(result.integrated_lufs, 'LUFS', 2)}, range {result.loudness_range_lu:.2f} LU"
    short_term = signed(result.max_short_term_lufs, "LUFS", 2)
    yield "loudest", f"{short_term} short-term, {signed(result.max_momentary_lufs, 'LUFS', 2)} momentary"
    true_peak = signed(result.true_peak_dbtp, "dBTP", 2)
    yield "peak", f"{true_peak}, {signed(result.sample_peak_dbfs, 'dBFS', 2)} by samples"
    yield from _tones(result) if result.promised is None else _promised(result.promised, names)
    for remark in remarks:
        yield "", remark
    silence = result.longest_silence
    yield "silence", "none" if silence is None else f"{silence.seconds:.1f} s from {clock(silence.from_s, 1)}"
    yield "clicks", _clicks(result)
    yield "DC", ", ".join(f"{channel} {value:.1e}" for channel, value in result.dc_offset.items()).replace("-", "−")
    if figures["voice"]:
        yield "voice", f"{figures['voice']['spans']} lines, {clock(figures['voice']['seconds'])}"


def _tones(result: Inspection) -> Iterator[tuple[str, str]]:
    for channel in ("left", "right"):
        tones = [
            f"{tone.hz:.4f} Hz  {signed(tone.level_dbfs, 'dBFS')}  {clock(tone.from_s)}–{clock(tone.to_s)}"
            for tone in result.tones[channel]
        ]
        yield f"tones, {channel}", "\n".join(tones) or "none that is steady"
    for moving in result.gliding:
        yield "beat", f"{glide_in_words(moving)} ({moving.mode})"
    for beat in result.beats:
        when = f"{clock(beat.from_s)}–{clock(beat.to_s)}"
        yield "beat", f"{beat_in_words(beat)} ({beat.mode}, {beat.beat_hz:.4f} Hz, {when})"
        if beat.mode == "binaural":
            left, right = (
                "masked" if beat.leakage_db[ear] is None else signed(beat.leakage_db[ear], "dB")
                for ear in ("left", "right")
            )
            yield "leakage", f"left {left}, right {right}"


def _promised(looked_for: Sequence[LookedFor], names: Sequence[Named]) -> Iterator[tuple[str, str]]:
    for channel in ("left", "right"):
        lines = [_of_tone(tone) for tone in looked_for if tone.channel == channel]
        yield f"tones, {channel}", "\n".join(lines) or "none was promised"
    for name in names:
        if "beat" in name.words or "pulses" in name.words:
            yield "beat", f"{name.words}: {name.state}"


def _of_tone(tone: LookedFor) -> str:
    promised = tone.promised
    if promised.is_steady:
        due = f"{hertz(promised.course[0][1])} Hz"
        span = f"  {clock(promised.from_s)}–{clock(promised.to_s)}"
    else:
        due, span = f"glides {course_in_words(promised.course)}", ""
    if tone.state != "found" or tone.measured_hz is None:
        return f"{due}{span}: {tone.state}"
    measured = f"{tone.measured_hz:.4f} Hz  " if promised.is_steady else ""
    return f"{due}{span}: found, {measured}{signed(tone.level_dbfs, 'dBFS')}"


def _clicks(result: Inspection) -> str:
    clicks = "\n".join(
        f"at {clock(click.at_s, 2)}, {click.above_surroundings_db:.0f} dB above its surroundings"
        for click in result.clicks
    )
    step = result.largest_step
    if clicks or step is None:
        return clicks or "none"
    step_db = step.above_surroundings_db
    return f"none; largest step {step_db:.1f} dB above its surroundings, at {clock(step.at_s, 2)}"
