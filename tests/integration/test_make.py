"""What `make` says by itself, and whether the demo takes PATH's FFmpeg."""

from __future__ import annotations

import re
import subprocess

import pytest
from paths import ROOT

from tools.demo_setup import path_has_ffmpeg


def test_make_alone_lists_every_target() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    (targets,) = re.findall(r"^\.PHONY: help (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^  make ([a-z-]+) +\S", done.stdout, re.MULTILINE)[0] == "demo"
    assert sorted(re.findall(r"^  make ([a-z-]+) +\S", done.stdout, re.MULTILINE)) == sorted(targets.split())


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
