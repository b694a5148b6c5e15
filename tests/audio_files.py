"""Small files written byte by byte: sound that lies about itself or decodes to days, and pictures for covers."""

from __future__ import annotations

import base64
import struct

import numpy as np

RATE = 44_100
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVQI12P4z8AAAAMBAQAY3Y2wAAAAAElFTkSuQmCC")
JPEG = b"\xff\xd8\xff\xe0" + bytes(100)


def wav_bytes(
    frames: int = 1000,
    *,
    channels: int = 2,
    rate: int = RATE,
    bits: int = 16,
    kind: int = 1,
    align: int | None = None,
    data_size: int | None = None,
) -> bytes:
    """A WAV file of equal samples, whose header may say what it likes."""
    samples = (1000 * np.ones(frames * channels)).astype("<i2").tobytes()
    align = channels * bits // 8 if align is None else align
    form = struct.pack("<HHIIHH", kind, channels, rate, (rate * align) & 0xFFFFFFFF, align, bits)
    size = len(samples) if data_size is None else data_size
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def flac_of_silence(frames: int) -> bytes:
    """Each frame of 65,535 equal samples takes 15 bytes or so (FLAC format: constant subframes)."""

    def crc(data: bytes, polynomial: int, bits: int) -> int:
        value = 0
        for byte in data:
            value ^= byte << bits - 8
            for _ in range(8):
                value = (value << 1 ^ (polynomial if value >> bits - 1 else 0)) & (1 << bits) - 1
        return value

    streaminfo = struct.pack(">HH6xQ16x", 65535, 65535, 8000 << 44 | 15 << 36)
    parts = [b"fLaC\x80\x00\x00\x22", streaminfo]
    for number in range(frames):
        frame = b"\xff\xf8\x70\x00" + chr(number).encode("utf-8", "surrogatepass") + b"\xff\xfe"
        frame += bytes((crc(frame, 0x07, 8),)) + bytes(3)
        parts.append(frame + crc(frame, 0x8005, 16).to_bytes(2, "big"))
    return b"".join(parts)
