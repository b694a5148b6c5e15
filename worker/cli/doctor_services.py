"""What `mindscript-worker doctor --online` finds about keys beside those of voices: Supabase's and Resend's."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parseaddr
from typing import Any

from worker.cli.doctor_finding import Finding
from worker.config import Config
from worker.errors import WorkerError
from worker.supabase_access import Supabase, supabase_of
from worker.untrusted_json import read_object

_LIMIT_S = 6.0
_NOBODY = "00000000-0000-0000-0000-000000000000"


def examine_supabase_key(config: Config) -> Iterator[Finding]:
    """Ask the project who the key stands for: only its service may read users."""
    try:
        supabase = supabase_of(config)
    except WorkerError:  # examined with storage
        return
    if supabase is not None:
        yield _supabase_key(supabase)


def examine_mail(config: Config, *, online: bool) -> Iterator[Finding]:
    """Look at the settings of e-mails; with `online`, ask Resend whether it takes the key and knows the sender."""
    key, sender = config.resend_api_key, config.resend_from
    if key is None and sender is None:
        return
    if key is None or sender is None:
        missing = "RESEND_API_KEY" if key is None else "RESEND_FROM"
        yield Finding("e-mail", None, f"none is sent: {missing} is not set; the other one is")
        return
    address = parseaddr(sender)[1]
    if "@" not in address:
        says = "is no sender, so every e-mail is refused; needed is NAME <someone@your.domain>"
        yield Finding("RESEND_FROM", None, says)
    if online:
        yield _resend_key(config.resend_api_url, key.get_secret_value(), address.rpartition("@")[2])
    else:
        yield Finding("e-mail", True, "is sent by Resend; `doctor --online` asks whether the key is taken")


def _supabase_key(supabase: Supabase) -> Finding:
    what = "SUPABASE_SERVICE_ROLE_KEY"
    url = f"{supabase.origin}/auth/v1/admin/users/{_NOBODY}"
    answer = _asked(url, supabase.headers())
    if isinstance(answer, str):
        return Finding(what, None, f"not checked: Supabase does not answer ({answer}); look at SUPABASE_URL")
    status, body = answer
    if status == 401:
        says = "is refused by the project: it is another project's, or was revoked; copy it anew (Settings, API Keys)"
        return Finding(what, False, says)
    if status == 403:
        says = "is not the service's, so that no job can be seen; take the secret key (Settings, API Keys)"
        return Finding(what, False, says)
    if status in (200, 404) and body.get("error_code", "user_not_found") == "user_not_found":
        return Finding(what, True, "is taken, as the service's")
    return Finding(what, None, f"not checked: Supabase answers {status} to a question about users")


def _resend_key(url: str, key: str, domain: str) -> Finding:
    what = "RESEND_API_KEY"
    answer = _asked(f"{url.rstrip('/')}/domains", {"Authorization": f"Bearer {key}"})
    if isinstance(answer, str):
        return Finding(what, None, f"not checked: Resend does not answer ({answer}); look at RESEND_API_URL")
    status, body = answer
    if body.get("name") == "restricted_api_key":
        return Finding(what, True, f"is taken, for sending only; whether {domain} is verified, it may not ask")
    if status in (400, 401, 403):
        return Finding(what, False, "is refused, so no e-mail is sent; copy it anew from Resend's dashboard")
    if status != 200:
        return Finding(what, None, f"not checked: Resend answers {status}")
    domains = [each for each in body.get("data") or () if isinstance(each, dict)]
    if any(each.get("name") == domain and each.get("status") == "verified" for each in domains):
        return Finding(what, True, f"is taken, and {domain} is verified")
    return Finding(what, None, f"is taken, but {domain} is not verified at Resend: its e-mails are refused until it is")


def _asked(url: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]] | str:
    """The status and the JSON object of an answer; or, in a word, why there is none."""
    import httpx

    try:
        answer = httpx.get(url, headers=headers, timeout=_LIMIT_S, follow_redirects=False)
    except httpx.HTTPError as error:
        return type(error).__name__
    return answer.status_code, read_object(answer.text)
