"""What a job may name: references to the shop's own objects, to allowed hosts, and all that is refused."""

from __future__ import annotations

import pytest

from worker.errors import MediaError
from worker.fetch.guarded_http import is_public
from worker.fetch.media_reference import OutsideUrl, StoredObject, parse_reference

ORIGIN = "https://ref.supabase.co"
HOSTS = ("media.example.com", "*.cdn.example.com")


def parse(reference: str, origin: str | None = ORIGIN) -> StoredObject | OutsideUrl:
    return parse_reference(
        reference, bucket="background-music", origin=origin, hosts=HOSTS, closed_buckets=("audio-renders",)
    )


@pytest.mark.parametrize(
    ("reference", "bucket", "key"),
    [
        ("serene.mp3", "background-music", "serene.mp3"),
        ("  serene.mp3\n", "background-music", "serene.mp3"),
        ("calm/deep sea.mp3", "background-music", "calm/deep sea.mp3"),
        ("50%25.mp3", "background-music", "50%25.mp3"),  # a bare name is a name, not a URL
        (f"{ORIGIN}/storage/v1/object/public/background-music/a%20b.mp3", "background-music", "a b.mp3"),
        (f"{ORIGIN}/storage/v1/object/sign/voices/u1/me.webm?token=ey.J.x", "voices", "u1/me.webm"),
        (f"{ORIGIN}/storage/v1/object/authenticated/voices/u1/me.wav", "voices", "u1/me.wav"),
        (f"{ORIGIN}/storage/v1/object/voices/me.wav", "voices", "me.wav"),
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
    assert place == StoredObject("m", "x.mp3", named=False)


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
        f"{ORIGIN}/storage/v1/object/sign/audio-renders/tracks/t/j.mp3?token=x",
        f"{ORIGIN}/storage/v1/object/sign/audio%2Drenders/tracks/t/j.mp3?token=x",
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
    assert place.shown == "https://media.example.com/a.mp3"


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
