"""What is masked where a message leaves a process: keys, and in a job process the customer's words.

Every exit calls `masked`: log lines, the row, HTTP, e-mail, Sentry, the channel from a job to its worker. So no raise
has to think of it. The secrets come with `set_up`, the customer's words with `learn`, once for a process.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from pydantic import SecretStr

from worker.config import VARIABLES, Config
from worker.errors import WorkerError
from worker.foreign_words import ForeignWords
from worker.printable import printable
from worker.storage.base import MUSIC, RENDERS
from worker.voices import PROVIDERS

MASK = "***"
_SHORTEST_SECRET = 6
_A_PART = 12  # characters of a key in a row; fewer may be a form that all keys share, such as `sb_secret_`
# Passwords that all know, such as compose.yaml's: as secrets they would mask our own messages.
_PUBLIC = frozenset({"mindscript", "postgres"})
_SHORTEST_END = 3  # characters at either end of a key that a service shows: `sk-…abcd`
# Keys of OpenAI, Resend, ElevenLabs and Supabase, JSON web tokens, credentials in headers, in addresses and in their
# queries are masked by their form, whether or not they are in the configuration.
_LOOKS_SECRET = re.compile(
    r"\b(?:sk|re|sb_secret|sb_publishable|xi)[-_][A-Za-z0-9_-]{12,}"
    r"|\b(?:sk|re|sb_secret|sb_publishable|xi)[-_](?:[A-Za-z0-9_-]{1,200}(?:\*{2,}|•{2,}|…|\.{3,})[A-Za-z0-9_-]*"
    r"|(?:\*{2,}|•{2,}|…|\.{3,})[A-Za-z0-9_-]+)"  # not `sb_secret_…`, which shows nothing of a key
    r"|\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}"
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{6,}"
    r"|(?<=[Bb]asic )[A-Za-z0-9+/=_-]{6,}"
    r"|(?<=://)[^\s/@\"'<>]+(?=@)"
    r"|(?<=[?&;])(?:(?:access_|refresh_)?token|api[-_]?key|key|secret|password|signature|sig|X-Amz-[A-Za-z-]+)=[^\s&\"'<>]+"
)
_NAMED_SECRET = re.compile(  # `xi-api-key: …`, `"apikey": "…"`
    r"(\b(?:[a-z-]{0,20}api[-_]?key|authorization)\b[\"']?\s*[:=]\s*[\"']?)"
    r"(?!(?:bearer|basic)\b)(?=[^\s\"',;]{0,200}[0-9_-])[^\s\"',;]{8,}",
    re.IGNORECASE,
)
_SHORTENED = re.compile(r"(?<![A-Za-z0-9_-])([A-Za-z0-9_-]*)(?:\*{2,}|•{2,}|…|\.{3,})([A-Za-z0-9_-]*)")


class _Secrets:
    """The secrets of a configuration, in every form in which a service may repeat them."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        plain = sorted({value for value in values if len(value) >= _SHORTEST_SECRET}, key=len, reverse=True)
        forms = {form for value in plain for form in _forms(value)}
        self._keys = [value for value in plain if "://" not in value]  # of an address, parts are no secret
        longest_first = sorted(forms, key=len, reverse=True)
        self._whole = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def masked(self, text: str) -> str:
        if self._whole is not None:
            text = self._whole.sub(MASK, text)
            text = _SHORTENED.sub(self._mask_ends, text)
            for key in self._keys:
                text = _without_parts(text, key)
        return _NAMED_SECRET.sub(rf"\1{MASK}", _LOOKS_SECRET.sub(MASK, text))

    def _mask_ends(self, found: re.Match[str]) -> str:
        """What a service shows of a key: `sk-proj-****…wxyz`."""
        head, tail = found.groups()
        shown = any(
            (len(head) >= _SHORTEST_END and key.startswith(head)) or (len(tail) >= _SHORTEST_END and key.endswith(tail))
            for key in self._keys
        )
        return MASK if shown else found[0]


_secrets = _Secrets()
_words = ForeignWords()


def set_up(config: Config) -> None:
    """Mask the secrets of this configuration from now on."""
    global _secrets
    _secrets = _Secrets(secret_values(config))
    _words.known |= {word.lower() for word in _settings(config)}


def learn(payload: object) -> None:
    """Mask, from now on, what a customer wrote into this JSON: a payload or a row of `tracks`, parsed or as text."""
    _words.learn(payload)


def forget() -> None:
    """Mask nothing but what looks like a key: for tests, which share a process."""
    global _secrets, _words
    _secrets, _words = _Secrets(), ForeignWords()


def masked(text: str) -> str:
    """Replace each secret, and what looks like one, by ``***``, and the customer's words by their length."""
    return _secrets.masked(_words.masked(text))


def mask_error(error: Exception, *, written: str | None = None) -> None:
    """Mask an error's messages in place; `written` is the payload that it is about, where `learn` has not been told."""
    if not isinstance(error, WorkerError):
        return
    words = ForeignWords(_words.known)
    if written is not None:
        words.learn(written)
    error.reword(lambda text: words.masked(masked(text)))


def masked_value(value: Any) -> Any:
    """The same for a JSON-like value, at any depth; what is no JSON becomes text."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {masked_value(key): masked_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # the loudness of silence is -inf, which JSON does not have
    return value if value is None or isinstance(value, bool | int | float) else masked(str(value))


def for_terminal(text: str) -> str:
    """The same on one line, with everything escaped that would act on a terminal."""
    return printable(masked(text), longest=None)


def secret_values(config: Config) -> set[str]:
    """All secrets of the configuration, and those within its addresses, quoted and unquoted."""
    secrets: set[str] = set()
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, SecretStr):
            secrets.add(value.get_secret_value())
            value = value.get_secret_value()
        if isinstance(value, str):
            secrets |= _within(value)
    return secrets - _PUBLIC


def _settings(config: Config) -> Iterator[str]:
    """Words of the operator's, such as buckets, hosts and models: they stay in a message that quotes them."""
    yield from (name.upper() for name in VARIABLES)
    yield from (RENDERS, MUSIC, *PROVIDERS)
    for provider in PROVIDERS.values():
        yield from (provider.default_model, provider.compatible_model, *provider.voices)
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            yield from (word for word in value if isinstance(word, str))


def _within(address: str) -> set[str]:
    """The credentials in an address: what stands before its host, what its query says, libpq's `password=`."""
    found = set(re.findall(r"\bpassword\s*=\s*'?([^\s'&]+)", address))
    if "://" in address:
        try:
            parts = urlsplit(address)
            # Sentry's and Resend's addresses have the key where others have the user; `postgres` is no secret
            lone_user = parts.username if parts.scheme in ("http", "https") and not parts.password else None
            found |= {text for text in (parts.password, lone_user) if text}
            # a password that is the user or the database, too, is known to all who know where it is
            found -= {unquote(text) for text in (parts.username if parts.password else None, parts.path[1:]) if text}
            found |= {value for name, value in parse_qsl(parts.query) if _LOOKS_SECRET.search(f"?{name}={value}")}
        except ValueError:
            pass
    return found | {unquote(text) for text in found}


def _forms(secret: str) -> set[str]:
    """A secret as it is, percent-encoded, in JSON, in a Python literal, and wherever it stands in base64."""
    forms = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    for before in range(3):  # a base64 digit holds six bits: three ways to stand in it
        raw = secret.encode()
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        # the first and the last digits hold bits of what stands beside it
        inner = encoded[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        forms |= {inner, inner.translate(str.maketrans("+/", "-_"))}
    return {form for form in forms if len(form) >= _SHORTEST_SECRET}


def _without_parts(text: str, key: str) -> str:
    """Mask what is at least `_A_PART` characters of a key in a row: an answer may have been cut off."""
    if len(key) <= _A_PART:
        return text
    at = 0
    while at + _A_PART <= len(text):
        if text[at : at + _A_PART] not in key:
            at += 1
            continue
        end = at + _A_PART
        while end < len(text) and text[at : end + 1] in key:
            end += 1
        text = text[:at] + MASK + text[end:]
        at += len(MASK)
    return text
