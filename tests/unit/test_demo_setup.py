"""What `make demo` installs and says, before there is any package."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
from paths import ROOT

from tools import demo_setup

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NOT_IN_THE_DEMO = {"scipy", "supabase", "openai", "elevenlabs", "imageio-ffmpeg"}
TO_INSTALL_THE_PROJECT = {"hatchling", "editables"}


def by_name(requirements):
    return {re.match(r"[\w-]+", each)[0]: each for each in requirements}


def test_the_demo_s_packages_are_the_worker_s_without_the_services():
    worker = by_name([*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["local"]])
    demo = by_name(PROJECT["dependency-groups"]["demo"])
    assert set(demo) == set(worker) - NOT_IN_THE_DEMO | TO_INSTALL_THE_PROJECT
    assert all(demo[name] == worker[name] for name in set(demo) - TO_INSTALL_THE_PROJECT)
    assert PROJECT["dependency-groups"]["demo-ffmpeg"] == [worker["imageio-ffmpeg"]]


@pytest.mark.parametrize("name", ["demo", "demo-ffmpeg", "build"])
def test_the_small_lock_files_have_the_versions_of_the_large_one(name):
    def locked(file):
        return set(re.findall(r"^([\w.-]+==[\w.]+)", (ROOT / file).read_text(), re.MULTILINE))

    assert locked(f"requirements-{name}.txt") <= locked("requirements-dev.txt")


def test_the_plan_names_what_is_left_and_clean_removes_it(capsys):
    demo_setup.print_plan(Path(".venv-demo"), with_ffmpeg=False)
    plan = capsys.readouterr().out
    recipe = re.search(r"^clean:(?:.*\n)(?:\t.*\n)+", (ROOT / "Makefile").read_text(), re.MULTILINE)[0]
    assert f"{demo_setup.DOWNLOAD_MB} MB" in plan
    for left in (".venv-demo", "out", ".mindscript", "__pycache__"):
        assert left in plan
        assert left in recipe.replace("$(DEMO)", ".venv-demo")


def test_an_ffmpeg_that_path_lacks_is_said_and_counted(capsys):
    demo_setup.print_plan(Path(".venv-demo"), with_ffmpeg=True)
    plan = capsys.readouterr().out
    assert f"{demo_setup.DOWNLOAD_MB + demo_setup.FFMPEG_DOWNLOAD_MB} MB" in plan
    assert "FFmpeg" in plan


def test_a_python_that_is_too_old_is_told_which_to_take(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    with pytest.raises(SystemExit, match=r"this is 3\.10: make demo PYTHON=python3\.12"):
        demo_setup.main()
