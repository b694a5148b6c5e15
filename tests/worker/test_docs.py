"""The docs against the code: settings that are missing, links that lead nowhere, hosts that have no place here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from worker.config import Config

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_setting_is_in_the_table():
    table = (ROOT / "docs" / "environment.md").read_text()
    missing = [name.upper() for name in Config.model_fields if f"`{name.upper()}`" not in table]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_no_registry_or_credential_is_in_the_repository():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=30).stdout
    pattern = re.compile(
        r"https?://[\w.-]*(?:artifactory|nexus|devpi|pypi|npmjs|pkgs\.dev)[\w.-]*"
        r"|sk-[A-Za-z0-9]{20,}|eyJ[A-Za-z0-9_-]{20,}\.eyJ|-----BEGIN [A-Z ]*PRIVATE KEY"
    )
    found = []
    for name in tracked.decode().split("\0"):
        if name and (ROOT / name).suffix in {".py", ".md", ".txt", ".toml", ".yml", ".yaml", ".json", ".sql", ""}:
            path = ROOT / name
            if path.is_file():
                found += [f"{name}: {hit}" for hit in pattern.findall(path.read_text(errors="ignore"))]
    assert not found
