"""Read a pause that is written in words: `pause 3s`, `long pause`, `wait for two seconds`, `2 Sekunden Pause`, `1:30`.

The words are those of English, German, Spanish, French, Italian and Portuguese, in small letters without accents, as
`plain_words` gives them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

PLAIN_PAUSE_S: Final = 2.0
SHORT_PAUSE_S: Final = 1.0
LONG_PAUSE_S: Final = 4.0
BREATH_S: Final = 5.0
TIME_IN_BRACKETS: Final = "time in brackets"

_UNITS: Final = (
    (0.001, "ms msec msecs millisecond milliseconds millisekunde millisekunden milisegundo milisegundos milliseconde"),
    (0.001, "millisecondes millisecondo millisecondi milissegundo milissegundos"),
    (1.0, "s sec secs second seconds sek sekunde sekunden seg segs segundo segundos seconde secondes secondo secondi"),
    (60.0, "m min mins mn minute minutes minuten minuto minutos minuti"),
)
_BREATHS: Final = (
    "breath breaths atemzug atemzuge atemzugen respiracion respiraciones respiration respirations respiro respiri"
    " respiracao respiracoes"
)
_SECONDS_BY_UNIT: Final = {
    unit: seconds for seconds, units in (*_UNITS, (BREATH_S, _BREATHS)) for unit in units.split()
}
_NUMBER_WORDS: Final = {
    word: number
    for number, words in {
        "0.5": "half halbe halben media medio demi mezzo mezza meia meio",
        "1": "one a an ein eine einen un una une uno um uma",
        "2": "two zwei dos deux due dois duas",
        "3": "three drei tres trois tre",
        "4": "four vier cuatro quatre quattro quatro",
        "5": "five funf cinco cinq cinque",
        "6": "six sechs seis sei",
        "7": "seven sieben siete sept sette sete",
        "8": "eight acht ocho huit otto oito",
        "9": "nine neun nueve neuf nove",
        "10": "ten zehn diez dix dieci dez",
        "15": "fifteen funfzehn quince quinze quindici",
        "20": "twenty zwanzig veinte vingt venti vinte",
        "30": "thirty dreissig treinta trente trenta trinta",
    }.items()
    for word in words.split()
}
_VAGUE: Final = {"couple": "2"} | dict.fromkeys(
    ("few", "some", "several", "paar", "einige", "unos", "algunos", "quelques", "alcuni", "alguns"), "3"
)
_INEXACT: Final = "pause without an exact length"
_ARTICLES: Final = frozenset(("a", "an", "ein", "eine", "einen", "un", "una", "une", "uno", "um", "uma"))
_NUMBER: Final = r"[-+]?(?:[0-9]+(?:[.,][0-9]+)?|[.,][0-9]+)"
_TIME_PART: Final = re.compile(rf"({_NUMBER})\s*([a-z]+)\.?(?:\s*(?:and|und|y|et|e|,)(?![a-z]))?\s*")
_CLOCK: Final = re.compile(
    r"(?:([0-9]{1,2}):)?([0-9]{1,3}):([0-9]{2})(?:\s*(?:m|min|minutes?|minuten|minutos|minuti))?"
)
_RANGE: Final = re.compile(rf"({_NUMBER})\s*(?:-|\u2013|to|or|bis|oder|a|o|ou)\s*({_NUMBER})\s*([a-z]+)\.?")
_UNREADABLE: Final = re.compile(r"[-+]?[.,]?[0-9][0-9.,]*\s*[a-z]*")
_SPACES: Final = str.maketrans('"()', "   ")
_FRACTIONS: Final = str.maketrans({"\u00bd": ".5", "\u00bc": ".25", "\u00be": ".75"})

_LEAD: Final = (
    r"(?:(?:please|take|insert|add|make|leave|another|the|a|an|ein|eine|einen|un|una|une|uma|and|und|very|sehr|muy|tres"
    r"|molto|muito|silent)\s)*"
)
_SHORT: Final = r"short|brief|quick|small|little|kurze|kleine|corta|breve|pequena|courte|petite|piccola|curta"
_LONG: Final = r"long|longer|lange|langere|larga|longue|lunga|longa"
_SIZE: Final = rf"(?:(?P<{{0}}short>{_SHORT})|(?P<{{0}}long>{_LONG})|medium|mittlere|media|moyenne)"
_PAUSE_WORD: Final = r"pause|pausa|silence|stille|silencio|silenzio"  # these are pauses in round brackets, too
_WAIT_WORD: Final = (
    r"break|beat|gap|wait|warten|warte|espera|esperar|espere|aguarde|attendre|attends|attendez|attendi|aspetta|attesa"
)
_TIMED_WORD: Final = r"rest|hold|stay silent|be silent|remain silent|halten|stop"  # pauses only with a time
_WORD: Final = rf"(?:(?P<pause>{_PAUSE_WORD})|(?P<wait>{_WAIT_WORD})|(?P<timed>{_TIMED_WORD}))"
_HERE: Final = r"(?:\s(?:here|hier|aqui|ici|qui|now|please))?"
_FOR: Final = (
    r"(?:\s*(?:[:=,~]|[-\u2013\u2014](?=\s)|(?:for|of|fur|von|de|du|di|pour|pendant|durante|during|per|por|about|around|approx\.?|ca\.?|etwa"
    r"|environ|circa|lasting)(?=\s))\s*)*"
)
_WORD_FIRST: Final = re.compile(
    rf"{_LEAD}(?:{_SIZE.format('a')}\s)?{_WORD}(?:\s{_SIZE.format('b')}(?![a-z]))?{_HERE}(?:{_FOR}\s*(?P<time>\S.*?){_HERE})?"
)
_TIME_FIRST: Final = re.compile(
    rf"{_LEAD}(?P<time>\S.*?)(?:\s(?:of|von|de|di|d'))?\s(?:(?:{_SHORT}|{_LONG})\s)?{_WORD}{_HERE}"
)
_PURPOSE: Final = re.compile(rf"{_LEAD}(?:{_PAUSE_WORD}) (?:for|to|zum|fur|para|pour|per)(?: [^\W\d]+){{1,4}}")
_ATTRIBUTE: Final = re.compile(r"\b(?:time|duration|length|value)\s*[=:]\s*")
_UNIT_ATTRIBUTE: Final = re.compile(r"\b(ms|msec|sec|seconds|secs)\s*=\s*([0-9.,]+)")
_WORD_BREAK: Final = re.compile(r"(?<=[^\W\d])[-_](?=\w)|(?<=\w)[-_](?=[^\W\d])")


@dataclass(frozen=True)
class Silence:
    """What a pause in words says.

    Attributes
    ----------
    seconds : float or None
        None where the time cannot be read.
    guess : str
        What was missing, for a note: "pause without a length"; empty where nothing was.
    """

    seconds: float | None
    guess: str = ""


def plain_words(content: str) -> str:
    """Bring the words in a bracket to one form: small letters without accents, hyphens or quotes, single spaces."""
    content = unicodedata.normalize("NFKC", content.translate(_FRACTIONS)).casefold()
    content = "".join(
        letter for letter in unicodedata.normalize("NFD", content) if unicodedata.category(letter) != "Mn"
    )
    content = content.replace("\u2019", "'").translate(_SPACES)
    content = _UNIT_ATTRIBUTE.sub(r"\2 \1", content)
    content = _ATTRIBUTE.sub(" ", content)
    content = _WORD_BREAK.sub(" ", content)
    return " ".join(content.split()).rstrip(" .!:;,*/\u2026").lstrip(" *")


def read_pause(words: str, *, in_round_brackets: bool = False) -> Silence | None:
    """Read the words of a bracket as a pause.

    Parameters
    ----------
    words : str
        From `plain_words`; not empty.
    in_round_brackets : bool
        These hold ordinary words, too: there "wait" alone is text, and so is a pause whose time cannot be read.

    Returns
    -------
    silence : Silence or None
        None if this is no pause.
    """
    word_first = _WORD_FIRST.fullmatch(words)
    if word_first is not None and (time := word_first["time"]) is not None:
        silence = read_time(time)
        if silence is not None and not (word_first["timed"] and _is_bare(time)):
            return silence
        if word_first["pause"] and not in_round_brackets:
            return Silence(None) if _UNREADABLE.fullmatch(time) else _with_more_words(time, words)
    elif word_first is not None and not (in_round_brackets and word_first["pause"] is None):
        return _without_time(word_first)
    time_first = _TIME_FIRST.fullmatch(words)
    if time_first is not None and not _is_bare(time_first["time"]):
        return read_time(time_first["time"])
    if _is_bare(words) or ":" in words or words.split()[0] in _ARTICLES:
        return None
    silence = read_time(words)
    return None if silence is None else Silence(silence.seconds, silence.guess or TIME_IN_BRACKETS)


def _is_bare(time: str) -> bool:
    """Whether it is a number without a unit."""
    return not any(character.isalpha() or character == ":" for character in time)


def _with_more_words(time: str, words: str) -> Silence | None:
    """A pause that says what it is for: ``pause 5 seconds to breathe``, ``pause for effect``."""
    each = time.split()
    for count in range(len(each) - 1, 0, -1):
        start = " ".join(each[:count]).rstrip(",;:")
        if not _is_bare(start) and (silence := read_time(start)) is not None:
            return Silence(silence.seconds, "pause with more words in its brackets")
    return Silence(PLAIN_PAUSE_S, "pause without a length") if _PURPOSE.fullmatch(words) else None


def _without_time(pause: re.Match[str]) -> Silence | None:
    if pause["timed"] is not None:
        return None
    if pause["ashort"] or pause["bshort"] or pause["wait"] == "beat":
        return Silence(SHORT_PAUSE_S, "short pause without a length")
    if pause["along"] or pause["blong"]:
        return Silence(LONG_PAUSE_S, "long pause without a length")
    return Silence(PLAIN_PAUSE_S, "pause without a length")


def read_time(time: str) -> Silence | None:
    """Read a time such as ``1m30s``, ``1:30``, ``two minutes`` or ``2-3 s``; a bare number is seconds; None if none."""
    clock = _CLOCK.fullmatch(time)
    if clock is not None:
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return Silence(float(hours * 3600 + minutes * 60 + seconds)) if seconds < 60 else None
    time, guess = _in_figures(time)
    between = _RANGE.fullmatch(time)
    if between is not None and between[3] in _SECONDS_BY_UNIT:
        middle = (_number(between[1]) + _number(between[2])) / 2
        return Silence(middle * _SECONDS_BY_UNIT[between[3]], _INEXACT)
    if re.fullmatch(_NUMBER, time):
        return Silence(_number(time), guess)
    total, unit_s, place = 0.0, 0.0, 0
    while place < len(time):
        part = _TIME_PART.match(time, place)
        if part is None and unit_s == 60.0 and re.fullmatch(r"[0-9]{1,2}", time[place:]):
            return Silence(total + int(time[place:]), guess)  # 1m30
        if part is None or part[2] not in _SECONDS_BY_UNIT or (place and part[1][0] in "-+"):
            return None
        unit_s = _SECONDS_BY_UNIT[part[2]]
        guess = "pause counted in breaths" if unit_s == BREATH_S else guess
        total += _number(part[1]) * unit_s
        place = part.end()
    return Silence(total, guess) if place else None


def _in_figures(time: str) -> tuple[str, str]:
    """Write number words as figures, and say whether they were vague."""
    guess = ""
    words = time.replace(" of ", " ").split()
    for index, word in enumerate(words):
        if word in _VAGUE:
            words[index], guess = _VAGUE[word], _INEXACT
        elif word in _NUMBER_WORDS and index + 1 < len(words):
            words[index] = _NUMBER_WORDS[word]
    if len(words) > 2 and words[0] in ("1", "0.5") and words[1] in ("1", "0.5", *_VAGUE.values()):
        words[:2] = ["0.5" if "0.5" in words[:2] else words[1]]  # half a minute, eine halbe Minute, a few seconds
    return " ".join(words), guess


def _number(text: str) -> float:
    return float(text.replace(",", "."))
