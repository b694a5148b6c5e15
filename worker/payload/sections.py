"""The sections of a job, with every range and default: frozen models whose aliases are the web app's keys."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from worker.formats import FORMATS, FormatName, Quality
from worker.payload.messages import Allowed
from worker.voices import PROVIDERS

SAMPLE_RATE_HZ: Final = 44_100  # of every track
LONGEST_FADE_MS: Final = 600_000  # ten minutes
SOLFEGGIO_HZ: Final = (174.0, 285.0, 396.0, 417.0, 528.0, 639.0, 741.0, 852.0, 963.0)

MOST_WORDS = 20  # in a list of choices, each of which may be there twice

Listening = Literal["headphones", "speakers"]
STEMS: Final = "stems"
Tidy = Literal["dc", "channel", "polarity", "ends", "measure"]
Care = Literal["none", "gentle"]
TIDY: Final[tuple[Tidy, ...]] = get_args(Tidy)


def _solfeggio_hz(value: float) -> float:
    if value not in SOLFEGGIO_HZ:
        raise ValueError("not a Solfeggio frequency")
    return value


def _writable(value: str) -> str:
    """Refuse what no file, tag or service could hold."""
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("holds a character that cannot be written (NUL or half a surrogate pair)")
    return value


def whole(value: object) -> object:
    """A whole number may arrive as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _loop_mode(value: object) -> object:
    if isinstance(value, bool):
        return "repeat" if value else "once"
    return value


def chapter_marks(value: object) -> object:
    if isinstance(value, bool):
        return "auto" if value else "none"
    return value


def _tidy(value: object) -> object:
    if isinstance(value, bool):
        return TIDY if value else ()
    if isinstance(value, tuple):
        return tuple(word.lower() if isinstance(word, str) else word for word in value)
    return value


def each_once(values: tuple[Deliverable, ...]) -> tuple[Deliverable, ...]:
    if not values:
        raise ValueError("an empty list")
    return tuple(dict.fromkeys(values))


SolfeggioHz = Annotated[
    float, AfterValidator(_solfeggio_hz), Allowed("one of 174, 285, 396, 417, 528, 639, 741, 852, 963")
]
if TYPE_CHECKING:
    ProviderName = str
    Deliverable = str
else:
    ProviderName = Literal[tuple(PROVIDERS)]
    Deliverable = Literal[(*get_args(Listening), STEMS, *FORMATS)]
ChapterMarks = Literal["auto", "lines", "repetitions", "none"]
MUSIC_LOOPS = Allowed('true, false, "auto", "whole" or {"from", "to"} in seconds, at least 0.1 s apart')
Text = Annotated[str, AfterValidator(_writable)]
Label = Annotated[str, Field(max_length=500), AfterValidator(_writable)]
Reference = Annotated[str, Field(max_length=4000), AfterValidator(_writable)]
GainDb = Annotated[float, Field(ge=-60, le=10)]
PauseS = Annotated[float, Field(ge=0, le=600)]
PauseJitterS = Annotated[float, Field(ge=0, le=60)]
IntervalS = Annotated[float, Field(ge=30, le=300)]
LoopMode = Annotated[
    Literal["once", "repeat", "interval"], BeforeValidator(_loop_mode), Allowed("true, false, repeat or interval")
]
Wave = Literal["sine", "triangle", "square"]
Minute = Annotated[float, Field(ge=0, le=1440)]


class Section(BaseModel):
    # strict: a boolean is not a number, nor is a number in quotes
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class VoiceSettings(Section):
    """How ElevenLabs speaks; None leaves it to the provider."""

    stability: float | None = Field(default=None, ge=0, le=1)
    similarity_boost: float | None = Field(default=None, ge=0, le=1)
    style: float | None = Field(default=None, ge=0, le=1)
    use_speaker_boost: bool | None = None


class VoiceChoice(Section):
    """Who speaks; `url` is the recording of an `uploaded` voice, `id` None the provider's own default.

    `tidy` and `care` are for recordings only.
    """

    provider: ProviderName = "openai"
    id: Label | None = None
    model: Label | None = None
    speed: float = Field(default=0.9, ge=0.25, le=4)
    url: Reference | None = None
    instructions: Label | None = None
    settings: VoiceSettings = VoiceSettings()
    shuffle: bool = False
    high_pass_hz: float | None = Field(default=None, alias="highPassHz", ge=20, le=200)
    declick: bool = False
    tidy: Annotated[
        tuple[Tidy, ...],
        Field(max_length=MOST_WORDS),
        BeforeValidator(_tidy, json_schema_input_type=bool | Annotated[tuple[Tidy, ...], Field(max_length=MOST_WORDS)]),
        Allowed(f"true, false or a list of {', '.join(TIDY)}, at most {MOST_WORDS}"),
    ] = TIDY
    care: Care = "none"
    take: Annotated[int, BeforeValidator(whole)] = Field(default=1, ge=1, le=99)

    @property
    def recording_speed(self) -> float:
        """The speed of a recording: only what the payload states, since the default is meant for spoken voices."""
        return self.speed if "speed" in self.model_fields_set else 1.0


def _loop_schema(schema: dict[str, Any]) -> None:
    """What a payload may say; `way` is ours."""
    seconds = {name: {"type": "number", "minimum": 0, "maximum": 86_400} for name in ("from", "to")}
    part = {"type": "object", "properties": seconds, "required": ["from", "to"]}
    described = schema["description"]
    schema.clear()
    schema |= {"description": described, "anyOf": [{"type": "boolean"}, {"enum": ["auto", "whole"]}, part]}


class MusicLoop(Section):
    """Where music loops: where it does so best, as a whole, from one second of it to another, or not at all."""

    model_config = ConfigDict(json_schema_extra=_loop_schema)

    way: Literal["auto", "whole", "stated", "once"] = "auto"
    from_s: float = Field(default=0.0, alias="from", ge=0, le=86_400)
    to_s: float = Field(default=0.0, alias="to", ge=0, le=86_400)

    @model_validator(mode="before")
    @classmethod
    def _from_word_or_seconds(cls, value: object) -> object:
        if isinstance(value, bool):
            return {"way": "auto" if value else "once"}
        if isinstance(value, str) and value.strip().lower() in ("auto", "whole"):
            return {"way": value.strip().lower()}
        if isinstance(value, Mapping) and {"from", "to"} <= value.keys():
            return {"way": "stated", "from": value["from"], "to": value["to"]}
        raise ValueError("neither a way nor a part")

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        if self.way == "stated" and self.to_s - self.from_s < 0.1:
            raise ValueError("too short")
        return self


class BackgroundMusic(Section):
    """Where the music is: `url` is a URL or an object name, `id` the catalogue's id or slug, `name` a title."""

    url: Reference | None = None
    id: Reference | None = None
    name: Reference | None = None
    loop: Annotated[MusicLoop, MUSIC_LOOPS] = Field(default_factory=MusicLoop.model_construct)


class SolfeggioTone(Section):
    """One tone of a sequence; without `minutes` it shares what the others leave."""

    hz: SolfeggioHz
    minutes: float | None = Field(default=None, ge=0.05, le=1440)

    @model_validator(mode="before")
    @classmethod
    def _from_a_number(cls, value: object) -> object:
        return {"hz": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class Solfeggio(Section):
    """One steady tone, or several one after another."""

    enabled: bool = True
    hz: SolfeggioHz | None = None
    wave: Wave = "sine"
    sequence: tuple[SolfeggioTone, ...] = Field(default=(), max_length=100)
    crossfade_s: float = Field(default=4.0, alias="crossfadeSec", ge=0, le=60)

    @property
    def tones(self) -> tuple[SolfeggioTone, ...]:
        """The sequence, else the one tone, else nothing."""
        if self.sequence or self.hz is None:
            return self.sequence
        return (SolfeggioTone(hz=self.hz),)


class _AtMinute(Section):
    """A point of a timeline."""

    at_min: Minute = Field(alias="atMin")


class BeatPoint(_AtMinute):
    """Beat, carrier or both at one minute of the track; straight lines between points."""

    beat_hz: float | None = Field(default=None, alias="beatHz", ge=0.1, le=100)
    carrier_hz: float | None = Field(default=None, alias="carrierHz", ge=50, le=1000)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.beat_hz is None and self.carrier_hz is None:
            raise ValueError("beatHz, carrierHz or both are needed")
        return self


class GainPoint(_AtMinute):
    """A layer's gain at one minute of the track; straight lines in dB between points."""

    db: GainDb


class PanPoint(_AtMinute):
    """Where a layer is between the channels at one minute of the track, from -1 (left) to 1 (right)."""

    pan: float = Field(ge=-1, le=1)


PointT = TypeVar("PointT", bound="_AtMinute")


def _in_order(points: tuple[PointT, ...]) -> tuple[PointT, ...]:
    if any(after.at_min <= before.at_min for before, after in pairwise(points)):
        raise ValueError("each atMin must be later than the one before")
    return points


def _steady_pan(value: object) -> object:
    """A number is a pan that stays."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not -1 <= value <= 1:
            raise ValueError("beyond a channel")
        return (PanPoint(atMin=0, pan=value),)
    return value


BeatPoints = Annotated[tuple[BeatPoint, ...], Field(max_length=1000), AfterValidator(_in_order)]
GainPoints = Annotated[tuple[GainPoint, ...], Field(max_length=1000), AfterValidator(_in_order)]
PanPoints = Annotated[
    tuple[PanPoint, ...],
    Field(max_length=1000),
    BeforeValidator(
        _steady_pan,
        json_schema_input_type=Annotated[float, Field(ge=-1, le=1)]
        | Annotated[tuple[PanPoint, ...], Field(max_length=1000)],
    ),
    AfterValidator(_in_order),
    Allowed("a number from -1 to 1, or at most 1000 points of atMin and pan"),
]


class Beat(Section):
    """Two tones a beat apart. After parsing, `carrier_hz` is the middle of the two in both dialects."""

    band: Literal["delta", "theta", "alpha", "beta", "gamma"] | None = None
    beat_hz: float = Field(default=10.0, alias="beatHz", ge=0.1, le=100)
    carrier_hz: float = Field(default=200.0, alias="carrierHz", ge=50, le=1000)
    mode: Literal["binaural", "monaural", "isochronic"] = "binaural"
    speakers_mode: Literal["monaural", "isochronic"] = Field(default="isochronic", alias="speakersMode")
    timeline: BeatPoints = ()


class Binaural(Beat):
    """The beat of the job's own fields."""

    enabled: bool = True


class GainTimeline(Section):
    """Gains over time; where a layer has points they stand in for its steady gain."""

    voice: GainPoints = ()
    music: GainPoints = ()
    solfeggio: GainPoints = ()
    binaural: GainPoints = ()
    noise: GainPoints = ()


class Gains(Section):
    """Levels in dB: of voice and music over the reference level, of tones as peak amplitude in dBFS."""

    voice_db: GainDb = Field(default=-1.0, alias="voiceDb")
    music_db: GainDb = Field(default=-10.0, alias="musicDb")
    solfeggio_db: GainDb = Field(default=-18.0, alias="solfeggioDb")
    binaural_db: GainDb = Field(default=-20.0, alias="binauralDb")
    reference: Literal["normalized", "source"] = "normalized"
    timeline: GainTimeline = GainTimeline()


class FadeTimes(Section):
    """Fades of the whole track."""

    in_ms: float = Field(default=1000.0, alias="inMs", ge=0, le=LONGEST_FADE_MS)
    out_ms: float = Field(default=1500.0, alias="outMs", ge=0, le=LONGEST_FADE_MS)


class Safety(Section):
    """Loudness and peaks of the finished file."""

    target_lufs: float = Field(default=-16.0, alias="targetLufs", ge=-30, le=-6)
    loudness: Literal["balance", "exact"] = "balance"
    measure: Literal["programme", "speech"] = "programme"
    limiter: bool = True


class Output(Section):
    """The delivered file."""

    format: FormatName = "mp3"
    quality: Quality = "medium"
    normalize: bool = True


class Ducking(Section):
    """Music that is lowered while the voice speaks."""

    enabled: bool = True
    depth_db: float = Field(default=8.0, alias="depthDb", ge=0, le=40)
    attack_ms: float = Field(default=300.0, alias="attackMs", ge=0, le=5000)
    hold_ms: float = Field(default=600.0, alias="holdMs", ge=0, le=10_000)
    release_ms: float = Field(default=1200.0, alias="releaseMs", ge=0, le=10_000)


class Metadata(Section):
    """Tags of the delivered file; `cover` names an image."""

    title: Label | None = None
    artist: Label | None = None
    album: Label | None = None
    cover: Reference | None = None
