"""What a job holds, with every range and default: frozen models whose aliases are the web app's keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from worker.formats import FORMATS, FormatName, Quality
from worker.payload.messages import Allowed
from worker.payload.script import Sentence, parse_script
from worker.payload.sessions import SessionName
from worker.pronounce import MOST_ENTRIES, check_entries
from worker.voices import PROVIDERS

SAMPLE_RATE_HZ: Final = 44_100  # of every track
SOLFEGGIO_HZ: Final = (174.0, 285.0, 396.0, 417.0, 528.0, 639.0, 741.0, 852.0, 963.0)

_MOST_WORDS = 20  # in a list of choices, each of which may be there twice

Listening = Literal["headphones", "speakers"]
STEMS: Final = "stems"
Tidy = Literal["dc", "channel", "polarity", "ends", "measure"]
Care = Literal["none", "gentle"]
TIDY: Final[tuple[Tidy, ...]] = get_args(Tidy)


@dataclass(frozen=True)
class LayerKind:
    """A layer as a job has it.

    The payload asks for it with `key`; `field` is what `RenderJob` holds of it: None, False or ``none`` in a job
    without the layer. Its steady gain is `<name>_db` of the job's `gains`, or `gain_field`.
    """

    key: str
    field: str
    gain_field: str = ""


LAYERS: Final[Mapping[str, LayerKind]] = MappingProxyType(
    {
        "voice": LayerKind("script", "has_voice"),
        "music": LayerKind("backgroundMusic", "background_music"),
        "solfeggio": LayerKind("solfeggio", "solfeggio"),
        "binaural": LayerKind("binaural", "binaural"),
        "noise": LayerKind("carrierType", "carrier_type", gain_field="carrier_gain_db"),
    }
)
"""The registry of layers, in the order of the mix; `worker.plan.sources` makes the sources of the generated ones."""


def _solfeggio_hz(value: float) -> float:
    if value not in SOLFEGGIO_HZ:
        raise ValueError("not a Solfeggio frequency")
    return value


def _writable(value: str) -> str:
    """Refuse what no file, tag or service could hold."""
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("holds a character that cannot be written (NUL or half a surrogate pair)")
    return value


def _whole(value: object) -> object:
    """A whole number may arrive as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _loop_mode(value: object) -> object:
    if isinstance(value, bool):
        return "repeat" if value else "once"
    return value


def _chapter_marks(value: object) -> object:
    if isinstance(value, bool):
        return "auto" if value else "none"
    return value


def _tidy(value: object) -> object:
    if isinstance(value, bool):
        return TIDY if value else ()
    if isinstance(value, tuple):
        return tuple(word.lower() if isinstance(word, str) else word for word in value)
    return value


def _each_once(values: tuple[Deliverable, ...]) -> tuple[Deliverable, ...]:
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
LOOP_MODES = Allowed("true, false, repeat or interval")
ChapterMarks = Literal["auto", "lines", "repetitions", "none"]
MUSIC_LOOPS = Allowed('"auto", "whole" or {"from", "to"} in seconds, at least 0.1 s apart')
Text = Annotated[str, AfterValidator(_writable)]
Label = Annotated[str, Field(max_length=500), AfterValidator(_writable)]
Reference = Annotated[str, Field(max_length=4000), AfterValidator(_writable)]
GainDb = Annotated[float, Field(ge=-60, le=10)]
Minute = Annotated[float, Field(ge=0, le=1440)]


class _Model(BaseModel):
    # strict: a boolean is not a number, nor is a number in quotes
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class VoiceSettings(_Model):
    """How ElevenLabs speaks; None leaves it to the provider."""

    stability: float | None = Field(default=None, ge=0, le=1)
    similarity_boost: float | None = Field(default=None, ge=0, le=1)
    style: float | None = Field(default=None, ge=0, le=1)
    use_speaker_boost: bool | None = None


class VoiceChoice(_Model):
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
        Field(max_length=_MOST_WORDS),
        BeforeValidator(
            _tidy, json_schema_input_type=bool | Annotated[tuple[Tidy, ...], Field(max_length=_MOST_WORDS)]
        ),
        Allowed(f"true, false or a list of {', '.join(TIDY)}, at most {_MOST_WORDS}"),
    ] = TIDY
    care: Care = "none"
    take: Annotated[int, BeforeValidator(_whole)] = Field(default=1, ge=1, le=99)

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
    schema |= {"description": described, "anyOf": [{"enum": ["auto", "whole"]}, part]}


class MusicLoop(_Model):
    """Where music loops: where it does so best, as a whole, or from one second of it to another."""

    model_config = ConfigDict(json_schema_extra=_loop_schema)

    way: Literal["auto", "whole", "stated"] = "auto"
    from_s: float = Field(default=0.0, alias="from", ge=0, le=86_400)
    to_s: float = Field(default=0.0, alias="to", ge=0, le=86_400)

    @model_validator(mode="before")
    @classmethod
    def _from_word_or_seconds(cls, value: object) -> object:
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


class BackgroundMusic(_Model):
    """Where the music is: `url` is a URL or an object name, `id` the catalogue's id or slug, `name` a title."""

    url: Reference | None = None
    id: Reference | None = None
    name: Reference | None = None
    loop: Annotated[MusicLoop, MUSIC_LOOPS] = Field(default_factory=MusicLoop.model_construct)


class SolfeggioTone(_Model):
    """One tone of a sequence; without `minutes` it shares what the others leave."""

    hz: SolfeggioHz
    minutes: float | None = Field(default=None, ge=0.05, le=1440)

    @model_validator(mode="before")
    @classmethod
    def _from_a_number(cls, value: object) -> object:
        return {"hz": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class Solfeggio(_Model):
    """One steady tone, or several one after another."""

    enabled: bool = True
    hz: SolfeggioHz | None = None
    wave: Literal["sine", "triangle", "square"] = "sine"
    sequence: tuple[SolfeggioTone, ...] = Field(default=(), max_length=100)
    crossfade_s: float = Field(default=4.0, alias="crossfadeSec", ge=0, le=60)

    @property
    def tones(self) -> tuple[SolfeggioTone, ...]:
        """The sequence, else the one tone, else nothing."""
        if self.sequence or self.hz is None:
            return self.sequence
        return (SolfeggioTone(hz=self.hz),)


class BeatPoint(_Model):
    """Beat, carrier or both at one minute of the track; straight lines between points."""

    at_min: Minute = Field(alias="atMin")
    beat_hz: float | None = Field(default=None, alias="beatHz", ge=0.1, le=100)
    carrier_hz: float | None = Field(default=None, alias="carrierHz", ge=50, le=1000)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.beat_hz is None and self.carrier_hz is None:
            raise ValueError("beatHz, carrierHz or both are needed")
        return self


class GainPoint(_Model):
    """A layer's gain at one minute of the track; straight lines in dB between points."""

    at_min: Minute = Field(alias="atMin")
    db: GainDb


PointT = TypeVar("PointT", BeatPoint, GainPoint)


def _in_order(points: tuple[PointT, ...]) -> tuple[PointT, ...]:
    if any(after.at_min <= before.at_min for before, after in pairwise(points)):
        raise ValueError("each atMin must be later than the one before")
    return points


BeatPoints = Annotated[tuple[BeatPoint, ...], Field(max_length=1000), AfterValidator(_in_order)]
GainPoints = Annotated[tuple[GainPoint, ...], Field(max_length=1000), AfterValidator(_in_order)]


class Binaural(_Model):
    """Two tones a beat apart. After parsing, `carrier_hz` is the middle of the two in both dialects."""

    enabled: bool = True
    band: Literal["delta", "theta", "alpha", "beta", "gamma"] | None = None
    beat_hz: float = Field(default=10.0, alias="beatHz", ge=0.1, le=100)
    carrier_hz: float = Field(default=200.0, alias="carrierHz", ge=50, le=1000)
    mode: Literal["binaural", "monaural", "isochronic"] = "binaural"
    speakers_mode: Literal["monaural", "isochronic"] = Field(default="isochronic", alias="speakersMode")
    timeline: BeatPoints = ()


class GainTimeline(_Model):
    """Gains over time; where a layer has points they stand in for its steady gain."""

    voice: GainPoints = ()
    music: GainPoints = ()
    solfeggio: GainPoints = ()
    binaural: GainPoints = ()
    noise: GainPoints = ()


class Gains(_Model):
    """Levels in dB: of voice and music over the reference level, of tones as peak amplitude in dBFS."""

    voice_db: GainDb = Field(default=-1.0, alias="voiceDb")
    music_db: GainDb = Field(default=-10.0, alias="musicDb")
    solfeggio_db: GainDb = Field(default=-18.0, alias="solfeggioDb")
    binaural_db: GainDb = Field(default=-20.0, alias="binauralDb")
    reference: Literal["normalized", "source"] = "normalized"
    timeline: GainTimeline = GainTimeline()


class FadeTimes(_Model):
    """Fades of the whole track."""

    in_ms: float = Field(default=1000.0, alias="inMs", ge=0, le=30_000)
    out_ms: float = Field(default=1500.0, alias="outMs", ge=0, le=30_000)


class Safety(_Model):
    """Loudness and peaks of the finished file."""

    target_lufs: float = Field(default=-16.0, alias="targetLufs", ge=-30, le=-6)
    loudness: Literal["balance", "exact"] = "balance"
    measure: Literal["programme", "speech"] = "programme"
    limiter: bool = True


class Output(_Model):
    """The delivered file."""

    format: FormatName = "mp3"
    quality: Quality = "medium"
    normalize: bool = True


class Ducking(_Model):
    """Music that is lowered while the voice speaks."""

    enabled: bool = True
    depth_db: float = Field(default=8.0, alias="depthDb", ge=0, le=40)
    attack_ms: float = Field(default=300.0, alias="attackMs", ge=0, le=5000)
    hold_ms: float = Field(default=600.0, alias="holdMs", ge=0, le=10_000)
    release_ms: float = Field(default=1200.0, alias="releaseMs", ge=0, le=10_000)


class Metadata(_Model):
    """Tags of the delivered file; `cover` names an image."""

    title: Label | None = None
    artist: Label | None = None
    album: Label | None = None
    cover: Reference | None = None


class RenderJob(_Model):
    """A whole job, checked. Make one with `parse_job`, which also fills in what depends on several fields.

    Attributes
    ----------
    duration_min : float or None
        None: the track is as long as the speech, once, plus fades.
    solfeggio, binaural, ducking : model or None
        None when off.
    seed : int or None
        Never None after parsing.
    start_delay_s : float or None
        None only with `duration_min` None: speech starts where the fade-in ends.
    """

    script: Text = Field(default="", repr=False)
    pronounce: Annotated[dict[str, str], Field(max_length=MOST_ENTRIES), BeforeValidator(check_entries)] = Field(
        default_factory=dict
    )
    voice: VoiceChoice = VoiceChoice()
    duration_min: float | None = Field(default=5.0, alias="durationMin", ge=0.05)
    pause_s: float = Field(default=5.0, alias="pauseSec", ge=0, le=600)
    pause_jitter_s: float = Field(default=0.0, alias="pauseJitterSec", ge=0, le=60)
    loop_mode: Annotated[Literal["once", "repeat", "interval"], BeforeValidator(_loop_mode), LOOP_MODES] = Field(
        default="repeat", alias="loopMode"
    )
    interval_s: float = Field(default=60.0, alias="intervalSec", ge=30, le=300)
    start_delay_s: float | None = Field(default=3.0, alias="startDelaySec", ge=0, le=300)
    background_music: BackgroundMusic | None = Field(default=None, alias="backgroundMusic")
    solfeggio: Solfeggio | None = None
    binaural: Binaural | None = None
    carrier_type: Literal["pink", "brown", "white", "none"] = Field(default="none", alias="carrierType")
    carrier_gain_db: float = Field(default=-24.0, alias="carrierGainDb", ge=-60, le=0)
    gains: Gains = Gains()
    ducking: Ducking | None = None
    fade: FadeTimes = FadeTimes()
    safety: Safety = Safety()
    output: Output = Output()
    deliver: Annotated[
        tuple[Deliverable, ...],
        Field(max_length=_MOST_WORDS),
        AfterValidator(_each_once),
        Allowed(f"a list of headphones, speakers, stems or formats ({', '.join(FORMATS)}), at most {_MOST_WORDS}"),
    ] = ("headphones",)
    session: SessionName | None = None
    metadata: Metadata = Metadata()
    chapters: Annotated[ChapterMarks, BeforeValidator(_chapter_marks), Allowed("true, false, lines or repetitions")] = (
        "auto"
    )
    lyrics: bool = False
    peaks: bool = False
    seed: Annotated[int, BeforeValidator(_whole), Field(ge=0, lt=2**63)] | None = None
    dialect: SkipJsonSchema[Literal["app", "edge"]] = Field(default="app", exclude=True)
    unknown_keys: SkipJsonSchema[tuple[str, ...]] = Field(default=(), exclude=True)

    @property
    def has_voice(self) -> bool:
        """Whether anything is to be spoken."""
        return self.voice.provider == "uploaded" or any(
            isinstance(part, Sentence) for part in parse_script(self.script).parts
        )

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that the payload asks for, in the order of the mix."""
        return tuple(layer for layer, kind in LAYERS.items() if getattr(self, kind.field) not in (None, False, "none"))

    @property
    def listenings(self) -> tuple[Listening, ...]:
        """What the track is made for: a track each; for headphones where the payload names none."""
        return tuple(each for each in get_args(Listening) if each in self.deliver) or ("headphones",)

    @property
    def further_formats(self) -> tuple[FormatName, ...]:
        """Formats in which the first track is delivered beside its own."""
        return tuple(each for each in self.deliver if each in FORMATS and each != self.output.format)

    def gain_db(self, layer: str) -> float:
        """A layer's steady gain."""
        field = LAYERS[layer].gain_field
        return float(getattr(self, field) if field else getattr(self.gains, f"{layer}_db"))

    @property
    def target_lufs(self) -> float | None:
        """The loudness to deliver; None leaves the level alone (the limiter stays)."""
        return self.safety.target_lufs if self.output.normalize else None
