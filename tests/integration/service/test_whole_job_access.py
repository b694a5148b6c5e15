"""What a job may read: no object of another customer, whatever it names; and music in all the ways the app names it."""

from __future__ import annotations

import re
import zlib
from typing import Any

import pytest
from database import execute, row_of
from standins.queued_jobs import CUSTOMER, Case, Placed, ended, sound
from standins.storage_project import Bucket


def png() -> bytes:
    """A picture of one grey dot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = chunk(b"IHDR", bytes((0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0)))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\x7f")) + chunk(b"IEND", b"")


PNG = png()

# -- what the service key opens

ANOTHER = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.faults)])
def test_the_service_key_opens_no_object_of_another_customer(place, every):
    """A payload is written by a customer: it may name any object of the project, in any form."""
    storage, url = place.project.storage, place.project.url
    for bucket in ("identity-documents", "backups"):
        storage.buckets[bucket] = Bucket(bucket)
    image = b"\x89PNG\r\n\x1a\n" + b"a passport" * 100
    private = {
        ("identity-documents", f"{ANOTHER}/passport.png"): image,
        ("background-music", "cover.png"): image,
        ("voice-uploads", f"{ANOTHER}/me.wav"): sound(2, "WAV"),
        ("voice-uploads", f"{CUSTOMER}x/me.wav"): sound(2, "WAV"),
        ("backups", "all.wav"): sound(2, "WAV"),
        ("audio-renders", "tracks/another/customers.mp3"): sound(2, "WAV"),
    }
    for (bucket, key), data in private.items():
        storage.put(bucket, key, data)
    own = f"{url}/storage/v1/object"
    cases = [
        *({"metadata": {"cover": f"{own}/{way}identity-documents/{ANOTHER}/passport.png"}}
          for way in ("public/", "authenticated/", "", "sign/")),
        {"metadata": {"cover": "cover.png"}},
        *({"voice": {"provider": "uploaded", "url": reference}} for reference in (
            f"{own}/authenticated/voice-uploads/{ANOTHER}/me.wav",
            f"{own}/sign/voice-uploads/{ANOTHER}/me.wav?token=eyJ.x.y",
            f"{own}/public/voice-uploads/{CUSTOMER}/../{ANOTHER}/me.wav",
            f"{own}/public/voice-uploads/{CUSTOMER}/%252e%252e/{ANOTHER}/me.wav",
            f"{ANOTHER}/me.wav",
            f"{CUSTOMER}x/me.wav",
            f"{own}/authenticated/backups/all.wav",
            f"{own}/public/voice-uploads/{own}/authenticated/voice-uploads/{ANOTHER}/me.wav",
        )),
        *({"backgroundMusic": {"url": reference}, "solfeggio": None, "voice": None} for reference in (
            f"{own}/authenticated/backups/all.wav",
            f"{own}/authenticated/audio-renders/tracks/another/customers.mp3",
            f"{own}/authenticated/voice-uploads/{CUSTOMER}/me.wav",
            f"{own}/public/background-music/{own}/authenticated/backups/all.wav",
        )),
    ]  # fmt: skip
    for payload in cases[::every]:
        place.enqueue(Case(str(payload), payload, says="media.refused"))
    nobodys = place.enqueue(Case("of nobody", says="media.refused"))
    execute(place.dsn, "UPDATE audio_job_queue SET user_id = NULL WHERE id = %s", nobodys.job_id)
    execute(place.dsn, "UPDATE tracks SET user_id = NULL WHERE id = %s", nobodys.track_id)
    with place.worker() as worker:
        place.wait(worker, ended)

    def check(job: Placed) -> None:
        row = row_of(place.dsn, job.job_id)
        assert (row["status"], row["error_code"]) == ("failed", "media.refused"), row["error"]
        assert not re.findall(r"https?:|/|backups|voice-uploads|identity|MEDIA|VOICE", row["error"]), row["error"]
        place.check_unpublished(job)

    place.each(check)
    for asked, key in zip(storage.asked, storage.keys, strict=True):
        opened = [name for bucket, name in private if name in asked and "/info/" not in asked]
        assert not (opened and key), f"read with the key: {asked}"


@pytest.mark.further
def test_an_open_cover_and_a_signed_url_are_fetched_without_the_key(place):
    storage, url = place.project.storage, place.project.url
    storage.buckets["covers"] = Bucket("covers", public=True)
    storage.buckets["shared"] = Bucket("shared")
    storage.put("covers", "a.png", PNG)
    storage.put("shared", "a.png", PNG)
    storage.put("shared", "tune.flac", sound(6, "FLAC"))
    storage.put("covers", "text.png", b"no image")
    open_cover = f"{url}/storage/v1/object/public/covers/a.png"
    place.enqueue(Case("public cover", {"metadata": {"cover": open_cover}}))
    place.enqueue(Case("signed cover", {"metadata": {"cover": url + storage.signed("shared", "a.png")}}))
    place.enqueue(Case("signed music", {"backgroundMusic": {"url": url + storage.signed("shared", "tune.flac")}}))
    expired = url + storage.signed("shared", "tune.flac", expired=True)
    place.enqueue(Case("expired", {"backgroundMusic": {"url": expired}}, layers=2, notes=("cannot be used",)))
    for name in ("gone.png", "text.png"):
        broken = {"metadata": {"cover": f"{url}/storage/v1/object/public/covers/{name}"}}
        place.enqueue(Case(f"cover: {name}", broken, notes=("cover",)))
    with place.worker() as worker:
        place.wait(worker, ended)
    place.each(place.check_delivered)
    read = [
        key for asked, key in zip(storage.asked, storage.keys, strict=True) if "covers/" in asked or "shared/" in asked
    ]
    assert len(read) == 6
    assert set(read) == {""}


# -- music as the app names it


@pytest.mark.parametrize(
    "every", [pytest.param(False, marks=pytest.mark.further), pytest.param(True, marks=pytest.mark.faults)]
)
def test_music_as_the_app_names_it(place, every):
    """`url` first, wrapped or not; else the catalogue by id or slug; else a name; accents in either form."""
    execute(place.dsn, CATALOGUE)
    place.project.postgrest.reload()
    for row in CATALOGUE_ROWS:
        execute(place.dsn, "INSERT INTO background_tracks (slug, title, url) VALUES (%s, %s, %s)", *row)
    storage, own = place.project.storage, f"{place.project.url}/storage/v1/object/public/background-music"
    execute(place.dsn, "UPDATE background_tracks SET url = replace(url, '{own}', %s)", own)
    for name in ("Gentle Rain.mp3", "cafe\u0301.flac", "only-named.flac"):
        storage.put("background-music", name, sound(6, "FLAC"))
    music: dict[str, dict[str, Any]] = {
        "url": {"id": "gone", "name": "Gone", "url": f"{own}/rain.flac"},
        "wrapped": {"id": "gone", "url": f"{own}/{own}/rain.flac"},
        "slug": {"id": "rain", "name": "Rain", "url": ""},
        "slug, url missing": {"id": "rain", "name": "Rain"},
        "slug, full URL in the catalogue": {"id": "wind", "url": None},
        "slug, wrapped URL in the catalogue": {"id": "wrapped"},
        "url that is gone": {"id": "rain", "url": f"{own}/gone.mp3"},
        "id is an object's name": {"id": "rain.flac"},
        "title": {"id": "nowhere", "name": "Gentle Rain"},
        "object's name": {"name": "only-named.flac"},
        "composed": {"url": "caf\u00e9.flac"},
        "composed, in a URL": {"url": f"{own}/caf%C3%A9.flac"},
    }
    for name, value in music.items():
        if every or name in ("wrapped", "slug", "title", "composed, in a URL"):
            place.enqueue(Case(name, {"backgroundMusic": value}))
    lost = {"id": "nowhere", "name": "Nowhere", "url": f"{own}/gone.mp3"}
    place.enqueue(Case("nowhere", {"backgroundMusic": lost}, layers=2, notes=("could not be found",)))
    private = {"id": "private"}
    place.enqueue(Case("catalogue beyond reach", {"backgroundMusic": private}, layers=2, notes=("cannot be used",)))
    with place.worker() as worker:
        place.wait(worker, ended)
    place.each(place.check_delivered)


CATALOGUE = """
CREATE TABLE IF NOT EXISTS background_tracks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug text UNIQUE, title text, url text, is_active boolean DEFAULT true);
GRANT SELECT ON background_tracks TO service_role;
"""
CATALOGUE_ROWS = [
    ("rain", "Rain", "rain.flac"),
    ("wind", "Wind", "{own}/wind.flac"),
    ("wrapped", "Wind", "{own}/{own}/wind.flac"),
    ("private", "Private", "{own}/../audio-renders/x.mp3"),
]
