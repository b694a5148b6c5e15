"""Runs FFmpeg on a stranger's file, confined.

The file is opened once, as a regular file; its first bytes tell its kind; FFmpeg gets that very file by its
descriptor, with the demuxer named, the sound alone mapped, no protocol but `file`, and limits of time, memory and
length. Nothing of the file's name or content chooses what FFmpeg does.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from worker.errors import MachineError, MediaError, WorkerError
from worker.ffmpeg.components import DECODERS
from worker.ffmpeg.pipe import Limits, Pipe
from worker.ffmpeg.program import HINT, Ffmpeg
from worker.media.sniff import HEAD_BYTES, KINDS, demuxer_of, foreign_kind, sound_start
from worker.media.structure import structure_of
from worker.media.structure.base import Structure
from worker.os_errors import in_words
from worker.printable import printable

_MEMORY_BYTES = 512 << 20
_TIMED = frozenset(("mov", "matroska", "ogg", "asf"))  # demuxers of containers in which each packet has its time
_CLUSTER_BYTES = 1 << 18


Layout = Literal["file", "stereo", "index", "first"]
"""How the file's channels become those of the samples: one or two, as the file begins; always two; both, or the only
one, whatever their names."""

_LAYOUTS: dict[Layout, str] = {
    "file": "aformat=channel_layouts=mono|stereo",
    # FC is one channel's name where it is the only one, and comes through at its own level; of two, neither has it.
    "stereo": "aformat=channel_layouts=mono|stereo,pan=stereo|FL=FL+FC|FR=FR+FC",
    "index": "channelmap=0-FL|1-FR:stereo",
    "first": "channelmap=0-FL|0-FR:stereo",
}
# Prints a line for the first frame of each graph: a graph is made anew when rate or layout of the source change.
_MARK_GRAPH = "asetpts='if(eq(N,0),0*print(1)+PTS,PTS)'"


class UnknownLayoutError(MediaError):
    """The channels have names that do not say how to mix them; `layout`: how to read them all the same, if at all."""

    layout: Layout | None = None


class LogParser:
    """Finds what FFmpeg's log says of its input: coding, channels, and what could not be read of it."""

    def __init__(self) -> None:
        self.codec = "unknown"
        self.layout = ""
        self.has_video = False
        self.undecoded_packets = 0
        self.errors = 0
        self.graphs = 0
        self.stopped = False
        self.lost_place = False
        self.container_seconds = 0.0
        self._over = False

    @property
    def channels(self) -> int:
        """How many channels the input has at its beginning; 3 stands for more than two."""
        number = re.match(r"(\d+) channels", self.layout)
        return int(number[1]) if number else {"mono": 1, "stereo": 2}.get(self.layout, 3)

    @property
    def by_index(self) -> Layout | None:
        """The layout for one or two channels that are named as no ear is; None for all others."""
        if not re.fullmatch(r"[12] channels \(.*\)", self.layout):
            return None
        return "first" if self.channels == 1 else "index"

    def line(self, line: str) -> None:
        """Parse the next line."""
        if _GRAPH.match(line):
            self.graphs += 1
        elif _STOPPED.match(line):
            self.stopped = True
        elif "[error]" in line and not _HARMLESS.search(line):
            self.errors += 1
            self.undecoded_packets += bool(_UNDECODED.search(line))
            self.lost_place = self.lost_place or bool(_LOST_PLACE.search(line))
        if self._over or line.startswith("[info] Output #0"):
            self._over = True
            return
        duration = re.match(r"\[info\]   Duration: (\d+):(\d\d):(\d\d\.\d+)", line)
        if duration:
            hours, minutes, seconds = duration.groups()
            self.container_seconds = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        stream = re.match(r"\[info\]   Stream #0:\d+.*?: (Audio|Video): (\w+)(?:.*? Hz, ([^,]+))?", line)
        if stream is None:
            return
        if stream[1] == "Video":
            self.has_video = self.has_video or "(attached pic)" not in line
        elif self.codec == "unknown":
            self.codec, self.layout = stream[2], stream[3] or ""


# A recording that was ended by force ends within a packet; the times that this program's own output has are no matter.
_HARMLESS = re.compile(r"not on whitelist|ended prematurely|dts|partial file", re.IGNORECASE)
_UNDECODED = re.compile(r"Error submitting packet to decoder|Error while decoding stream")
# Matroska's demuxer, among bytes that are no element: it may not find its way again, and ends without an error.
_LOST_PLACE = re.compile(r"as first byte of an EBML number|exceeds containing master|resync point failed")
_GRAPH = re.compile(r"(\[Eval @ 0x[0-9a-f]+\] )?\[info\] 1\.000000$")
_NO_DECODER = re.compile(r"no decoder found for: |Decoder \(codec \w+\) not found")  # of FFmpeg 7 and 9; of 5
_STOPPED = re.compile(r"\[error\] \S*/dev/fd/\d+: |.*Error during demuxing")


@dataclass(frozen=True)
class Source:
    """A file that is being decoded: what it is, where after its tags it begins, its bytes from there, what they say."""

    name: str
    descriptor: int
    size: int
    structure: Structure
    demuxer: str
    start: int

    @property
    def timed(self) -> bool:
        """Whether each packet has a time of its own."""
        return self.demuxer in _TIMED


@contextlib.contextmanager
def decoder(
    ffmpeg: Ffmpeg, source: Source, *, timeout_s: float, layout: Layout, link: int = 0, sample_rate: int | None = None
) -> Iterator[tuple[Pipe, LogParser]]:
    """Start to decode a file: to float32 with times (`worker.media.pcm_stream`).

    The log has codec and channels once FFmpeg has read the file's header. Errors are those of `decode.decode`.

    Parameters
    ----------
    link : int
        Which of the parts that differ.
    sample_rate : int, optional
        In Hz; the file's own by default.
    """
    log, links = LogParser(), source.structure.links
    place, protocols = f"file:/dev/fd/{source.descriptor}", "file"
    os.lseek(source.descriptor, 0, os.SEEK_SET)  # Linux opens the file anew; macOS goes on where the last one stopped
    end = source.structure.end
    if source.start or end is not None or len(links) > 1:  # FFmpeg gives up on tags that are many or long
        first, stop = (source.start + at for at in (links[link], (*links, end or source.size)[link + 1]))
        place, protocols = f"subfile,,start,{first},end,{stop},,:{place}", "file,subfile"
    arguments = (
        *("-threads", "1", "-protocol_whitelist", protocols, "-codec_whitelist", ",".join(DECODERS)),
        *("-copyts", *source.structure.input_options, "-f", source.demuxer, "-i", place),
        *("-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1", "-bitexact"),
        *("-af", f"{_MARK_GRAPH},{_LAYOUTS[layout]}", "-c:a", "pcm_f32le"),
        *(() if sample_rate is None else ("-ar", str(sample_rate))),
        *("-flush_packets", "0", "-cluster_size_limit", str(_CLUSTER_BYTES), "-f", "matroska", "pipe:1"),
    )
    with Pipe(
        ffmpeg,
        arguments,
        limits=Limits(seconds=timeout_s, memory_bytes=_MEMORY_BYTES),
        pass_fd=source.descriptor,
        blame=lambda errors: _error_of(source, log, errors),
        on_line=log.line,
    ) as pipe:
        yield pipe, log


def _error_of(source: Source, log: LogParser, errors: Sequence[str]) -> WorkerError:
    name = source.name
    everything = "\n".join(errors)
    if "matches no streams" in everything:
        what = "is a video without sound" if log.has_video else "holds no sound"
        return MediaError(f"{name} {what}", code="media.empty")
    if "Rematrix is needed" in everything or "nput channel layout" in everything:
        error = UnknownLayoutError(
            f"{name} has channels that are no known arrangement: mono, stereo and surround sound are read",
            code="media.invalid",
        )
        error.layout = log.by_index
        return error
    if re.search(r"[Aa]udio object type 42|USAC", everything):
        return MediaError(f"{name} is coded as xHE-AAC, which is not read", code="media.invalid")
    if ("not on whitelist" in everything and "opening decoder" in everything) or _NO_DECODER.search(everything):
        if _is_listed(log.codec):
            return MachineError(
                f"this FFmpeg lacks a component that is needed (a decoder for {log.codec}): {HINT}",
                code="configuration.ffmpeg",
                about=("decoder",),
            )
        return MediaError(f"{name} is coded as {log.codec}, which is not read", code="media.invalid")
    if source.structure.missing_bytes:
        return MediaError(f"{name} is cut short: what is there cannot be decoded", code="media.truncated")
    others = [error for error in errors if "not on whitelist" not in error]
    return MediaError(
        f"{name} is damaged: its sound cannot be decoded (FFmpeg: {others[0] if others else errors[0]})",
        code="media.damaged",
    )


def _is_listed(coding: str) -> bool:
    """Whether we read a coding, by FFmpeg's name for it, from which those of some decoders differ."""
    return any(name in DECODERS for name in (coding, f"{coding}float", coding.replace("_", "")))


@contextlib.contextmanager
def opened_source(path: Path) -> Iterator[Source]:
    """Open a file once, and look at what it is."""
    with _regular_file(path) as descriptor:
        yield _examined(descriptor, _name_of(path))


def _name_of(path: Path) -> str:
    """A file's name for messages; a folder such as ``.`` has none."""
    return printable(path.name or str(path))


@contextlib.contextmanager
def _regular_file(path: Path) -> Iterator[int]:
    name = _name_of(path)
    try:
        # Without O_NONBLOCK the opening of a named pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        why = in_words(error) if isinstance(error, OSError) else "no file can have such a name"
        raise MediaError(f"{name} cannot be read: {why}", code="media.missing") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise MediaError(f"{name} is not a regular file", code="media.invalid")
        yield descriptor
    finally:
        os.close(descriptor)


def _examined(descriptor: int, name: str) -> Source:
    size = os.fstat(descriptor).st_size
    start = 0

    def read(count: int, at: int) -> bytes:
        return os.pread(descriptor, count, start + at) if start + at < size else b""

    if size == 0:
        raise MediaError(f"{name} is empty (0 bytes)", code="media.empty")
    start = sound_start(read, size)
    head = read(HEAD_BYTES, 0)
    demuxer = demuxer_of(head, whole=start + len(head) >= size)
    if demuxer is None:
        found = foreign_kind(head)
        what = f"is not an audio file but {found}" if found else "is not an audio file"
        raise MediaError(f"{name} {what}: {KINDS} are read", code="media.invalid")
    structure = structure_of(read, demuxer, size - start)
    if structure.refusal is not None:
        raise MediaError(f"{name} {structure.refusal}", code=structure.refusal_code)
    return Source(name, descriptor, size - start, structure, demuxer, start)
