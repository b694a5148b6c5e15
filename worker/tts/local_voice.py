"""The offline voices: hibari-tts (a small neural voice), or espeak-ng where that is installed.

hibari runs in a process of its own, which ends with the last sentence: its ONNX runtime takes over 100 MB, which the
renderer does not need.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from worker.config import Config
from worker.errors import ConfigurationError, JobError, TransientError, WorkerError
from worker.payload.schema import VoiceChoice
from worker.tts.languages import language_of, language_of_letters
from worker.tts.voice import Utterance

DEFAULT_HIBARI, DEFAULT_ESPEAK = "heart", "en"
_HIBARI_LANGUAGE = "English"
_SECONDS_PER_SENTENCE = 120.0
_ESPEAK_WORDS_PER_MINUTE = 160  # a calm pace
INSTALL_HINT = (
    "install the offline voice: pip install 'mindscript-audio-worker[local]' (or espeak-ng), "
    "or give a recording with --voice FILE"
)


class LocalVoice:
    """The offline voice that this machine has.

    It speaks at its own pace and its words are stretched to the job's speed, since its own way of speaking faster or
    slower misses the length by up to 10 %.

    Parameters
    ----------
    choice : VoiceChoice
        Its id is a voice of hibari (``heart`` comes with it), or of espeak-ng such as ``en-gb``.
    config : Config
        Not needed: no key, no address.

    Raises
    ------
    ConfigurationError
        If there is no offline voice here.
    JobError
        If there is one, but not of the name that the job gives.
    """

    provider = "local"
    limit_characters = 0
    uses_context = False
    notes: tuple[str, ...] = ()

    def __init__(self, choice: VoiceChoice, config: Config) -> None:
        del config
        voice_id = choice.id
        self.speed = self.tempo = choice.speed
        self._engine: _Hibari | _Espeak
        if has_hibari():
            self._engine = _Hibari(voice_id)
        elif espeak := espeak_path():
            self._engine = _Espeak(espeak, voice_id)
        else:
            raise ConfigurationError(f"voice.provider local: there is no offline voice here; {INSTALL_HINT}")
        self.fingerprint = self.pace_key = self._engine.fingerprint

    def speak(self, utterance: Utterance, into: Path) -> None:
        """Write one sentence as a WAV file."""
        if isinstance(self._engine, _Hibari):
            _refuse(language_of_letters(utterance.text))
        self._engine.speak(utterance.text, into, seed=utterance.take - 1)

    def close(self) -> None:
        """End the synthesiser's process."""
        self._engine.close()


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
        return ConfigurationError(f"voice.provider local: {found}; {INSTALL_HINT}", code="voice.unknown")
    return JobError(
        f"voice.id: {found}",
        code="voice.unknown",
        customer_message="The chosen voice is not available any more. Please choose another voice.",
    )


class _Hibari:
    def __init__(self, stated: str | None) -> None:
        from importlib.metadata import version

        name, present = stated or DEFAULT_HIBARI, hibari_voices()
        if name not in present:
            found = f"found {name!r}, the local voices on this machine are {', '.join(present) or 'none'}"
            if (file := hibari_file(name)) is not None:
                found += f"; for {name} HIBARI_HOME must hold {file}"
            raise _unknown(stated, found)
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self.fingerprint = f"hibari {version('hibari-tts')} {name} speed=1"

    def speak(self, text: str, into: Path, *, seed: int) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker.tts.hibari_process", self._name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**_without_secrets(), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        request = json.dumps({"text": text, "into": str(into), "seed": seed}) + "\n"
        answer = b""
        try:
            answer = _answer(self._process, request.encode(), _SECONDS_PER_SENTENCE)
        except BrokenPipeError:
            pass
        except BaseException:
            self.close()
            raise
        if answer != b"ok\n":
            self.close()
            reason = answer.decode(errors="replace").strip() or "its process ended"
            raise TransientError(f"the local voice failed: {reason}", code="voice.failed")

    def close(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.wait(timeout=10)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()


def _answer(process: subprocess.Popen[bytes], request: bytes, timeout_s: float) -> bytes:
    """Send a request and read the line that answers it; less than a line when the process has ended."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process has no pipes")
    process.stdin.write(request)
    process.stdin.flush()
    deadline = time.monotonic() + timeout_s
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return f"no answer within {timeout_s:.0f} s".encode()
            data = os.read(process.stdout.fileno(), 4096)
            if not data:
                break
            line += data
    return line


def _without_secrets() -> dict[str, str]:
    kept = (
        "PATH",
        "HOME",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "TMPDIR",
        "XDG_CACHE_HOME",
        "HIBARI_HOME",
    )
    return {name: os.environ[name] for name in kept if name in os.environ}


class _Espeak:
    def __init__(self, program: str, stated: str | None) -> None:
        self._program = program
        self._stated = stated
        self._name = name = stated or DEFAULT_ESPEAK
        self.fingerprint = f"espeak-ng {name} pace={_ESPEAK_WORDS_PER_MINUTE}"

    def speak(self, text: str, into: Path, *, seed: int) -> None:
        del seed  # it always speaks alike
        command = [self._program, "-v", self._name, "-s", str(_ESPEAK_WORDS_PER_MINUTE), "-w", str(into), "--stdin"]
        try:
            done = subprocess.run(
                command,
                input=text.encode(),
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
        pass
