"""What a job may name: references to the app's own objects, to allowed hosts, and all that is refused."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest

from worker.errors import MediaError
from worker.media.guarded_http import is_public
from worker.media.reference import OpenUrl, OutsideUrl, Place, Reach, StoredObject, parse_reference, similar_keys

ORIGIN = "https://ref.supabase.co"
HOSTS = ("media.example.com", "*.cdn.example.com")


MUSIC = Reach(("background-music", "m"))
MINE = Reach(("voices", "samples"), folder="u1/", setting="VOICE_BUCKETS")
COVERS = Reach(())


def parse(reference: str, origin: str | None = ORIGIN, reach: Reach = MUSIC) -> Place:
    return parse_reference(reference, reach=reach, origin=origin, hosts=HOSTS)


@pytest.mark.parametrize(
    ("reference", "bucket", "key"),
    [
        ("serene.mp3", "background-music", "serene.mp3"),
        ("  serene.mp3\n", "background-music", "serene.mp3"),
        ("calm/deep sea.mp3", "background-music", "calm/deep sea.mp3"),
        ("50%25.mp3", "background-music", "50%25.mp3"),  # a bare name is a name, not a URL
        (f"{ORIGIN}/storage/v1/object/public/background-music/a%20b.mp3", "background-music", "a b.mp3"),
        (f"{ORIGIN}/storage/v1/object/sign/m/u1/me.webm?token=ey.J.x", "m", "u1/me.webm"),
        (f"{ORIGIN}/storage/v1/object/authenticated/m/u1/me.wav", "m", "u1/me.wav"),
        (f"{ORIGIN}/storage/v1/object/m/me.wav", "m", "me.wav"),
        (f"{ORIGIN}:443/storage/v1/object/public/m/x.mp3", "m", "x.mp3"),
        ("https://REF.supabase.co/storage/v1/object/public/m/x.mp3", "m", "x.mp3"),
        ("https://ref.storage.supabase.co/storage/v1/object/public/m/x.mp3", "m", "x.mp3"),
    ],
)
def test_own_objects_are_known_in_every_form(reference: str, bucket: str, key: str) -> None:
    place = parse(reference)
    assert isinstance(place, StoredObject)
    assert (place.bucket, place.key) == (bucket, key)


def test_a_local_stack_may_speak_http() -> None:
    place = parse("http://127.0.0.1:54321/storage/v1/object/public/m/x.mp3", "http://127.0.0.1:54321")
    assert place == StoredObject("m", ("x.mp3",), named=False)


def test_http_is_for_this_machine_only() -> None:
    with pytest.raises(MediaError, match="only https"):
        parse("http://supabase.internal/storage/v1/object/public/m/x.mp3", "http://supabase.internal")


@pytest.mark.parametrize(
    ("reference", "host", "target"),
    [
        ("https://media.example.com/a.mp3", "media.example.com", "/a.mp3"),
        ("https://MEDIA.example.com./a b.mp3?x=1", "media.example.com", "/a%20b.mp3?x=1"),
        ("https://a.cdn.example.com", "a.cdn.example.com", "/"),
        ("https://a.b.cdn.example.com:443/é.mp3", "a.b.cdn.example.com", "/%C3%A9.mp3"),
        ("https://media.example.com/a.mp3#t=5", "media.example.com", "/a.mp3"),
    ],
)
def test_allowed_hosts(reference: str, host: str, target: str) -> None:
    assert parse(reference) == OutsideUrl(host, target)


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "   ",
        "x" * 5000,
        # other schemes
        "http://media.example.com/a.mp3",
        "ftp://media.example.com/a.mp3",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "data:audio/mpeg;base64,AAAA",
        "gopher://media.example.com/",
        "concat:a.mp3|b.mp3",
        "subfile,,start,0,end,0,,:/etc/passwd",
        "pipe:0",
        "//media.example.com/a.mp3",
        "https:media.example.com/a.mp3",
        "https:///a.mp3",
        # hosts
        "https://evil.example.com/a.mp3",
        "https://cdn.example.com/a.mp3",  # *.suffix is below the suffix only
        "https://evilcdn.example.com/a.mp3",
        "https://media.example.com.evil.org/a.mp3",
        "https://evil.org/https://media.example.com/a.mp3",
        "https://evil.org#@media.example.com/a.mp3",
        "https://evil.org\\@media.example.com/a.mp3",
        "https://media.example.com\\.evil.org/a.mp3",
        "https://media\u3002example\u3002com/a.mp3",  # ideographic full stops
        "https://ｍedia.example.com/a.mp3",
        "https://media.example.com\x00.evil.org/a.mp3",
        "https://media.example.com\t.evil.org/a.mp3",
        "https://127.0.0.1/a.mp3",
        "https://localhost/a.mp3",
        "https://2130706433/a.mp3",
        "https://0x7f.1/a.mp3",
        "https://[::1]/a.mp3",
        "https://[::ffff:127.0.0.1]/a.mp3",
        "https://[fe80::1%25eth0]/a.mp3",
        "https://169.254.169.254/latest/meta-data/",
        "https://metadata.google.internal/",
        # credentials and ports
        "https://user:secret@media.example.com/a.mp3",
        "https://media.example.com@evil.org/a.mp3",
        "https://@media.example.com/a.mp3",
        "https://media.example.com:8443/a.mp3",
        "https://media.example.com:22/a.mp3",
        "https://media.example.com:99999/a.mp3",
        # our own project, but no object; or not quite our own project
        f"{ORIGIN}/rest/v1/tracks?select=*",
        f"{ORIGIN}/auth/v1/admin/users",
        f"{ORIGIN}/storage/v1/bucket/background-music",
        f"{ORIGIN}/storage/v1/object/list/background-music",
        f"{ORIGIN}/storage/v1/object/public/background-music/",
        "http://ref.supabase.co/storage/v1/object/public/m/x.mp3",
        f"{ORIGIN}:8443/storage/v1/object/public/m/x.mp3",
        "https://other.supabase.co/storage/v1/object/public/m/x.mp3",
        "https://ref.supabase.co.evil.org/storage/v1/object/public/m/x.mp3",
        "https://ref.supabase.co@evil.org/storage/v1/object/public/m/x.mp3",
        # other customers' tracks
        f"{ORIGIN}/storage/v1/object/authenticated/audio-renders/tracks/t/j.mp3",
        f"{ORIGIN}/storage/v1/object/audio%2Drenders/tracks/t/j.mp3?token=x",
        f"{ORIGIN}/storage/v1/object/public/audio-renders/tracks/t/j.mp3",
        f"{ORIGIN}/storage/v1/object/public/Background-Music/x.mp3",
        f"{ORIGIN}/storage/v1/object/public/background%252Dmusic/x.mp3",
        # out of the bucket
        "../audio-renders/tracks/t/j.mp3",
        "a/../../b.mp3",
        "./a.mp3",
        "a//b.mp3",
        "/etc/passwd",
        "a.mp3/",
        "..\\..\\etc\\passwd",
        "a\x00.mp3",
        "a\r\nHost: evil.org",
        "k" * 1025,
        "a\ud800.mp3",
        "https://media.example.com/\udfff.mp3",
        f"{ORIGIN}/storage/v1/object/public/background-music/../audio-renders/t.mp3",
        f"{ORIGIN}/storage/v1/object/public/background-music/%2e%2e/audio-renders/t.mp3",
        f"{ORIGIN}/storage/v1/object/public/background-music/..%2Faudio-renders/t.mp3",
        f"{ORIGIN}/storage/v1/object/public/background-music/a%0d%0ab.mp3",
        f"{ORIGIN}/storage/v1/object/public/background-music/%ff.mp3",
    ],
)
def test_hostile_references_are_refused(reference: str) -> None:
    with pytest.raises(MediaError) as caught:
        parse(reference)
    assert caught.value.code == "media.refused"
    said = caught.value.message
    assert "secret" not in said
    assert "token" not in said
    assert said.isprintable()
    assert "MEDIA_HOSTS" not in caught.value.customer_message


OBJECT = f"{ORIGIN}/storage/v1/object"
ELSEWHERE = "https://old-project.supabase.co/storage/v1/object"


def wrapped(inner: str, times: int, quoted: str | None = None) -> str:
    """As the app makes it: a whole URL where the object's name belongs; `quoted` says what of it was encoded."""
    for _ in range(times):
        inner = f"{OBJECT}/public/background-music/{inner if quoted is None else quote(inner, safe=quoted)}"
    return inner


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("quoted", [None, "", ":/", "/"], ids=["as it is", "all", "encodeURI", "but slashes"])
@pytest.mark.parametrize("name", ["rain.mp3", "calm/deep%20sea.mp3", "caf%C3%A9.mp3"])
def test_a_storage_url_within_storage_urls_is_unwrapped(name: str, quoted: str | None, times: int) -> None:
    place = parse(wrapped(f"{OBJECT}/public/m/{name}", times, quoted))
    assert isinstance(place, StoredObject)
    assert place.bucket == "m"
    assert unquote(name) in place.keys


@pytest.mark.parametrize(
    ("reference", "keys"),
    [
        (f"{OBJECT}/sign/background-music/{OBJECT}/sign/m/rain.mp3?token=ey.J.x", ("rain.mp3",)),
        (f"{OBJECT}/public/background-music/https:/ref.supabase.co/storage/v1/object/public/m/rain.mp3", ("rain.mp3",)),
        (f"{OBJECT}/public/background-music/HTTPS://REF.supabase.co/storage/v1/object/public/m/x.mp3", ("x.mp3",)),
        (f"{ELSEWHERE}/public/background-music/{OBJECT}/public/m/rain.mp3", ("rain.mp3",)),
        (f"{OBJECT}/public/m/50%25.mp3", ("50%.mp3",)),
        (f"{OBJECT}/public/m/https.mp3", ("https.mp3",)),
    ],
)
def test_odd_forms_of_wrapped_urls(reference: str, keys: tuple[str, ...]) -> None:
    place = parse(reference)
    assert isinstance(place, StoredObject)
    assert place.keys == keys


def test_an_outside_url_may_be_wrapped_too() -> None:
    assert parse(wrapped("https://media.example.com/a.mp3", 2)) == OutsideUrl("media.example.com", "/a.mp3")


@pytest.mark.parametrize(
    "inner",
    [
        f"{OBJECT}/authenticated/audio-renders/tracks/t/j.mp3",
        f"{OBJECT}/public/backups/all.sql",
        f"{OBJECT}/public/m/../backups/all.sql",
        f"{OBJECT}/public/m/%2e%2e/backups/all.sql",
        f"{ORIGIN}/rest/v1/tracks?select=*",
        "https://evil.example.com/a.mp3",
        "http://media.example.com/a.mp3",
        "https://169.254.169.254/latest/meta-data/",
        "https://user:pass@media.example.com/a.mp3",
    ],
)
@pytest.mark.parametrize("quoted", [None, "", ":/"])
@pytest.mark.parametrize("times", [1, 3])
def test_what_is_wrapped_is_judged_after_unwrapping(inner: str, quoted: str | None, times: int) -> None:
    with pytest.raises(MediaError) as caught:
        parse(wrapped(inner, times, quoted))
    assert caught.value.code == "media.refused"


def test_a_url_wrapped_without_end_is_refused() -> None:
    with pytest.raises(MediaError) as caught:
        parse("https://h/storage/v1/object/b/" * 120 + "https://h/storage/v1/object/b/x")
    assert caught.value.code == "media.refused"


def test_every_unicode_form_of_a_name_is_meant() -> None:
    composed, decomposed = "caf\u00e9.mp3", "cafe\u0301.mp3"
    for name, other in ((composed, decomposed), (decomposed, composed)):
        place = parse(name)
        assert isinstance(place, StoredObject)
        assert place.keys == (name, other)
        assert parse(f"{OBJECT}/public/m/{quote(name)}") == StoredObject("m", (name, other), named=False)


# -- what the service key may read

OTHERS = [
    "u2/me.wav",
    "me.wav",
    "u1",
    "u1x/me.wav",
    "U1/me.wav",
    "u1%2fme.wav",  # a bare name is a name: this one has no slash
    "u2/u1/me.wav",
    "u1/../u2/me.wav",
    "u1/%2e%2e/u2/me.wav",
    "u1/%252e%252e/u2/me.wav",
    "u1/..%2fu2/me.wav",
    "u1//../u2/me.wav",
    "/u1/me.wav",
    "./u1/me.wav",
    "\uff551/me.wav",
]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("form", ["{}", OBJECT + "/authenticated/voices/{}", OBJECT + "/public/voices/{}"])
def test_a_recording_is_read_below_the_customers_own_folder_only(form: str, name: str) -> None:
    if "%2f" in name and form != "{}" and name == "u1%2fme.wav":
        assert isinstance(parse(form.format(name), reach=MINE), StoredObject)  # in a URL it is the customer's own
        return
    with pytest.raises(MediaError) as caught:
        parse(form.format(name), reach=MINE)
    assert caught.value.code == "media.refused"
    assert "u2" not in caught.value.customer_message


@pytest.mark.parametrize(
    "reference", ["u1/me.wav", f"{OBJECT}/sign/voices/u1/me.wav?token=old", f"{OBJECT}/public/samples/u1/a/b.wav"]
)
def test_a_customers_own_recording_is_read_with_the_key(reference: str) -> None:
    place = parse(reference, reach=MINE)
    assert isinstance(place, StoredObject)
    assert place.key.startswith("u1/")


@pytest.mark.parametrize("reach", [MUSIC, MINE, COVERS])
def test_a_signed_url_beyond_reach_is_fetched_as_it_stands(reach: Reach) -> None:
    place = parse(f"{OBJECT}/sign/passports/u%202/me.png?token=ey.J.x&download=", reach=reach)
    assert place == OpenUrl("/storage/v1/object/sign/passports/u%202/me.png?token=ey.J.x")
    assert "ey.J.x" not in place.label


def test_a_cover_is_fetched_by_public_and_signed_urls_only() -> None:
    assert parse(f"{OBJECT}/public/covers/a.png", reach=COVERS) == OpenUrl("/storage/v1/object/public/covers/a.png")
    assert parse("https://media.example.com/a.png", reach=COVERS) == OutsideUrl("media.example.com", "/a.png")
    for reference in (f"{OBJECT}/authenticated/covers/a.png", f"{OBJECT}/covers/a.png", "a.png", "covers/a.png"):
        with pytest.raises(MediaError) as caught:
            parse(reference, reach=COVERS)
        assert caught.value.code == "media.refused"


@pytest.mark.parametrize("bucket", ["audio-renders", "backups", "identity-documents", "Background-Music", "m2"])
@pytest.mark.parametrize("way", ["public/", "authenticated/", ""])
def test_a_bucket_that_is_not_listed_is_named_to_operators_only(bucket: str, way: str) -> None:
    with pytest.raises(MediaError) as caught:
        parse(f"{OBJECT}/{way}{bucket}/a.mp3")
    assert caught.value.code == "media.refused"
    assert bucket in caught.value.message
    assert "MEDIA_BUCKETS" in caught.value.message
    assert bucket not in caught.value.customer_message
    assert "MEDIA" not in caught.value.customer_message


def test_the_bucket_of_a_url_cannot_hide_a_slash() -> None:
    with pytest.raises(MediaError):
        parse(f"{ORIGIN}/storage/v1/object/public/audio-renders%2Ftracks/t/j.mp3")


def test_one_identity_for_each_signature_of_one_file() -> None:
    links = [
        "https://media.example.com/a.mp3?v=2&X-Amz-Signature=1&X-Amz-Date=2&Expires=3",
        "https://media.example.com/a.mp3?v=2&X-Amz-Signature=9&token=8",
    ]
    identities = {place.identity for link in links if isinstance(place := parse(link), OutsideUrl)}
    assert identities == {"https://media.example.com/a.mp3?v=2"}
    place = parse(links[0])
    assert place.label == "https://media.example.com/a.mp3"


# -- addresses


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("64:ff9b::7f00:1", False),
        ("0.0.0.0", False),  # noqa: S104 - asked about, not bound to
        ("127.0.0.1", False),
        ("127.8.9.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("192.0.0.8", False),
        ("192.0.2.1", False),
        ("192.88.99.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", False),
        ("64:ff9b:1::1", False),
        ("100::1", False),
        ("2001::1", False),
        ("2001:db8::1", False),
        ("2002:7f00:1::", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("fc00::1", False),
        ("fd12::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("2606:4700::1111%eth0", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("ff0e::1", False),
        ("127.1", False),
        ("nonsense", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_similar_names_stay_in_the_folder_and_within_reach() -> None:
    place = StoredObject("voices", ("u1/My  Voice.wav",), named=True)
    names = ["my voice.wav", "My  Voice.wav", "other.wav", "../u2/my voice.wav", "sub/my voice.wav"]
    assert similar_keys(place, names, MINE) == ("u1/my voice.wav",)
    assert similar_keys(place, names, Reach(("voices",), folder="u2/")) == ()
    assert similar_keys(place, names, Reach(("other",), folder="u1/")) == ()
    top = StoredObject("m", ("RAIN.mp3",), named=True)
    assert similar_keys(top, ["rain.mp3", "Rain.mp3", "rain.wav"], MUSIC) == ("Rain.mp3", "rain.mp3")
