"""The bars of `render` and `demo`: their clocks, what they foretell, and terminals of every width."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from worker.cli.bars import FAILED, Bar, BarsView, bars_table, summary, time_left
from worker.cli.screen import closing_table, progress_bars
from worker.render import stages
from worker.tasks.render_task import Row

NAMES = (
    "calm [b]and[/b] safe.mp3",
    "a very long name of a track that nobody can read to its end.mp3",
    "[/]",
    "眠り.mp3",
)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def half_done(name: str, clock: Clock) -> Bar:
    bar = Bar(name, length_s=600.0, clock=clock)
    for step in range(51):
        bar.update(stages.MIXING, step / 100)
        clock.now_s += 1.0
    return bar


def drawn(view: object, width: int, height: int = 40) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, color_system=None)
    console.print(view)
    return out.getvalue().splitlines()


def test_a_bar_that_waits_has_no_clock(clock):
    bar = Bar("a", clock=clock)
    clock.now_s += 60
    assert (bar.elapsed_s, bar.left_s, bar.speed) == (None, None, None)
    assert "waiting" in drawn(bars_table([bar], 80), 80)[0]
    bar.update(stages.FETCHING_MUSIC, 0.0)
    clock.now_s += 3
    assert bar.elapsed_s == 3


def test_the_clock_stands_once_a_track_is_done_or_has_failed(clock):
    done, failed = half_done("a", clock), half_done("b", clock)
    done.update(stages.COMPLETE, 1.0)
    failed.update(FAILED, 0.5)
    before = done.elapsed_s, failed.elapsed_s
    clock.now_s += 100
    assert (done.elapsed_s, failed.elapsed_s) == before
    assert (done.left_s, failed.left_s) == (None, None)
    assert "× real time" in summary(done)
    assert summary(failed) == "failed"
    assert "failed" in drawn(bars_table([failed], 40), 40)[0]


def test_time_left_and_speed_are_said_when_they_are_known(clock):
    bar = Bar("a", length_s=600.0, clock=clock)
    bar.update(stages.MIXING, 0.0)
    clock.now_s += 1.0
    bar.update(stages.MIXING, 0.04)
    assert (bar.left_s, bar.speed) == (None, None)
    clock.now_s += 9.0
    bar.update(stages.MIXING, 0.10)
    assert bar.left_s == pytest.approx(90, rel=0.3)
    assert bar.speed == pytest.approx(6.0)
    clock.now_s += 200.0
    assert bar.left_s is None, "the end is overdue: nothing is known of it"


def test_the_time_left_does_not_jump(clock):
    bar = half_done("a", clock)
    before = bar.left_s
    assert before == pytest.approx(50, abs=3)
    bar.update(stages.MIXING, 0.9)  # one large step
    after = bar.left_s
    assert after is not None
    assert after > 20


@pytest.mark.parametrize("width", [10, 20, 33, 34, 40, 55, 56, 79, 80, 96, 108, 200])
def test_every_width_has_a_line_for_each_track(clock, width):
    bars = [half_done(name, clock) for name in NAMES]
    bars[1].update(stages.COMPLETE, 1.0)
    lines = drawn(bars_table(bars, width), width)
    assert len(lines) == len(bars)
    assert max(map(len, lines)) <= width


def test_a_narrow_terminal_keeps_percent_and_time_left(clock):
    line = drawn(bars_table([half_done("track.mp3", clock)], 40), 40)[0]
    assert re.search(r"track\.mp3 +50 % +50 s left", line)
    wide = drawn(bars_table([half_done("track.mp3", clock)], 120), 120)[0]
    assert {stages.MIXING, "0:51", "×"} <= {part for part in (stages.MIXING, "0:51", "×") if part in wide}


def test_names_are_text_and_not_markup(clock):
    lines = drawn(bars_table([half_done(name, clock) for name in ("[b]x[/b]", "[/]")], 80), 80)
    assert lines[0].startswith("[b]x[/b]")
    assert lines[1].startswith("[/]")


def test_many_tracks_fit_the_height_and_those_that_run_are_shown(clock):
    bars = [Bar(f"done {number}", clock=clock) for number in range(30)]
    for bar in bars:
        bar.update(stages.COMPLETE, 1.0)
    bars += [half_done("running", clock), *(Bar(f"later {number}", clock=clock) for number in range(30))]
    lines = drawn(BarsView(bars), 60, height=12)
    assert len(lines) <= 11
    assert any("running" in line for line in lines)
    assert "30 of 61 are over" in lines[-1]


def test_time_left_is_said_in_steps():
    said = [time_left(seconds) for seconds in (0.2, 7.4, 43, 88, 95, 3500, 4300)]
    assert said == ["1 s", "7 s", "45 s", "90 s", "2 min", "58 min", "1 h 10 min"]


def test_without_a_terminal_there_is_a_line_for_each_stage(capsys):
    with progress_bars() as add_bar:
        move = add_bar("a\x1b[31mb", length_s=60.0)
        for stage, fraction in (
            (stages.SPEAKING, 0.0),
            (stages.SPEAKING, 0.1),
            (stages.SPOKEN, 0.3),
            (stages.SOLFEGGIO, 0.3),
            (stages.MIXING, 0.31),
            (stages.MIXING, 0.9),
            (stages.FINALIZING, 1.0),
            (stages.COMPLETE, 1.0),
        ):
            move(stage, fraction)
    out, said = capsys.readouterr()
    lines = said.splitlines()
    assert out == ""
    assert len(lines) == 3
    assert "\x1b" not in said
    assert lines[0].endswith("Generating speech from text (0 %)")
    assert lines[1].endswith("Mixing audio layers (31 %)")
    assert "done in" in lines[2]


def test_quiet_says_nothing(capsys):
    with progress_bars(quiet=True) as add_bar:
        add_bar("a")(stages.MIXING, 0.5)
    assert capsys.readouterr() == ("", "")


def test_the_closing_table_fits_forty_columns(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "40")
    figures = {"frames": 441_000, "sample_rate_hz": 44_100, "integrated_lufs": -16.0, "true_peak_dbtp": -1.0}
    closing_table([Row(tmp_path / "[b]track[/b].mp3", figures, 2.0)])
    said = capsys.readouterr().err
    assert max(map(len, said.splitlines())) <= 40
    assert "0:10.000" in said
    assert "[/b].mp3" in "".join(said.split())


def test_an_error_stops_the_clocks_of_what_runs(monkeypatch):
    shown: list[list[Bar]] = []

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    class Kept(BarsView):
        def __init__(self, bars: list[Bar]) -> None:
            super().__init__(bars)
            shown.append(bars)

    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("worker.cli.bars.BarsView", Kept)

    def fail() -> None:
        with progress_bars() as add_bar:
            add_bar("runs")(stages.MIXING, 0.5)
            add_bar("waits")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [(bar.stage, bar.is_over) for bar in shown[0]] == [(FAILED, True), ("", False)]
