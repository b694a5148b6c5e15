"""The job's own fields as layers: `script`, `backgroundMusic`, `solfeggio`, `binaural` and `carrierType`.

They are the short form of five layers with fixed names, and what most payloads have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from worker.payload.layers import BinauralLayer, Layer, MusicLayer, NoiseLayer, SequenceTone, SpeechLayer, ToneLayer

if TYPE_CHECKING:
    from worker.payload.schema import RenderJob

SHORT_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "voice": "script",
        "music": "backgroundMusic",
        "solfeggio": "solfeggio",
        "binaural": "binaural",
        "noise": "carrierType",
    }
)
"""By the name of such a layer, in the order of the mix, the payload's key that asks for it."""
VOICE: Final = "voice"
MUSIC: Final = "music"


def short_layers(job: RenderJob, recordings: Collection[str] = ()) -> Iterator[Layer]:
    """Give the layers that a job's own fields ask for, in the order of the mix.

    `recordings` names those, ``voice`` and ``music``, whose sound is there whatever the payload says.
    """
    gains = job.gains

    def level(name: str, gain_db: float) -> dict[str, Any]:
        return {"name": name, "gain_db": gain_db, "gain": getattr(gains.timeline, name)}

    # the values have been checked, some of them against other ranges: nothing is checked again
    if job.has_voice or VOICE in recordings:
        yield SpeechLayer.model_construct(
            **level(VOICE, gains.voice_db),
            script=job.script,
            voice=job.voice,
            start_s=job.fade.in_ms / 1000 if job.start_delay_s is None else job.start_delay_s,
            pause_s=job.pause_s,
            pause_jitter_s=job.pause_jitter_s,
            loop_mode="once" if job.duration_min is None else job.loop_mode,
            interval_s=job.interval_s,
        )
    music = job.background_music
    if music is not None or MUSIC in recordings:
        named: dict[str, Any] = (
            {} if music is None else {"url": music.url, "id": music.id, "title": music.name, "loop": music.loop}
        )
        ducked_by = () if job.ducking is None else (VOICE,)
        yield MusicLayer.model_construct(**level(MUSIC, gains.music_db), **named, ducked_by=ducked_by)
    if job.solfeggio is not None:
        yield ToneLayer.model_construct(
            **level("solfeggio", gains.solfeggio_db),
            sequence=tuple(
                SequenceTone.model_construct(hz=each.hz, minutes=each.minutes) for each in job.solfeggio.tones
            ),
            wave=job.solfeggio.wave,
            crossfade_s=job.solfeggio.crossfade_s,
        )
    if job.binaural is not None:
        fields = {name: value for name, value in job.binaural if name != "enabled"}
        yield BinauralLayer.model_construct(**level("binaural", gains.binaural_db), **fields)
    if job.carrier_type != "none":
        yield NoiseLayer.model_construct(**level("noise", job.carrier_gain_db), colour=job.carrier_type)
