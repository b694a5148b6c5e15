"""The offline voices: hibari-tts (a small neural voice), or espeak-ng where that is installed.

hibari runs in a process of its own, which ends with the last sentence: its ONNX runtime takes over 100 MB, which the
renderer does not need.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from worker.config import Config
from worker.errors import ConfigurationError, JobError, TransientError, WorkerError
from worker.payload.schema import VoiceChoice
from worker.tts.languages import language_of, language_of_letters
from worker.tts.voice import Utterance, Voice

DEFAULT_HIBARI, DEFAULT_ESPEAK = "heart", "en"
_HIBARI_LANGUAGE = "English"
_SECONDS_PER_SENTENCE = 120.0
# Since 1.29 the ONNX runtime writes a device number into the user's cache and reports each use of a model to its maker.
_ONNX_STAYS_SILENT = {"ORT_DISABLE_TELEMETRY": "1"}
ESPEAK_WORDS_PER_MINUTE = 160  # a calm pace
INSTALL_HINT = (
    "install the offline voice: pip install 'mindscript-audio-worker[local]' (or espeak-ng), "
    "or give a recording with --voice FILE"
)


def local_voice(choice: VoiceChoice, config: Config) -> Voice:
    """Open the offline voice that this machine has; the configuration is not needed.

    A job's voice id is a voice of hibari (``heart`` comes with it), or of espeak-ng such as ``en-gb``.

    Raises
    ------
    ConfigurationError
        If there is no offline voice here.
    JobError
        If there is one, but not of the name that the job gives.
    """
    del config
    if has_hibari():
        return Hibari(choice)
    if espeak := espeak_path():
        return Espeak(choice, espeak)
    raise ConfigurationError(f"voice.provider local: there is no offline voice here; {INSTALL_HINT}", about=("local",))


class _Local(Voice):
    """An offline voice.

    It speaks at its own pace and its words are stretched to the job's speed, since its own way of speaking faster or
    slower misses the length by up to 10 %.
    """

    provider = "local"

    def __init__(self, choice: VoiceChoice, fingerprint: str) -> None:
        self.speed = self.tempo = choice.speed
        self.fingerprint = self.pace_key = fingerprint

    def stop(self) -> None:
        """Nothing: no failed sentence is tried again."""


def check_language(script: str) -> None:
    """Check that the local voice can read a script, before any of it is spoken; espeak-ng's voices are not checked.

    Raises
    ------
    JobError
        If it is in another language than hibari's, English.
    """
    if has_hibari():
        _refuse(language_of(script))


def _refuse(language: str | None) -> None:
    if language not in (None, _HIBARI_LANGUAGE):
        raise JobError(
            f"script: found {language}, the local voice reads {_HIBARI_LANGUAGE} only; choose voice.provider openai or "
            "elevenlabs",
            code="voice.language",
            customer_message=f"The chosen voice reads {_HIBARI_LANGUAGE} only. Please choose another voice.",
        )


def has_hibari() -> bool:
    """Tell whether hibari-tts is installed."""
    return find_spec("hibari") is not None


def hibari_voices() -> tuple[str, ...]:
    """Names of the hibari voices whose models are on this machine."""
    from hibari.voices import VOICES, voice_path

    def present(name: str) -> bool:
        try:
            voice_path(name, download_missing=False)
        except FileNotFoundError:
            return False
        return True

    return tuple(name for name in VOICES if present(name))


def hibari_file(name: str) -> str | None:
    """Name of the file that a hibari voice needs in `HIBARI_HOME`; None where it is in the package or unknown."""
    from hibari.voices import VOICES

    entry = VOICES.get(name, {})
    return None if entry.get("bundled") else entry.get("file")


def hibari_voices_with_accents() -> str:
    """The hibari voices on this machine, for a person: ``heart (American)``."""
    from hibari.voices import VOICES

    return ", ".join(f"{name} ({VOICES[name]['accent']})" for name in hibari_voices())


def espeak_path() -> str | None:
    """Path of espeak-ng, if it is installed."""
    return shutil.which("espeak-ng")


def _unknown(stated: str | None, found: str) -> WorkerError:
    """A voice that is not installed: the job's fault only if the job names it."""
    if stated is None:
        return ConfigurationError(
            f"voice.provider local: {found}; {INSTALL_HINT}", code="voice.unknown", about=("local",)
        )
    return JobError(
        f"voice.id: {found}",
        code="voice.unknown",
        customer_message="The chosen voice is not available any more. Please choose another voice.",
    )


class Hibari(_Local):
    """hibari-tts, a small neural voice; see `local_voice`."""

    def __init__(self, choice: VoiceChoice) -> None:
        from importlib.metadata import version

        self._name, present = choice.id or DEFAULT_HIBARI, hibari_voices()
        if self._name not in present:
            found = f"found {self._name!r}, the local voices on this machine are {', '.join(present) or 'none'}"
            if (file := hibari_file(self._name)) is not None:
                found += f"; for {self._name} HIBARI_HOME must hold {file}"
            raise _unknown(choice.id, found)
        super().__init__(choice, f"hibari {version('hibari-tts')} {self._name} speed=1")
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def speak(self, utterance: Utterance, into: Path) -> None:
        """Write one sentence as a WAV file; one after another, since there is one process."""
        _refuse(language_of_letters(utterance.text))
        with self._turn:
            self._speak(utterance, into)

    def _speak(self, utterance: Utterance, into: Path) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker.tts.hibari_process", self._name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**_without_secrets(), **_ONNX_STAYS_SILENT, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        request = json.dumps({"text": utterance.text, "into": str(into), "seed": utterance.take - 1}) + "\n"
        answer = b""
        try:
            with contextlib.suppress(BrokenPipeError):
                answer = _answer(self._process, request.encode(), _SECONDS_PER_SENTENCE)
        finally:
            if answer != b"ok\n":
                self.close()
        if answer != b"ok\n":
            reason = answer.decode(errors="replace").strip() or "its process ended"
            raise TransientError(f"the local voice failed: {reason}", code="voice.failed")

    def close(self) -> None:
        """End the synthesiser's process."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            with contextlib.suppress(BrokenPipeError):
                process.communicate(timeout=10)


def _answer(process: subprocess.Popen[bytes], request: bytes, timeout_s: float) -> bytes:
    """Send a request and read the line that answers it; nothing when the process has ended."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process has no pipes")
    process.stdin.write(request)
    process.stdin.flush()
    waiting = select.poll()  # `select` takes no descriptor over 1023
    waiting.register(process.stdout, select.POLLIN)
    if not waiting.poll(1000 * timeout_s):
        return f"no answer within {timeout_s:.0f} s".encode()
    return process.stdout.readline()  # written at once


def _without_secrets() -> dict[str, str]:
    kept = ("PATH", "HOME", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR", "XDG_CACHE_HOME", "HIBARI_HOME")
    return {name: os.environ[name] for name in kept if name in os.environ}


class Espeak(_Local):
    """espeak-ng; see `local_voice`."""

    def __init__(self, choice: VoiceChoice, program: str) -> None:
        self._program, self._stated, self._name = program, choice.id, choice.id or DEFAULT_ESPEAK
        super().__init__(choice, f"espeak-ng {self._name} pace={ESPEAK_WORDS_PER_MINUTE}")

    def speak(self, utterance: Utterance, into: Path) -> None:
        """Write one sentence as a WAV file."""
        speed = str(ESPEAK_WORDS_PER_MINUTE)
        try:
            done = subprocess.run(
                [self._program, "-v", self._name, "-s", speed, "-w", str(into), "--stdin"],
                input=utterance.text.encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_SECONDS_PER_SENTENCE,
                env=_without_secrets(),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TransientError("espeak-ng did not finish a sentence in time", code="voice.failed") from None
        if done.returncode or not into.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines()
            if any("voice" in line.lower() for line in said):
                raise _unknown(self._stated, f"espeak-ng has no voice {self._name!r}")
            raise TransientError(f"espeak-ng failed: {said[-1] if said else done.returncode}", code="voice.failed")

    def close(self) -> None:
        """Nothing: each sentence has a process of its own."""
