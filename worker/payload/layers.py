"""The kinds of layers: what an entry of a job's list `layers` may hold, and the registry of them.

The job's own fields (`script`, `backgroundMusic`, …) are the short form of the same: `worker.payload.short_form`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from worker.payload.messages import Allowed
from worker.payload.sections import (
    LONGEST_FADE_MS,
    MUSIC_LOOPS,
    Beat,
    GainDb,
    GainPoints,
    IntervalS,
    Label,
    LoopMode,
    MusicLoop,
    PanPoints,
    PauseJitterS,
    PauseS,
    Reference,
    Section,
    Text,
    VoiceChoice,
    Wave,
)

MOST_LAYERS: Final = 16
MOST_SPANS: Final = 100
SHORTEST_SPAN_S: Final = 0.1
LONGEST_NAME: Final = 60

Second = Annotated[float, Field(ge=0, le=86_400)]
FadeMs = Annotated[float, Field(ge=0, le=LONGEST_FADE_MS)]
Hz = Annotated[float, Field(ge=20, le=16_000)]


def _printable(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("not on one line")
    return name


LayerName = Annotated[
    str,
    Field(max_length=LONGEST_NAME),
    AfterValidator(_printable),
    Allowed(f"a text of at most {LONGEST_NAME} characters on one line, without spaces around it"),
]


class LayerFields(Section):
    """What a layer of any kind has: its name, its level, and when it sounds."""

    name: LayerName = ""
    gain: GainPoints = ()
    start_s: Second = Field(default=0.0, alias="startSec")
    end_s: Second | None = Field(default=None, alias="endSec")
    fade_in_ms: FadeMs = Field(default=0.0, alias="fadeInMs")
    fade_out_ms: FadeMs = Field(default=0.0, alias="fadeOutMs")


class TimeSpan(Section):
    """From one second of the track to another; without an end to the layer's."""

    start_s: Second = Field(alias="startSec")
    end_s: Second | None = Field(default=None, alias="endSec")


class Sounding(LayerFields):
    """A layer that sounds only at some times; beneath its silence it goes on."""

    when: Annotated[
        tuple[TimeSpan, ...],
        Field(max_length=MOST_SPANS),
        Allowed(f'a list of at most {MOST_SPANS} spans {{"startSec", "endSec"}}'),
    ] = ()


class Panned(LayerFields):
    """A layer that has a place between the channels."""

    pan: PanPoints = ()


class Ducked(Panned):
    """A layer that voices lower."""

    ducked_by: Annotated[
        tuple[Label, ...], Field(max_length=MOST_LAYERS), Allowed(f"a list of at most {MOST_LAYERS} names of layers")
    ] = Field(default=(), alias="duckedBy")


class Bed(Ducked, Sounding):
    """A layer with two channels of its own."""

    width: float = Field(default=1.0, ge=0, le=2)


class SpeechLayer(Ducked):
    """A voice with its own script; `start_s` is where its first word is."""

    kind: Literal["speech"] = "speech"
    gain_db: GainDb = Field(default=-1.0, alias="gainDb")
    script: Text = Field(default="", repr=False)
    voice: VoiceChoice = VoiceChoice()
    start_s: Second = Field(default=3.0, alias="startSec")
    pause_s: PauseS = Field(default=5.0, alias="pauseSec")
    pause_jitter_s: PauseJitterS = Field(default=0.0, alias="pauseJitterSec")
    loop_mode: LoopMode = Field(default="repeat", alias="loopMode")
    interval_s: IntervalS = Field(default=60.0, alias="intervalSec")
    whisper: bool = False


class MusicLayer(Bed):
    """A piece of music out of the catalogue or the bucket; `title` is what `backgroundMusic.name` is."""

    kind: Literal["music"] = "music"
    gain_db: GainDb = Field(default=-10.0, alias="gainDb")
    url: Reference | None = None
    id: Reference | None = None
    title: Reference | None = None
    loop: Annotated[MusicLoop, MUSIC_LOOPS] = Field(default_factory=MusicLoop.model_construct)


class RecordingLayer(Bed):
    """The customer's own recording, heard as it is."""

    kind: Literal["recording"] = "recording"
    gain_db: GainDb = Field(default=-10.0, alias="gainDb")
    url: Reference | None = None
    loop: Annotated[MusicLoop, MUSIC_LOOPS] = Field(default_factory=lambda: MusicLoop.model_construct(way="once"))


class SequenceTone(Section):
    """One tone of a sequence; without `minutes` it shares what the others leave."""

    hz: Hz
    minutes: float | None = Field(default=None, ge=0.05, le=1440)

    @model_validator(mode="before")
    @classmethod
    def _from_a_number(cls, value: object) -> object:
        return {"hz": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class ToneLayer(Panned, Sounding):
    """A pure tone, or several one after another."""

    kind: Literal["tone"] = "tone"
    gain_db: GainDb = Field(default=-18.0, alias="gainDb")
    hz: Hz | None = None
    wave: Wave = "sine"
    sequence: tuple[SequenceTone, ...] = Field(default=(), max_length=100)
    crossfade_s: float = Field(default=4.0, alias="crossfadeSec", ge=0, le=60)

    @property
    def tones(self) -> tuple[SequenceTone, ...]:
        """The sequence, else the one tone, else nothing."""
        if self.sequence or self.hz is None:
            return self.sequence
        return (SequenceTone(hz=self.hz),)


class BinauralLayer(Beat, Sounding):
    """A beat; it has no pan, since each of its tones belongs to one ear."""

    kind: Literal["binaural"] = "binaural"
    gain_db: GainDb = Field(default=-20.0, alias="gainDb")


class NoiseLayer(Bed):
    """Steady noise, independent in each channel."""

    kind: Literal["noise"] = "noise"
    gain_db: GainDb = Field(default=-24.0, alias="gainDb")
    colour: Literal["pink", "brown", "white"] = "pink"


Layer = Annotated[
    SpeechLayer | MusicLayer | RecordingLayer | ToneLayer | BinauralLayer | NoiseLayer, Field(discriminator="kind")
]


@dataclass(frozen=True)
class LayerKind:
    """One kind of layer: its fields, and of those the ones of which it needs at least one.

    `instead` has, for keys of other kinds that it might be thought to have, what it has in their place.
    """

    model: type[LayerFields]
    needs: tuple[str, ...] = ()
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> dict[str, Any]:
        """Its fields by the payload's keys."""
        return {each.alias or name: each for name, each in self.model.model_fields.items()}


LAYER_KINDS: Final[Mapping[str, LayerKind]] = MappingProxyType(
    {
        "speech": LayerKind(
            SpeechLayer,
            needs=("script", "voice"),
            instead={"when": "a voice speaks by startSec, endSec, loopMode, pauseSec and intervalSec"},
        ),
        "music": LayerKind(MusicLayer, needs=("url", "id", "title")),
        "recording": LayerKind(RecordingLayer, needs=("url",)),
        "tone": LayerKind(ToneLayer, needs=("hz", "sequence")),
        "binaural": LayerKind(BinauralLayer),
        "noise": LayerKind(NoiseLayer),
    }
)
"""The registry of kinds; `worker.plan.sources` has what makes the source of each."""
