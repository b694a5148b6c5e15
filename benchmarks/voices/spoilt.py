"""Orders in which a service spoils a line: once, and as often as it is asked."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from spoken_pieces import SENTENCES, as_flac, said, spoilt_pieces
from standins.compatible import compatible_service
from standins.speech import ELEVENLABS_VOICES, Answer, Service, speech_service

from benchmarks.voices.jobs import JobEnd, run_job

_LINES, _EARLIER = SENTENCES[9:17], SENTENCES[17:37]
_SPOILT = SENTENCES[14]
_OTHER_WORDS = "other words"
_RULES = f"openai/*/* → elevenlabs/eleven_v3/{ELEVENLABS_VOICES[1]}"
_WHY = re.compile(r"(?<=since )[^;]+|(?<=corrected: )[^,.]+|other words may be heard")
_TIMES = 9  # more than a piece is asked for


def spoilt(say: Callable[[str], None]) -> None:
    """Print what becomes of each way of being spoilt; the other lines are real speech."""
    verify = "report" if find_spec("faster_whisper") is not None else "off"
    say("| a line is | noticed, since | once | always | always, with a fallback |\n|---|---|---|---|---|")
    with _SpeechServices() as services:
        for name, piece in spoilt_pieces(_SPOILT).items():
            checked = verify if name == _OTHER_WORDS else "off"
            ended = [
                services.run_job([Answer(sound=piece.samples)] * times, rules=rules, verify=checked)
                for times, rules in ((1, ""), (_TIMES, ""), (_TIMES, _RULES))
            ]
            say(f"| {name} | {_noticed(*ended[0])} | {' | '.join(_told(*each) for each in ended)} |")
        clean = services.run_job([])
    say(f"| clean | {_noticed(*clean)} | {_told(*clean)} | | |")
    from_gateway = _from_a_gateway()
    say(f"| FLAC in place of samples | by its bytes | {_told(from_gateway, 0)} | | |")


class _SpeechServices(ExitStack):
    """One service, whose voice an earlier job has made known, and one that speaks in its place."""

    def __enter__(self) -> Self:
        self._service, self._fallback = (self.enter_context(speech_service()) for _ in range(2))
        self._service.reads = self._fallback.reads = said
        self._known = Path(self.enter_context(tempfile.TemporaryDirectory()))
        self._spoken(_EARLIER, self._known)
        return self

    def run_job(self, answers: Sequence[Answer], **settings: Any) -> tuple[JobEnd, int]:
        """A job with nothing in its cache, and how often more than once the spoilt line was asked for."""
        self._service.requests.clear()
        self._service.answers_for = {_SPOILT[:40]: list(answers)}
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(self._known / "takes", Path(folder) / "takes")
            ended = self._spoken(_LINES, Path(folder), **settings)
        return ended, max(0, _asked(self._service) - 1)

    def _spoken(self, lines: Sequence[str], cache: Path, **settings: Any) -> JobEnd:
        return run_job(
            {"script": "\n".join(lines), "voice": {"provider": "openai", "model": "tts-1", "id": "nova"}},
            cache=cache,
            openai_base_url=f"{self._service.url}/v1",
            elevenlabs_base_url=self._fallback.url,
            **settings,
        )


def _asked(service: Service) -> int:
    return sum(request["body"].get("input") == _SPOILT for request in service.requests)


def _from_a_gateway() -> JobEnd:
    """A service at another address that knows samples only, and sends FLAC."""
    assert as_flac(said(_SPOILT))
    with compatible_service(formats=("pcm",), gives="flac") as service, tempfile.TemporaryDirectory() as folder:
        return run_job(
            {"script": "\n".join(_LINES), "voice": {"provider": "openai", "id": "af_heart"}},
            cache=Path(folder),
            openai_base_url=service.url,
            openai_tts_model="kokoro",
        )


def _noticed(ended: JobEnd, asked_again: int) -> str:
    """What the check said of the line."""
    for note in _notes(ended):
        if (found := _WHY.search(note)) is not None:
            return found[0]
    return "it is no sound" if asked_again else "–"


def _told(ended: JobEnd, asked_again: int) -> str:
    """What the customer gets, and whether a note says so."""
    if not ended.spoken_by:
        return ended.how
    notes = _notes(ended)
    if ended.spoken_by.startswith("elevenlabs"):
        return "the fallback spoke, noted"
    noted = ", noted" if notes else ""
    if any("corrected" in note for note in notes):
        return f"corrected{noted}"
    if any("no better" in note for note in notes):
        return f"the better of two takes{noted}"
    return f"another take{noted}" if asked_again else f"as it came{noted}"


def _notes(ended: JobEnd) -> list[str]:
    return [note for note in ended.notes if note.startswith("voice: ")]
