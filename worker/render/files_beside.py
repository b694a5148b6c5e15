"""The files that a job may have beside its track, and where each of them is."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from worker.payload.schema import STEMS, RenderJob

_NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|%]')


def twin_file(track: Path) -> Path:
    """The track for speakers, where there is one for headphones."""
    return track.with_name(f"{track.stem}-speakers{track.suffix}")


def lyrics_files(track: Path) -> tuple[Path, Path]:
    """The spoken lines with their times: LRC and WebVTT."""
    return track.with_suffix(".lrc"), track.with_suffix(".vtt")


def peaks_file(track: Path) -> Path:
    """The waveform for players."""
    return track.with_suffix(".peaks.json")


def further_file(track: Path, format_: str) -> Path:
    """The same track in another format."""
    return track.with_suffix(f".{format_}")


def stem_file(track: Path, layer: str) -> Path:
    """The stem of a layer; what no file name may hold is written as ``%2F``."""
    name = _NOT_IN_NAMES.sub(lambda found: f"%{ord(found[0]):02X}", layer)
    return track.with_name(f"{track.stem}-stem-{name}.flac")


def stem_list_file(track: Path) -> Path:
    """The list of the stems."""
    return track.with_name(f"{track.stem}-stems.json")


def files_beside(job: RenderJob, track: Path, layers: Collection[str]) -> Iterator[tuple[str, Path]]:
    """What each file is, in words, and where; `layers` are those that may have a stem."""
    if len(job.listenings) > 1:
        yield "the track for speakers", twin_file(track)
    for format_ in job.further_formats:
        yield f"the track as {format_.upper()}", further_file(track, format_)
    if job.lyrics:
        for path in lyrics_files(track):
            yield f"the lyrics beside {track.name}", path
    if job.peaks:
        yield f"the waveform of {track.name}", peaks_file(track)
    if STEMS in job.deliver:
        for layer in layers:
            yield f"the stem of the {layer}", stem_file(track, layer)
        yield "the list of the stems", stem_list_file(track)
