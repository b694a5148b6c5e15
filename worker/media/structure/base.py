"""What is found in a file, whatever its container, and what all containers have in common."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from worker.media.sniff import Read

MOST_PARTS = 100_000  # chunks, boxes, clusters that are looked at
UNKNOWN_LENGTH = 0x7FFF0000  # and more: what programs leave that write to a pipe
WINDOW_BYTES = 1 << 20
LARGEST_PADDING_BYTES = 1 << 16  # a block of a disk; more zeros are a download that was not finished


@dataclass(frozen=True)
class Structure:
    """What a file says of its own sound.

    Parameters
    ----------
    seconds : float or None
        Length of the sound by its own index; None without one.
    exact_s : Fraction or None
        The same to the frame, where the index is so exact. FFmpegs before 7 decode what the encoder put behind the
        sound to fill its last packets.
    missing_bytes : int
        Of what should be there.
    missing_seconds : float
        Of sound that is lost with them: of a part that is not whole nothing is decoded.
    guessed_s : float
        Until this time FFmpeg guesses the times of packets, since they have none: a gap before it is none.
    stray_bytes : int
        Between the frames of a stream that has nothing but frames.
    refusal : str or None
        Why it is not decoded at all, to follow the file's name.
    refusal_code : str
        The error code for that.
    input_options : tuple of str
        What FFmpeg must be told about its input, since it misreads the header.
    end : int or None
        Where the sound ends, if FFmpeg takes what follows for more of it, or for an error.
    links : tuple of int
        Where the parts begin that must be decoded one by one, since their codings differ; the first one included.
    """

    seconds: float | None = None
    exact_s: Fraction | None = None
    missing_bytes: int = 0
    missing_seconds: float = 0.0
    guessed_s: float = 0.0
    stray_bytes: int = 0
    refusal: str | None = None
    refusal_code: str = "media.invalid"
    input_options: tuple[str, ...] = ()
    end: int | None = None
    links: tuple[int, ...] = (0,)


def is_padding(read: Read, at: int, size: int) -> bool:
    """Whether nothing but a few zeros is left, as where a disk or a download filled up the last block."""
    return size - at <= LARGEST_PADDING_BYTES and not read(LARGEST_PADDING_BYTES, at).strip(b"\0")
