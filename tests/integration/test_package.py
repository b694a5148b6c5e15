"""What a wheel of ours holds (an image or a `pip install` has nothing else) and does, and the bill of materials."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from paths import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a wheel and an sdist."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", folder]
    subprocess.run(command, cwd=ROOT, check=True, timeout=90, stdout=subprocess.DEVNULL)
    return folder


def files_of(*folders):
    """The files of a checkout that a package is made of, by their names in it."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {path.relative_to(ROOT).as_posix() for path in paths if "__pycache__" not in path.parts}


def test_a_wheel_has_modules_sql_and_examples_and_no_more(built):
    (wheel,) = built.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    examples = {f"worker/{name}" for name in files_of("examples")}
    assert any(name.endswith(".sql") for name in packed)
    assert packed == files_of("dsp", "mindscript", "worker") | examples | {"worker/examples/.env.example"}


def test_an_sdist_has_what_a_wheel_is_made_of_and_no_more(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    about = {".env.example", "pyproject.toml", "README.md", "PKG-INFO", ".gitignore"}
    assert packed == files_of("dsp", "mindscript", "worker", "examples") | about


def test_an_installed_wheel_writes_a_first_job_and_renders_it(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, timeout=60)
    python, program = tmp_path / "venv" / "bin" / "python", tmp_path / "venv" / "bin" / "mindscript-worker"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True, timeout=60, capture_output=True)
    (folder,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (folder / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {"PATH": os.environ["PATH"], "CACHE_DIR": str(tmp_path / "cache")}

    def run(*arguments):
        command = [program, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=120, capture_output=True)

    run("init", "calm")
    job = tmp_path / "calm" / "job.json"
    job.write_text(job.read_text().replace('"durationMin": 1', '"durationMin": 0.2'))
    run("render", "calm/job.json", "-o", "track.mp3")
    assert (tmp_path / "track.mp3").stat().st_size > 100_000


def test_the_bill_of_materials_has_every_locked_package(tmp_path):
    bill_path = tmp_path / "sbom.json"
    command = Path(sys.executable).with_name("cyclonedx-py")
    options = [
        "--no-validate",
        "--pyproject",
        ROOT / "pyproject.toml",
        "--output-reproducible",
        "--output-file",
        bill_path,
    ]
    subprocess.run([command, "requirements", *options, ROOT / "requirements.txt"], check=True, timeout=250)
    bill = json.loads(bill_path.read_text())
    locked = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert sorted((each["name"], each["version"]) for each in bill["components"]) == sorted(locked)
    assert "numpy" in {name for name, _ in locked}
    assert bill["metadata"]["component"]["name"] == "mindscript-audio-worker"
    for each in bill["components"]:
        assert [link["hashes"] for link in each["externalReferences"] if link["type"] == "distribution"]
