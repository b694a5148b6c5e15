"""`render --from --seconds`: that part of the track alone, exactly as it sounds in the whole."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tiers import further

from dsp.noise import Noise
from worker.cli.main import run
from worker.payload.schema import SAMPLE_RATE_HZ as RATE

DUCKED = {
    "durationMin": 0.4,
    "solfeggio": {"hz": 528},
    "backgroundMusic": {"url": "rain.flac"},
    "ducking": {"enabled": True},
    "voice": {"provider": "uploaded", "url": "me.wav"},
    "fade": {"inMs": 2000, "outMs": 2000},
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    music = Noise("pink", 9, RATE).render(0, 7 * RATE)
    soundfile.write("rain.flac", 0.1 * music, RATE)
    claps = np.zeros(3 * RATE)
    claps[:: RATE // 3] = 0.99  # peaks high above the rest: the limiter works
    soundfile.write("me.wav", 0.05 * music[: 3 * RATE, 0] + 0.9 * claps, RATE)


def rendered(name: str, *arguments: str, **job: Any) -> np.ndarray:
    Path("job.json").write_text(json.dumps(DUCKED | job))
    assert run(["render", "job.json", "-o", name, "--report", f"{name}.json", "--quiet", *arguments]) == 0
    return soundfile.read(name, dtype="int32", always_2d=True)[0] >> 8


@pytest.mark.parametrize(
    ("ending", "loudness"), further(product(["flac", "wav"], ["balance", "exact"]), but=[("flac", "balance")])
)
def test_an_excerpt_is_that_part_of_the_whole(ending: str, loudness: str) -> None:
    safety = {"loudness": loudness, "targetLufs": -14}
    whole = rendered(f"whole.{ending}", safety=safety)
    for start_s, seconds in (("0", 2.0), ("0:07.3", 1.5), ("22", 60.0)):
        name = f"from-{start_s.replace(':', '-')}.{ending}"
        part = rendered(name, "--from", start_s, "--seconds", str(seconds), safety=safety)
        start = round(float(start_s.rpartition(":")[2]) * RATE)
        assert len(part) == min(round(seconds * RATE), len(whole) - start)
        assert np.abs(part - whole[start : start + len(part)]).max() <= 1
        report = json.loads(Path(f"{name}.json").read_text())
        assert report["excerpt"] == {"from_s": start / RATE, "to_s": pytest.approx((start + len(part)) / RATE)}
        assert report["track_duration_s"] == 24
        of_whole = json.loads(Path(f"whole.{ending}.json").read_text())
        assert of_whole["limiter_max_reduction_db"] > 1
        assert report["master_gain_db"] == of_whole["master_gain_db"]


@pytest.mark.further
def test_a_coded_excerpt_is_as_loud_as_in_the_whole(tmp_path: Path) -> None:
    whole = rendered("whole.mp3")
    part = rendered("part.mp3", "--from", "8", "--seconds", "10")
    assert len(part) == 10 * RATE
    level, expected = (np.sqrt(np.mean(np.square(sound / 2**23))) for sound in (part, whole[8 * RATE : 18 * RATE]))
    assert 20 * np.log10(level / expected) == pytest.approx(0, abs=0.1)


def test_an_excerpt_has_no_files_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    job = {"deliver": ["headphones", "speakers"], "lyrics": True}
    rendered("part.wav", "--from", "1", "--seconds", "1", **job)
    names = {path.name for path in Path().iterdir()}
    assert names == {"job.json", "me.wav", "part.wav", "part.wav.json", "rain.flac"}


@pytest.mark.parametrize("length", [{}, {"durationMin": None, "loopMode": False}])
def test_beyond_the_end_there_is_nothing(length: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    Path("job.json").write_text(json.dumps(DUCKED | length))
    assert run(["render", "job.json", "-o", "part.wav", "--from", "10:00", "--quiet"]) == 2
    assert "error: --from: found 600 s, allowed is what the track has: it is " in capsys.readouterr().err
    assert not Path("part.wav").exists()
