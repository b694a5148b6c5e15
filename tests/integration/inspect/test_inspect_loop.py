"""`inspect --loop`: where a piece of music would loop, in figures, as a drawing and as a picture."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from music_pieces import FADE_S, PIECES, RATE

from dsp.noise import Noise
from worker.cli.main import run


@pytest.fixture(scope="module")
def faded(tmp_path_factory):
    file = tmp_path_factory.mktemp("music") / "faded.flac"
    soundfile.write(file, PIECES["fade-out"](), RATE)
    return file


def test_the_figures_are_those_of_the_loop_a_track_has(faded, capsys):
    assert run(["inspect", "--loop", str(faded), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    loop = figures["loop"]
    assert figures["duration_s"] - loop["to_s"] > FADE_S - 1
    assert loop["period_s"] == pytest.approx(loop["to_s"] - loop["from_s"] - loop["crossfade_s"], abs=1e-4)
    low, high = loop["range_lufs"]
    assert low - 2 < loop["seam_lufs"][0] <= loop["seam_lufs"][1] < high + 2
    assert figures["note"].startswith("music: loops from")


def test_it_is_printed_with_a_drawing_of_what_is_repeated(faded, capsys):
    assert run(["inspect", "--loop", str(faded)]) == 0
    lines = capsys.readouterr().out.splitlines()
    levels, marks, legend = lines[-3:]
    assert len(levels) == 72
    assert levels[-1] < levels[36]
    assert marks.startswith("·")
    assert marks[36] == "━"
    assert marks.count("╳") == 2
    assert marks[-7:].strip() == ""
    assert "left out" in legend


def test_the_picture_is_drawn(faded, tmp_path, capsys):
    assert run(["inspect", "--loop", str(faded), "--picture", str(tmp_path / "loop.png")]) == 0
    assert (tmp_path / "loop.png").read_bytes().startswith(b"\x89PNG")
    assert "picture" in capsys.readouterr().out


@pytest.mark.parametrize("sound", [np.zeros((20 * RATE, 2)), 0.1 * Noise("pink", 1, RATE).render(0, RATE // 2)])
def test_music_without_a_place_of_its_own_loops_as_a_whole(tmp_path, capsys, sound):
    soundfile.write(tmp_path / "music.wav", sound, RATE)
    assert run(["inspect", "--loop", str(tmp_path / "music.wav"), "--picture", str(tmp_path / "no.png")]) == 0
    assert "as a whole" in capsys.readouterr().out
    assert not (tmp_path / "no.png").exists()
    assert run(["inspect", "--loop", str(tmp_path / "music.wav"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loop"] is None


def test_what_is_of_finished_tracks_is_refused_with_it(faded, tmp_path, capsys):
    assert run(["inspect", "--loop", str(faded), "--lyrics", str(tmp_path / "a.vtt")]) == 2
    assert capsys.readouterr().err.startswith("error: --loop: found with --lyrics, --report or --html")
