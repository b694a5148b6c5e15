"""What a wheel of ours holds (an image or a `pip install` has nothing else), and the bill of materials."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from paths import ROOT


def test_a_wheel_has_every_module_and_the_sql(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    for package in ("dsp", "worker"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", tmp_path, source], check=True, timeout=90)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = [path for package in ("dsp", "worker") for path in (ROOT / package).rglob("*.*")]
    wanted = {path.relative_to(ROOT).as_posix() for path in files if path.suffix in {".py", ".sql"}}
    assert any(name.endswith(".sql") for name in wanted)
    assert not wanted - packed


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
