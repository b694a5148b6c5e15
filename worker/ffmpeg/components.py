"""The components of FFmpeg that this program asks for, and no other: one list for all who need it.

A decoder opens nothing else of a stranger's file (`worker.media.decoder`), and the image's FFmpeg is built of nothing
else: what is not there cannot be attacked. Run as a program, this prints the options for FFmpeg's ``configure``; the
Dockerfile does so with this file alone, so it imports nothing of this project.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

DECODERS: Final = (
    *("mp1", "mp2", "mp3float", "aac", "alac", "flac", "vorbis", "opus", "speex", "wavpack"),
    *("pcm_s8", "pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
    *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw"),
    *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "amrnb", "amrwb", "ac3", "eac3"),
    *("wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice"),
)
"""FFmpeg's own, which it takes where it has another for the same coding, too; no video or picture decoder, so that none
is opened even to look at a cover."""

COMPONENTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "decoder": DECODERS,
        # as `worker.media.sniff` names them
        "demuxer": (
            *("aac", "ac3", "aiff", "amr", "asf", "au", "caf", "eac3"),
            *("flac", "matroska", "mov", "mp3", "ogg", "w64", "wav"),
        ),
        # finds the frames of codings whose containers do not say where each begins
        "parser": ("aac", "ac3", "amr", "flac", "mpegaudio", "opus", "vorbis"),
        "encoder": ("aac", "libmp3lame", "pcm_f32le"),
        "muxer": ("adts", "matroska", "mp3", "pcm_f32le"),
        "protocol": ("file", "pipe", "subfile"),
        # aresample: FFmpeg adds it itself where rate, layout or number format change
        "filter": ("aformat", "aresample", "asetpts", "channelmap", "pan"),
    }
)
"""By kind; the names are those of ``configure``."""

MUXER_NAMES: Final[Mapping[str, str]] = MappingProxyType({"pcm_f32le": "f32le"})
"""What ``-f`` calls a muxer, where ``configure`` has another name for it."""


def configure_options() -> list[str]:
    """Make the options for an FFmpeg of these alone: no network, devices, hardware, pictures, no program but `ffmpeg`.

    Of other libraries only LAME, and zlib for compressed headers of MOV and Matroska.
    """
    return [
        *("--disable-everything", "--disable-autodetect", "--disable-network", "--disable-doc", "--disable-debug"),
        *("--disable-avdevice", "--disable-swscale", "--disable-ffplay", "--disable-ffprobe"),
        *("--enable-zlib", "--enable-libmp3lame"),
        *(f"--enable-{kind}={','.join(names)}" for kind, names in COMPONENTS.items()),
    ]


if __name__ == "__main__":
    print("\n".join(configure_options()))
