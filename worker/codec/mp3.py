"""MP3 files: LAME's frames behind a gapless header of our own.

The header is the Xing/Info frame with LAME's extension (LAME's `VbrTag.c`; "MP3 Info Tag revision 1").
It tells a player how many frames there are, where they lie, and how much at both ends is padding; its checksums are
CRC-16/ARC.

A track of some length is encoded in segments, and joined within LAME's bit reservoir (`worker.codec.reservoir`).
"""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import BinaryIO

import fastcrc

from dsp.blocks import BLOCK_FRAMES, Block
from worker.codec.encoder_processes import encode_segments
from worker.codec.frames import MPEG_HEADER_BYTES, EncodedFrames, Frame, read_mpeg_header, split
from worker.codec.reservoir import SIDE_BYTES, joined, without_stuffing
from worker.codec.segments import SegmentCoder, Track, cut
from worker.codec.tags import id3v2
from worker.ffmpeg.program import Ffmpeg

FRAME_SAMPLES = 1152  # MPEG-1 layer III
ENCODER_DELAY = 576  # LAME's
DECODER_DELAY = 529  # of every decoder; players add it to the encoder's
SAMPLE_RATES_HZ = (32000, 44100, 48000)  # MPEG-1

_LONGEST_DELAY = 4095  # the header has 12 bits for the delay, and 12 for the padding
_UNCHECKED_BYTES = 190  # of the frame: all before the header's own checksum
_ALL_FIELDS = 0x0F  # frames, bytes, table of contents, quality
_QUALITY = 57  # LAME's default settings, in LAME's own way of counting
_CONSTANT_BITRATE = 1
_JOINT_STEREO = 3

_SHORTEST_SEGMENT_S, _LONGEST_SEGMENT_S = 10, 128
_LONG_TRACK_S, _ITS_SEGMENTS_S = 3600, 64  # of many segments some three are in memory at a time
_PREROLL_FRAMES = 10  # after which LAME codes as well as at any other place
_SHARED_FRAMES = 24  # within which its bit reservoir comes to be what it would be in one encoding
_AHEAD_FRAMES = 3  # that LAME looks ahead, and FFmpeg keeps back
_FLUSH_FRAMES = 98  # of silence, after which LAME is as new; with half as many a few bits differ
_SIGNED_FRAMES = 1000  # among so many there are enough with bits to spare
_OUTPUT_BYTES = 16384  # what FFmpeg keeps back: less than the shortest frames of a flush
_RESERVOIR_FRAMES = 3  # at least 417 bytes each; the reservoir is 511 (11172-3, main_data_begin), and one overlaps


def write_mp3(track: Track, file: BinaryIO, *, bitrate_kbps: int) -> None:
    """Encode a track to MP3 at a constant bit rate, into an empty file that can seek.

    Raises `ValueError` if the sample rate is not one of `SAMPLE_RATES_HZ`, `WorkerError` if the encoder fails.
    """
    if track.sample_rate not in SAMPLE_RATES_HZ:
        raise ValueError(f"a sample rate of {track.sample_rate} Hz; {SAMPLE_RATES_HZ} are allowed")
    coder = mp3_coder(track.sample_rate, bitrate_kbps, track.frames)
    file.write(id3v2(track.tags))
    header_at = file.tell()
    header, encoder, stream = b"", b"", StreamFacts()
    for encoded in encode_segments(track, coder):
        if not header:
            encoder = encoder_name(encoded)
            header = info_frame(bytes(encoded.part(0, 1).data), stream, encoder=encoder)
            file.write(header)  # keeps the place until all is known
        file.write(encoded.data)
        stream = stream.followed_by(encoded)
        del encoded  # not kept while the next is waited for
    padding = stream.frames * FRAME_SAMPLES - ENCODER_DELAY - track.frames
    file.seek(header_at)
    file.write(info_frame(header, stream, encoder=encoder, delay=ENCODER_DELAY, padding=padding))


def mp3_coder(sample_rate: int, bitrate_kbps: int, frames: int) -> SegmentCoder:
    """Settings for a track of `frames` PCM frames in MP3."""
    longest_s = _LONGEST_SEGMENT_S if frames <= _LONG_TRACK_S * sample_rate else _ITS_SEGMENTS_S
    frame_bytes = Fraction(144_000 * bitrate_kbps, sample_rate)
    coder = SegmentCoder(
        arguments=(
            *("-c:a", "libmp3lame", "-b:a", f"{bitrate_kbps}k", "-write_xing", "0", "-id3v2_version", "0"),
            *("-flush_packets", "0", "-f", "mp3", "-blocksize", str(_OUTPUT_BYTES), "pipe:1"),
        ),
        split=split_frames,
        decode=_decoded,
        frame_samples=FRAME_SAMPLES,
        delay=ENCODER_DELAY + DECODER_DELAY,
        preroll=_PREROLL_FRAMES,
        postroll=_SHARED_FRAMES + _AHEAD_FRAMES,
        shared=_SHARED_FRAMES,
        join=lambda before, after: joined(before, without_stuffing(after)),
        overlap=_RESERVOIR_FRAMES,
        # A frame's length in bytes is a fraction, so every so many frames are a byte longer; segments that
        # start where this pattern starts over keep it.
        align=frame_bytes.denominator,
        align_bytes=frame_bytes.numerator,
        longest=int(longest_s * sample_rate / FRAME_SAMPLES),
        shortest=int(_SHORTEST_SEGMENT_S * sample_rate / FRAME_SAMPLES),
        weights=(10, 10, 8, 8, 4, 4, 2, 2, 1, 1),  # even over two, three or four cores
        flush=-(-_FLUSH_FRAMES // frame_bytes.denominator) * frame_bytes.denominator,
    )
    return coder if len(cut(frames, coder)) > 1 else replace(coder, flush=0)


@dataclass(frozen=True)
class StreamFacts:
    """Number, bytes and checksum of the frames behind a header."""

    frames: int = 0
    size: int = 0
    crc: int = 0

    def followed_by(self, encoded: EncodedFrames) -> StreamFacts:
        """Add frames."""
        return StreamFacts(
            self.frames + len(encoded), self.size + len(encoded.data), fastcrc.crc16.arc(encoded.data, self.crc)
        )


def split_frames(data: bytes) -> EncodedFrames:
    """Cut an MP3 stream into its frames; `ValueError` if it is not frames from its first byte to its last."""

    def size_at(data: bytes, at: int) -> int | None:
        header = read_mpeg_header(data, at)
        return None if header is None else header.frame_bytes

    return split(data, size_at, "MPEG")


def encoder_name(encoded: EncodedFrames) -> bytes:
    """Find the name that LAME leaves in the spare bits of its frames; the header repeats it for players."""
    names = re.findall(rb"LAME\d\.\d{1,3}", encoded.part(0, _SIGNED_FRAMES).data)
    return max(names, key=len, default=b"LAME3.100")  # the longest, since a frame may end within it


def info_frame(
    like: Frame, stream: StreamFacts, *, encoder: bytes = b"LAME", delay: int = 0, padding: int = 0
) -> bytes:
    """Make the first frame of a file: silence to a decoder, the gapless header to a player.

    Raises `ValueError` if the delay, the padding or the whole does not fit.

    Parameters
    ----------
    like : bytes or memoryview
        A frame of the stream, whose own header is copied; of 64 kbit/s or more, so that all fits in.
    stream : StreamFacts
        What follows.
    encoder : bytes
        As of `encoder_name`; at most 9 bytes.
    delay, padding : int
        In samples, 0 to 4095; without the decoder's own delay.
    """
    if not (0 <= delay <= _LONGEST_DELAY and 0 <= padding <= _LONGEST_DELAY):
        raise ValueError(f"a delay of {delay} and a padding of {padding}; both are 0 to {_LONGEST_DELAY}")
    four = bytes((0xFF, like[1] | 0x01, like[2] & ~0x02, like[3] & ~0x30))  # no checksum, padding or M/S
    header = read_mpeg_header(four)
    if header is None or header.frame_bytes < _UNCHECKED_BYTES + 2:
        raise ValueError(f"no room for the gapless header in a frame such as {like[:MPEG_HEADER_BYTES].hex()}")
    own = header.frame_bytes
    total = own + stream.size
    start = b"".join(
        (
            four,
            bytes(SIDE_BYTES),
            struct.pack(">4sIII", b"Info", _ALL_FIELDS, stream.frames, total),
            bytes(256 * percent // 100 for percent in range(100)),  # a constant bit rate: a straight line
            struct.pack(">I", _QUALITY),
            struct.pack(
                ">9sBBIHHBB3sBBHIH",
                encoder,
                _CONSTANT_BITRATE,  # and revision 0 of the tag, in the upper four bits
                *(0, 0, 0, 0, 0),  # low-pass, peak, replay gain of track and album, flags: not given
                min(header.bitrate_kbps, 255),
                (delay << 12 | padding).to_bytes(3, "big"),
                SAMPLE_RATES_HZ.index(header.sample_rate) << 6 | _JOINT_STEREO << 2,
                0,  # gain applied after encoding: none
                header.bitrate_kbps,  # the preset
                total,
                stream.crc,
            ),
        )
    )
    return (start + struct.pack(">H", fastcrc.crc16.arc(start))).ljust(own, b"\0")


def _decoded(_: Ffmpeg, parts: list[EncodedFrames], skip: int) -> Iterator[Block]:
    """Decode frames in this process: libsndfile's decoder takes half the time of an FFmpeg behind a pipe."""
    import soundfile  # here, since its library is loaded only where something is encoded

    class Streamed(soundfile.SoundFile):  # type: ignore[misc]  # which has no types
        def seekable(self) -> bool:
            return False  # else it seeks after every block, and decodes the frames before once more

    # Behind a gapless header the decoder itself leaves out the frames to skip, and no others.
    stream = StreamFacts(sum(map(len, parts)), sum(len(part.data) for part in parts))
    first = bytes(parts[0].part(0, 1).data)
    header = info_frame(first, stream, delay=skip - DECODER_DELAY, padding=DECODER_DELAY)
    # A real file: for each of the decoder's small reads of a Python one it would need Python's lock.
    with tempfile.TemporaryFile() as file:
        file.writelines((header, *(part.data for part in parts)))
        parts.clear()
        file.seek(0)
        with Streamed(file.fileno(), closefd=False) as sound:
            while len(block := sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                yield block
