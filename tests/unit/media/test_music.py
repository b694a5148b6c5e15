"""A piece of music by its URL, the catalogue, or a name: which is tried, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import ConfigurationError, MediaError, TransientError, WorkerError
from worker.media.music import find_music


def find(
    there: dict[str, object],
    *,
    url: str | None = None,
    track_id: str | None = None,
    name: str | None = None,
    **how: object,
) -> tuple[str | WorkerError, list[str], list[str]]:
    """What is found, what was fetched, and what the catalogue was asked for."""
    fetched: list[str] = []
    looked_up: list[str] = []
    listed = how.get("listed")

    def get(reference: str) -> Path:
        fetched.append(reference)
        answer = there.get(reference, MediaError(f"no {reference}", code="media.missing"))
        if isinstance(answer, WorkerError):
            raise answer
        return Path(reference)

    def catalogue(reference: str) -> str | None:
        looked_up.append(reference)
        return listed.get(reference) if isinstance(listed, dict) else None

    try:
        found: str | WorkerError = str(
            find_music(get, url=url, track_id=track_id, name=name, catalogue=None if listed is None else catalogue)
        )
    except WorkerError as error:
        found = error
    return found, fetched, looked_up


def test_the_url_comes_first_and_nothing_else_is_asked() -> None:
    there = {"rain.mp3": 1, "listed.mp3": 1}
    assert find(there, url="rain.mp3", track_id="rain", name="Rain", listed={"rain": "listed.mp3"}) == (
        "rain.mp3", ["rain.mp3"], []
    )  # fmt: skip


def test_the_catalogue_comes_where_there_is_no_url_or_nothing_behind_it() -> None:
    listed = {"rain": "listed.mp3"}
    assert find({"listed.mp3": 1}, track_id="rain", listed=listed) == ("listed.mp3", ["listed.mp3"], ["rain"])
    found = find({"listed.mp3": 1}, url="gone.mp3", track_id="rain", listed=listed)
    assert found == ("listed.mp3", ["gone.mp3", "listed.mp3"], ["rain"])
    refused = {"a": MediaError("no", code="media.refused"), "listed.mp3": 1}
    assert find(refused, url="a", track_id="rain", listed=listed)[0] == "listed.mp3"


def test_names_come_last_exact_first_then_with_the_usual_endings() -> None:
    assert find({"Rain.flac": 1}, name="Rain.flac") == ("Rain.flac", ["Rain.flac"], [])
    assert find({"Rain.wav": 1}, name="Rain") == ("Rain.wav", ["Rain", "Rain.mp3", "Rain.m4a", "Rain.wav"], [])
    assert find({"Rain": 1, "rain.mp3": 1}, track_id="rain.mp3", name="Rain")[0] == "rain.mp3"
    assert find({"Vol. 2.mp3": 1}, name="Vol. 2")[0] == "Vol. 2.mp3"


def test_nothing_is_asked_for_twice_and_no_url_is_taken_for_a_name() -> None:
    _, fetched, _ = find({}, url="a.mp3", track_id="a.mp3", name="a.mp3", listed={"a.mp3": "a.mp3"})
    assert fetched == ["a.mp3"]
    _, fetched, _ = find({}, url="a.mp3", track_id="https://evil.example.com/x.mp3", name="//evil/x.mp3")
    assert fetched == ["a.mp3"]


def test_the_first_place_is_complained_of_and_the_others_are_listed() -> None:
    found, _, _ = find({}, url="a.mp3", track_id="b", name="c.wav", listed={"b": "https://m.example.com/b?token=ey"})
    assert isinstance(found, MediaError)
    others = "'https://m.example.com/b', 'b' with each usual ending, 'c.wav'"
    assert (found.code, found.message) == ("media.missing", f"no a.mp3; also looked for {others}")
    alone, _, _ = find({}, url="a.mp3", name="a.mp3")
    assert isinstance(alone, MediaError)
    assert alone.message == "no a.mp3"


@pytest.mark.parametrize(
    "error",
    [
        TransientError("down", code="media.unavailable"),
        ConfigurationError("no bucket", code="storage.bucket"),
        MediaError("big", code="media.too_large"),
    ],
)
def test_what_may_pass_or_is_there_ends_the_search(error: WorkerError) -> None:
    assert find({"a.mp3": error, "b.mp3": 1}, url="a.mp3", track_id="b", listed={"b": "b.mp3"}) == (
        error,
        ["a.mp3"],
        [],
    )


def test_a_catalogue_that_fails_is_no_empty_catalogue() -> None:
    def down(reference: str) -> str | None:
        raise TransientError(f"no answer about {reference}")

    with pytest.raises(TransientError):
        find_music(Path, url=None, track_id="rain", name="rain.mp3", catalogue=down)
