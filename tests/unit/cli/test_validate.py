"""`validate`: every job file is checked, and nothing is rendered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worker.cli.main import run


@pytest.fixture(autouse=True)
def _jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = {
        "calm.json": {
            "script": "I am calm. [pause 2s] I am safe.",
            "voice": {"provider": "local", "id": "emma"},
            "durationMin": 2,
            "metadata": {"title": "[/b] Calm"},
        },
        "rain.json": {"backgroundMusic": {"url": "rain.mp3"}, "binaural": {"band": "theta", "carierHz": 300}},
        "bad.json": {"pauseSec": -1, "durationMin": 0},
    }
    for name, job in jobs.items():
        Path(name).write_text(json.dumps(job))


def test_good_jobs_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "calm.json", "rain.json"]) == 0
    printed = capsys.readouterr()
    calm, rain = printed.out.splitlines()[1:]
    assert calm.split() == ["ok", "calm.json", "[/b]", "Calm", "2:00", "voice", "local:emma", "20"]
    assert rain.split() == ["ok", "rain.json", "5:00", "music,", "binaural"]
    assert "rain.json: binaural.carierHz: not a known key; did you mean carrierHz?" in printed.err


def test_a_bad_job_ends_it_with_2_and_the_others_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "bad.json", "missing.json", "calm.json"]) == 2
    printed = capsys.readouterr()
    assert [line.split()[:2] for line in printed.out.splitlines()[1:]] == [
        ["bad", "bad.json"],
        ["bad", "missing.json"],
        ["ok", "calm.json"],
    ]
    assert [line.split(": ")[:3] for line in printed.err.splitlines()] == [
        ["error", "bad.json", "durationMin"],
        ["error", "bad.json", "pauseSec"],
        ["error", "bad.json", "the job has no layer"],
        ["error", "missing.json", "there is no such file or folder"],
    ]


def test_strict_makes_an_unknown_key_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--strict", "rain.json"]) == 2
    assert "error: rain.json: binaural.carierHz" in capsys.readouterr().err


def test_json_has_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--json", "calm.json", "bad.json"]) == 2
    calm, bad = json.loads(capsys.readouterr().out)
    assert calm == {
        "job": "calm.json",
        "ok": True,
        "title": "[/b] Calm",
        "length_s": 120,
        "layers": ["voice"],
        "voice": "local:emma",
        "characters": 20,
        "errors": [],
        "warnings": [],
    }
    assert (bad["ok"], len(bad["errors"]), bad["layers"]) == (False, 3, None)


def test_every_voice_of_a_job_is_named_and_its_characters_counted(capsys: pytest.CaptureFixture[str]) -> None:
    whisper = {"kind": "speech", "name": "whisper", "script": "Yes.", "voice": {"provider": "local"}}
    job = {"script": "I am calm.", "voice": {"provider": "openai", "id": "nova"}, "durationMin": 1, "layers": [whisper]}
    Path("two.json").write_text(json.dumps(job))
    assert run(["validate", "two.json", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["layers"], told["voice"], told["characters"]) == (["voice", "whisper"], "openai:nova, local", 14)
