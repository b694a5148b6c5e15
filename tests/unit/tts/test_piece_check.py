"""Every way of spoiling a piece is caught or corrected, on real speech; no clean piece is."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pytest
from spoken_pieces import CORRECTED, RATE, clean_pieces, clip_of, spoilt_pieces
from tiers import further

from worker.tts.piece_check import VoiceMedians, better_of, examine_piece, judge, voice_medians

CAUGHT_AS = {
    "half missing": "too short",
    "spoken twice": "too long",
    "a hole of 10 s": "hole",
    "3 s of noise behind": "noise",
    "noise instead of speech": "noise",
    "12 dB louder": "louder",
    "12 dB softer": "softer",
    "another pitch": "pitch",
    "clipped": "clipped",
    "end cut off": "cut",
    "silent": "silent",
    "DC": "dc",
    "opposite polarity": "polarity",
    "one channel silent": "one channel",
}
UNUSABLE = {
    "half missing",
    "spoken twice",
    "a hole of 10 s",
    "3 s of noise behind",
    "noise instead of speech",
    "silent",
}


@lru_cache(maxsize=2)
def unjudged(every: int = 7):
    """One clean piece in so many; in 7, they are of all speeds in turn."""
    pieces = clean_pieces(every=every)
    return [(piece, examine_piece(clip_of(piece), RATE, piece.text, speed=piece.speed)) for piece in pieces]


@lru_cache(maxsize=1)
def medians() -> VoiceMedians:
    return voice_medians([check for _, check in unjudged()])


@lru_cache(maxsize=1)
def spoilt():
    return spoilt_pieces()


def check(name: str):
    piece = spoilt()[name]
    return examine_piece(clip_of(piece), RATE, piece.text, medians())


@pytest.mark.parametrize(("every", "count"), [(7, 29), *further([(1, 200)])])
def test_no_clean_piece_is_suspicious(every, count):
    found = [judge(check.figures, piece.text, medians(), speed=piece.speed) for piece, check in unjudged(every)]
    assert len(found) == count
    assert [
        (piece.name, piece.text, each.faults, each.corrections)
        for (piece, _), each in zip(unjudged(every), found, strict=True)
        if each.faults or each.corrections or each.score
    ] == []


@pytest.mark.parametrize("name", CAUGHT_AS)
def test_a_spoilt_piece_is_caught_or_corrected(name):
    found = check(name)
    assert CAUGHT_AS[name] in (found.corrections if name in CORRECTED else found.faults)
    assert bool(found.faults) is (name not in CORRECTED)
    assert found.is_unusable is (name in UNUSABLE)
    assert (found.score > 0) is bool(found.faults)


def test_the_helper_and_this_table_know_the_same_ways():
    assert set(CAUGHT_AS) == set(spoilt()) - {"other words"}


@pytest.mark.parametrize("name", [name for name in CAUGHT_AS if name not in CORRECTED])
def test_a_clean_take_is_better_than_any_spoilt_one(name):
    clean = next(judge(check.figures, piece.text, medians()) for piece, check in unjudged() if piece.speed == 1)
    assert better_of(check(name), clean) is clean
    assert better_of(clean, check(name)) is clean


def test_missing_words_are_worse_than_a_rough_end():
    assert better_of(check("half missing"), check("end cut off")) == check("end cut off")


def test_the_first_of_two_alike_is_kept():
    first = check("12 dB louder")
    assert better_of(first, replace(first)) is first


def test_without_medians_only_what_shows_by_itself_is_judged():
    for name in ("half missing", "12 dB softer", "another pitch"):
        piece = spoilt()[name]
        assert "pace" not in examine_piece(clip_of(piece), RATE, piece.text).faults
    assert voice_medians([check for _, check in unjudged()[:2]]) == VoiceMedians()


def test_a_short_text_has_no_pace():
    """“I am calm.” may take half a second or a whole one."""
    piece = spoilt()["spoken twice"]
    found = examine_piece(clip_of(piece), RATE, "I am calm.", medians())
    assert found.pace_s is None
    assert not {"too long", "pitch"} & set(found.faults)


def test_slow_speech_may_pause_for_longer():
    figures = replace(unjudged()[0][1].figures, longest_silence_s=2.4)
    assert judge(figures, "I am calm.", speed=1.0).faults == ("hole",)
    assert judge(figures, "I am calm.", speed=0.5).faults == ()


def test_digits_take_as_long_as_their_words():
    figures = unjudged()[0][1].figures
    words, digits = (judge(figures, text).pace_s for text in ("It is now five to three.", "It is now 2:55 at last."))
    assert digits == pytest.approx(words * 24 / 32, rel=0.01)
