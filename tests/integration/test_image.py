"""What the image is built from, and what Compose lets it take; `make container` builds and runs it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from paths import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_every_stage_is_built_on_the_one_base() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert len(stages) == len(re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE))
    assert {source for source, _ in stages} <= {"${BASE_IMAGE}", *(name for _, name in stages)}


@pytest.mark.parametrize(
    ("release", "base", "builds"),
    [
        ("", "python:3.13-slim-trixie", True),
        ("1", "python:3.13-slim-trixie", False),
        ("1", f"python:3.13-slim-trixie@sha256:{'0' * 64}", True),
    ],
)
def test_a_release_is_built_from_a_digest_only(release: str, base: str, builds: bool) -> None:
    (check,) = re.findall(r'^RUN (case "\$RELEASE.*esac)$', DOCKERFILE, re.MULTILINE)
    environment = {"PATH": "/usr/bin:/bin", "RELEASE": release, "BASE_IMAGE": base}
    done = subprocess.run(["/bin/sh", "-c", check], env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode == 0) is builds


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile"], timeout=60, check=False)
    assert done.returncode == 0


LOST = """
import json, sys
from tools.compile_imported import import_all
for name in sys.argv[1:]:
    sys.modules[name] = None  # to import it is an ImportError
print(json.dumps(import_all()))
"""


def test_the_program_needs_nothing_of_what_the_image_leaves_out() -> None:
    (listed,) = re.findall(r"^RUN pip uninstall --yes (imageio-ffmpeg .*)$", DOCKERFILE, re.MULTILINE)
    left_out = {
        module
        for module, packages in packages_distributions().items()
        if {re.sub("[-_.]+", "-", package).lower() for package in packages} <= set(listed.split())
    }
    assert {"scipy", "supabase", "jwt", "cryptography"} <= left_out
    command = [sys.executable, "-c", LOST, *left_out]
    lost = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, timeout=250, check=True).stdout)
    needing = {name for name, missing in lost.items() if missing.partition(".")[0] in {"", *left_out}}
    assert needing == {"imageio_ffmpeg"}  # asked for only where PATH has no FFmpeg
