"""The picture: titles of any writing and length, every tone labelled, short and silent files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from worker.inspect.fonts import BOX, drawable, shortened
from worker.inspect.inspection import Inspector
from worker.inspect.named import Named
from worker.inspect.picture import draw
from worker.inspect.waveform import WaveformBuilder

RATE = 8_000
TITLES = [
    "平静と安心 – 冥想音楽.mp3",
    "أنا هادئ.mp3",
    "😀🧘🏽 calm 🎧.mp3",
    r"$x_1^2$ \frac{1}{0} $$ 5$ _a_ #%&~ {.mp3",
    "x" * 200 + ".mp3",
    r"two\nlines.mp3",
    "",
]


def drawn(
    out: Path, sound: np.ndarray, *, title: str = "track.mp3", names: list[Named] | None = None, **more: Any
) -> tuple[int, int]:
    inspector, builder = Inspector(RATE), WaveformBuilder(RATE)
    for take in (inspector.add, builder.add):
        take(sound.astype(np.float32))
    draw(
        out,
        title=title,
        subtitle="MP3",
        drawn=builder.result(),
        energies=inspector.energies,
        result=inspector.result(),
        names=names or [],
        voice=(),
        target_lufs=None,
        **more,
    )
    with Image.open(out) as image:
        return image.size


@pytest.mark.parametrize("title", TITLES)
def test_titles_of_any_writing_are_drawn_without_a_word(tmp_path, title, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn(tmp_path / "out.png", np.zeros((RATE, 2)), title=title)
    assert capfd.readouterr() == ("", "")


def test_what_no_font_has_is_one_box():
    assert drawable("calm \U0010fffd\U0010fffd.mp3") == f"calm {BOX}.mp3"


def test_a_long_title_keeps_its_beginning_and_its_ending():
    assert shortened("a" * 50 + "b" * 50 + ".mp3", 21) == "a" * 10 + "…" + "bbbbbb.mp3"
    assert shortened("track.mp3", 9) == "track.mp3"


@pytest.mark.parametrize("seconds", [0.1, 1.0, 12.0])
@pytest.mark.parametrize("level", [0.0, 0.1])
def test_short_silent_and_lopsided_files_are_drawn(tmp_path, seconds, level):
    sound = level * np.random.default_rng(1).standard_normal((round(seconds * RATE), 2))
    sound[:, 1] = 0.0
    assert drawn(tmp_path / "out.png", sound)[0] == 1320


def test_the_picture_grows_for_its_labels(tmp_path):
    names = [Named(f"{hz} Hz", ((0, float(hz)),)) for hz in range(100, 1900, 20)]
    few = drawn(tmp_path / "out.png", np.zeros((RATE, 2)), names=names[:5])
    assert drawn(tmp_path / "out.png", np.zeros((RATE, 2)), names=names)[1] > few[1] + 1000


def test_layers_are_drawn_where_they_sound_and_fade(tmp_path):
    out, silence = tmp_path / "out.png", np.zeros((10 * RATE, 2))
    plain = drawn(out, silence)
    assert drawn(out, silence, layers={"noise": [(3.0, 10.0, 0.0, 0.0)]}) == plain  # there is nothing to tell
    layers = {"$_^ 雨 bells": [(1.0, 4.0, 2.0, 0.0), (6.0, 9.0, 0.0, 0.0)], "noise": [(0.0, 10.0, 0.0, 0.0)]}
    size = drawn(out, silence, layers=layers)
    assert size[1] > plain[1] + 30
    with Image.open(out) as image:
        shown = np.asarray(image.convert("RGB")).astype(int)
    left, right = 82, 1056
    blue = (shown[300:355, :, 2] - shown[300:355, :, 0]) > 20  # the lanes lie there

    def tall(second: float) -> int:
        return int(blue[:, round(left + second / 10 * (right - left))].sum())

    one = tall(5.0)  # of the two lanes only the lower one sounds there
    assert one > 8
    assert [tall(at) for at in (0.5, 9.5)] == [one, one]
    assert [tall(at) / one for at in (3.5, 6.5, 8.5)] == pytest.approx([2, 2, 2], abs=0.25)
    assert tall(2.0) / one == pytest.approx(1.5, abs=0.2)  # half way up its fade-in
