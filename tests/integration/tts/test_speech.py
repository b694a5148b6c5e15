"""Voice processing, measured on delivered files: rumble, clicks at cuts, levels, tails, pauses, variety."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
from clips import ArrayClip

from dsp.noise import Noise
from worker.codec.encoding import Encoding
from worker.config import Config
from worker.errors import JobError
from worker.ffmpeg.program import find_ffmpeg
from worker.payload.parse import parse_job
from worker.payload.script import Pause, parse_script
from worker.plan.compile import compile_plan
from worker.plan.recordings import Media
from worker.render import materials as materials_module
from worker.render.materials import Materials
from worker.render.produce import produce
from worker.tasks.files import beside
from worker.tts.cache import SpeechCache
from worker.tts.processing import LEAD_S, TAIL_S, VoiceProcessing, trimmed
from worker.tts.speech import SENTENCE_GAP_S, SpeechStats, speak_script

RATE = 44_100
LSB = 2**-23
PLAIN = {
    "fade": {"inMs": 0, "outMs": 0},
    "gains": {"reference": "source", "voiceDb": 0},
    "output": {"normalize": False},
    "outputFormat": "flac",
}
BOTH = VoiceProcessing(high_pass_hz=100.0, declick=True)
BY_LEVEL_DB = {"One.": -12.0, "Two.": -18.0, "Three.": -15.0}


class Sayings:
    """A voice whose words are noise of known level and length, in a second of silence; `abrupt`: without silence."""

    provider, limit_characters, fingerprint, uses_context, notes = "local", 0, "sayings", False, ()
    takes_directions = False
    speed, tempo, pace_key = 1.0, 1.0, "sayings"

    def __init__(self, *, abrupt: bool = False) -> None:
        self.abrupt = abrupt

    def speak(self, utterance, into: Path) -> None:
        level = 10 ** (BY_LEVEL_DB.get(utterance.text, -15.0) / 20)
        frames = round((1.5 + len(utterance.text) / 20) * RATE)
        sound = level * Noise("pink", len(utterance.text), RATE).render(0, frames)[:, 0]
        silence = np.zeros(0 if self.abrupt else RATE)
        soundfile.write(into, np.concatenate([silence, sound, silence]), RATE, format="WAV", subtype="FLOAT")

    def close(self) -> None:
        pass


def delivered(folder: Path, job: dict, *, recording: np.ndarray | None = None) -> np.ndarray:
    """Render a job to FLAC as the program does, and read it back."""
    voice_file = None
    if recording is not None:
        voice_file = folder / "me.wav"
        soundfile.write(voice_file, recording, RATE, subtype="FLOAT")
    config = Config(cache_dir=folder / "cache", render_threads=1)
    recordings = () if recording is None else ("voice",)
    out = folder / "track.flac"
    produce(
        parse_job({**PLAIN, **job}, recordings=recordings),
        out,
        materials=Materials(config, beside(folder, config), voice_file=voice_file),
        encoding=Encoding("flac"),
    )
    return soundfile.read(out, always_2d=True)[0]


def spoken(folder: Path, script: str, *, processing: VoiceProcessing, abrupt: bool = False, said=None):
    folder.mkdir(exist_ok=True)
    return speak_script(
        parse_script(script).parts,
        Sayings(abrupt=abrupt),
        cache=SpeechCache(folder / "cache", 100),
        ffmpeg=find_ffmpeg(),
        folder=folder,
        processing=processing,
        said=said,
    )


@pytest.fixture
def sayings(monkeypatch):
    monkeypatch.setattr(materials_module, "open_voice", lambda choice, config: Sayings())


def amplitude(samples: np.ndarray, frequency_hz: float) -> float:
    n = np.arange(len(samples))
    return 2 * abs(np.mean(samples * np.exp(-2j * np.pi * frequency_hz * n / RATE)))


@pytest.mark.parametrize("cutoff_hz", [None, 60, 120])
def test_rumble_is_taken_out_and_the_voice_is_left(tmp_path, cutoff_hz):
    n = np.arange(4 * RATE)
    recording = 0.2 * np.sin(2 * np.pi * 30 * n / RATE) + 0.2 * np.sin(2 * np.pi * 1000 * n / RATE)
    job = {"durationMin": 0.1, "startDelaySec": 0, "loopMode": False, "voice": {"highPassHz": cutoff_hz}}
    delivered_sound = delivered(tmp_path, job, recording=recording)[RATE : 3 * RATE, 0]
    # a Butterworth of second order: 10 log10(1 + (cutoff / f)^4)
    expected_db = 0.0 if cutoff_hz is None else 10 * np.log10(1 + (cutoff_hz / 30) ** 4)
    assert 20 * np.log10(0.2 / amplitude(delivered_sound, 30)) == pytest.approx(expected_db, abs=0.1)
    assert 20 * np.log10(0.2 / amplitude(delivered_sound, 1000)) == pytest.approx(0.0, abs=0.01)


def test_a_recording_that_is_cut_in_mid_sound_clicks_no_more(tmp_path):
    """What a cut adds above 5 kHz to a low tone is the click."""
    n = np.arange(2 * RATE)
    recording = 0.3 * np.cos(2 * np.pi * 200.3 * n / RATE)
    clicks = {}
    for declick in (False, True):
        job = {"durationMin": 0.2, "startDelaySec": 1, "pauseSec": 1, "voice": {"declick": declick}}
        track = delivered(tmp_path, job, recording=recording)[:, 0]
        spectrum = np.fft.rfft(track)
        spectrum[np.fft.rfftfreq(len(track), 1 / RATE) < 5000] = 0
        high = np.fft.irfft(spectrum, len(track))
        clicks[declick] = [
            np.sum(high[at - 500 : at + 500] ** 2)
            for start in (RATE, 4 * RATE, 7 * RATE)
            for at in (start, start + len(recording))
        ]
        middle = track[RATE + 2000 : 3 * RATE - 2000]
        assert np.abs(middle - recording[2000:-2000]).max() <= LSB, "only the ends are touched"
    assert 10 * np.log10(max(clicks[True]) / min(clicks[False])) < -60


def test_an_end_in_silence_is_left_alone(tmp_path):
    silence = np.zeros(RATE // 100)  # 10 ms: longer than an edge, shorter than one of a cut
    recording = np.concatenate([silence, 0.3 * Noise("pink", 1, RATE).render(0, RATE)[:, 0], silence])
    job = {"durationMin": 0.1, "startDelaySec": 0, "loopMode": False, "voice": {"declick": True}}
    track = delivered(tmp_path, job, recording=recording)
    assert np.abs(track[: len(recording), 0] - recording).max() <= LSB


@pytest.mark.parametrize("processing", [VoiceProcessing(), BOTH], ids=["usual", "all"])
@pytest.mark.parametrize("abrupt", [False, True])
def test_pieces_are_trimmed_and_end_in_nothing(tmp_path, processing, abrupt):
    speech = spoken(tmp_path, "One. Two. Three.", processing=processing, abrupt=abrupt)
    for part in (part for part in speech.parts if not isinstance(part, Pause)):
        samples = part.clip.read(0, part.clip.frames)
        words = (1.5 + len(part.text) / 20) * RATE
        longest = words if abrupt else words + (LEAD_S + TAIL_S) * RATE
        assert words - 0.01 * RATE < part.clip.frames <= longest + 0.05 * RATE
        assert np.abs(samples[[0, -1]]).max() < 1e-4 * np.abs(samples).max()
        assert np.abs(samples[2000:-8000]).max() > 0.5 * np.abs(samples).max()


@pytest.mark.further
def test_a_script_of_many_sentences_needs_few_open_files(tmp_path):
    """A process may have 1,024 files open by default; a script has more sentences than that."""
    open_now = len(list(Path("/proc/self/fd").iterdir()))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 16, limits[1]))
    try:
        speech = spoken(tmp_path, "\n".join(["One.", "Two.", "Three."] * 8), processing=VoiceProcessing(80.0))
        clips = [part.clip for part in speech.parts if not isinstance(part, Pause)]
        assert len(clips) == 24
        assert all(clip.read(0, clip.frames).any() for clip in clips)
        open_after = len(list(Path("/proc/self/fd").iterdir()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert open_after <= open_now + 2


@pytest.mark.parametrize("speed", [0.5, 1.0, 1.5])
def test_the_silence_kept_around_a_piece_follows_its_speed(speed):
    """Or a short piece would miss the length that its speed asks for."""
    silence = np.zeros(RATE)
    sound = np.concatenate([silence, 0.3 * Noise("pink", 1, RATE).render(0, RATE)[:, 0], silence])
    piece = trimmed(
        ArrayClip(np.stack([sound, sound], axis=1).astype(np.float32)), processing=VoiceProcessing(), speed=speed
    )
    assert piece.frames - RATE == pytest.approx((LEAD_S + TAIL_S) / speed * RATE, abs=100)


@pytest.mark.parametrize("processing", [{}, {"highPassHz": 100, "declick": True}], ids=["usual", "all"])
def test_pauses_stay_exact_and_levels_are_even(tmp_path, sayings, processing):
    script = "One. Two. [pause 1.2345s] Three."
    job = {"script": script, "voice": {"provider": "local", **processing}, "startDelaySec": 0.5, "loopMode": False}
    track = delivered(tmp_path, {**job, "durationMin": 0.25})
    settings = VoiceProcessing(processing.get("highPassHz"), processing.get("declick", False))
    clips = [
        part.clip for part in spoken(tmp_path / "again", script, processing=settings).parts if hasattr(part, "clip")
    ]
    at = RATE // 2
    levels = []
    expected = np.zeros_like(track)
    for clip, pause_s in zip(clips, (SENTENCE_GAP_S, 1.2345, 0.0), strict=True):
        expected[at : at + clip.frames] = clip.read(0, clip.frames)
        levels.append(pyloudnorm.Meter(RATE, "DeMan").integrated_loudness(track[at : at + clip.frames]))
        at += clip.frames + round(pause_s * RATE)
    assert np.abs(track - expected).max() <= LSB
    assert max(levels) - min(levels) < 1.0, "they are said 6 dB apart"


def test_pieces_are_never_brought_nearer_by_more_than_is_natural(tmp_path, monkeypatch):
    monkeypatch.setitem(BY_LEVEL_DB, "Two.", -40.0)
    said = SpeechStats()
    speech = spoken(tmp_path, "One. Two. Three.", processing=VoiceProcessing(), said=said)
    gains_db = [20 * np.log10(part.clip.gain) for part in speech.parts if hasattr(part, "clip")]
    assert max(gains_db) == pytest.approx(4.0)
    (note,) = [note for note in said.notes if "dB softer" in note]
    left_db = float(note.removeprefix("voice: piece 2 is ").partition(" dB softer than the rest")[0])
    assert left_db == pytest.approx(40.0 - 15.0 - 4.0, abs=1.0), "what is left is said"


def test_level_corrections_are_rounded_to_thousandths_of_a_decibel(tmp_path):
    speech = spoken(tmp_path, "One. Two. Three.", processing=VoiceProcessing())
    gains_db = np.array([20 * np.log10(part.clip.gain) for part in speech.parts if hasattr(part, "clip")])
    assert np.abs(gains_db).max() > 1
    assert gains_db == pytest.approx(np.round(gains_db, 3), abs=1e-9)


def test_shuffled_repetitions_differ_but_the_same_job_repeats(tmp_path, sayings):
    job = {
        "script": "One. Two. Three.",
        "voice": {"provider": "local", "shuffle": True},
        "durationMin": 2.7,
        "startDelaySec": 0.5,
        "pauseSec": 0.5,
        "pauseJitterSec": 0.4,
    }
    first, second = delivered(tmp_path, job), delivered(tmp_path, job)
    assert np.array_equal(first, second)
    speech = spoken(tmp_path / "again", job["script"], processing=VoiceProcessing())
    sequences: dict[int, list[str]] = {}
    for span in compile_plan(parse_job({**PLAIN, **job}), Media(speech)).spoken:
        sequences.setdefault(span.repetition, []).append(span.text)
        assert first[span.start + 2000 : span.stop - 9000].any()
        assert not first[span.stop : span.stop + 200].any()
    assert len(sequences) >= 20
    assert sequences[19] != sequences[0]
    assert sorted(sequences[19]) == sorted(sequences[0])
    other = compile_plan(parse_job({**PLAIN, **job, "seed": 8}), Media(speech)).spoken
    assert [span.text for span in other] != [text for sequence in sequences.values() for text in sequence][: len(other)]


def test_care_changes_no_order():
    """What is turned on for the ear's sake does not reshuffle the lines."""
    plain = parse_job({"script": "One. Two.", "voice": {"shuffle": True}})
    cared = parse_job({"script": "One. Two.", "voice": {"shuffle": True, "highPassHz": 80, "declick": True}})
    assert plain.seed == cared.seed


@pytest.mark.parametrize(
    ("voice", "words"),
    [
        ({"highPassHz": 19}, "voice.highPassHz: found 19, allowed is a number from 20 to 200"),
        ({"highPassHz": 201}, "voice.highPassHz: found 201, allowed is a number from 20 to 200"),
        ({"highPassHz": True}, "voice.highPassHz"),
        ({"declick": 1}, "voice.declick: found 1, allowed is true or false"),
    ],
)
def test_what_is_out_of_range_is_refused(voice, words):
    with pytest.raises(JobError) as caught:
        parse_job({"script": "One.", "voice": voice})
    assert words in caught.value.message


@pytest.mark.parametrize("tidy", [True, False])
def test_a_recording_with_dc_makes_no_step_where_a_repetition_ends(tmp_path, tidy):
    n = np.arange(2 * RATE)
    recording = 0.46 + 0.1 * np.sin(2 * np.pi * 200 * n / RATE)
    job = {"durationMin": 0.2, "startDelaySec": 1, "pauseSec": 1, "voice": {"tidy": tidy}}
    track = delivered(tmp_path, job, recording=recording)[:, 0]
    step = np.abs(np.diff(track)).max()
    assert step < 0.01 if tidy else step > 0.4


def test_care_for_a_spoken_voice_is_a_note(tmp_path, sayings):
    job = parse_job({**PLAIN, "script": "One.", "durationMin": 0.1, "voice": {"care": "gentle"}})
    config = Config(cache_dir=tmp_path / "cache", render_threads=1)
    materials = Materials(config, beside(tmp_path, config))
    produced = produce(job, tmp_path / "track.flac", materials=materials, encoding=Encoding("flac"))
    assert any(note.startswith("voice.care is for recordings") for note in produced.report.notes)
