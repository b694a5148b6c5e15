"""Progress of a job: even in time, never falling, whatever its parts really take."""

from __future__ import annotations

import pytest

from worker.codec.encoding import Encoding
from worker.config import Config
from worker.payload.parse import parse_job
from worker.render import stages
from worker.render.expected_time import ExpectedTime
from worker.render.machine_pace import MachinePace
from worker.render.progress import JobProgress

STEPS = 20


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def progress(clock, told):
    return JobProgress(lambda stage, fraction: told.append((clock.now_s - 100.0, fraction)), clock=clock)


def work(progress: JobProgress, clock: Clock, part: str, seconds: float, *, steps: int = STEPS) -> None:
    """Do a part evenly, in so long."""
    for step in range(steps + 1):
        progress.at(part, "Working", step / steps)
        if step < steps:
            clock.now_s += seconds / steps


def worst(told: list[tuple[float, float]], whole_s: float) -> float:
    return max(abs(fraction - at_s / whole_s) for at_s, fraction in told)


def test_parts_that_take_as_long_as_expected_grow_evenly(progress, clock, told):
    for part, seconds in (("speak", 8.0), ("measure", 1.0), ("encode", 11.0)):
        progress.expect(part, seconds)
    for part, seconds in (("speak", 8.0), ("measure", 1.0), ("encode", 11.0)):
        work(progress, clock, part, seconds)
    assert worst(told, 20.0) < 0.01


def test_a_slow_machine_is_known_by_its_first_part(progress, clock, told):
    for part in ("speak", "measure", "encode"):
        progress.expect(part, 2.0)
    for part in ("speak", "measure", "encode"):
        work(progress, clock, part, 20.0)
    assert worst(told[STEPS:], 60.0) < 0.03


def test_a_slow_service_says_nothing_of_the_machine(progress, clock, told):
    progress.expect("speak", 2.0, by_machine=False)
    progress.expect("encode", 10.0)
    work(progress, clock, "speak", 30.0)
    assert told[-1][1] == pytest.approx(30 / 40, abs=0.02)


def test_what_is_skipped_or_was_there_already_leaves_no_gap(progress, clock, told):
    for part, seconds in (("fetch", 5.0), ("speak", 30.0), ("encode", 10.0)):
        progress.expect(part, seconds, by_machine=part == "encode")
    work(progress, clock, "speak", 0.1)
    work(progress, clock, "encode", 10.0)
    assert worst(told[STEPS + 2 :], 10.1) < 0.02


def test_it_never_falls_and_goes_on_when_a_part_is_done_again(progress, clock, told):
    progress.expect("measure", 1.0)
    progress.expect("encode", 10.0)
    work(progress, clock, "measure", 1.0)
    work(progress, clock, "encode", 10.0)
    again = len(told)
    work(progress, clock, "encode", 10.0)
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert fractions[again] < 1.0
    assert fractions[-1] >= fractions[again]


def test_more_work_than_was_thought_slows_it_down_only(progress, clock, told):
    progress.expect("encode", 1.0)
    work(progress, clock, "encode", 1.0, steps=2)
    progress.expect("upload", 30.0, by_machine=False)
    before = told[-1][1]
    work(progress, clock, "upload", 30.0)
    assert before <= told[-STEPS][1] <= told[-1][1] < 1.0


def test_it_goes_on_while_a_part_says_nothing(progress, clock, told):
    progress.expect("speak", 10.0, by_machine=False)
    progress.expect("encode", 10.0)
    progress.at("speak", "Working", 0.0)
    for _ in range(10):
        clock.now_s += 1.0
        progress.tick()
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(set(fractions))
    assert worst(told, 20.0) < 0.15
    for _ in range(1000):
        clock.now_s += 1.0
        progress.tick()
    assert told[-1][1] < 1.0


def test_only_the_end_is_all_of_it(progress, clock, told):
    progress.expect("encode", 1.0)
    work(progress, clock, "encode", 1.0)
    assert told[-1][1] < 1.0
    progress.finish(stages.FINALIZING)
    assert told[-1][1] == 1.0


def parts(payload: dict[str, object], **how: bool) -> dict[str, float]:
    found: dict[str, float] = {}

    class Noted(JobProgress):
        def expect(self, part: str, seconds: float, *, by_machine: bool = True) -> None:
            found[part] = seconds

    job = parse_job(payload)
    expected = ExpectedTime(job, Config(), Encoding.for_quality(job.output.format, "medium"), threads=2)
    expected.foretell(Noted(lambda *_: None), **{"recorded": False, "uploads": False, **how})
    return found


def test_the_parts_of_a_job_are_those_that_it_has():
    tones = {"durationMin": 10, "solfeggio": {"hz": 528}}
    assert list(parts(tones)) == ["fetch", "speak", "prepare", "measure 0", "encode 0", "preview"]
    assert parts(tones)["speak"] == parts(tones)["fetch"] == 0.0
    assert "upload" in parts(tones, uploads=True)
    both = {**tones, "binaural": {"band": "theta"}, "deliver": ["headphones", "speakers"]}
    assert {"measure 1", "encode 1"} <= set(parts(both))


def test_every_layer_of_a_list_counts_for_as_long_as_it_sounds():
    tone, noise = {"kind": "tone", "hz": 432}, {"kind": "noise", "colour": "brown"}

    def expected(*layers):
        found = parts({"durationMin": 10, "deliver": ["headphones", "flac", "stems"], "layers": list(layers)})
        return [found[part] for part in ("measure 0", "encode 0", "encode flac", "stems")]

    def grows(fewer, more):
        return all(before < after for before, after in zip(expected(*fewer), expected(*more), strict=True))

    assert grows([tone], [tone] * 2)
    assert grows([tone] * 2, [tone, noise])
    assert grows([tone], [tone, {**noise, "startSec": 590}])
    assert grows([tone, {**noise, "startSec": 590}], [tone, {**noise, "endSec": 60}])
    assert grows([tone, {**noise, "when": [{"startSec": 0, "endSec": 60}]}], [tone, noise])


@pytest.mark.parametrize(("smaller", "larger"), [("wav", "mp3"), ("mp3", "m4a")])
def test_a_dearer_format_is_expected_to_take_longer(smaller, larger):
    job = {"durationMin": 10, "solfeggio": {"hz": 528}}
    assert parts({**job, "outputFormat": smaller})["encode 0"] < parts({**job, "outputFormat": larger})["encode 0"]


def test_the_pace_of_a_machine_is_remembered(clock, told, tmp_path):
    first = JobProgress(lambda stage, fraction: told.append((clock.now_s - 100.0, fraction)), clock=clock)
    first.expect("encode", 2.0)
    work(first, clock, "encode", 20.0)
    MachinePace(tmp_path / "machine").keep(first.pace)
    pace = MachinePace(tmp_path / "machine").read()
    assert pace == pytest.approx(8.8, abs=0.1)
    began_s = clock.now_s
    told.clear()
    second = JobProgress(lambda stage, fraction: told.append((clock.now_s - began_s, fraction)), pace=pace, clock=clock)
    second.expect("speak", 10.0, by_machine=False)
    second.expect("encode", 2.0)
    work(second, clock, "speak", 10.0)
    work(second, clock, "encode", 20.0)
    assert worst(told, 30.0) < 0.04


@pytest.mark.parametrize("content", ["", "nan", "inf", "-1", "0", "1e9", "no number", "\0"])
def test_a_damaged_pace_is_none(tmp_path, content):
    machine = MachinePace(tmp_path / "machine")
    machine.keep(2.0)
    (tmp_path / "machine" / "machine").write_text(content)
    assert machine.read() == 1.0
