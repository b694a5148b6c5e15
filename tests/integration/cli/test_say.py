"""`say` and `render --new-take`: to try a voice, and to have a line spoken anew."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import soundfile

from worker.cli.main import run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "ELEVENLABS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.further
def test_a_few_words_are_as_long_as_they_take(tmp_path):
    out = tmp_path / "a.wav"
    assert run(["say", "I am calm. [pause 2s] I am safe.", "-o", str(out), "--quiet"]) == 0
    sound, rate = soundfile.read(out)
    assert 3 < len(sound) / rate < 6
    slow = tmp_path / "slow.wav"
    assert run(["say", "I am calm. [pause 2s] I am safe.", "--speed", "0.5", "-o", str(slow), "--quiet"]) == 0
    assert len(soundfile.read(slow)[0]) > 1.2 * len(sound)


@pytest.mark.further
def test_words_without_a_name_get_the_next_free_one(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run(["say", "Calm.", "--quiet"]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["say-2.wav", "say.wav"]
    assert run(["say", "Calm.", "--quiet", "-o", "say.wav"]) == 2
    assert capfd.readouterr() == ("", "error: --out: say.wav exists; give another name, or --force to replace it\n")


@pytest.mark.further
def test_another_take_is_another_recording(tmp_path):
    sounds = []
    for take in ("1", "2", "1"):
        out = tmp_path / f"{len(sounds)}.wav"
        assert run(["say", "I am calm and safe.", "--take", take, "-o", str(out), "--quiet"]) == 0
        sounds.append(soundfile.read(out)[0])
    assert np.array_equal(sounds[0], sounds[2])
    assert not np.array_equal(sounds[0], sounds[1][: len(sounds[0])])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--voice", "nobody"],
            "--voice: found 'nobody', allowed is one of openai, openai-realtime, elevenlabs, local",
        ),
        (["--voice", "uploaded"], "--voice: found 'uploaded'"),
        (["--voice", "local:emma"], "HIBARI_HOME must hold bf_emma.int8.onnx"),
        (["--voice", "openai:nova"], "OPENAI_API_KEY is not set"),
        (["--take", "100"], "voice.take: found 100, allowed is a whole number from 1 to 99"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_line(tmp_path, arguments, says, capsys, monkeypatch):
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    assert run(["say", "I am calm.", *arguments, "-o", str(tmp_path / "a.wav"), "--quiet"]) != 0
    assert says in capsys.readouterr().err


def test_another_language_is_refused_at_once(tmp_path, capsys):
    assert run(["say", "我很平静。", "-o", str(tmp_path / "a.wav"), "--quiet"]) == 2
    assert "found Chinese, the local voice reads English only" in capsys.readouterr().err


def test_the_shops_pronunciations_are_said(tmp_path, monkeypatch):
    """Two spellings that are said alike make the same sound."""
    (tmp_path / "words.txt").write_text("Siobhan = shi-VAWN\n")
    monkeypatch.setenv("PRONOUNCE_FILE", str(tmp_path / "words.txt"))
    sounds = []
    for name, words in (("respelled", "Siobhan is calm."), ("written", "shi-VAWN is calm.")):
        out = tmp_path / f"{name}.wav"
        assert run(["say", words, "-o", str(out), "--quiet"]) == 0
        sounds.append(soundfile.read(out)[0])
    assert np.array_equal(*sounds)


@pytest.mark.further
def test_any_line_of_a_sentence_has_it_spoken_anew(tmp_path):
    """Sentences go on over a line break; markup and respelled words make no difference."""
    job = tmp_path / "job.json"
    script = "I am calm and\nat peace, Siobhan.\n\n**I am safe.** I rest.\nAll is well."
    words = {"script": script, "pronounce": {"Siobhan": "shi-VAWN"}}
    job.write_text(json.dumps({**words, "voice": {"provider": "local"}, "durationMin": 0.3, "loopMode": False}))
    for lines, misses in ((), 4), (("1",), 1), (("2",), 1), (("4",), 2), (("5",), 1), (("1", "2"), 1):
        report = tmp_path / "report.json"
        arguments = [part for line in lines for part in ("--new-take", line)]
        given = ["-o", "/dev/null", "--report", str(report), "--force", *arguments]
        assert run(["render", str(job), *given]) == 0
        assert json.loads(report.read_text())["speech_cache"]["misses"] == misses
    assert run(["render", str(job), "-o", str(tmp_path / "a.wav"), "--new-take", "3"]) == 2
    assert run(["render", str(job), "-o", str(tmp_path / "a.wav"), "--new-take", "0"]) == 2


def test_a_line_is_spoken_anew_and_kept(tmp_path, capsys):
    job = tmp_path / "job.json"
    voice = {"provider": "local", "speed": 1}
    job.write_text(
        json.dumps({"script": "I am calm.\nI am safe.\n", "voice": voice, "durationMin": 0.1, "loopMode": False})
    )

    def rendered(*arguments: str) -> tuple[np.ndarray, dict[str, int]]:
        out, report = tmp_path / "a.wav", tmp_path / "report.json"
        assert run(["render", str(job), "-o", str(out), "--report", str(report), "--force", *arguments]) == 0
        return soundfile.read(out)[0], json.loads(report.read_text())["speech_cache"]

    first, _ = rendered()
    anew, counts = rendered("--new-take", "2")
    assert counts == {"hits": 1, "misses": 1}
    assert not np.array_equal(first, anew)
    after, counts = rendered()
    assert counts == {"hits": 2, "misses": 0}
    assert np.array_equal(anew, after)
    assert run(["render", str(job), "--new-take", "3", "-o", str(tmp_path / "b.wav")]) == 2
    assert "--new-take: found line 3, which has no words; the script has 2 lines" in capsys.readouterr().err
