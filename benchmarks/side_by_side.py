"""`python -m benchmarks.side_by_side`: how long a script of 98 lines takes to be spoken, by how many are at once."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from standins.speech import speech_service

from worker.config import Config
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.schema import VoiceChoice
from worker.payload.script import parse_script
from worker.tts.cache import SpeechCache
from worker.tts.openai_voice import OpenAIVoice
from worker.tts.speech import speak_script

_LINES = 98
_TAKES_S = 1.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("at_once", type=int, nargs="*", default=[1, 4, 8])
    measure(parser.parse_args().at_once)


def measure(numbers: Sequence[int]) -> None:
    """Have the script spoken by so many pieces at once each time, and print how long it took."""
    script = "\n".join(f"This is line number {number} of a calm script." for number in range(_LINES))
    print("| at once | s | of the shortest possible |\n|---:|---:|---:|")
    for at_once in numbers:
        with speech_service() as service, tempfile.TemporaryDirectory() as folder:
            service.takes_s = _TAKES_S
            config = Config(openai_api_key=SecretStr("sk-test"), openai_base_url=f"{service.url}/v1")
            started = time.monotonic()
            speak_script(
                parse_script(script).parts,
                OpenAIVoice(VoiceChoice(), config),
                cache=SpeechCache(Path(folder) / "cache", 100),
                ffmpeg=find_ffmpeg(),
                folder=Path(folder),
                at_once=at_once,
            )
            took_s = time.monotonic() - started
            least_s = -(-_LINES // at_once) * _TAKES_S
            assert service.at_once == at_once
            print(f"| {at_once} | {took_s:.1f} | {took_s / least_s:.2f} |")


if __name__ == "__main__":
    main()
