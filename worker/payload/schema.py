"""What a job holds: a frozen model whose aliases are the web app's keys; `sections` and `layers` have its parts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from worker.formats import FORMATS, FormatName
from worker.payload.layers import MOST_LAYERS, Layer, SpeechLayer
from worker.payload.messages import Allowed
from worker.payload.script import Sentence, parse_script
from worker.payload.sections import (
    MOST_WORDS,
    SAMPLE_RATE_HZ,
    SOLFEGGIO_HZ,
    STEMS,
    TIDY,
    BackgroundMusic,
    Binaural,
    Care,
    ChapterMarks,
    Deliverable,
    Ducking,
    FadeTimes,
    GainPoint,
    Gains,
    IntervalS,
    Listening,
    LoopMode,
    Metadata,
    MusicLoop,
    Output,
    PauseJitterS,
    PauseS,
    Safety,
    Section,
    Solfeggio,
    Text,
    Tidy,
    VoiceChoice,
    VoiceSettings,
    chapter_marks,
    each_once,
    whole,
)
from worker.payload.sessions import SessionName
from worker.payload.short_form import short_layers
from worker.pronounce import MOST_ENTRIES, check_entries

__all__ = [
    "SAMPLE_RATE_HZ",
    "SOLFEGGIO_HZ",
    "STEMS",
    "TIDY",
    "BackgroundMusic",
    "Binaural",
    "Care",
    "ChapterMarks",
    "Ducking",
    "GainPoint",
    "Metadata",
    "MusicLoop",
    "RenderJob",
    "Tidy",
    "VoiceChoice",
    "VoiceSettings",
]


class RenderJob(Section):
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
    pause_s: PauseS = Field(default=5.0, alias="pauseSec")
    pause_jitter_s: PauseJitterS = Field(default=0.0, alias="pauseJitterSec")
    loop_mode: LoopMode = Field(default="repeat", alias="loopMode")
    interval_s: IntervalS = Field(default=60.0, alias="intervalSec")
    start_delay_s: float | None = Field(default=3.0, alias="startDelaySec", ge=0, le=300)
    background_music: BackgroundMusic | None = Field(default=None, alias="backgroundMusic")
    solfeggio: Solfeggio | None = None
    binaural: Binaural | None = None
    carrier_type: Literal["pink", "brown", "white", "none"] = Field(default="none", alias="carrierType")
    carrier_gain_db: float = Field(default=-24.0, alias="carrierGainDb", ge=-60, le=0)
    gains: Gains = Gains()
    layer_list: Annotated[
        tuple[Layer, ...], Field(max_length=MOST_LAYERS), Allowed(f"a list of at most {MOST_LAYERS} objects")
    ] = Field(default=(), alias="layers")
    ducking: Ducking | None = None
    fade: FadeTimes = FadeTimes()
    safety: Safety = Safety()
    output: Output = Output()
    deliver: Annotated[
        tuple[Deliverable, ...],
        Field(max_length=MOST_WORDS),
        AfterValidator(each_once),
        Allowed(f"a list of headphones, speakers, stems or formats ({', '.join(FORMATS)}), at most {MOST_WORDS}"),
    ] = ("headphones",)
    session: SessionName | None = None
    metadata: Metadata = Metadata()
    chapters: Annotated[ChapterMarks, BeforeValidator(chapter_marks), Allowed("true, false, lines or repetitions")] = (
        "auto"
    )
    lyrics: bool = False
    peaks: bool = False
    seed: Annotated[int, BeforeValidator(whole), Field(ge=0, lt=2**63)] | None = None
    dialect: SkipJsonSchema[Literal["app", "edge"]] = Field(default="app", exclude=True)
    unknown_keys: SkipJsonSchema[tuple[str, ...]] = Field(default=(), exclude=True)

    @property
    def has_voice(self) -> bool:
        """Whether the job's own fields ask for a voice; a list of layers may have others."""
        return self.voice.provider == "uploaded" or any(
            isinstance(part, Sentence) for part in parse_script(self.script).parts
        )

    def every_layer(self, recordings: Collection[str] = ()) -> tuple[Layer, ...]:
        """The layers that the payload asks for, in the order of the mix: those of its own fields, and the list.

        `recordings` names those of the fields, ``voice`` and ``music``, whose sound is there whatever the payload says.
        """
        return (*short_layers(self, recordings), *self.layer_list)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all layers that the payload asks for."""
        return tuple(layer.name for layer in self.every_layer())

    @property
    def listenings(self) -> tuple[Listening, ...]:
        """What the track is made for: a track each; for headphones where the payload names none."""
        return tuple(each for each in get_args(Listening) if each in self.deliver) or ("headphones",)

    @property
    def further_formats(self) -> tuple[FormatName, ...]:
        """Formats in which the first track is delivered beside its own."""
        return tuple(each for each in self.deliver if each in FORMATS and each != self.output.format)

    @property
    def speech_layers(self) -> tuple[SpeechLayer, ...]:
        """All voices."""
        return tuple(layer for layer in self.every_layer() if isinstance(layer, SpeechLayer))

    @property
    def target_lufs(self) -> float | None:
        """The loudness to deliver; None leaves the level alone (the limiter stays)."""
        return self.safety.target_lufs if self.output.normalize else None
