"""`enqueue`: all jobs are checked before the first is queued; each is printed with id, title and length."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from worker.cli.main import run
from worker.config import Config
from worker.payload.album import parse_album

GOOD: dict[str, Any] = {"script": "I am calm.", "voice": {"provider": "local"}, "durationMin": 2}


class QueueOfPayloads:
    """Keeps what is enqueued."""

    def __init__(self) -> None:
        self.payloads: list[dict[str, Any]] = []

    def enqueue(self, payload: dict[str, Any]) -> str:
        self.payloads.append(payload)
        return f"id-{len(self.payloads)}"

    def close(self) -> None:
        """As a queue does."""


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> QueueOfPayloads:
    """A folder without a database's address, and a queue that only keeps payloads."""
    found = QueueOfPayloads()

    @contextmanager
    def no_database(config: Config) -> Iterator[Config]:
        yield config

    monkeypatch.setattr("worker.cli.enqueue.with_database", no_database)
    monkeypatch.setattr("worker.cli.enqueue.open_queue", lambda *_args, **_options: found)
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "STORAGE_DIR"):
        monkeypatch.delenv(name, raising=False)
    return found


def write(name: str, *jobs: object) -> str:
    Path(name).write_text("\n".join(json.dumps(job) for job in jobs))
    return name


def test_each_job_is_printed_with_id_title_and_length(
    queue: QueueOfPayloads, capsys: pytest.CaptureFixture[str]
) -> None:
    titled = {**GOOD, "metadata": {"title": "[/b] Rain\n"}}
    open_ended = {"script": "Hi", "voice": {"voice_id": "x", "provider": "local"}}
    assert run(["enqueue", write("calm.json", GOOD), write("rain.json", titled), write("say.json", open_ended)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "id-1  calm  2:00",
        "id-2  [/b] Rain\\n  2:00",
        "id-3  say  as long as its speech",
    ]
    assert [payload["metadata"]["title"] for payload in queue.payloads] == ["calm", "[/b] Rain\n", "say"]


def test_patterns_and_lines_are_queued_in_order(queue: QueueOfPayloads) -> None:
    write("b.json", GOOD)
    write("a.json", GOOD)
    write("day.jsonl", GOOD, GOOD)
    assert run(["enqueue", "?.json", "day.jsonl"]) == 0
    assert [payload["metadata"]["title"] for payload in queue.payloads] == ["a", "b", "day-1", "day-2"]


def test_none_is_queued_if_one_is_bad(queue: QueueOfPayloads, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write("bad.json", {**GOOD, "durationMin": 0, "pauseSec": -1})
    assert run(["enqueue", write("calm.json", GOOD), bad]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.split(": ")[:3] for line in printed.err.splitlines()] == [
        ["error", "bad.json", "durationMin"],
        ["error", "bad.json", "pauseSec"],
    ]
    assert queue.payloads == []


def test_a_job_whose_music_is_nowhere_is_refused(queue: QueueOfPayloads, capsys: pytest.CaptureFixture[str]) -> None:
    music = write("music.json", {**GOOD, "backgroundMusic": {"url": "rain.mp3"}})
    assert run(["enqueue", write("calm.json", GOOD), music]) == 3
    printed = capsys.readouterr().err
    assert 'error: music.json: backgroundMusic.url: found "rain.mp3", which is neither beside the job nor in' in printed
    assert queue.payloads == []
    assert not Path("out").exists()


def test_music_beside_the_job_is_taken_along(queue: QueueOfPayloads, capsys: pytest.CaptureFixture[str]) -> None:
    Path("jobs").mkdir()
    Path("jobs/rain.mp3").write_bytes(b"rain")
    assert run(["enqueue", write("jobs/calm.json", {**GOOD, "backgroundMusic": {"url": "rain.mp3"}})]) == 0
    (payload,) = queue.payloads
    assert (Path("out/background-music") / payload["backgroundMusic"]["url"]).read_bytes() == b"rain"
    assert "jobs/rain.mp3" in capsys.readouterr().err


def test_a_title_is_for_one_job(queue: QueueOfPayloads, capsys: pytest.CaptureFixture[str]) -> None:
    calm = write("calm.json", {**GOOD, "metadata": {"title": "Calm", "artist": "Me"}})
    assert run(["enqueue", calm, "--title", "Rain"]) == 0
    assert queue.payloads[0]["metadata"] == {"title": "Rain", "artist": "Me"}
    assert run(["enqueue", calm, write("b.json", GOOD), "--title", "Rain"]) == 2
    assert "--title: found 2 jobs, allowed is one" in capsys.readouterr().err
    assert run(["enqueue", calm, "--title", "x" * 501]) == 2
    assert "--title: found" in capsys.readouterr().err
    assert len(queue.payloads) == 1


def test_strict_queues_no_unknown_key(queue: QueueOfPayloads, capsys: pytest.CaptureFixture[str]) -> None:
    job = write("job.json", {**GOOD, "binaural": {"band": "theta", "carierHz": 300}})
    assert run(["enqueue", "--strict", job]) == 2
    assert queue.payloads == []
    assert run(["enqueue", job]) == 0
    assert "warning: binaural.carierHz: not a known key; did you mean carrierHz?" in capsys.readouterr().err


def test_json_has_what_was_queued(queue: QueueOfPayloads, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["enqueue", "--json", write("calm.json", GOOD)]) == 0
    assert json.loads(capsys.readouterr().out) == [{"id": "id-1", "title": "calm", "length_s": 120, "taken_along": []}]


def test_an_album_is_one_row_with_the_payload_of_each_track(
    queue: QueueOfPayloads, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rain.mp3").write_bytes(b"rain")
    tracks = [
        {"metadata": {"title": "One"}, "backgroundMusic": {"url": "rain.mp3"}},
        {"layers": [{"kind": "recording", "url": "rain.mp3"}], "durationMin": 1},
    ]
    album = {**GOOD, "gapSec": 3, "metadata": {"artist": "Ana"}, "tracks": tracks}
    assert run(["enqueue", write("evening.json", album)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "id-1  evening  3:03"
    (row,) = queue.payloads
    parsed = parse_album(row)
    assert parsed.title == "evening"
    assert parsed.gap_s == 3
    assert [(job.metadata.title, job.metadata.artist, job.duration_min) for job in parsed.jobs] == [
        ("One", "Ana", 2),
        (None, "Ana", 1),
    ]
    copied = {row["tracks"][0]["backgroundMusic"]["url"], row["tracks"][1]["layers"][0]["url"]}
    assert len(copied) == 1
    assert "rain.mp3" not in copied


def test_what_is_wrong_with_an_album_is_said_before_anything_is_queued(
    queue: QueueOfPayloads, capsys: pytest.CaptureFixture[str]
) -> None:
    album = {**GOOD, "tracks": [{}, {"durationMin": 0}, {"backgroundMusic": {"url": "gone.mp3"}}]}
    assert run(["enqueue", write("good.json", GOOD), write("evening.json", album)]) != 0
    assert "tracks[1].durationMin" in capsys.readouterr().err
    del album["tracks"][1]
    assert run(["enqueue", write("evening.json", album)]) != 0
    assert "gone.mp3" in capsys.readouterr().err
    assert queue.payloads == []
