"""PCM on its way back from FFmpeg, through a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray


def float_blocks(chunks: Iterable[bytes], *, channels: int = 2) -> Iterator[NDArray[np.float32]]:
    """Cut raw little-endian float32 into arrays of whole frames, shape (frames, channels)."""
    frame_bytes = 4 * channels
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        whole = len(data) // frame_bytes * frame_bytes
        rest = data[whole:]
        if whole:
            yield np.frombuffer(data, "<f4", whole // 4).reshape(-1, channels)
