"""docs/tutorial.md, followed step by step: each command is run, and prints what the reader should see."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from worker.embedded.postgres import embedded_postgres

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
NEEDS_NO_RUN = {"make demo", ". .venv-demo/bin/activate"}  # what they install is here already


def seen(expected: str, printed: str) -> bool:
    """Whether a line of the page is among those printed, whatever its figures."""
    words = [re.escape(part) for part in re.split(r"[\d.:−-]*\d[\d.:−-]*|\s+", expected) if part]
    return re.search(r"[\s\S]{0,60}?".join(words), printed) is not None


@pytest.mark.further  # twenty commands, one after the other
@pytest.mark.timeout(600)
def test_every_step_of_the_tutorial_does_what_the_page_says(tmp_path: Path) -> None:
    # a folder that anybody may enter: an embedded Postgres that root starts runs as somebody else
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_KEY"))}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{environment['PATH']}", "COLUMNS": "120"}
    environment |= {"PYTHONPATH": str(ROOT), "CACHE_DIR": str(tmp_path / "cache")}
    ran = 0
    printed = ""
    local, deployed = PAGE.split("## 4. Deploy it")
    # held open, so that no command waits for the server's start and end
    with embedded_postgres(tmp_path / ".mindscript"):
        for before, language, text in re.findall(r"([^\n]*)\n\n```([\w ]*)\n(.*?)```", local, re.DOTALL):
            if language.startswith("json"):
                name = re.search(r"as `([\w./]+)`", before)
                assert name, before
                (tmp_path / name[1]).write_text(text)
            elif language == "demo":
                continue  # its tracks take half a minute: see `make demo`
            elif language == "text":
                for line in text.splitlines():
                    assert seen(line, printed), f"{line!r} is not in:\n{printed}"
            else:
                printed = ""
                for command in text.splitlines():
                    if command in NEEDS_NO_RUN:
                        continue
                    done = subprocess.run(
                        command.split(), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
                    )
                    printed += done.stdout + done.stderr
                    expected = (2,) if "broken" in command else (0, 1) if "--drain" in command else (0,)
                    assert done.returncode in expected, printed
                    ran += 1
    assert ran >= 15
    assert (tmp_path / "out" / "audio-renders").is_dir()
    assert (tmp_path / "out" / "track-previews").is_dir()
    assert "needs a heroku account" in deployed.lower()
