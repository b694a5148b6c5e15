"""The pace of each voice, kept from job to job."""

from __future__ import annotations

import subprocess
import sys

import pytest

from worker.tts.pace import PaceBook


class TestPaceBook:
    def test_it_begins_with_the_providers_own_and_follows_what_it_learns(self, tmp_path):
        book = PaceBook(tmp_path / "paces")
        start = book.pace_s("openai", "nova")
        book.learn("nova", 100_000, 5000.0)
        assert book.pace_s("openai", "nova") == pytest.approx(0.05, rel=0.01)
        assert book.pace_s("openai", "another") == start
        for _ in range(8):
            book.learn("nova", 10_000, 1000.0)
        assert book.pace_s("openai", "nova") == pytest.approx(0.1, rel=0.1), "a voice that has changed is followed"

    @pytest.mark.parametrize(
        "damage", [b"", b"5", b"1 2 3", b"a b", b"\xff\xfe", b"1e999 1", b"nan 1", b"0 0", b"1 -1"]
    )
    def test_damage_is_forgotten(self, tmp_path, damage):
        book = PaceBook(tmp_path / "paces")
        book.learn("nova", 1000, 70.0)
        (file,) = (tmp_path / "paces").iterdir()
        file.write_bytes(damage)
        assert book.pace_s("openai", "nova") == pytest.approx(0.066)
        book.learn("nova", 1000, 50.0)
        assert file.read_text().split() == ["1000.000", "50.000"]

    @pytest.mark.parametrize(("characters", "seconds"), [(0, 5.0), (10, 0.0), (10, 1e6), (5, float("nan"))])
    def test_what_cannot_be_is_not_learnt(self, tmp_path, characters, seconds):
        book = PaceBook(tmp_path / "paces")
        book.learn("nova", characters, seconds)
        assert not (tmp_path / "paces").exists()

    def test_it_stays_small(self, tmp_path):
        book = PaceBook(tmp_path / "paces")
        for number in range(400):
            book.learn(f"voice {number}", 100, 7.0)
        assert sum(file.stat().st_size for file in (tmp_path / "paces").iterdir()) <= 4000
        assert book.pace_s("openai", "voice 399") != book.pace_s("openai", "voice 0")

    def test_a_folder_that_cannot_be_written_costs_nothing(self, tmp_path):
        (tmp_path / "cache").write_text("a file")
        PaceBook(tmp_path / "cache" / "paces").learn("nova", 100, 7.0)

    def test_no_process_loses_what_another_has_learnt(self, tmp_path):
        program = (
            "import sys; from pathlib import Path; from worker.tts.pace import PaceBook\n"
            "for n in range(10): PaceBook(Path(sys.argv[1])).learn(f'{sys.argv[2]}/{n}', 100, 7.0)"
        )
        processes = [
            subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "paces"), str(number)])
            for number in range(3)
        ]
        assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
        assert len(list((tmp_path / "paces").iterdir())) == 30
