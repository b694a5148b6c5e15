"""The check of all jobs that a command names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worker.config import Config
from worker.errors import JobError
from worker.tasks.job_checks import checked_jobs
from worker.tasks.job_files import job_files

GOOD = {"script": "I am calm.", "voice": {"provider": "local"}}
BAD = {"durationMin": 0, "binaural": {"band": "thetta"}}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, *jobs: object) -> str:
    Path(name).write_text("\n".join(json.dumps(job) for job in jobs))
    return name


def test_mistakes_of_all_jobs_are_told_behind_their_names() -> None:
    files = [write("bad.json", BAD), write("good.json", GOOD), "missing.json", write("x.jsonl", GOOD, {"pauseSec": -1})]
    with pytest.raises(JobError) as caught:
        checked_jobs(job_files(files), Config())
    assert caught.value.lines == (
        "bad.json: durationMin: found 0, allowed is a number from 0.05 to 480 (minutes)",
        'bad.json: binaural.band: found "thetta", allowed is one of delta, theta, alpha, beta, gamma',
        "missing.json: there is no such file or folder",
        "x.jsonl:2: pauseSec: found -1, allowed is a number from 0 to 600",
        "x.jsonl:2: the job has no layer: at least one of script, backgroundMusic, solfeggio, binaural, carrierType "
        "and layers is needed",
    )


def test_the_name_of_a_lone_job_is_left_out_unless_it_is_at_fault() -> None:
    for name, line in (
        (write("bad.json", BAD), "durationMin: found 0"),
        ("none.json", "none.json: there is no such file"),
    ):
        with pytest.raises(JobError) as caught:
            checked_jobs(job_files([name]), Config())
        assert caught.value.lines[0].startswith(line)


def test_an_unknown_key_is_warned_of_also_beside_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    files = job_files([write("job.json", {**GOOD, "pauseSec": -1, "binaural": {"carierHz": 300, "\x1b[2J": 1}})])
    with pytest.raises(JobError, match="pauseSec"):
        checked_jobs(files, Config())
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "warning: binaural.carierHz: not a known key; did you mean carrierHz? (it is ignored)"
    assert lines[1].startswith("warning: binaural.\\u001b[2J: not a known key")
    with pytest.raises(JobError) as caught:
        checked_jobs(files, Config(), strict=True)
    assert [line.split(":")[0] for line in caught.value.lines] == [
        "pauseSec",
        "binaural.carierHz",
        "binaural.\\u001b[2J",
    ]
    assert capsys.readouterr().err == ""
