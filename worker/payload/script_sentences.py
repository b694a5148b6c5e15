"""Cut a text into sentences: where they end, and after which dots they do not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_CLOSERS: Final = "\"'”’»«)\\]}」』）】》〉"
_HIRAGANA: Final = "\u3041-\u309f"
_PRIVATE: Final = "\U000f0000-\U000ffffd"  # directions, which are no words
_END: Final = re.compile(
    # these end a sentence without a space after them, but not inside a quotation that goes on: 「…。」と言う
    rf"(?P<cjk>[。！？｡．]++(?:[{_CLOSERS}…]++(?![{_HIRAGANA}])|(?![{_CLOSERS}…])))"
    # French quotation marks stand apart: « … . »
    rf"|(?<![.!?…])(?P<mark>[.!?…؟۔।॥։።។៕။]++)(?:[{_CLOSERS}]|[ \u00a0\u2009\u202f]»(?![^\s.,;:!?…]))*+(?=\s)"
    r"|(?P<paragraph>\n\s*\n)"
    r"|(?P<line>\n)"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A dot after one of these never ends a sentence: a name, a noun or the rest of the phrase follows.
_ALWAYS: Final = _words(
    "mr mrs ms dr prof st ste rev vs fig approx ca e.g i.e cf viz incl excl dept"
    " sr sra srta sres sras dra dña profa exmo exma p.ej p.ex ej excmo excma ilmo"
    " mme mmes mlle mlles mgr env m. sig sig.ra sig.na sigg dott dott.ssa prof.ssa avv geom"
    " hr frl z.b d.h ggf bzw evtl inkl zzgl vgl geb gest dipl dipl.-ing mio mrd nr kap abb abs hl hll c.-à-d"
)
# The same, where they are written with a capital: small, they are words.
_TITLES: Final = _words(
    "Gen Col Capt Cpt Lt Sgt Cpl Maj Cmdr Adm Gov Sen Rep Pres Hon Fr Mt Ft Pt Msgr Supt Insp Eng Ing Arq Lic Str Bd"
    " Hnos Comdr Brig MM"
)
# No end before a figure: No. 5, Oct. 3, p. 12; small or capital.
_BEFORE_NUMBERS: Final = _words(
    "no nos nº n.º núm num vol fig p pp pg pág pag págs art arts cap ch sec séc sect tel op s ss n"
)
_DATES: Final = _words(
    "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thur Thurs Fri Sat Sun"
    " Jän Mrz Okt Dez Mo Di Mi Do Sa So ene abr ago dic janv févr juil août déc genn febbr mag giu lug"
    " sett ott fev set out dez"
)
# May end a sentence: they do before a capital.
_BEFORE_CAPITALS: Final = _words(
    "a.m p.m am pm etc usw u.s.w ecc u.a o.ä u.ä ud uds vd vds chr v.chr n.chr jh al est ltda a.c d.c uu oo"
)
# May end a sentence: they do before a word that begins one.
_BEFORE_STARTERS: Final = _words(
    "inc ltd co corp bros jr snr gmbh ag u.s u.s.a u.k u.n e.u ph.d m.d b.a d.c s.a s.l s.p.a s.r.l"
)
_STARTERS: Final = _words(
    "i we you he she it they the this that these those my our your his her their its there here now then and but so if"
    " when let in on at as a an what who why how every each all today yes no not with for from breathe feel notice i'm"
    " it's you're we're he's she's they're that's there's let's don't"
    " ich du er sie es wir ihr der die das ein eine und aber jetzt dann mein meine dein deine heute"
    " yo tú él ella nosotros el la los las un una y pero ahora mi mis esto hoy"
    " je tu il elle nous vous ils elles le les et mais maintenant mon ma mes ce c'est j'ai"
    " io lui lei noi voi loro lo gli ma ora adesso mio mia oggi"
    " eu você ele ela nós os as um uma e mas agora meu minha hoje"
)
_CLOCK: Final = _words("a.m p.m am pm")
_AFTER_CLOCKS: Final = _words(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august"
    " september october november december est edt cst cdt mst mdt pst pdt gmt utc cet bst eastern"
    " central mountain pacific"
)
_MONTHS_DE: Final = _words(
    "januar jänner februar märz april mai juni juli august september oktober november dezember"
    " jan feb mär mrz apr jun jul aug sep sept okt nov dez"
)
# German counts with a dot: am 3. Tag, das 2. Kapitel
_BEFORE_ORDINALS: Final = _words(
    "am der die das den dem des vom zum zur im beim seit ab bis jeder jede jedes mein dein sein ihr unser mein meine"
    " meinem meinen ihrem ihren einem einen dieser dieses diesem"
)
_DOUBLED: Final = re.compile(r"(?:EE|UU|SS|MM|FF|AA|JJ|OO|CC|DD|RR)")  # EE. UU., SS. MM.
_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]|(?!I)[^\W\d_]")  # U.S, J; "So am I." is no initial
_INITIAL: Final = re.compile(r"[^\W\d_]\.")
_LONGEST_WORD: Final = 40


def cut_sentences(text: str) -> Iterator[tuple[str, bool]]:
    """Cut a text into sentences.

    Parameters
    ----------
    text : str
        Without tags, as `worker.payload.script_tags` leaves it.

    Yields
    ------
    words : str
        One sentence on one line, never without letter or digit: what has none joins its neighbour. All together hold
        every letter and digit of the text.
    ends_paragraph : bool
        Whether a blank line follows.
    """
    waiting = ""
    last = ""
    last_ends_paragraph = False
    for raw, ends_paragraph in _cut(text):
        words = " ".join(raw.split())
        if not words:
            last_ends_paragraph = last_ends_paragraph or ends_paragraph
        elif any(character.isalnum() for character in words):
            if last:
                yield last, last_ends_paragraph
            last, last_ends_paragraph = f"{waiting} {words}" if waiting else words, ends_paragraph
            waiting = ""
        elif last:
            last, last_ends_paragraph = f"{last} {words}", ends_paragraph
        else:
            waiting = f"{waiting} {words}" if waiting else words
    if last:
        yield last, last_ends_paragraph


def _cut(text: str) -> Iterator[tuple[str, bool]]:
    """Parts of a text, one sentence each, and whether a blank line follows."""
    start = 0
    for end in _END.finditer(text):
        paragraph = end["paragraph"] is not None
        if not paragraph and end["cjk"] is None and not _ends_sentence(text, start, end):
            continue
        yield text[start : end.end()], paragraph
        start = end.end()
    yield text[start:], False


def _ends_sentence(text: str, start: int, end: re.Match[str]) -> bool:
    following = re.sub(rf"[{_PRIVATE}]", "", text[end.end() : end.end() + _LONGEST_WORD]).lstrip()
    if following[:1].islower():
        return False  # '"Peace!" she said', 'in... and out', a line broken in mid-sentence
    if end["line"] is not None or end["mark"] != ".":
        return True
    before = text[max(start, end.start() - _LONGEST_WORD) : end.start()].split()
    if not before:
        return False
    if text[start : end.start()].strip().isdecimal() and end.end() - start < _LONGEST_WORD:
        return False  # the number of a list's item
    return _ends_after(before, following.split())


def _ends_after(before: list[str], following: list[str]) -> bool:
    """Whether a dot after these words ends a sentence, when these words follow."""
    word = before[-1].lstrip("([{\"'“‘«¿¡")
    small = word.lower()
    after = following[0].lstrip("([{\"'“‘«¿¡") if following else ""
    starts = after.strip(".,;:!?…\"'”’»").lower().replace("’", "'")
    lead = before[-2] if len(before) > 1 else ""
    if small in _ALWAYS or word in _TITLES or f"{lead.lower()}{small}" in _ALWAYS:  # the last: z. B.
        return False
    if (small in _BEFORE_NUMBERS or word in _DATES) and (len(word) > 1 or after[:1].isdecimal()):
        return not after[:1].isdecimal()
    if _DOUBLED.fullmatch(word) and _DOUBLED.fullmatch(after.rstrip(".,")):
        return False
    if word.isdecimal() and len(word) <= 2:
        return not _is_ordinal(before, starts, after)
    if small in _CLOCK and starts in _AFTER_CLOCKS:
        return False
    if small in _BEFORE_CAPITALS:
        return True
    if small in _BEFORE_STARTERS or _INITIALS.fullmatch(word) or (word == "I" and _INITIAL.fullmatch(lead)):
        # "J. I. Smith" goes on, "the U.S. I am" does not
        return starts in _STARTERS and not (len(starts) == 1 and after.endswith("."))
    return True


def _is_ordinal(before: list[str], starts: str, after: str) -> bool:
    if starts in _MONTHS_DE and starts not in ("april", "august", "september", "november"):
        return True
    lead = before[-2].lower() if len(before) > 1 else ""
    if lead not in _BEFORE_ORDINALS or (lead == "am" and len(before) > 2 and before[-3] == "I"):
        return False
    return starts not in _STARTERS and after[:1].isalnum()
