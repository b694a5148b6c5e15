"""A person's own recording as the voice: what is wrong beyond doubt is corrected, the rest is measured and noted."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dsp.blocks import Block, Clip, magnitudes, spans
from dsp.channels import ChannelFigures, ChannelMeter
from dsp.clipping import AmplitudeMeter
from dsp.gentle_care import CareFigures, with_gentle_care
from dsp.loudness import LoudnessMeter, Measurement, hop_frames, integrated_lufs
from dsp.noise_gate import RANGE_DB
from dsp.pauses import Pauses, find_hum, find_pauses, sound_hops
from worker.ffmpeg.program import Ffmpeg
from worker.media.clip import FileClip
from worker.media.decode import decode
from worker.payload.schema import SAMPLE_RATE_HZ, Care, Tidy
from worker.plan.recordings import Speech, Spoken
from worker.tts.piece_check import LARGEST_DC, clipping
from worker.tts.processing import (
    UNPROCESSED,
    TrimmedClip,
    VoiceProcessing,
    at_tempo,
    declicked,
    high_passed,
    measure_clip,
    replaced,
)

OPPOSITE: Final = -0.9  # a sum of the channels would be 13 dB softer than their difference
ONE_CHANNEL_DB: Final = 40.0  # crosstalk and the noise of an input with nothing in it are as much softer
LONGEST_END_S: Final = 1.0  # of silence, which a reader leaves by nature
MARGIN_S: Final = 0.3
EDGE_S: Final = 0.05  # where the silence was cut, so that the room's noise does not click
NOTED_NOISE_LU: Final = -40.0
NOTED_HUM_LU: Final = -45.0
_HOP = hop_frames(SAMPLE_RATE_HZ)
_PASSAGE_HOPS = 100  # 10 s, as long as the pieces that the limits of clipping were found on
_MOST_PASSAGES = 12
_DIGITAL_SILENCE_DB = 100.0
_DC_DIGITS = 5  # the last bits of a sum differ with the processor: they do not reach the samples
_DECODE_TIMEOUT_S = 300.0


def recorded_speech(
    path: Path,
    *,
    ffmpeg: Ffmpeg,
    folder: Path,
    max_seconds: float,
    speed: float = 1.0,
    processing: VoiceProcessing = UNPROCESSED,
    tidy: Collection[Tidy] = (),
    care: Care = "none",
    notes: list[str] | None = None,
) -> Speech:
    """Take a recording as the whole speech, unchanged but for sample rate, speed and what is asked for.

    Its pitch stays the same at every speed, and all of it gets longer or shorter, silences included.

    Parameters
    ----------
    tidy : collection of Tidy
        What is corrected, where it is wrong beyond doubt; ``measure`` only notes what cannot be corrected.
    care : Care
        What is improved by taste, too.
    notes : list of str, optional
        Gets a plain sentence with a figure for all that was corrected or found.

    Raises
    ------
    MediaError
        If it cannot be decoded; names the file.
    """
    decoded = decode(
        ffmpeg,
        path,
        folder / "voice.f32",
        sample_rate=SAMPLE_RATE_HZ,
        max_seconds=max_seconds,
        timeout_s=_DECODE_TIMEOUT_S,
    )
    said = [] if notes is None else notes
    sound, span = decoded, (0, decoded.frames)
    measured: Measurement | None = None
    if tidy:
        examined = examine_recording(decoded)
        sound = corrected(decoded, folder / "voice.corrected", examined, tidy=tidy, notes=said)
        measured = examined.measurement if sound is decoded else measure_clip(sound)
        pauses = find_pauses(measured.energies)
        if "measure" in tidy:
            said.extend(defects(sound, measured, pauses, care=care))
        if "ends" in tidy:
            span = without_long_ends(sound, measured, pauses, notes=said)
    processed = at_tempo(sound, folder / "voice.stretched", tempo=speed)
    processed = high_passed(processed, folder / "voice.highpass", processing=processing)
    if care == "gentle":
        processed = cared_for(processed, folder / "voice.care", notes=said)
    clip: Clip = processed
    if span != (0, decoded.frames):
        clip = _cut(processed, (round(span[0] / speed), min(processed.frames, round(span[1] / speed))))
    if processed is sound and measured is not None:  # measured already; a span that is cut begins and ends on a hop
        loudness_lufs = integrated_lufs(measured.energies[span[0] // _HOP : -(-span[1] // _HOP)])
    else:
        loudness_lufs = integrated_lufs(measure_clip(clip).energies)
    if processing.declick:
        clip = declicked(clip)
    return Speech((Spoken("", clip),), loudness_lufs)


@dataclass(frozen=True)
class RecordingFigures:
    """What a whole recording shows, at any length."""

    measurement: Measurement
    channels: ChannelFigures


def examine_recording(clip: Clip) -> RecordingFigures:
    """Measure a recording in one pass; what is digital silence for a whole hop has no DC and does not count in it."""
    loudness, channels = LoudnessMeter(SAMPLE_RATE_HZ), ChannelMeter()
    for first, last in spans(0, clip.frames):
        block = clip.read(first, last)
        loudness.add(block)
        channels.add(block)
    measurement = loudness.result()
    silent = int(np.count_nonzero(measurement.peaks == 0.0)) * _HOP
    return RecordingFigures(measurement, channels.result(clip.frames - silent))


def corrected(
    clip: FileClip, into: Path, examined: RecordingFigures, *, tidy: Collection[Tidy], notes: list[str]
) -> FileClip:
    """Correct what is wrong with the channels of a recording, in another file; one without faults stays as it is."""
    figures = examined.channels
    has_dc = "dc" in tidy and max(map(abs, figures.dc)) > LARGEST_DC
    one_sided = "channel" in tidy and clip.channels == 2 and abs(figures.balance_db) > ONE_CHANNEL_DB
    opposite = "polarity" in tidy and clip.channels == 2 and not one_sided and figures.correlation < OPPOSITE
    if not (has_dc or one_sided or opposite):
        return clip
    kept = (0 if figures.balance_db > 0 else 1,)
    columns = kept * 2 if one_sided else (0, 1)
    signs = np.array([1.0, -1.0 if opposite else 1.0], np.float32)
    dc = np.round(np.array(figures.dc) * has_dc, _DC_DIGITS).astype(np.float32)
    sounding = _sounding_span(clip, examined.measurement.peaks)
    if has_dc:
        percent = 100 * max(map(abs, figures.dc))
        notes.append(f"voice: a constant offset (DC) of {percent:.1f} % of full scale was taken out of the recording.")
    if one_sided:
        sides, softer_db = ("left", "right"), abs(figures.balance_db)
        other = "was silent" if softer_db > _DIGITAL_SILENCE_DB else f"was {softer_db:.0f} dB softer"
        notes.append(
            f"voice: the recording had its sound in the {sides[kept[0]]} channel only (the other one {other}); "
            "it is in both now."
        )
    if opposite:
        notes.append(
            f"voice: the channels of the recording had opposite polarity (correlation {figures.correlation:.2f}), so "
            "they would have cancelled on one speaker; the right one was turned."
        )

    def blocks() -> Iterator[Block]:
        for first, last in spans(0, clip.frames):
            block = clip.read(first, last)
            block[max(0, sounding[0] - first) : max(0, sounding[1] - first)] -= dc
            yield block[:, columns] * signs

    return replaced(clip, into, blocks(), channels=1 if one_sided else clip.channels)


def _sounding_span(clip: Clip, peaks: NDArray[np.float32]) -> tuple[int, int]:
    """The frames from the first sample that is not 0 to the last: what is around them stays digital silence."""
    (hops,) = np.nonzero(peaks)
    if not len(hops):
        return 0, clip.frames
    first, last = int(hops[0]) * _HOP, int(hops[-1]) * _HOP
    begin = clip.read(first, first + _HOP).any(axis=1)
    end = clip.read(last, clip.frames if last // _HOP == len(peaks) - 1 else last + _HOP).any(axis=1)
    return first + int(np.flatnonzero(begin)[0]), last + int(np.flatnonzero(end)[-1]) + 1


def without_long_ends(clip: Clip, measured: Measurement, pauses: Pauses, *, notes: list[str]) -> tuple[int, int]:
    """The frames that are left of a recording without long silence at its ends; pauses inside stay."""
    first, last = (hop * _HOP for hop in sound_hops(measured.energies, pauses))
    longest, margin = LONGEST_END_S * SAMPLE_RATE_HZ, round(MARGIN_S * SAMPLE_RATE_HZ)
    if last == 0:
        return 0, clip.frames
    begin = first - margin if first > longest else 0
    end = last + margin if clip.frames - last > longest else clip.frames
    cut_s = [frames / SAMPLE_RATE_HZ for frames in (begin, clip.frames - end)]
    where = [f"{seconds:.1f} s {place}" for seconds, place in zip(cut_s, ("before", "behind"), strict=True) if seconds]
    if where:
        notes.append(f"voice: silence was cut off the recording: {' and '.join(where)} the speech.")
    return begin, end


def cared_for(clip: FileClip, into: Path, *, notes: list[str]) -> FileClip:
    """Apply gentle care, in another file, and note what it did."""
    done = CareFigures()
    energies = measure_clip(clip).energies
    clip = replaced(clip, into, with_gentle_care(clip, energies, SAMPLE_RATE_HZ, figures=done))
    what = []
    if done.loudest_db > done.softest_db:
        what.append(f"levelled it by {done.softest_db:+.1f} to {done.loudest_db:+.1f} dB")
    if done.gated_s:
        what.append(f"lowered the noise for {done.gated_s:.0f} s of pauses by up to {RANGE_DB:g} dB")
    if done.softened_s:
        what.append(f"softened sharp sibilants for {done.softened_s:.1f} s by up to {done.softened_db:.1f} dB")
    notes.append(f"voice: care {' and '.join(what) or 'found nothing to do'}.")
    return clip


def _cut(clip: Clip, span: tuple[int, int]) -> TrimmedClip:
    edge = min(round(EDGE_S * SAMPLE_RATE_HZ), (span[1] - span[0]) // 2)
    return TrimmedClip(
        clip, *span, rise_frames=edge if span[0] > 0 else 0, fall_frames=edge if span[1] < clip.frames else 0
    )


def defects(clip: Clip, measured: Measurement, pauses: Pauses, *, care: Care = "none") -> Iterator[str]:
    """Say in plain sentences what is wrong with a recording and cannot be corrected beyond doubt."""
    if math.isinf(pauses.speech_lufs):
        return
    passages = _loud_passages(measured.peaks)
    clipped = [passage for passage in passages if _is_clipped(clip, passage)]
    if clipped:
        at_s = int(clipped[0] * _PASSAGE_HOPS // 10)
        where = (
            f"in {len(clipped)} of its {len(passages)} loudest passages of 10 s, first from {at_s // 60}:{at_s % 60:02}"
            if len(passages) > 1
            else "in its loudest passage"
        )
        yield f"voice: the peaks of the recording are cut off {where}: it was too loud, which cannot be undone."
    if pauses.noise_lu > NOTED_NOISE_LU:
        yield (
            f"voice: the noise in the pauses of the recording is only {-pauses.noise_lu:.0f} dB softer than the "
            f"speech{'; voice.care lowers it' if care == 'none' else ''}."
        )
    hum = find_hum(clip, pauses, SAMPLE_RATE_HZ)
    if hum is not None and hum.lufs - pauses.speech_lufs > NOTED_HUM_LU:
        yield (
            f"voice: the recording has mains hum ({hum.mains_hz} Hz and its multiples), "
            f"{pauses.speech_lufs - hum.lufs:.0f} dB softer than the speech."
        )


def _loud_passages(peaks: NDArray[np.float32]) -> list[int]:
    """Numbers of the passages with the highest peaks, at least half of the highest."""
    highest = [float(peaks[first:last].max()) for first, last in spans(0, len(peaks), _PASSAGE_HOPS)]
    loud = [number for number, peak in enumerate(highest) if peak >= 0.5 * max(highest)]
    return sorted(sorted(loud, key=lambda number: (-highest[number], number))[:_MOST_PASSAGES])


def _is_clipped(clip: Clip, passage: int) -> bool:
    meter = AmplitudeMeter()
    first = passage * _PASSAGE_HOPS * _HOP
    meter.add(magnitudes(clip.read(first, min(clip.frames, first + _PASSAGE_HOPS * _HOP))))
    return clipping(*meter.result()) > 1.0
