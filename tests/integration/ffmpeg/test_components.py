"""One list of FFmpeg's components: no command asks for another, and what it lists is there."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile
from codec_signals import RATE, encode_sound, tones

from worker.errors import MachineError, MediaError
from worker.ffmpeg import pipe
from worker.ffmpeg.components import COMPONENTS, MUXER_NAMES
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg
from worker.inspect import embed
from worker.media.decode import opened_sound
from worker.media.decoder import Layout, decoder, opened_source


@pytest.fixture(scope="module")
def ffmpeg() -> Ffmpeg:
    return find_ffmpeg()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What FFmpeg is started with from now on."""
    started: list[list[str]] = []
    start = pipe.start

    def noted(command, **more):
        started.append([str(word) for word in command])
        return start(command, **more)

    monkeypatch.setattr(pipe, "start", noted)
    return started


def components(command: list[str]) -> set[tuple[str, str]]:
    """What a command names, each with its kind."""
    found: set[tuple[str, str]] = set()
    last_input = max(at for at, word in enumerate(command) if word == "-i")
    for at, (option, value) in enumerate(pairwise(command)):
        names = [value]
        if option == "-f":
            kind = "demuxer" if at < last_input else "muxer"
        elif option == "-c:a":
            kind = "decoder" if at < last_input else "encoder"
        elif option.endswith("_whitelist"):
            kind = {"-codec_whitelist": "decoder", "-protocol_whitelist": "protocol"}[option]
            names = value.split(",")
        elif option == "-af":
            kind = "filter"
            names = [each.partition("=")[0] for each in re.sub("'.*?'", "", value).split(",")]
        else:
            kind = "protocol"
            names = re.findall(r"\b(file|subfile|pipe)[:,]", value)
        found |= {(kind, name) for name in names}
    return found


LISTED = {(kind, name) for kind, names in COMPONENTS.items() for name in names if kind != "muxer"}
LISTED |= {("muxer", MUXER_NAMES.get(name, name)) for name in COMPONENTS["muxer"]}


def read(ffmpeg: Ffmpeg, file: Path) -> int:
    with opened_sound(ffmpeg, file) as sound:
        return sum(len(block) for block in sound.blocks)


def test_no_command_names_a_component_that_is_not_listed(ffmpeg, tmp_path, commands):
    for ending in ("mp3", "m4a", "aac"):
        encode_sound(tones(RATE * 2), tmp_path / f"a.{ending}", ffmpeg)
    embed._mp3(ffmpeg, tmp_path / "a.m4a", 128, RATE)  # what a page plays
    tag = b"ID3\x04\0\0\0\0\0\x08" + bytes(8)
    (tmp_path / "tagged.aac").write_bytes(tag + (tmp_path / "a.aac").read_bytes())
    for layout in get_args(Layout):
        with (
            opened_source(tmp_path / "tagged.aac") as source,
            decoder(ffmpeg, source, timeout_s=60, layout=layout, sample_rate=RATE),
        ):
            pass
    named = set().union(*map(components, commands))
    assert named <= LISTED
    # All that a command can name has been, but for the demuxers of other files.
    assert {each for each in LISTED - named if each[0] not in ("parser", "demuxer")} == {("filter", "aresample")}


@pytest.mark.parametrize("kind", sorted(set(COMPONENTS) - {"parser", "protocol"}))
def test_ffmpeg_knows_each_component_by_its_name(ffmpeg, kind):
    command = (ffmpeg.path, "-hide_banner", "-v", "error", f"-{kind}s")
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    known = {name for line in answer.splitlines() for name in line.split()[1:2] for name in name.split(",")}
    assert {name for of, name in LISTED if of == kind} <= known


@pytest.mark.parametrize(
    ("says", "coding", "error", "message"),
    [
        (
            "Decoding requested, but no decoder found for: dts",
            "dts",
            MediaError,
            "a.wav is coded as dts, which is not read",
        ),
        (
            "Decoder (codec dts) not found for input stream #0:0",
            "dts",
            MediaError,
            "a.wav is coded as dts, which is not read",
        ),
        (
            "Decoding requested, but no decoder found for: mp3",
            "mp3",
            MachineError,
            "lacks a component .* decoder for mp3",
        ),
        ("Decoding requested, but no decoder found for: amr_nb", "amr_nb", MachineError, "a decoder for amr_nb"),
    ],
)
def test_without_a_decoder_the_file_is_refused_or_ffmpeg_is(tmp_path, says, coding, error, message):
    program = tmp_path / "ffmpeg"
    program.write_text(
        "#!/bin/sh\n"
        f"echo '[info]   Stream #0:0: Audio: {coding} (of a kind), 44100 Hz, stereo, fltp' >&2\n"
        f"echo '[out#0 @ 0x1] [error] {says}' >&2\n"
        "exit 1\n"
    )
    program.chmod(0o755)
    soundfile.write(tmp_path / "a.wav", np.zeros((1000, 2)), RATE)
    with pytest.raises(error, match=message):
        read(Ffmpeg(program, "7.1", "calls"), tmp_path / "a.wav")


def test_of_two_decoders_the_list_has_the_one_that_ffmpeg_takes(ffmpeg: Ffmpeg) -> None:
    """A whitelist without it refuses files that could be read."""
    told = subprocess.run(
        [ffmpeg.path, "-hide_banner", "-codecs"], capture_output=True, text=True, timeout=60, check=True
    )
    several = [match[1].split() for match in re.finditer(r"\(decoders: ([^)]+)\)", told.stdout)]
    read = [names for names in several if set(names) & set(COMPONENTS["decoder"])]
    assert len(read) >= 5
    assert [names for names in read if names[0] not in COMPONENTS["decoder"]] == []
