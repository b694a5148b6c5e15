"""Sentences of six languages and of scripts without spaces: where they end, and where a piece may be cut."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.payload.script import Sentence
from worker.payload.script_pieces import pieces
from worker.payload.script_sentences import cut_sentences


def cut(text: str) -> str:
    return "|".join(words for words, _ in cut_sentences(text))


@pytest.mark.parametrize(
    "sentences",
    [
        "Gen. Lee and Col. Mustard met Sen. Ray.|They talked.",
        "On Oct. 3 and Sat. 4 May we met.|In Oct.|We met.",
        "Mt. Rainier and St. Helens are high.|So is Ft. Lee.",
        "See No. 5, p. 12 and fig. 3.|No.|I will not.",
        "At 6 a.m.|I smile.|By 9 p.m. Monday I rest.",
        "It is 6 a.m. and I smile.",
        "Fruit, bread, etc.|I eat.|Water, etc. and tea.",
        "Apple Inc. makes it.|I like Apple Inc.|It works.",
        "The U.S. Army.|In the U.S.|I am free.",
        "J. I. Smith and J. K. Rowling.|I read.",
        "Vitamin C.|I take it.|Plan A.|The best.",
        "One more rep.|Then rest.|Carry on.|I am.|Count to 3.|Then 4.",
        "I am 3.|Then I grew.|I am 3.|Mum loves me.",
        "Am 3. Oktober und am 24. Dezember war es still.|Ich atme.",
        "Das 3. Auge sieht.|Der 2. Tag beginnt.",
        "Z. B. Wasser, d. h. Ruhe, usw.|Wir gehen.",
        "Nr. 5 und Prof. Dr. Müller.|3 Mio. Menschen atmen.",
        "»Ich bin ruhig.«|»Du auch.«|Er lacht.",
        "In EE. UU. vive Ana.|Yo vivo aquí.",
        "La Sra. López y el Dr. Ruiz, p. ej. María.|¿Listo?|¡Sí!",
        "M. Dupont, Mme Curie et le Dr. Roux.|Je respire.",
        "« Je suis calme. » dit-elle.|« Oui. »|Elle rit.",
        "Es-tu prêt ?|Oui !|Bien.",
        "Il sig. Rossi, la dott.ssa Bianchi, ecc.|Io sono calmo.",
        "O Sr. Silva e a Profa. Ana.|Eu respiro.",
    ],
)
def test_sentences_end_where_a_reader_would_end_them(sentences):
    assert cut(sentences.replace("|", " ")) == sentences


def parts_of(text: str, limit: int) -> list[str]:
    return [part.said for part in pieces((Sentence(text),), limit) if isinstance(part, Sentence)]


@pytest.mark.parametrize(
    ("text", "limit", "parts"),
    [
        ("👩\u200d👩\u200d👧👍🏽🇩🇪", 6, ["👩\u200d👩\u200d👧", "👍🏽🇩🇪"]),
        ("ab👩\u200d👩\u200d👧", 4, ["ab", "👩\u200d👩\u200d", "👧"]),  # longer than the limit by itself
        ("नमस्ते", 4, ["नम", "स्ते"]),
        ("ฉันเป็นสุข", 4, ["ฉัน", "เป็น", "สุข"]),
        ("ไปนะคะ", 3, ["ไป", "นะ", "คะ"]),
        ("one two three", 7, ["one two", "three"]),
        ("a,b、c", 4, ["a,b、", "c"]),
    ],
)
def test_a_long_sentence_is_cut_between_characters_as_they_are_seen(text, limit, parts):
    assert parts_of(text, limit) == parts


CLUSTERS = ["a", "e\u0301", "👩\u200d👧", "👍🏽", "🇩🇪", "क्षि", "ที่", "한", "我"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(CLUSTERS), min_size=1, max_size=30), st.integers(6, 20))
def test_no_cluster_is_cut_and_nothing_is_lost(clusters, limit):
    text = "".join(clusters)
    parts = parts_of(text, limit)
    assert "".join(parts) == text
    assert all(len(part) <= limit for part in parts)
    seen = regex.findall(r"\X", text)
    assert [cluster for part in parts for cluster in regex.findall(r"\X", part)] == seen


class TestSaidAs:
    def test_pieces_are_as_long_as_they_are_said(self):
        parts = (Sentence("Siobhan rests.", said_as="shi-VAWN rests."), Sentence("So do I."))
        assert pieces(parts, 15) == parts
        assert [part.said for part in pieces(parts, 14)] == ["shi-VAWN", "rests.", "So do I."]

    def test_a_long_sentence_is_cut_with_the_customers_words_beside(self):
        sentence = Sentence("Siobhan and I are calm", ends_paragraph=True, said_as="shi-VAWN and I are very calm")
        cut = pieces((sentence,), 14)
        assert [part.said for part in cut] == ["shi-VAWN and I", "are very calm"]
        assert " ".join(part.text for part in cut) == sentence.text
        assert [part.ends_paragraph for part in cut] == [False, True]
