"""AAC from FFmpeg's own encoder: as M4A, exact to the sample, or as bare ADTS frames, which know no length.

The encoder's rate control looks back over seconds: with 400 frames of run-up a piece codes as well as one
encoding of the whole, though never to the same bytes; with 40 it is up to 20 dB worse after the join.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from dsp.blocks import Block
from worker import adts, m4a
from worker.errors import TransientError
from worker.m4a import FRAME_SAMPLES, Sound
from worker.pieces import Coder, Track, cut, encode_pieces
from worker.pipe import Pipe, float_blocks, through

DELAY = 1024  # PCM frames that the encoder puts before the first

_RUN_UP = 400
_RUN_ON = 4
_PIECE_SECONDS = (60, 150)
_OVERLAP = 2  # frames decoded before a piece, since each frame's sound overlaps the next one's


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
    count = _coded_frames(track.frames)
    sound = Sound(track.sample_rate, track.frames, DELAY, bytes(2), [1] * count)
    titles = m4a.chapter_titles(track.tags)
    start = m4a.file_type()
    data_at = len(start) + len(m4a.index(sound, track.tags, data_at=0)) + 8
    file.seek(data_at)
    sizes: list[int] = []
    config = b""
    for coded in _encoded(track, bitrate_kbps):
        config = config or _audio_specific_config(coded[0])
        bare = [frame[adts.HEADER_BYTES :] for frame in coded]
        file.writelines(bare)
        sizes.extend(map(len, bare))
    file.writelines(titles)
    data_bytes = 8 + sum(sizes) + sum(map(len, titles))
    file.seek(0)
    file.write(start)
    sound = Sound(track.sample_rate, track.frames, DELAY, config, sizes)
    file.write(m4a.index(sound, track.tags, data_at=data_at))
    file.write(struct.pack(">I4s", data_bytes, b"mdat"))


def write_adts(track: Track, file: BinaryIO, *, bitrate_kbps: int) -> None:
    """Encode a track to bare AAC frames; parameters and errors as of `write_m4a`."""
    for coded in _encoded(track, bitrate_kbps):
        file.writelines(coded)


def _coded_frames(frames: int) -> int:
    return -(-(DELAY + frames) // FRAME_SAMPLES)


def _encoded(track: Track, bitrate_kbps: int) -> Iterator[list[bytes]]:
    """Yield the ADTS frames piece by piece, after their decoded sound was given to whom it may concern."""
    coder = _coder(track.sample_rate, bitrate_kbps)
    pieces = cut(track.frames, coder)
    missing = _coded_frames(track.frames)
    before: list[bytes] = []  # the last frames of the piece before
    heard = 0
    for coded in encode_pieces(track, pieces, coder):
        wanted = coded[:missing]  # the encoder ends with a frame of nothing where the length allows it
        missing -= len(wanted)
        yield wanted
        if track.on_decoded is not None:
            skip = len(before) * FRAME_SAMPLES if before else DELAY
            for block in _decoded(track, [*before, *wanted], skip=skip):
                block = block[: track.frames - heard]
                heard += len(block)
                track.on_decoded(block)
        before = wanted[-_OVERLAP:]
    if missing:
        raise TransientError(f"FFmpeg's AAC is {missing} frames short", code="ffmpeg.failed")


def _coder(sample_rate: int, bitrate_kbps: int) -> Coder:
    shortest, longest = (int(seconds * sample_rate / FRAME_SAMPLES) for seconds in _PIECE_SECONDS)
    return Coder(
        arguments=(
            *("-f", "f32le", "-ar", str(sample_rate), "-ac", "2", "-i", "pipe:0"),
            *("-c:a", "aac", "-b:a", f"{bitrate_kbps}k", "-f", "adts", "pipe:1"),
        ),
        split=adts.split_frames,
        frame_samples=FRAME_SAMPLES,
        run_up=_RUN_UP,
        run_on=_RUN_ON,
        align=1,
        longest=longest,
        shortest=shortest,
    )


def _audio_specific_config(frame: bytes) -> bytes:
    """Make the decoder's configuration from an ADTS header: object type, sample rate and channels."""
    object_type, rate_index = (frame[2] >> 6) + 1, frame[2] >> 2 & 15
    channels = (frame[2] & 1) << 2 | frame[3] >> 6
    return struct.pack(">H", object_type << 11 | rate_index << 7 | channels << 3)


def _decoded(track: Track, coded: Sequence[bytes], *, skip: int) -> Iterator[Block]:
    arguments = ("-f", "aac", "-i", "pipe:0", "-c:a", "pcm_f32le", "-f", "f32le", "-ac", "2", "pipe:1")
    with Pipe(track.ffmpeg, arguments, feed=True) as pipe:
        for block in float_blocks(through(pipe, coded)):
            yield block[skip:]
            skip = max(0, skip - len(block))
