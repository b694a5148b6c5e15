"""Whole jobs that only the customer can change: they fail at once, in plain words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from audio_files import flac_of_silence, wav_bytes
from database import row_of
from films import film
from request_faults import ALWAYS
from standins.queued_jobs import CUSTOMER, Case, Placed, ended, sound
from standins.speech import ELEVENLABS_VOICES, OPENAI_OWN_VOICE, Answer

REFUSED_TEXT = Answer(400, {"error": {"message": "Your request was rejected by the safety system"}})
UNPROCESSABLE = Answer(
    422, {"detail": [{"loc": ["body", "text"], "msg": "text must not be so", "type": "value_error"}]}
)
NO_VOICE = Answer(404, {"detail": {"status": "voice_not_found", "message": "A voice with this ID was not found."}})
OPENAI_NO_VOICE = Answer(400, {"error": {"message": "Invalid voice: 'nobody'", "param": "voice"}})

HOSTILE_URLS = [
    *("http://localhost/x.mp3", "https://localhost/x.mp3", "https://user:pass@localhost/x.mp3"),
    *("https://localhost:8443/x.mp3", "https://169.254.169.254/latest/meta-data", "https://[::1]/x.mp3"),
    *("https://127.1/x.mp3", "//localhost/x.mp3", "file:///etc/passwd", "ftp://localhost/x.mp3"),
    *("concat:/etc/passwd|x.mp3", "data:audio/wav;base64,UklGRg==", "../secret.wav", "a/../../secret.wav"),
    *(
        "https://elsewhere.example/x.mp3",
        "x.mp3\\..\\y",
        "gopher://localhost:5432/_x",
        "subfile,,start,0,end,9,,:x.mp3",
    ),
    "{project}/storage/v1/object/authenticated/audio-renders/tracks/another/customers.mp3",
    "{project}/storage/v1/object/sign/audio-renders/tracks/another/customers.mp3?token=x",
    "{project}/rest/v1/tracks?select=*",
    "{project}/storage/v1/object/public/background-music/%2e%2e/voice-uploads/me.wav",
]


def hostile_files(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Files that are not what they say, and what each is refused as."""
    secret = folder / "secret.wav"
    secret.write_bytes(sound(2, "WAV"))
    whole = sound(4, "FLAC")
    return {
        "hls.m3u8": (f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{secret}\n".encode(), "media.invalid"),
        "hls.mp3": (f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:5,\n{secret}\n".encode(), "media.invalid"),
        "concat.mp3": (f"ffconcat version 1.0\nfile '{secret}'\n".encode(), "media.invalid"),
        "liar.wav": (wav_bytes(data_size=1 << 24), "media.truncated"),
        "rate.wav": (wav_bytes(rate=1), "media.invalid"),
        "channels.wav": (wav_bytes(10, channels=4000, align=2), "media.damaged"),
        "bomb.flac": (flac_of_silence(12_000), "media.too_long"),
        "film.mp4": (film(folder), "media.empty"),
        "nothing.mp3": (b"", "media.empty"),
        "text.mp3": (b"Dear customer service, my voice is attached to this mail.\n" * 200, "media.invalid"),
        "half.flac": (whole[: len(whole) // 2], "media.truncated"),
        "large.wav": (bytes(1_200_000), "media.too_large"),
    }


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.faults)])
def test_what_only_the_customer_can_change_fails_at_once_in_plain_words(place, every):
    refusals = [
        ("openai", REFUSED_TEXT, "voice.refused"),
        ("elevenlabs", UNPROCESSABLE, "voice.refused"),
        ("openai", OPENAI_NO_VOICE, "voice.unknown"),
        ("elevenlabs", REFUSED_TEXT, "voice.refused"),
        ("openai", UNPROCESSABLE, "voice.refused"),
        ("elevenlabs", NO_VOICE, "voice.unknown"),
    ]
    for provider, answer, code in refusals if every else refusals[:3]:
        # a voice that the job does not name is no choice of the customer's
        chosen = {"voice": {"id": OPENAI_OWN_VOICE if provider == "openai" else ELEVENLABS_VOICES[1]}}
        place.enqueue(
            Case(f"{provider}: {answer.body}", chosen, provider=provider, speech=(answer,) * ALWAYS, says=code)
        )
    gone = {"backgroundMusic": {"url": "gone.mp3"}}
    unpaid = place.enqueue(Case("music missing", gone, provider="openai", says="media.missing"))
    place.enqueue(
        Case("voice missing", {"voice": {"provider": "uploaded", "url": f"{CUSTOMER}/gone.wav"}}, says="media.missing")
    )
    place.enqueue(Case("no recording", {"voice": {"provider": "uploaded"}}, says="job.invalid"))
    references = [(url, "media.refused") for url in HOSTILE_URLS]
    for name, (data, code) in hostile_files(place.folder).items():
        place.project.storage.put("background-music", name, data)
        place.project.storage.put("voice-uploads", f"{CUSTOMER}/{name}", data)
        references.append((name, code))
    for number, (reference, code) in enumerate(references if every else references[::3]):
        if every or number % 2:
            place.enqueue(Case(f"music: {reference}", {"backgroundMusic": {"url": reference}}, says=code))
        if every or not number % 2:
            own = reference if code == "media.refused" else f"{CUSTOMER}/{reference}"
            voice = {"voice": {"provider": "uploaded", "url": own}}
            place.enqueue(Case(f"voice: {reference}", voice, says=code))
    place.project.storage.put("audio-renders", "tracks/another/customers.mp3", sound(2, "WAV"))
    settings = {"MEDIA_HOSTS": "localhost", "MEDIA_MAX_MB": "1", "MAX_DURATION_MIN": "2", "ON_MISSING_MUSIC": "fail"}
    with place.worker(**settings) as worker:
        place.wait(worker, ended)

    def check(job: Placed) -> None:
        row = row_of(place.dsn, job.job_id)
        assert (row["status"], row["attempt"], row["error_code"]) == ("failed", 1, job.case.says), row["error"]
        place.check_unpublished(job)
        assert 20 < len(row["error"]) < 160
        odd = re.findall(
            r"[0-9a-f]{16}|https?:|/|\\|\[|localhost|secret|Error|Traceback|demuxer|SUPABASE", row["error"]
        )
        assert not odd, row["error"]
        assert place.asked_to_go_on(job) == (bool(job.case.provider) and job is not unpaid)

    place.each(check)
    assert not [request for request in place.speech.requests if unpaid.word in str(request["body"])], "paid for nothing"
