"""Music of the app: from its Supabase project, or from a folder where there is none."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from fetching import HOSTS, SONG, own
from pydantic import SecretStr
from standins.foreign_host import ForeignHost
from standins.keys import SECRET_KEY, SERVICE_JWT
from standins.postgrest import SERVICE_KEY
from standins.storage import Storage
from standins.storage_project import Bucket

from worker.config import Config
from worker.errors import ConfigurationError, MediaError, TransientError


@pytest.mark.parametrize(
    "reference",
    [
        "calm/deep sea.mp3",
        "{origin}/storage/v1/object/public/background-music/calm/deep%20sea.mp3",
        "{origin}/storage/v1/object/sign/background-music/calm/deep%20sea.mp3?token=expired",
        "{origin}/storage/v1/object/authenticated/background-music/calm/deep%20sea.mp3",
    ],
)
def test_own_objects_are_fetched_with_the_key(
    project: Config, storage: Storage, tmp_path: Path, reference: str
) -> None:
    storage.buckets["background-music"].public = False
    path = own(project, tmp_path, reference.format(origin=project.supabase_url))
    assert path.read_bytes() == SONG
    assert storage.asked == ["GET /object/authenticated/background-music/calm/deep%20sea.mp3"]
    assert storage.keys == [SERVICE_KEY]


def test_own_objects_are_kept_by_etag(project: Config, storage: Storage, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        assert own(project, tmp_path, "calm/deep sea.mp3", cache_dir=cache).read_bytes() == SONG
    storage.put("background-music", "calm/deep sea.mp3", b"new")
    assert own(project, tmp_path, "calm/deep sea.mp3", cache_dir=cache).read_bytes() == b"new"
    assert storage.statuses == [200, 304, 200]


def test_missing_music_fails_the_job_plainly(project: Config, tmp_path: Path) -> None:
    with pytest.raises(MediaError) as caught:
        own(project, tmp_path, "gone.mp3")
    assert caught.value.code == "media.missing"
    assert "background-music/gone.mp3" in caught.value.message
    assert "could not be found" in caught.value.customer_message
    assert "background-music/" not in caught.value.customer_message


def test_a_missing_bucket_is_the_operators_only_where_the_worker_chose_it(
    project: Config, storage: Storage, tmp_path: Path
) -> None:
    with pytest.raises(MediaError):
        own(project, tmp_path, f"{project.supabase_url}/storage/v1/object/public/background-music/a.mp3")
    del storage.buckets["background-music"]
    with pytest.raises(MediaError):
        own(project, tmp_path, f"{project.supabase_url}/storage/v1/object/public/background-music/a.mp3")
    with pytest.raises(ConfigurationError, match="no bucket 'background-music'"):
        own(project, tmp_path, "a.mp3")


def test_a_refused_key_is_the_operators(project: Config, tmp_path: Path) -> None:
    wrong = Config(supabase_url=project.supabase_url, supabase_service_role_key="wrong")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_ROLE_KEY"):
        own(wrong, tmp_path, "calm/deep sea.mp3")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"statusCode":"500","error":"Internal","message":"Internal Server Error"}'),
        (544, b'{"statusCode":"544","error":"DatabaseTimeout","message":"The connection timed out"}'),
        (400, b'{"statusCode":"503","error":"SlowDown","message":"Please reduce your rate"}'),
        (400, b'{"statusCode":"423","error":"ResourceLocked","message":"The resource is locked"}'),
        (502, b"<html>bad gateway</html>"),
        (429, b'{"message":"API rate limit exceeded"}'),
    ],
)
def test_passing_faults_are_tried_again(
    project: Config, storage: Storage, tmp_path: Path, status: int, body: bytes
) -> None:
    storage.fault("GET", "deep", "answer", times=2, status=status, body=body)
    assert own(project, tmp_path, "calm/deep sea.mp3").read_bytes() == SONG
    storage.fault("GET", "deep", "answer", times=3, status=status, body=body)
    with pytest.raises(TransientError):
        own(project, tmp_path, "calm/deep sea.mp3")


@pytest.mark.parametrize("kind", ["drop", "truncate", "drop after"])
def test_a_dropped_connection_is_made_good(project: Config, storage: Storage, tmp_path: Path, kind: str) -> None:
    storage.fault("GET", "deep", kind, times=2, after_bytes=500)
    assert own(project, tmp_path, "calm/deep sea.mp3").read_bytes() == SONG
    assert len(storage.asked) == 3


def test_the_key_follows_no_redirect(project: Config, storage: Storage, host: ForeignHost, tmp_path: Path) -> None:
    storage.fault("GET", "deep", "answer", status=302, headers={"Location": "https://media.example.com/a.mp3"})
    config = project.model_copy(update={"media_hosts": HOSTS})
    with pytest.raises(ConfigurationError, match="redirect"):
        own(config, tmp_path, "calm/deep sea.mp3")
    assert host.asked == []


@pytest.mark.parametrize("key", [SERVICE_JWT, SECRET_KEY])
def test_both_kinds_of_key_fetch_media(project: Config, storage: Storage, tmp_path: Path, key: str) -> None:
    storage.buckets["background-music"].public = False
    config = project.model_copy(update={"supabase_service_role_key": SecretStr(key)})
    assert own(config, tmp_path, "calm/deep sea.mp3").read_bytes() == SONG
    assert storage.keys == [key]


NAMES = ("caf\u00e9.mp3", "cafe\u0301.mp3")


@pytest.mark.parametrize("stored", NAMES)
@pytest.mark.parametrize("asked", NAMES)
def test_accents_are_found_in_either_form(
    project: Config, storage: Storage, tmp_path: Path, stored: str, asked: str
) -> None:
    storage.put("background-music", stored, SONG)
    url = f"{project.supabase_url}/storage/v1/object/public/background-music/{quote(asked)}"
    for reference in (asked, url):
        assert own(project, tmp_path, reference).read_bytes() == SONG
    (tmp_path / "out/background-music").mkdir(parents=True)
    (tmp_path / "out/background-music" / stored).write_bytes(SONG)
    assert own(Config(storage_dir=tmp_path / "out"), tmp_path, asked).read_bytes() == SONG


def test_a_name_that_is_there_in_no_form_is_missing_as_it_was_given(project: Config, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=NAMES[1]) as caught:
        own(project, tmp_path, NAMES[1])
    assert caught.value.code == "media.missing"


def test_a_missing_name_lists_every_form_that_was_looked_for(project: Config, tmp_path: Path) -> None:
    for config in (project, Config(storage_dir=tmp_path / "out")):
        with pytest.raises(MediaError) as caught:
            own(config, tmp_path, f"loud/{NAMES[0]}")
        looked = r"(looked for 'loud/caf\xe9.mp3', 'loud/cafe\u0301.mp3'; its folder has no objects"
        assert f"does not exist {looked}" in caught.value.message


def in_a_folder(config: Config, storage: Storage, tmp_path: Path, *, hosted: bool) -> Config:
    """A project whose music is the stand-in's, or the same tree on disk."""
    if hosted:
        return config
    for (bucket, key), found in storage.objects.items():
        path = tmp_path / "out" / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found.data)
    return Config(storage_dir=tmp_path / "out")


@pytest.mark.parametrize("hosted", [True, False], ids=["supabase", "folder"])
@pytest.mark.parametrize(
    "asked", ["Deep Sea.mp3", "deep  sea.mp3", "deep_sea.mp3", "DEEP SEA.MP3", "deep\u00a0sea.mp3"]
)
def test_an_object_is_found_whatever_its_case_and_spaces(
    project: Config, storage: Storage, tmp_path: Path, asked: str, hosted: bool
) -> None:
    config = in_a_folder(project, storage, tmp_path, hosted=hosted)
    assert own(config, tmp_path, f"calm/{asked}").read_bytes() == SONG
    storage.put("background-music", "calm/Deep sea.mp3", b"another")
    config = in_a_folder(project, storage, tmp_path, hosted=hosted)
    with pytest.raises(MediaError) as caught:  # which of the two is meant, nobody knows
        own(config, tmp_path, f"calm/{asked}")
    assert caught.value.code == "media.missing"
    assert "is not clear: 'calm/Deep sea.mp3', 'calm/deep sea.mp3')" in caught.value.message


def test_a_folder_is_listed_once_and_only_after_the_exact_names(
    project: Config, storage: Storage, tmp_path: Path
) -> None:
    listings: dict = {}
    assert own(project, tmp_path, "calm/deep sea.mp3", listings=listings).read_bytes() == SONG
    assert own(project, tmp_path, "calm/Deep Sea.mp3", listings=listings).read_bytes() == SONG
    with pytest.raises(MediaError):
        own(project, tmp_path, "calm/gone.mp3", listings=listings)
    listing = "POST /object/list/background-music"
    assert [asked if asked == listing else unquote(asked.rpartition("/")[2]) for asked in storage.asked] == [
        "deep sea.mp3", "Deep Sea.mp3", listing, "deep sea.mp3", "gone.mp3",
    ]  # fmt: skip


def test_a_folder_too_large_to_compare_is_said_and_nothing_is_guessed(
    project: Config, storage: Storage, tmp_path: Path
) -> None:
    for number in range(1000):
        storage.put("background-music", f"calm/{number}.mp3", SONG)
    for hosted in (True, False):
        config = in_a_folder(project, storage, tmp_path, hosted=hosted)
        with pytest.raises(MediaError, match="its folder has 1000 objects or more, too many to compare with"):
            own(config, tmp_path, "calm/Deep Sea.mp3")


def test_a_similar_name_in_a_folder_of_another_case_is_told(project: Config, storage: Storage, tmp_path: Path) -> None:
    """Storage lists `calm/` for `Calm`, too."""
    storage.put("background-music", "Calm/rain.mp3", SONG)
    with pytest.raises(MediaError, match=r"'Calm/deep sea\.mp3' is listed, but not there"):
        own(project, tmp_path, "Calm/Deep Sea.mp3")


def test_a_similar_recording_is_read_below_the_customers_own_folder_only(
    project: Config, storage: Storage, tmp_path: Path
) -> None:
    storage.put("voice-uploads", "u1/My Voice.wav", SONG)
    storage.put("voice-uploads", "U2/My Voice.wav", SONG)
    storage.put("voice-uploads", "u2/sub/My Voice.wav", SONG)
    mine = {"what": "uploaded voice", "user_id": "u1"}
    assert own(project, tmp_path, "u1/my voice.wav", **mine).read_bytes() == SONG
    before = len(storage.asked)
    with pytest.raises(MediaError) as caught:
        own(project, tmp_path, "U2/my voice.wav", **mine)
    assert caught.value.code == "media.refused"
    assert len(storage.asked) == before  # not even listed
    with pytest.raises(MediaError) as caught:
        own(project, tmp_path, "u2/my voice.wav", what="uploaded voice", user_id="u2")
    assert caught.value.code == "media.missing"


def test_a_listing_that_fails_is_tried_again_like_any_request(
    project: Config, storage: Storage, tmp_path: Path
) -> None:
    storage.fault("POST", "/object/list", "answer", times=2, status=502, body=b"<html>bad gateway</html>")
    assert own(project, tmp_path, "calm/Deep Sea.mp3").read_bytes() == SONG
    storage.fault("POST", "/object/list", "answer", times=9, status=200, body=b'{"not": "a list"}')
    with pytest.raises(TransientError):
        own(project, tmp_path, "calm/Deep Sea.mp3")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"statusCode":"404","error":"not_found","message":"Object not found"}', 400, "media.missing"),
        (b'{"statusCode":"404","error":"Bucket not found","message":"Bucket not found"}', 400, "media.refused"),
        (b'{"statusCode":"400","error":"InvalidSignature","message":"The signature is invalid"}', 400, "media.refused"),
        (b'{"statusCode":"400","error":"InvalidJWT","message":"jwt expired"}', 400, "media.refused"),
    ],
)
def test_what_storage_says_of_an_open_url(
    project: Config, storage: Storage, tmp_path: Path, body: bytes, status: int, code: str
) -> None:
    """The signature is the customer's, not ours: a refusal is theirs, and the key is not sent."""
    storage.fault("GET", "covers", "answer", status=status, body=body)
    url = f"{project.supabase_url}/storage/v1/object/sign/covers/a.png?token=ey.x.y"
    with pytest.raises(MediaError) as caught:
        own(project, tmp_path, url, what="cover")
    assert caught.value.code == code
    assert "ey.x.y" not in caught.value.message
    assert storage.keys == [""]


def test_an_open_url_that_stumbles_is_tried_again(project: Config, storage: Storage, tmp_path: Path) -> None:
    storage.buckets["covers"] = Bucket("covers", public=True)
    storage.put("covers", "a.png", SONG)
    storage.fault("GET", "covers", "answer", times=2, status=400, body=b'{"statusCode":"503","error":"SlowDown"}')
    url = f"{project.supabase_url}/storage/v1/object/public/covers/a.png"
    cache = tmp_path / "cache"
    for _ in range(2):
        assert own(project, tmp_path, url, what="cover", cache_dir=cache).read_bytes() == SONG
    assert storage.statuses == [200, 304]
    storage.fault("GET", "covers", "answer", status=302, headers={"Location": "https://evil.example.com/"})
    with pytest.raises(MediaError) as caught:
        own(project, tmp_path, url, what="cover")
    assert caught.value.code == "media.refused"


def test_recordings_in_the_local_tree(tmp_path: Path) -> None:
    """The operator's own machine: any of them without a customer, a customer's own with one."""
    for name in ("me.wav", "u1/me.wav", "u2/me.wav"):
        path = tmp_path / "out/voice-uploads" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(SONG)
    config = Config(storage_dir=tmp_path / "out")
    for name in ("me.wav", "u2/me.wav"):
        assert own(config, tmp_path, name, what="uploaded voice").read_bytes() == SONG
    assert own(config, tmp_path, "u1/me.wav", what="uploaded voice", user_id="u1").read_bytes() == SONG
    for name in ("me.wav", "u2/me.wav", "u1/../u2/me.wav"):
        with pytest.raises(MediaError) as caught:
            own(config, tmp_path, name, what="uploaded voice", user_id="u1")
        assert caught.value.code == "media.refused"


def test_other_buckets_may_be_listed(project: Config, storage: Storage, tmp_path: Path) -> None:
    for bucket in ("our-music", "our-voices"):
        storage.buckets[bucket] = Bucket(bucket)
    storage.put("our-music", "a.mp3", SONG)
    storage.put("our-voices", "u1/a.wav", SONG)
    config = project.model_copy(update={"media_buckets": ("our-music",), "voice_buckets": ("our-voices",)})
    assert own(config, tmp_path, "a.mp3").read_bytes() == SONG
    assert own(config, tmp_path, "u1/a.wav", what="uploaded voice", user_id="u1").read_bytes() == SONG
    with pytest.raises(MediaError, match="MEDIA_BUCKETS does not list"):
        own(config, tmp_path, f"{project.supabase_url}/storage/v1/object/public/background-music/calm/deep%20sea.mp3")


def test_without_supabase_names_are_files(tmp_path: Path) -> None:
    (tmp_path / "out/background-music").mkdir(parents=True)
    (tmp_path / "out/background-music/a.mp3").write_bytes(SONG)
    (tmp_path / "secret.mp3").write_bytes(b"secret")
    (tmp_path / "out/background-music/link.mp3").symlink_to(tmp_path / "secret.mp3")
    config = Config(storage_dir=tmp_path / "out")
    assert own(config, tmp_path, "a.mp3").read_bytes() == SONG
    for reference, code in (
        ("b.mp3", "media.missing"),
        ("k" * 300, "media.missing"),
        ("../../secret.mp3", "media.refused"),
        ("link.mp3", "media.refused"),
        ("https://project.supabase.co/storage/v1/object/public/background-music/a.mp3", "media.refused"),
    ):
        with pytest.raises(MediaError) as caught:
            own(config, tmp_path, reference)
        assert caught.value.code == code


def test_the_command_line_reads_every_recording_but_no_other_bucket(
    project: Config, storage: Storage, tmp_path: Path
) -> None:
    """Its user holds the key."""
    storage.put("voice-uploads", "u2/me.wav", SONG)
    storage.buckets["backups"] = Bucket("backups")
    storage.put("backups", "me.wav", SONG)
    from worker.tasks.files import beside

    fetch = beside(tmp_path / "job", project.model_copy(update={"cache_dir": tmp_path / "cache"}))
    own_url = f"{project.supabase_url}/storage/v1/object/authenticated"
    for reference in ("u2/me.wav", f"{own_url}/voice-uploads/u2/me.wav"):
        assert fetch(reference, into=tmp_path, what="uploaded voice").read_bytes() == SONG
    with pytest.raises(MediaError):
        fetch(f"{own_url}/backups/me.wav", into=tmp_path, what="uploaded voice")
    for customer in (None, "", "u1"):
        with pytest.raises(MediaError) as caught:
            own(project, tmp_path, "u2/me.wav", what="uploaded voice", user_id=customer)
        assert caught.value.code == "media.refused"
