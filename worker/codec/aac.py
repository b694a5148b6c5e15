"""AAC from FFmpeg's own encoder: as M4A, exact to the sample, or as bare ADTS frames, which hold no length.

The encoder's rate control looks back over many seconds and is chaotic, so segments never come out as the same bytes as
one encoding of the whole. With a preroll of 800 frames their noise after a join is within 1 dB of it; with 400 it is
up to 4 dB above, with 40 up to 30 dB (benchmarks/codec.py measures it), and with 3200 it comes no nearer. So segments
are long: a track of less than six minutes is one.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from dsp.blocks import Block
from worker.codec import m4a_index
from worker.codec.encoder_processes import encode_segments
from worker.codec.frames import ADTS_HEADER_BYTES, EncodedFrames, Frame, adts_frame_bytes, split
from worker.codec.m4a_index import FRAME_SAMPLES, AacStream
from worker.codec.segments import SegmentCoder, Track
from worker.ffmpeg.pipe import Pipe
from worker.ffmpeg.program import Ffmpeg

_DELAY = 1024  # PCM frames that the encoder puts before the first
_DECODED_FRAME_BYTES = 8
_SEGMENT_SECONDS = (180, 320)


def write_m4a(track: Track, file: BinaryIO, *, bitrate_kbps: int) -> None:
    """Encode a track to M4A, with its index before the sound, into an empty file that can seek.

    Raises `WorkerError` if the encoder fails.
    """
    coder = aac_coder(track.sample_rate, bitrate_kbps)
    stream = AacStream(track.sample_rate, track.frames, _DELAY, bytes(2), [1] * coder.encoded_frame_count(track.frames))
    start = m4a_index.file_type()
    data_at = len(start) + len(m4a_index.index(stream, track.tags, data_at=0)) + 8
    file.seek(data_at)
    sizes: list[int] = []
    config = b""
    for encoded in encode_segments(track, coder):
        bare = [frame[ADTS_HEADER_BYTES:] for frame in encoded]
        config = config or _audio_specific_config(bytes(encoded.part(0, 1).data))
        file.writelines(bare)
        sizes.extend(map(len, bare))
        del encoded, bare  # not kept while the next are waited for
    titles = m4a_index.chapter_titles(track.tags)
    file.writelines(titles)
    data_bytes = 8 + sum(sizes) + sum(map(len, titles))
    file.seek(0)
    file.write(start)
    stream = AacStream(track.sample_rate, track.frames, _DELAY, config, sizes)
    file.write(m4a_index.index(stream, track.tags, data_at=data_at))
    file.write(struct.pack(">I4s", data_bytes, b"mdat"))


def write_adts(track: Track, file: BinaryIO, *, bitrate_kbps: int) -> None:
    """Encode a track to bare AAC frames; parameters and errors as of `write_m4a`."""
    for encoded in encode_segments(track, aac_coder(track.sample_rate, bitrate_kbps)):
        file.write(encoded.data)
        del encoded  # not kept while the next are waited for


def aac_coder(sample_rate: int, bitrate_kbps: int) -> SegmentCoder:
    """Settings for AAC."""
    shortest, longest = (int(seconds * sample_rate / FRAME_SAMPLES) for seconds in _SEGMENT_SECONDS)
    return SegmentCoder(
        arguments=("-c:a", "aac", "-b:a", f"{bitrate_kbps}k", "-flush_packets", "0", "-f", "adts", "pipe:1"),
        split=lambda data: split(data, adts_frame_bytes, "ADTS"),
        decode=_decoded,
        frame_samples=FRAME_SAMPLES,
        delay=_DELAY,
        preroll=800,
        postroll=4,
        overlap=2,
        align=1,
        longest=longest,
        shortest=shortest,
        weights=(1, 1),
    )


def _audio_specific_config(frame: Frame) -> bytes:
    """Make the decoder's configuration from an ADTS header: object type, sample rate and channels."""
    object_type, rate_index = (frame[2] >> 6) + 1, frame[2] >> 2 & 15
    channels = (frame[2] & 1) << 2 | frame[3] >> 6
    return struct.pack(">H", object_type << 11 | rate_index << 7 | channels << 3)


def _decoded(ffmpeg: Ffmpeg, parts: list[EncodedFrames], skip: int) -> Iterator[Block]:
    rest = b""
    with tempfile.TemporaryFile() as file:
        file.writelines(part.data for part in parts)
        file.seek(0)
        source = ("-f", "aac", "-i", f"pipe:{file.fileno()}")
        arguments = (*source, "-c:a", "pcm_f32le", "-f", "f32le", "-ac", "2", "pipe:1")
        with Pipe(ffmpeg, arguments, pass_fd=file.fileno()) as pipe:
            while chunk := pipe.read():
                data = rest + chunk
                whole = len(data) // _DECODED_FRAME_BYTES * _DECODED_FRAME_BYTES
                rest = data[whole:]
                block = np.frombuffer(data, "<f4", whole // 4).reshape(-1, 2)
                yield block[skip:]
                skip = max(0, skip - len(block))
            pipe.finish()
