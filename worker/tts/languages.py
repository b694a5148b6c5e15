"""Which language a script is in, as far as a voice of one language must know: by its letters, then its words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

# the commonest words of each language that are rare in the others
_WORDS: Final = {
    "English": "the and of to is my you with that it for are this i am be not have will your",
    "German": "ich und der die das ist nicht ein eine mein meine mit zu den auf für bin mich dich wir du jetzt",
    "Spanish": "yo y el la los las es mi mis con que en una un soy estoy para por del tu me todo cada más",
    "French": "je et le la les est mon ma mes avec que en une un suis pour dans du des vous nous pas tout",
    "Italian": "io e il la gli è mio mia con che in una un sono per di del mi sto ogni non tutto",
    "Portuguese": "eu e o a os as é meu minha com que em uma um sou estou para por do da não me cada",
    "Dutch": "ik en de het is mijn met dat een niet van ben voor op aan je wij deze alles",
}
_WORD_SETS: Final = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_SCRIPTS: Final = {
    "CJK": "Chinese",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "HANGUL": "Korean",
    "CYRILLIC": "a language in Cyrillic letters",
    "ARABIC": "a language in Arabic letters",
    "HEBREW": "Hebrew",
    "DEVANAGARI": "a language in Devanagari letters",
    "THAI": "Thai",
    "GREEK": "Greek",
}
_LEAST_WORDS: Final = 3  # of a language, to tell it
_FOREIGN_SHARE: Final = 0.3  # of the letters; a name or a mantra in its own script is less


def language_of(text: str) -> str | None:
    """Name the language of a text; None where it is too short or too mixed to tell.

    Letters other than Latin name the language. Among languages in Latin letters the commonest words decide, and only
    where one language has twice as many as the next.
    """
    if (language := language_of_letters(text)) is not None:
        return language
    words = re.findall(r"[^\W\d_]+", text.lower())
    counts = Counter({name: sum(word in known for word in words) for name, known in _WORD_SETS.items()})
    (first, most), (_, next_most) = counts.most_common(2)
    return first if most >= _LEAST_WORDS and most >= 2 * next_most else None


def language_of_letters(text: str) -> str | None:
    """Name the language of a text in letters other than Latin; None for Latin ones."""
    letters = [character for character in text if character.isalpha()]
    by_script = Counter(unicodedata.name(letter, "?").partition(" ")[0] for letter in letters)
    foreign = Counter({script: count for script, count in by_script.items() if script != "LATIN"})
    if letters and foreign.total() > _FOREIGN_SHARE * len(letters):
        scripts = set(foreign)
        script = "HIRAGANA" if "HIRAGANA" in scripts else foreign.most_common(1)[0][0]
        return _SCRIPTS.get(script, f"a language in {script.capitalize()} letters")
    return None
