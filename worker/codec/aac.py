"""AAC from FFmpeg's own encoder: as M4A, exact to the sample, or as bare ADTS frames, which know no length.

The encoder's rate control looks back over many seconds, so pieces never come out as the same bytes as one encoding
of the whole. With 800 frames of run-up their noise after a join is within 1 dB of it; with 400 it is up to 4 dB above,
with 40 up to 30 dB (benchmarks/codec.py measures it).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from dsp.blocks import Block
from worker.codec import adts, m4a
from worker.codec.coded import EncodedFrames, Frame
from worker.codec.encoders import encode_segments
from worker.codec.m4a import FRAME_SAMPLES, Sound
from worker.codec.pcm import float_blocks
from worker.codec.pieces import Coder, Track
from worker.ffmpeg.pipe import Pipe, through
from worker.ffmpeg.program import Ffmpeg

_DELAY = 1024  # PCM frames that the encoder puts before the first
_PIECE_SECONDS = (60, 160)


def write_m4a(track: Track, file: BinaryIO, *, bitrate_kbps: int) -> None:
    """Encode a track to M4A, with its index before the sound.

    Parameters
    ----------
    track : Track
    file : binary file, open for writing and seeking, empty
    bitrate_kbps : int

    Raises
    ------
    WorkerError
        If the encoder fails.
    """
    coder = aac_coder(track.sample_rate, bitrate_kbps)
    sound = Sound(track.sample_rate, track.frames, _DELAY, bytes(2), [1] * coder.coded_frames(track.frames))
    start = m4a.file_type()
    data_at = len(start) + len(m4a.index(sound, track.tags, data_at=0)) + 8
    file.seek(data_at)
    sizes: list[int] = []
    config = b""
    for coded in encode_segments(track, coder):
        bare = [frame[adts.HEADER_BYTES :] for frame in coded]
        config = config or _audio_specific_config(bytes(coded.part(0, 1).data))
        file.writelines(bare)
        sizes.extend(map(len, bare))
        del coded, bare  # not kept while the next are waited for
    titles = m4a.chapter_titles(track.tags)
    file.writelines(titles)
    data_bytes = 8 + sum(sizes) + sum(map(len, titles))
    file.seek(0)
    file.write(start)
    sound = Sound(track.sample_rate, track.frames, _DELAY, config, sizes)
    file.write(m4a.index(sound, track.tags, data_at=data_at))
    file.write(struct.pack(">I4s", data_bytes, b"mdat"))


def write_adts(track: Track, file: BinaryIO, *, bitrate_kbps: int) -> None:
    """Encode a track to bare AAC frames; parameters and errors as of `write_m4a`."""
    for coded in encode_segments(track, aac_coder(track.sample_rate, bitrate_kbps)):
        file.write(coded.data)
        del coded  # not kept while the next are waited for


def aac_coder(sample_rate: int, bitrate_kbps: int) -> Coder:
    """Say how AAC is encoded in pieces."""
    shortest, longest = (int(seconds * sample_rate / FRAME_SAMPLES) for seconds in _PIECE_SECONDS)
    return Coder(
        arguments=("-c:a", "aac", "-b:a", f"{bitrate_kbps}k", "-flush_packets", "0", "-f", "adts", "pipe:1"),
        split=adts.split_frames,
        decode=_decoded,
        frame_samples=FRAME_SAMPLES,
        delay=_DELAY,
        run_up=800,
        run_on=4,
        overlap=2,
        align=1,
        longest=longest,
        shortest=shortest,
        shares=(1, 1),
    )


def _audio_specific_config(frame: Frame) -> bytes:
    """Make the decoder's configuration from an ADTS header: object type, sample rate and channels."""
    object_type, rate_index = (frame[2] >> 6) + 1, frame[2] >> 2 & 15
    channels = (frame[2] & 1) << 2 | frame[3] >> 6
    return struct.pack(">H", object_type << 11 | rate_index << 7 | channels << 3)


def _decoded(ffmpeg: Ffmpeg, parts: list[EncodedFrames], skip: int) -> Iterator[Block]:
    arguments = ("-f", "aac", "-i", "pipe:0", "-c:a", "pcm_f32le", "-f", "f32le", "-ac", "2", "pipe:1")
    with Pipe(ffmpeg, arguments, feed=True) as pipe:
        for block in float_blocks(through(pipe, [part.data for part in parts])):
            yield block[skip:]
            skip = max(0, skip - len(block))
