"""Tell performance directions and placeholders from ordinary words in brackets.

The words are those of English, German, Spanish, French, Italian and Portuguese, in small letters without accents, as
`worker.payload.script_pauses.plain_words` gives them.
"""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MANNERS: Final = _words(
    "whisper whispers whispering whispered softly gently quietly loudly sigh sighs sighing laugh laughs laughing"
    " laughter giggle giggles giggling chuckle chuckles chuckling exhales exhaling inhales inhaling gasp gasps gulps"
    " swallows sniffs sniffles snorts cough coughs coughing crying cries sobs sobbing yawn yawns yawning hums humming"
    " sings singing shouts shouting yells yelling screams mumbles mutters murmurs murmuring breathes breathing calmly"
    " slowly quickly warmly tenderly soothingly soothing lovingly kindly happily cheerfully cheerful sadly excitedly"
    " excited seriously serious sarcastically sarcastic curiously curious mischievously hesitantly hesitates"
    " confidently firmly dramatically monotone thoughtfully thoughtful nervously nervous angrily angry smiling smiles"
    " dreamy dreamily sleepy sleepily breathy tired relaxed calm happy sad soft warm gentle playful playfully tender"
    " breath"
    # sounds
    " music bell bells chime chimes gong applause musik glocke glocken musica campana musique cloche sino"
    " flustert flusternd leise sanft seufzt seufzend lacht lachend lachelt lachelnd langsam ruhig zartlich atmet haucht"
    " susurra susurrando suavemente suspira rie riendo lentamente despacio sonrie sonriendo"
    " chuchote chuchotant murmure murmurant doucement soupire rit riant lentement calmement"
    " sussurra sussurrando dolcemente sospira ride ridendo piano ri rindo devagar"
)
_MANNER_FILLERS: Final = _words(
    "a an the in with and then very more slightly little bit deep deeply out voice tone clears throat takes heavy low"
    " background plays playing fades fade sound sounds of rings ringing singing bowl"
    " ein aus tief sehr mit ruhiger leiser sanfter stimme und con voz suave en baja muy y a voix basse d'une douce et"
    " tres voce bassa dolce e molto com baixa muito"
)
_CLEARS_THROAT: Final = ("clears", "throat")

_NAME_FIELDS: Final = _words(
    "name names firstname lastname fullname surname nickname username vorname nachname nombre apellido apellidos nom"
    " prenom nome cognome sobrenome apelido"
)
_FIELDS: Final = _NAME_FIELDS | _words(
    "user customer client recipient partner child city town country date birthday age goal goals topic company email"
    " affirmation intention placeholder blank noun verb adjective datum stadt alter ziel kunde fecha ciudad edad meta"
    " objetivo cliente ville objectif citta obiettivo cidade idade todo tbd"
)
_FIELD_FILLERS: Final = _words(
    "first last full the of user's customer's client's partner's child's listener's own name's person person's my"
    " your own nick middle user customer client listener dein deine deinen ihr ihre ihren tu su votre ton tuo tua il"
    " la seu sua teu o a number title 1 2 3"
)
_YOURS: Final = _words("dein deine deinen ihr ihre ihren tu tus su votre vos ton tuo tua seu sua teu")
_FILL_IN: Final = _words(
    "insert enter fill einfugen einsetzen eintragen insertar inserta inserte inserer inserez inserisci inserire"
    " inserir insira"
)
_MAY_FILL_IN: Final = _words(
    "add type put write choose select replace specify state say escribe escriba pon ecrire ecrivez scrivi escreva"
    " coloque hier hierher"
)
_HERE_WORDS: Final = _words("here hier aqui ici qui")
_IDENTIFIER: Final = re.compile(r"[A-Za-z]\w*_\w+|[a-z]{2,}(?:[A-Z][a-z]+)+|[A-Za-z]{3,}(?:\.[A-Za-z_]{3,})+")
_VARIABLE: Final = re.compile(r"\$?[A-Za-z_][\w.-]*|[0-9]+")
_ODD: Final = re.compile(r"x{2,}|object object")


def is_direction(words: str) -> bool:
    """Tell whether the words of a bracket say how to speak: `whispers`, `in a soft voice`, `seufzt leise`."""
    each = words.replace(",", " ").split()
    return all(word in _MANNERS or word in _MANNER_FILLERS for word in each) and (
        not _MANNERS.isdisjoint(each) or tuple(each) == _CLEARS_THROAT
    )


def is_placeholder(words: str, content: str, kind: str) -> bool:
    """Tell whether a bracket waits for words of the customer's.

    Parameters
    ----------
    words : str
        From `plain_words`; not empty.
    content : str
        The same as it is written.
    kind : "square", "angle", "curly" or "round"
        Of the brackets. Round ones hold ordinary words, too, so there only names are asked for.
    """
    each = words.replace(",", " ").replace(":", " ").split()
    fields = _NAME_FIELDS if kind == "round" else _FIELDS
    has_field = not fields.isdisjoint(each)
    is_yours = each[0] == "your" or not _YOURS.isdisjoint(each)
    if has_field and all(word in _FIELDS or word in _FIELD_FILLERS for word in each):
        return True
    if has_field and (is_yours or not _HERE_WORDS.isdisjoint(each)) and len(each) <= 6:
        return True
    if not _FILL_IN.isdisjoint((each[0], each[-1])) and len(each) > 1:
        return kind != "round" or has_field or each[0] == "insert"
    if not _MAY_FILL_IN.isdisjoint((each[0], each[-1])) and (has_field or "your" in each[1:]) and len(each) <= 8:
        return kind != "round" or has_field
    if kind == "round":
        return False
    if each[0] == "your" and (len(each) in (2, 3) or each[-1] in _HERE_WORDS):
        return True
    if kind == "curly" and _VARIABLE.fullmatch(content):
        return True
    return _IDENTIFIER.fullmatch(content) is not None or _ODD.fullmatch(words) is not None
