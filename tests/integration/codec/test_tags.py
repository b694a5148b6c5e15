"""What the files say about themselves, as other people's software reads it."""

from __future__ import annotations

import re
from pathlib import Path

import mutagen
import mutagen.flac
import mutagen.id3
import mutagen.mp3
import mutagen.mp4
import mutagen.wave
import numpy as np
import pytest
from audio_files import JPEG, PNG
from codec_signals import RATE, decoded, encode_sound, tones

from worker.codec.tags import COVER_BYTES, Chapter, Tags, id3v2
from worker.errors import JobError
from worker.ffmpeg.pipe import Pipe
from worker.ffmpeg.program import Ffmpeg, find_ffmpeg

FRAMES = RATE * 3
TAGS = Tags(
    title="Ruhe, 静けさ 🌙",
    artist="Mindscript",
    album="Évening",
    comment="made for you",
    cover=PNG,
    chapters=(Chapter("Eins é", 0.0, 1.0), Chapter("Zwei", 1.0, 2.5), Chapter("Drei", 2.5, 3.0)),
)
TEXTS = {"title": TAGS.title, "artist": TAGS.artist, "album": TAGS.album, "comment": TAGS.comment}


@pytest.fixture(scope="module")
def ffmpeg() -> Ffmpeg:
    return find_ffmpeg()


@pytest.fixture(scope="module")
def tagged(ffmpeg, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tagged")
    files = {ending: folder / f"a.{ending}" for ending in ("mp3", "m4a", "flac", "wav")}
    for file in files.values():
        encode_sound(tones(FRAMES), file, ffmpeg, tags=TAGS)
    return files


def as_ffmpeg_sees(ffmpeg: Ffmpeg, file: Path) -> str:
    said: list[str] = []
    with file.open("rb") as opened:
        arguments = ("-i", f"file:/dev/fd/{opened.fileno()}", "-t", "0", "-f", "null", "pipe:1")
        with Pipe(ffmpeg, arguments, pass_fd=opened.fileno(), on_line=said.append) as pipe:
            pipe.finish()
    text = "\n".join(line.replace("[info] ", "") for line in said)
    return text[: text.index("Output #0")]


def test_mutagen_reads_texts_and_cover(tagged):
    mp3, m4a = mutagen.mp3.MP3(tagged["mp3"]), mutagen.mp4.MP4(tagged["m4a"])
    flac, wav = mutagen.flac.FLAC(tagged["flac"]), mutagen.wave.WAVE(tagged["wav"])
    for id3 in (mp3.tags, wav.tags):
        assert [str(id3[key]) for key in ("TIT2", "TPE1", "TALB", "COMM::und")] == list(TEXTS.values())
        assert (id3["APIC:"].data, id3["APIC:"].mime, int(id3["APIC:"].type)) == (PNG, "image/png", 3)
    assert [m4a[key][0] for key in ("\xa9nam", "\xa9ART", "\xa9alb", "\xa9cmt")] == list(TEXTS.values())
    assert (bytes(m4a["covr"][0]), m4a["covr"][0].imageformat) == (PNG, mutagen.mp4.MP4Cover.FORMAT_PNG)
    assert {key: flac[key][0] for key in TEXTS} == TEXTS
    assert (flac.pictures[0].data, flac.pictures[0].mime, int(flac.pictures[0].type)) == (PNG, "image/png", 3)


@pytest.mark.parametrize("ending", ["mp3", "m4a", "flac", "wav"])
def test_ffmpeg_reads_texts_and_chapters_in_order(ffmpeg, tagged, ending):
    seen = as_ffmpeg_sees(ffmpeg, tagged[ending])
    for name, text in TEXTS.items():
        assert re.search(rf"^\s+{name}\s+: {re.escape(text)}$", seen, re.MULTILINE | re.IGNORECASE), seen
    starts = re.findall(r"Chapter #0:\d+: start ([\d.]+), end ([\d.]+)", seen)
    assert [(float(start), float(stop)) for start, stop in starts] == [(0, 1), (1, 2.5), (2.5, 3)]
    titles = re.findall(r"title\s+: (.*)", seen[seen.index("Chapters:") :])
    assert titles == [chapter.title for chapter in TAGS.chapters]


@pytest.mark.parametrize("ending", ["mp3", "m4a", "flac", "wav"])
def test_tags_change_nothing_about_the_sound(ffmpeg, tagged, tmp_path, ending):
    bare = tmp_path / f"a.{ending}"
    encode_sound(tones(FRAMES), bare, ffmpeg)
    plain, dressed = (decoded(ffmpeg, file) for file in (bare, tagged[ending]))
    assert np.array_equal(plain, dressed)


def test_the_length_that_mutagen_reads_is_exact(tagged):
    for ending in ("mp3", "flac", "wav"):
        assert mutagen.File(tagged[ending]).info.length == pytest.approx(FRAMES / RATE, abs=1e-9)


@pytest.mark.parametrize("ending", ["mp3", "m4a", "flac", "wav", "aac"])
def test_no_tags_leave_no_trace(ffmpeg, tmp_path, ending):
    out = tmp_path / f"a.{ending}"
    encode_sound(tones(5000), out, ffmpeg)
    data = out.read_bytes()
    assert not any(trace in data for trace in (b"ID3", b"APIC", b"covr", b"LIST", b"TITLE", b"chap"))


def test_more_chapters_than_one_table_holds_are_all_written():
    chapters = tuple(Chapter(f"Nr {n}", n, n + 1) for n in range(600))
    tag = id3v2(Tags(chapters=chapters))
    read = mutagen.id3.ID3(fileobj(tag))
    assert len(read.getall("CHAP")) == 600
    top = read["CTOC:toc"]
    children = [name for part in top.child_element_ids for name in read[f"CTOC:{part}"].child_element_ids]
    assert [int(read[f"CHAP:{name}"].start_time) for name in children] == [1000 * n for n in range(600)]


def fileobj(data: bytes):
    import io

    return io.BytesIO(data + bytes(10))


def test_six_hundred_chapters_in_an_m4a_are_all_found(ffmpeg, tmp_path):
    chapters = tuple(Chapter(f"Nr {n}", n * 0.01, n * 0.01 + 0.01) for n in range(600))
    out = tmp_path / "a.m4a"
    encode_sound(tones(RATE * 6), out, ffmpeg, tags=Tags(chapters=chapters))
    seen = as_ffmpeg_sees(ffmpeg, out)
    assert seen.count("Chapter #0:") >= 255  # FFmpeg reads Nero's list, which holds no more, before QuickTime's track


@pytest.mark.parametrize("ending", ["mp3", "m4a", "flac", "wav"])
def test_texts_that_no_format_can_hold_are_made_plain(ffmpeg, tmp_path, ending):
    out = tmp_path / f"a.{ending}"
    encode_sound(tones(2000), out, ffmpeg, tags=Tags(title="a\0b\nc \ud800d", artist="\n"))
    file = mutagen.File(out)
    title = {"mp3": "TIT2", "wav": "TIT2", "m4a": "\xa9nam", "flac": "title"}[ending]
    value = file[title]
    assert str(value[0] if isinstance(value, list) else value) == "a b c ?d"
    assert len(file.tags) == 1


def test_a_cover_that_is_no_image_is_the_jobs_fault():
    with pytest.raises(JobError, match="neither JPEG nor PNG"):
        Tags(cover=b"GIF89a")
    with pytest.raises(JobError, match="are allowed"):
        Tags(cover=JPEG + bytes(COVER_BYTES))


def test_a_jpeg_is_told_from_a_png(ffmpeg, tmp_path):
    out = tmp_path / "a.m4a"
    encode_sound(tones(2000), out, ffmpeg, tags=Tags(cover=JPEG))
    assert mutagen.mp4.MP4(out)["covr"][0].imageformat == mutagen.mp4.MP4Cover.FORMAT_JPEG
