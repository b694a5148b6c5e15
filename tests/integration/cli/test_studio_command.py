"""`mindscript-worker studio`: opens, lets one browser in, ends with Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from paths import ROOT
from processes import heed_interrupts

from worker.cli.main import run


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command in a folder; also the address that it prints."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-m", "worker", "studio", *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as process:
        try:
            printed = ""
            while not (found := re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", printed)):
                line = process.stdout.readline()
                assert line, f"it ended with: {printed}"
                printed += line
            yield process, found[0]
        finally:
            process.kill()


def test_it_opens_with_a_first_job_and_ends_with_ctrl_c(tmp_path):
    with running(tmp_path) as (process, address), httpx.Client(timeout=60) as client:
        assert client.get(address).status_code == 200
        start = client.get(address.partition("?")[0] + "api/start").json()
        assert start["job"]["backgroundMusic"] == {"url": "demo-loop.flac"}
        assert start["folder"] == str(tmp_path / "studio")
        assert {"demo-loop.flac", "recording.flac"} <= set(start["sounds"])
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert "closed" in process.stdout.read()


def test_a_job_of_one_s_own_is_opened_beside_its_files(tmp_path):
    job = {"durationMin": 1, "solfeggio": {"hz": 528}}
    (tmp_path / "job.json").write_text(json.dumps(job))
    with running(tmp_path, "job.json") as (_, address), httpx.Client(timeout=60) as client:
        client.get(address)
        start = client.get(address.partition("?")[0] + "api/start").json()
    assert (start["job"], start["name"], start["folder"]) == (job, "job", str(tmp_path))
    assert sorted(each.name for each in tmp_path.iterdir() if each.name != "cache") == ["job.json"]


@pytest.mark.parametrize(("text", "words"), [("{", "job.json: "), ("[]", "job.json: "), (None, "gone.json: ")])
def test_what_is_no_job_is_said_to_be_none(tmp_path, monkeypatch, capsys, text, words):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("job.json").write_text(text)
    assert run(["studio", "gone.json" if text is None else "job.json"]) == 2
    assert words in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(tmp_path, monkeypatch, capsys):
    with running(tmp_path) as (_, address):
        port = re.search(r":(\d+)/", address)[1]
        monkeypatch.chdir(tmp_path)
        assert run(["studio", "--port", port]) == 1
    assert f"--port: {port} cannot be listened on" in capsys.readouterr().err
