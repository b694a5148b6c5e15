"""What a job's report says of the delivered sound, and that a file with a hole in it is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clips import ArrayClip
from codec_signals import RATE
from tiers import further

from dsp.envelope import Constant, Fade
from dsp.noise import Noise
from dsp.plan import Layer, RenderPlan
from dsp.recorded import Looped, Placed
from dsp.tones import Binaural, Isochronic, Monaural, Tone, ToneSequence
from worker.codec import encode as encoding_of_tracks
from worker.codec.encoding import Encoding
from worker.codec.tags import Tags
from worker.errors import JobError, QualityError
from worker.ffmpeg.program import find_ffmpeg
from worker.plan.compile import SpokenSpan
from worker.render import deliver as delivery
from worker.render.analysis import DeliveredAnalysis, DeliveredAnalyzer
from worker.render.programme import Programme, measure


def plan_of(seconds: float, *sources: tuple[str, object, float]) -> RenderPlan:
    frames = round(seconds * RATE)
    layers = tuple(Layer(name, source, Constant(gain)) for name, source, gain in sources)
    return RenderPlan(RATE, frames, layers, Fade(frames, RATE // 2, RATE // 2))


TONES = (("solfeggio", Tone(528.0, RATE), 0.05), ("binaural", Binaural(200.0, 6.0, RATE), 0.05))


def delivered(
    plan, tmp_path, *, format: str = "wav", kbps: int | None = None, spoken=(), target_lufs: float = -20.0
) -> delivery.Delivered:
    return delivery.deliver(
        plan,
        measure(Programme(plan), threads=2),
        tmp_path / f"track.{format}",
        delivery.Delivery(Encoding(format, kbps), Tags(), target_lufs, spoken=spoken),
        ffmpeg=find_ffmpeg(),
        threads=2,
    )


def analysis_of(plan: RenderPlan, spoken=(), *, sound=None) -> DeliveredAnalysis:
    """The delivered analysis of a plan itself, or of another sound in its place."""
    analyzer = DeliveredAnalyzer(plan, spoken)
    sound = np.sum([layer.source.render(0, plan.frames) for layer in plan.layers], axis=0) if sound is None else sound
    for first in range(0, plan.frames, 50_000):
        analyzer.add(sound[first : first + 50_000].astype(np.float32))
    return analyzer.result()


@pytest.mark.parametrize(
    ("format", "kbps", "leak_db"), [*further([("flac", None, -80), ("m4a", 192, -60)]), ("mp3", 192, -60)]
)
def test_tones_alone_arrive_in_their_own_ear(tmp_path, format, kbps, leak_db):
    report = delivered(plan_of(30, *TONES), tmp_path, format=format, kbps=kbps).analysis
    for ear, due in (("left", (197.0, 528.0)), ("right", (203.0, 528.0))):
        assert [tone.measured_hz for tone in report.tones[ear]] == pytest.approx(due, abs=1e-3)
        leaked = report.leakage_db[ear]
        assert leaked is not None
        assert leaked <= leak_db
    assert report.beat_hz == pytest.approx(6.0, abs=1e-3)


def test_a_wrong_beat_is_reported_as_it_is():
    plan = plan_of(30, *TONES)
    wrong = Binaural(200.0, 6.25, RATE).render(0, plan.frames)
    report = analysis_of(plan, sound=wrong)
    assert report.beat_expected_hz == 6.0
    assert report.beat_hz == pytest.approx(6.25, abs=1e-3)
    assert report.tones["left"][1].measured_hz is None  # no 528 Hz there


def test_swapped_ears_are_not_taken_for_right():
    plan = plan_of(30, TONES[1])
    report = analysis_of(plan, sound=Binaural(200.0, 6.0, RATE).render(0, plan.frames)[:, ::-1])
    assert report.tones["left"][0].measured_hz is None
    assert report.beat_hz is None


@pytest.mark.parametrize("source", [Monaural(200.0, 7.0, RATE), Isochronic(200.0, 7.0, RATE)])
def test_the_beat_of_speakers_is_measured_too(source):
    report = analysis_of(plan_of(30, ("binaural", source, 1.0)))
    assert report.beat_hz == pytest.approx(7.0, abs=1e-3)
    assert report.leakage_db == {"left": None, "right": None}


def test_it_listens_between_the_words_and_where_a_tone_stays():
    words = tuple(SpokenSpan("words", start * RATE, (start + 20) * RATE, 0) for start in (2, 50))
    assert 22 <= analysis_of(plan_of(80, *TONES), words).from_s <= 30
    sequence = ToneSequence((396.0, 417.0), (0, 40 * RATE), 5 * RATE, RATE)
    tones = analysis_of(plan_of(80, ("solfeggio", sequence, 0.1))).tones["left"]
    assert [tone.measured_hz for tone in tones] in ([pytest.approx(396.0)], [pytest.approx(417.0)])


def test_a_seam_that_clicks_is_told_from_one_that_does_not():
    n = np.arange(3 * RATE)
    music = ArrayClip(np.repeat(0.3 * np.sin(2 * np.pi * 110.3 * n / RATE)[:, None], 2, axis=1).astype(np.float32))
    smooth = analysis_of(plan_of(10, ("music", Looped(music, RATE // 2), 1.0))).seams
    hard = analysis_of(plan_of(10, ("music", Looped(music, 0), 1.0))).seams
    assert [seam.at_s for seam in hard] == [3.0, 6.0, 9.0]
    assert max(seam.step_db for seam in smooth) < 1.0
    assert min(seam.step_db for seam in hard) > 6.0


def test_under_the_voice_a_seam_is_measured_on_the_music():
    n = np.arange(3 * RATE)
    music = ArrayClip(np.repeat(0.3 * np.sin(2 * np.pi * 110.3 * n / RATE)[:, None], 2, axis=1).astype(np.float32))
    voice = (SpokenSpan("words", round(2.5 * RATE), round(3.5 * RATE), 0),)
    plan = plan_of(5, ("music", Looped(music, 0), 1.0))
    sound = Noise("white", 1, RATE).render(0, plan.frames)
    (seam,) = analysis_of(plan, voice, sound=sound).seams
    assert seam.heard_in == "music"
    assert seam.step_db > 6.0


class _Holed:
    """Encodes what it is given but for a stretch, where it writes silence."""

    def __init__(self, start_s: float, seconds: float) -> None:
        self.start, self.stop = round(start_s * RATE), round((start_s + seconds) * RATE)
        self.calls = 0

    def __call__(self, track, out, encoding) -> None:
        self.calls += 1

        def holed(start, stop):
            for block in track.pcm(start, stop):
                block[max(0, self.start - start) : max(0, self.stop - start)] = 0.0
                start += len(block)
                yield block

        encoding_of_tracks.encode(replace(track, pcm=holed), out, encoding)


@pytest.mark.further
def test_a_file_that_is_silent_where_it_should_sound_is_refused_at_once(tmp_path, monkeypatch):
    holed = _Holed(4.0, 1.4)
    monkeypatch.setattr(delivery, "encode", holed)
    with pytest.raises(QualityError, match=r"silent from 4\.\d s to 5\.\d s"):
        delivered(plan_of(300, *TONES), tmp_path)  # so short a hole in so long a track moves its loudness by 0.02 LU
    assert holed.calls == 1


def test_a_shorter_hole_is_not_what_that_check_is_for(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery, "encode", _Holed(4.0, 0.5))
    assert len(delivered(plan_of(60, *TONES), tmp_path).encodes) == 1


def test_silence_that_is_meant_is_no_fault(tmp_path):
    voice = ArrayClip(np.ascontiguousarray(0.3 * Noise("pink", 2, RATE).render(0, 2 * RATE)))
    plan = plan_of(12, ("voice", Placed((voice,), (RATE, 8 * RATE), (0, 0)), 1.0))
    assert len(delivered(plan, tmp_path).encodes) == 1


def test_nothing_at_all_in_the_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery, "encode", _Holed(0.0, 20.0))
    with pytest.raises(QualityError, match="silent"):
        delivered(plan_of(20, *TONES), tmp_path)


def test_treble_that_a_codec_leaves_out_is_no_hole(tmp_path):
    """AAC at 128 kbit/s has no 20 kHz: what is left between the words is silence, and that is right."""
    voice = ArrayClip(np.ascontiguousarray(0.3 * Noise("pink", 2, RATE).render(0, 2 * RATE)))
    words = ("voice", Placed((voice,), (RATE, 8 * RATE), (0, 0)), 1.0)
    plan = plan_of(12, words, ("music", Tone(20_000.0, RATE), 0.1))
    assert delivered(plan, tmp_path, format="aac", kbps=128).integrated_lufs == pytest.approx(-20.0, abs=0.1)


def test_the_gain_of_a_second_encoding_is_rounded(tmp_path):
    """They differ from processor to processor, and the file does not: it is changed by thousandths of a decibel."""
    plan = plan_of(6, ("noise", Noise("pink", 2, RATE), 0.1), ("music", Tone(20_000.0, RATE), 0.05))
    made = delivered(plan, tmp_path, format="aac", kbps=128)  # which has no 20 kHz, and so comes out too quiet
    assert len(made.encodes) == 2
    levels_db = np.array([made.programme.level_db, made.programme.ceiling_dbtp])
    assert levels_db[0] > 1
    assert levels_db == pytest.approx(np.round(levels_db, 3), abs=1e-9)


def test_a_codec_that_jumps_gets_what_came_nearest_before(tmp_path, monkeypatch):
    """Each other level misses by more than the first one, which is near enough: no encoding comes nearer than that."""
    levels: list[float] = []

    def jumping(track, out, encoding) -> None:
        levels.append(float(np.abs(next(iter(track.pcm(RATE, 2 * RATE)))).max()))
        miss_db = 0.07 if levels[-1] == levels[0] else -0.2

        def missed(start, stop):
            for block in track.pcm(start, stop):
                yield block * np.float32(10 ** (miss_db / 20))

        encoding_of_tracks.encode(replace(track, pcm=missed), out, encoding)

    monkeypatch.setattr(delivery, "encode", jumping)
    made = delivered(plan_of(12, *TONES), tmp_path)
    assert made.miss_lu == pytest.approx(0.07, abs=0.01)
    assert len(made.encodes) == 3


@pytest.mark.parametrize(
    "target_lufs",
    [-6.0, *further([-7.0])],
    ids=["the limiter gives up", "the encodings are used up"],
)
def test_what_no_codec_can_deliver_so_loud_is_the_jobs_fault(tmp_path, target_lufs):
    """Noise at full scale: before the codec it is loud enough, but AAC lifts its peaks by as much as it is lowered."""
    loud = ArrayClip(np.sign(np.random.default_rng(5).standard_normal((6 * RATE, 2))).astype(np.float32))
    plan = plan_of(6, ("music", Looped(loud, 0), 1.0))
    with pytest.raises(JobError, match=r"LUFS cannot be reached with peaks at or below -1\.0 dBTP") as refused:
        delivered(plan, tmp_path, format="m4a", kbps=128, target_lufs=target_lufs)
    assert refused.value.code == "job.loudness"
    assert not list(tmp_path.glob("*.part"))
