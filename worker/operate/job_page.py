"""One job for the page: its story without the script, what can be done to it, and its receipt by the row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from loguru import logger

from worker.operate.changes import Choice, Verb, command
from worker.operate.story import Story, as_document, shown_payload
from worker.operate.view import json_text
from worker.queue.words import Group

_MOST_LINES: Final = 40  # customers can write a row's result
_LARGEST: Final = 1e12
_WEB: Final = ("https://", "http://")
# What can be done in each group; purged jobs can have nothing done to them.
_VERBS: Final[Mapping[Group, tuple[Verb, ...]]] = {
    "running": ("cancel",),
    "waiting": ("cancel",),
    "parked": ("cancel",),
    "failed": ("retry", "purge"),
    "cancelled": ("retry", "purge"),
    "done": ("purge",),
}


@dataclass(frozen=True)
class Line:
    """One line of a receipt: what the job promised, where it did, and what its worker has measured of the file."""

    name: str
    promised: str
    measured: str


def job_text(story: Story) -> str:
    """All but the script, as JSON. The link is a web address; of a file on the worker's own disk one of the page's."""
    document = as_document(story, with_script=False)
    link = document.pop("link")
    row = story.job.row
    verbs = () if row.purged_at is not None else _VERBS[story.job.group]
    told = {
        **document,
        "why_no_link": story.files.why_no_link,
        "receipt": [asdict(line) for line in receipt(story.quality)],
        "actions": [{"verb": verb, "command": command(verb, Choice((row.job_id,)))} for verb in verbs],
    }
    # its signature looks like a key, and is one: to this file, for an hour
    shown = f"api/jobs/{row.job_id}/track" if local_track(story) is not None else link
    return json_text(told, as_it_is={"link": shown})


def script_text(story: Story) -> str:
    """The payload with the customer's words, as JSON."""
    return json_text({"payload": shown_payload(story, with_script=True)})


def local_track(story: Story) -> Path | None:
    """The track where it is a file of this machine."""
    link = story.files.link
    return None if link is None or link.startswith(_WEB) else Path(link)


def log_script(session: str, job_id: str) -> None:
    """Log that a session was shown a customer's words."""
    logger.bind(event="studio.script", session=session, job=job_id).warning(
        "studio: session {} was shown the script of job {}", session, job_id
    )


def receipt(quality: Mapping[str, Any]) -> list[Line]:
    """The lines of `result.quality`; what is no figure there is left out."""
    return list(_lines(quality))[:_MOST_LINES]


def _lines(quality: Mapping[str, Any]) -> Iterator[Line]:
    figure = _Figures(quality)
    if (seconds := figure("duration_s")) is not None:
        yield Line("Length", "", f"{seconds:.3f} s")
    target = figure("target_lufs")
    promised = "" if target is None else f"{_signed(target, 1)} LUFS ± 0.1"
    of_speech = figure("speech_lufs")
    if of_speech is not None:
        yield Line("Loudness of the speech", promised, f"{_signed(of_speech)} LUFS")
        promised = ""
    if (lufs := figure("integrated_lufs")) is not None:
        yield Line("Loudness", promised, f"{_signed(lufs)} LUFS")
    if (range_lu := figure("loudness_range_lu")) is not None:
        yield Line("Loudness range", "", f"{range_lu:.1f} LU")
    if (peak := figure("true_peak_dbtp")) is not None:
        yield Line("True peak", f"at most {_signed(-1.0, 1)} dBTP", f"{_signed(peak)} dBTP")
    heard = _Figures(figure.inner("heard"))
    tones = _Figures(heard.inner("tones"))
    for side in ("left", "right"):
        for tone in map(_Figures, tones.objects(side)):
            expected, measured = tone("expected_hz"), tone("measured_hz")
            if expected is not None:
                told = "not to be told from what is louder there" if measured is None else f"{measured:.3f} Hz"
                yield Line(f"Tone, {side}", f"{expected:.3f} Hz", told)
    expected, measured = heard("beat_expected_hz"), heard("beat_hz")
    if expected is not None:
        yield Line("Beat", f"{expected:.3f} Hz", "–" if measured is None else f"{measured:.3f} Hz")
    repetitions = figure("repetitions")
    if repetitions:
        yield Line("Repetitions of the voice", "", f"{repetitions:.0f}")


class _Figures:
    """Figures of a JSON object that anybody may have written."""

    def __init__(self, found: Any) -> None:
        self._found: Mapping[str, Any] = found if isinstance(found, dict) else {}

    def __call__(self, name: str) -> float | None:
        value = self._found.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return float(value) if abs(value) < _LARGEST else None  # nor is NaN

    def inner(self, name: str) -> Any:
        return self._found.get(name)

    def objects(self, name: str) -> list[Any]:
        value = self._found.get(name)
        return value[:_MOST_LINES] if isinstance(value, list) else []


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("-", "−")
