"""Jobs whose voice must fit their track, rendered against the stand-ins of the services."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import soundfile
from pydantic import SecretStr
from standins.speech import ELEVENLABS_VOICES

from dsp.noise import Noise
from worker.codec.encoding import Encoding
from worker.config import Config
from worker.payload.parse import parse_job
from worker.render.materials import Materials
from worker.render.produce import Produced, produce

RATE = 44_100
LINES = [f"This is sentence number {number} of a long script." for number in range(1, 41)]
LONG = " ".join(LINES)


class Stage:
    """Jobs rendered against the stand-ins of the services."""

    def __init__(self, service, folder: Path) -> None:
        self.service, self.folder = service, folder
        soundfile.write(folder / "rain.flac", 0.1 * Noise("pink", 1, RATE).render(0, 8 * RATE), RATE)

    def render(self, payload: dict[str, Any], *, fit: str = "adapt", **settings: Any) -> Produced:
        config = Config(
            openai_api_key=SecretStr("sk-test"),
            openai_base_url=f"{self.service.url}/v1",
            elevenlabs_api_key=SecretStr("el-test"),
            elevenlabs_base_url=self.service.url,
            elevenlabs_tts_voice=ELEVENLABS_VOICES[0],
            cache_dir=self.folder / "cache",
            render_threads=1,
            fit=fit,
            **settings,
        )

        def fetch(reference: str, *, into: Path, what: str) -> Path:
            return self.folder / ("rain.flac" if what == "music" else "me.wav")

        encoding = Encoding("flac")
        return produce(
            parse_job(payload),
            self.folder / "track.flac",
            materials=Materials(config, fetch),
            encoding=encoding,
        )


def voice(provider: str = "openai", **fields: Any) -> dict[str, Any]:
    return {"provider": provider, "speed": 1.0, **fields}
