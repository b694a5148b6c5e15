"""What `make` says by itself, what `make clean` leaves, and whether the demo takes PATH's FFmpeg."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from paths import ROOT

from tools.demo_setup import path_has_ffmpeg


def test_make_alone_lists_every_target() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    (targets,) = re.findall(r"^\.PHONY: help (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^  make ([a-z-]+) +\S", done.stdout, re.MULTILINE)[0] == "demo"
    assert sorted(re.findall(r"^  make ([a-z-]+) +\S", done.stdout, re.MULTILINE)) == sorted(targets.split())


def test_clean_leaves_the_tracks_that_make_has_not_made(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("out/demo/full-mix.mp3", "out/bench.json", ".mindscript/demo/x", "worker/__pycache__/x", "dsp/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("tests", "tools", "benchmarks", "mindscript"):
        (tmp_path / name).mkdir()
    mine = tmp_path / "out" / "mine.mp3"
    mine.touch()
    make = ["make", "clean"]
    done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert "out/mine.mp3" in done.stdout
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"Makefile", "dsp/x.py", "out/mine.mp3"}
    mine.unlink()
    subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("version", "taken"), [("5.0.3", False), ("5.1.9-0+deb12u1", True), ("n9.0.2-17-g2a571b6068", True), (None, False)]
)
def test_the_demo_takes_an_ffmpeg_that_is_new_enough(version, taken, tmp_path, monkeypatch):
    if version is not None:
        program = tmp_path / "ffmpeg"
        program.write_text(f"#!/bin/sh\necho 'ffmpeg version {version} Copyright (c) the FFmpeg developers'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("FFMPEG", raising=False)
    assert path_has_ffmpeg() is taken
