"""Text of strangers is text wherever a command prints it: never markup, never what acts on a terminal."""

from __future__ import annotations

import ast
import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from paths import ROOT
from rich.table import Table

from worker.cli.main import run
from worker.cli.screen import closing_table
from worker.cli.terminal import console, words
from worker.tasks.render_task import Row

FIGURES = {"frames": 44_100, "sample_rate_hz": 44_100, "integrated_lufs": -16.0, "true_peak_dbtp": None}
FOREIGN = {
    "a closing tag": "x[/b]y",
    "an extra": "x[local]y",
    "a take": "x [take 2] y",
    "a link": "x[link=z]y",
    "an emoji's name": "x:bomb:y",
    "an escape": "x\x1b[31my",
    "one byte of C1": "x\x9b2Jy",
    "bidirectional": "x\u202ey",
    "a line end": "x\ny",
    "a Unicode line end": "x\u2028y",
    "half a pair": "x\udc80y",
}


def _row(name: str) -> None:
    closing_table([Row(Path(name), FIGURES, 1.0)])


def _cell(name: str) -> None:
    table = Table(title=words(name))
    table.add_column(words(name))
    table.add_row(words(name))
    console().print(table)


def _voices(name: str) -> None:
    voice = SimpleNamespace(provider="local", usable=False, detail=name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.cli.voices.available_voices", lambda _: [voice])
        run(["voices"])


def _doctor(name: str) -> None:
    from worker.cli.doctor_finding import Finding

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.cli.doctor.examined", lambda *_, **__: {"settings": [Finding(name, False, name)]})
        run(["doctor"])


def _bad_title(name: str) -> None:
    job = {
        "durationMin": 1,
        "solfeggio": {"hz": 528},
        name: 1,
        "voice": {"provider": name},
        "metadata": {"cover": name},
    }
    Path("job.json").write_text(json.dumps(job))
    run(["render", "job.json"])


def _inspect(*options: str) -> None:
    Path("a.wav").touch()
    run(["inspect", "a.wav", *options])


EXITS: dict[str, Callable[[str], object]] = {
    "table": _cell,
    "closing table": _row,
    "voices": _voices,
    "doctor": _doctor,
    "render, no such job": lambda name: run(["render", f"{name}.json"]),
    "render, a bad job": _bad_title,
    "render, bad options": lambda name: run(["render", "a.json", "--from", name]),
    "render, no such voice": lambda name: run(["render", "a.json", "--voice", name]),
    "say": lambda name: run(["say", "Calm.", "-o", f"no/{name}.wav"]),
    "inspect": lambda name: _inspect("--picture", f"no/{name}.png"),
    "inspect, lyrics": lambda name: _inspect("--lyrics", name),
    "demo": lambda name: run(["demo", "--examples", name]),
}


@pytest.mark.parametrize("name", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("told", EXITS.values(), ids=EXITS)
def test_foreign_text_comes_out_as_text(
    told: Callable[[str], object],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    told(name)
    out = "".join(capsys.readouterr())
    assert not [character for character in out if character != "\n" and unicodedata.category(character)[0] == "C"]
    assert "\u2028" not in out
    plain = ascii(name)[1:-1]
    if told is not _bad_title:  # which quotes it as JSON or as Python does, as far as it is short
        assert any(shown in out for shown in (plain, plain.replace("\\", "\\\\")))


def _calls() -> Iterator[tuple[str, str, ast.Call]]:
    for path in sorted((ROOT / "worker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                yield path.relative_to(ROOT).as_posix(), name, node


def test_one_place_makes_consoles_and_none_reads_markup() -> None:
    """Rich takes any string for markup, unless the console says otherwise; a bar's column asks no console."""
    calls = list(_calls())
    assert {file for file, name, _ in calls if name == "Console"} == {"worker/cli/terminal.py"}
    assert not [file for file, name, _ in calls if name in ("from_markup", "print_exception")]
    for file, name, call in calls:
        if name in ("Console", "TextColumn"):
            assert any(each.arg == "markup" and ast.unparse(each.value) == "False" for each in call.keywords), file
