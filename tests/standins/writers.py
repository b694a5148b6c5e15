"""Jobs as each writer of the app's queue writes them, with its habits; and what stands in the track's row."""

from __future__ import annotations

from typing import Any

SCRIPT = "I am calm. I let this day go."
GAINS = {"voiceDb": -1, "musicDb": -10, "solfeggioDb": -18, "binauralDb": -20}
CATALOGUE_ID = "0b7c1d52-6c1e-4c39-9a3b-3a9a6f5c0d11"
MUSIC = "quiet-water.flac"


def queue(url: str, user_id: str) -> dict[str, dict[str, Any]]:
    """Payloads by writer.

    Parameters
    ----------
    url : str
        Of the project.
    user_id : str
        The customer's, below whose folder recordings are.
    """
    public = f"{url}/storage/v1/object/public/background-music/{MUSIC}"
    checkout = {
        "script": SCRIPT,
        "voice": {"provider": "openai", "id": "nova", "model": "tts-1", "speed": 0.9},
        "durationMin": 5,
        "pauseSec": 5,
        "loopMode": True,
        "startDelaySec": 3,
        "backgroundMusic": {"id": CATALOGUE_ID, "name": "Quiet Water", "url": public},
        "solfeggio": None,
        "binaural": None,
        "gains": GAINS,
    }
    premium = {"provider": "elevenlabs", "id": "21m00Tcm4TlvDq8ikWAM", "model": "tts-1", "speed": 0.9}
    cloned = {"provider": "elevenlabs", "id": "EXAVITQu4vr4xnSDxMaL", "model": "tts-1", "speed": 0.5}
    nulls = dict.fromkeys(("fade", "safety", "carrierType", "carrierGainDb", "gains"))
    return {
        "checkout": checkout,
        "checkout, premium voice": {**checkout, "voice": premium},
        "checkout, cloned voice, slow": {**checkout, "voice": cloned},
        "checkout, music wrapped twice": {
            **checkout,
            **nulls,
            "loopMode": False,
            "backgroundMusic": {
                "id": "quiet-water",
                "name": "Quiet Water",
                "url": public.replace(MUSIC, public),
            },
        },
        "checkout, music that is gone": {
            **checkout,
            "backgroundMusic": {"id": "gone", "name": "Gone", "url": public.replace("quiet", "lost")},
        },
        "checkout, a script longer than its track": {**checkout, "script": f"{SCRIPT} " * 160, "durationMin": 1},
        "edit, music by slug": {
            **checkout,
            "voice": {"provider": "openai", "id": "nova", "model": "tts-1", "speed": 1.4},
            "startDelaySec": 300,
            "backgroundMusic": {"id": "quiet-water", "name": "Quiet Water"},
            "solfeggio": {"enabled": True, "hz": 528},
            "binaural": {"enabled": True, "band": "theta"},
        },
        "recording": {
            **checkout,
            "script": "",
            "voice": {
                "provider": "uploaded",
                "model": "tts-1",
                "speed": 1.5,
                "url": f"{url}/storage/v1/object/sign/voice-uploads/{user_id}/me.wav?token=x",
            },
        },
        "tones only": {
            "durationMin": 30,
            "solfeggio": {"enabled": True, "hz": 396},
            "binaural": {"enabled": True, "band": "delta", "carrierHz": 180},
            "carrierType": "pink",
            "carrierGainDb": -30,
            "voice": None,
            "backgroundMusic": None,
        },
        "all layers": {
            **checkout,
            "durationMin": 10,
            "solfeggio": {"enabled": True, "hz": 528, "volume_db": -18},
            "binaural": {"enabled": True, "band": "theta", "carrierHz": None, "beatHz": None, "volume_db": -20},
        },
        "edge function": {
            "script": "I meet this day with a quiet mind and an open heart.",
            "voice": {
                "provider": "elevenlabs",
                "voice_id": "21m00Tcm4TlvDq8ikWAM",
                "settings": {"speed": 1.0, "stability": 0.5, "similarity_boost": 0.75},
            },
            "background_music": {"track_id": MUSIC, "volume": -20},
            "solfeggio": {"frequency": 417, "volume": -30},
            "binaural": {"base_frequency": 200, "beat_frequency": 7, "volume": -30},
            "output": {"format": "mp3", "quality": "medium", "normalize": True, "target_lufs": -16},
        },
        "render again": {"quality": "standard", "format": "mp3", "requested_at": "2026-11-29T03:00:00Z"},
    }


def track_row(url: str) -> dict[str, Any]:
    """The columns of a track that can be rendered again; the JSON ones as Python objects."""
    return {
        "title": "Evening calm",
        "cover_image_url": f"{url}/storage/v1/object/public/covers/evening.png",
        "script": SCRIPT,
        "voice_config": {"provider": "openai", "voice_id": "nova", "model": "tts-1", "settings": {"speed": 0.9}},
        "music_config": {"id": CATALOGUE_ID, "name": "Quiet Water", "url": "", "volume_db": -12},
        "frequency_config": {
            "solfeggio": {"frequency": 528, "volume_db": -18},
            "binaural": {"band": "theta", "volume_db": -20},
        },
        "output_config": {
            "format": "mp3",
            "quality": "standard",
            "durationMin": 2,
            "loop": {"enabled": True, "pause_seconds": 5},
        },
        "start_delay_seconds": 3,
    }
