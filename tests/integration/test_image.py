"""What the image is built from, and what Compose lets it take; `make container` builds and runs it."""

from __future__ import annotations

import re
import subprocess

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
        ("", "python:3.13-slim-bookworm", True),
        ("1", "python:3.13-slim-bookworm", False),
        ("1", f"python:3.13-slim-bookworm@sha256:{'0' * 64}", True),
    ],
)
def test_a_release_is_built_from_a_digest_only(release: str, base: str, builds: bool) -> None:
    (check,) = re.findall(r'^RUN (case "\$RELEASE.*esac)$', DOCKERFILE, re.MULTILINE)
    environment = {"PATH": "/usr/bin:/bin", "RELEASE": release, "BASE_IMAGE": base}
    done = subprocess.run(["/bin/sh", "-c", check], env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode == 0) is builds
