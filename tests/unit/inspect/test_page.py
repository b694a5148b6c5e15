"""The page to send: nothing of a stranger's acts in it, nothing is loaded, and it can be used without a mouse."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from track_reports import RATE, measured, report_of

from worker.inspect.page import Page, Sound, render_page
from worker.inspect.receipt import Receipt, receipt
from worker.inspect.reports import TrackReport
from worker.inspect.waveform import Waveform, WaveformBuilder

EVIL = "<script>alert(1)</script>\"'&${style}$title<img src=x onerror=alert(1)>"


def waveform(*, alike: bool = True) -> Waveform:
    builder = WaveformBuilder(RATE)
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, (5 * RATE, 2)).astype(np.float32)
    sound[:, 1] = sound[:, 0] if alike else 0.0
    builder.add(sound)
    return builder.result()


@pytest.fixture
def page() -> Page:
    result = measured()
    return Page(
        title="track.mp3",
        facts="MP3 192 kbit/s",
        seconds=5.0,
        waveform=waveform(),
        voice=((1.0, 2.0),),
        receipt=receipt(result, TrackReport("r", report_of(result), None)),
        tones=["528 Hz: found"],
        tones_remark="",
        picture_png=b"\x89PNG",
        sound=Sound(b"ID3", "audio/mpeg", 5.0),
        footer="by nobody",
    )


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_nothing_of_a_stranger_acts_in_it(page):
    remarks = tuple(replace(line, remark=EVIL, promised=EVIL, measured=EVIL) for line in page.receipt.figures)
    evil = replace(
        page,
        title=EVIL,
        facts=EVIL,
        tones=[EVIL],
        tones_remark=EVIL,
        footer=EVIL,
        receipt=Receipt(remarks, (EVIL,), ((EVIL, EVIL),)),
        sound=Sound(b"ID3", "audio/mpeg", 5.0, EVIL),
    )
    before, after = Tags(render_page(page)).tags, Tags(render_page(evil)).tags
    assert sum(tag == "script" for tag, _ in after) == 1
    assert [tag for tag, _ in after if tag == "img"] == ["img"]
    assert not any(name.startswith("on") or name == "style" for _, attributes in after for name in attributes)
    assert {tag for tag, _ in after} == {tag for tag, _ in before}


def test_nothing_is_loaded_from_anywhere(page):
    text = render_page(page)
    for tag, attributes in Tags(text).tags:
        for name in ("src", "href", "action", "poster", "srcset"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[1]
    assert "http" not in policy[1]
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
        assert not re.search(r"url\(|@import|fetch\(|import\(|XMLHttp", content)


def test_promised_and_measured_stand_side_by_side_with_words(page):
    text = render_page(page)
    assert "3 of 3 promises kept" in text
    assert text.count('class="kept">✓ kept') == 3
    assert "music: loops from 0:30 to 1:30" in text
    alone = render_page(replace(page, receipt=receipt(measured(), None)))
    assert "promised</th>" not in alone
    assert "no report" in alone


def test_the_voice_is_marked_and_each_channel_drawn(page):
    text = render_page(page)
    assert text.count('<path class="music"') == 1
    assert text.count('<path class="spoken"') == 1
    assert 'x="200.00" width="200.00"' in text
    apart = render_page(replace(page, waveform=waveform(alike=False), voice=()))
    assert apart.count('<path class="music"') == 2
    assert "spoken" not in Tags(apart).tags


def test_it_can_be_used_with_keys_and_says_what_it_shows(page):
    tags = Tags(render_page(page)).tags
    (slider,) = [attributes for _, attributes in tags if attributes.get("role") == "slider"]
    assert slider["tabindex"] == "0"
    assert slider["aria-label"]
    assert all(attributes.get("alt") for tag, attributes in tags if tag == "img")


def test_a_sound_that_ends_earlier_is_said_and_shaded(page):
    text = render_page(replace(page, sound=Sound(b"ID3", "audio/mpeg", 2.0, "this plays its first 0:02")))
    assert "this plays its first 0:02" in text
    assert 'class="beyond" x="400.00"' in text
    assert 'data-heard="2.000"' in text


def test_a_page_without_sound_and_picture_says_so(page):
    text = render_page(replace(page, sound=None, picture_png=None))
    assert not [tag for tag, _ in Tags(text).tags if tag in ("audio", "img")]
    assert "no sound in this page" in text
