"""The local voice refuses languages that it cannot read, and nothing else."""

from __future__ import annotations

import pytest
from spoken_pieces import SENTENCES

from worker.errors import JobError
from worker.tts import local_voice
from worker.tts.languages import language_of
from worker.tts.local_voice import check_language

OTHERS = {
    "Spanish": "Yo estoy en calma. Respiro y dejo ir el día. Todo lo que soy es suficiente, y mi corazón está en paz.",
    "German": "Ich bin ruhig und sicher. Ich lasse den Tag los, und mein Atem trägt mich in die Stille.",
    "French": "Je suis calme et je respire. Mon corps est détendu, et tout va bien dans ma vie.",
    "Italian": "Io sono calma e respiro con gioia. Ogni giorno è un dono, e il mio cuore è in pace.",
    "Portuguese": "Eu estou em paz. O meu coração é forte, e não tenho medo do que vem para mim.",
    "Dutch": "Ik ben rustig en veilig. Het is goed zoals het is, en ik laat de dag van mij af glijden.",
    "Chinese": "我很平静。我很安全。",
    "Japanese": "私は落ち着いています。",
    "Korean": "나는 평온하다.",
    "Thai": "ฉันสงบ",
    "Hebrew": "אני רגוע",
    "a language in Cyrillic letters": "Я спокоен.",
    "a language in Arabic letters": "أنا هادئ",
    "a language in Devanagari letters": "मैं शांत हूँ।",
}


@pytest.mark.parametrize("language", OTHERS)
def test_another_language_is_named_and_refused(language, monkeypatch):
    assert language_of(OTHERS[language]) == language
    monkeypatch.setattr(local_voice, "has_hibari", lambda: True)
    with pytest.raises(JobError, match=r"reads English only") as refused:
        check_language(OTHERS[language])
    assert refused.value.code == "voice.language"
    assert "English only" in refused.value.customer_message
    monkeypatch.setattr(local_voice, "has_hibari", lambda: False)
    check_language(OTHERS[language])  # espeak-ng has voices for it


@pytest.mark.parametrize(
    "text",
    [
        " ".join(SENTENCES),
        "I am calm.",
        "Om mani padme hum. Om mani padme hum.",
        "Each morning I say: ॐ शान्तिः, and I feel the peace of those words in all of my body.",
        "Café, naïve, déjà vu: I am fine with the way it is.",
        "Siobhan O'Neill and José are my friends, and I love them.",
        "",
        "1 2 3 …",
    ],
)
def test_english_and_what_cannot_be_told_is_read(text, monkeypatch):
    monkeypatch.setattr(local_voice, "has_hibari", lambda: True)
    check_language(text)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_no_single_english_sentence_is_refused(sentence):
    assert language_of(sentence) in (None, "English")
